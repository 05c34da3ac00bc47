//! The log's contract on every storage: order, durability, reads, truncation,
//! purge, restart. Crash behaviour is in `crash.rs`, damage in `damage.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test is the error path"
)]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use quoin_wal::storage::{FaultyStorage, FileStorage, MemoryStorage, Storage};
use quoin_wal::{Config, Error, Log, LogIdentity, Position, Recovery};

use harness::{Waiter, append, entries, entry, small_config};

/// Runs one test on each storage.
fn on_every_storage(test: fn(Arc<dyn Storage>, Config)) {
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(FileStorage), small_config(directory.path()));
    test(
        Arc::new(MemoryStorage::new()),
        small_config("/log".as_ref()),
    );
    test(
        Arc::new(FaultyStorage::new(3)),
        small_config("/log".as_ref()),
    );
}

#[test]
fn an_empty_directory_gives_an_empty_log() {
    on_every_storage(|storage, config| {
        let (log, recovery) = Log::open(storage, config).unwrap();
        assert_eq!(recovery, Recovery::default());
        assert_eq!(log.durable().index(), None);
        assert!(log.read(0..0, 10).unwrap().is_empty());
        assert!(matches!(log.read(0..1, 10), Err(Error::OutOfRange { .. })));
        log.close().unwrap();
    });
}

#[test]
fn entries_survive_a_restart_with_vote_and_marks() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        let waiter = Waiter::new();
        log.save_vote(Bytes::from_static(b"vote 1"), waiter.completion());
        append(&log, 0..300, 1);
        log.save_committed(Bytes::from_static(b"mark"));
        append(&log, 300..301, 2);
        waiter.wait().unwrap();
        log.close().unwrap();
        let (log, recovery) = Log::open(storage, config).unwrap();
        assert_eq!(recovery.first_index, Some(0));
        assert_eq!(
            recovery.last,
            Some(Position {
                index: 300,
                term: 2
            })
        );
        assert_eq!(recovery.vote.as_deref(), Some(b"vote 1".as_slice()));
        assert_eq!(recovery.committed.as_deref(), Some(b"mark".as_slice()));
        assert_eq!((recovery.purged, recovery.torn_tail), (None, None));
        assert_eq!(log.durable().index(), Some(300));
        assert_eq!(log.read(0..300, usize::MAX).unwrap(), entries(0..300, 1));
        assert_eq!(
            log.read(300..301, usize::MAX).unwrap(),
            entries(300..301, 2)
        );
    });
}

#[test]
fn an_entry_is_readable_before_it_is_durable_and_from_disk_after_the_tail() {
    on_every_storage(|storage, mut config| {
        config.tail_bytes_max = 0;
        let (log, _) = Log::open(storage, config).unwrap();
        for index in 1..200 {
            log.append(&[entry(index, 1)], Box::new(|_| ()));
            assert_eq!(log.read(index..index + 1, 0).unwrap(), [entry(index, 1)]);
        }
        log.durable().wait_for(199).unwrap();
        append(&log, 200..201, 1);
        assert_eq!(log.read(1..200, usize::MAX).unwrap(), entries(1..200, 1));
        assert!(log.metrics().segment_reads.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn reads_respect_the_byte_limit_but_give_one_entry() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        append(&log, 0..100, 1);
        let bytes = |range| {
            entries(range, 1)
                .iter()
                .map(|entry| entry.payload.len())
                .sum()
        };
        for (limit, count) in [(0, 1), (1, 1), (bytes(0..3), 3), (usize::MAX, 50)] {
            assert_eq!(log.read(0..50, limit).unwrap().len(), count);
        }
        drop(log);
        let (log, _) = Log::open(storage, config).unwrap();
        append(&log, 100..110, 1);
        for (limit, count) in [
            (0, 1),
            (bytes(50..53), 3),
            (bytes(50..105), 55),
            (usize::MAX, 60),
        ] {
            assert_eq!(log.read(50..110, limit).unwrap().len(), count);
        }
    });
}

#[test]
fn completions_of_one_group_come_newest_first() {
    let (log, _) = Log::open(
        Arc::new(MemoryStorage::new()),
        small_config("/log".as_ref()),
    )
    .unwrap();
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let gate = Arc::new(parking_lot::Mutex::new(()));
    let closed = gate.lock();
    let (blocked, is_blocked) = std::sync::mpsc::channel();
    let behind_gate = Arc::clone(&gate);
    let block = move |_| {
        blocked.send(()).unwrap();
        drop(behind_gate.lock());
    };
    log.append(&[entry(1, 1)], Box::new(block));
    is_blocked.recv().unwrap();
    for index in 2..7 {
        let order = Arc::clone(&order);
        log.append(
            &[entry(index, 1)],
            Box::new(move |_| order.lock().push(index)),
        );
    }
    drop(closed);
    log.durable().wait_for(6).unwrap();
    log.close().unwrap();
    assert_eq!(*order.lock(), [6, 5, 4, 3, 2]);
    assert_eq!(log.metrics().groups.load(Ordering::Relaxed), 2);
}

#[test]
fn truncated_entries_are_replaced_and_stay_replaced() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        append(&log, 1..101, 1);
        log.truncate_after(Some(50));
        assert_eq!(log.durable().index(), Some(50));
        assert!(matches!(log.read(51..52, 1), Err(Error::OutOfRange { .. })));
        append(&log, 51..61, 2);
        let check = |log: &Log| {
            assert_eq!(log.read(1..51, usize::MAX).unwrap(), entries(1..51, 1));
            assert_eq!(log.read(51..61, usize::MAX).unwrap(), entries(51..61, 2));
            assert_eq!(log.durable().index(), Some(60));
        };
        check(&log);
        drop(log);
        let (log, recovery) = Log::open(storage, config).unwrap();
        assert_eq!(recovery.last, Some(Position { index: 60, term: 2 }));
        check(&log);
        log.truncate_after(None);
        append(&log, 7..9, 3);
        assert_eq!(log.read(7..9, usize::MAX).unwrap(), entries(7..9, 3));
    });
}

#[test]
fn purge_recycles_segments_and_keeps_vote_marks_and_position() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        log.save_vote(Bytes::from_static(b"v"), Box::new(|_| ()));
        log.save_committed(Bytes::from_static(b"c"));
        let mut next = 1;
        for _ in 0..30 {
            append(&log, next..next + 100, 1);
            next += 100;
            log.purge_to(Position {
                index: next - 20,
                term: 1,
            });
        }
        append(&log, next..next + 1, 1);
        log.close().unwrap();
        assert!(log.metrics().segments_recycled.load(Ordering::Relaxed) > 5);
        let segments = storage.list(&config.directory).unwrap();
        let count = segments
            .iter()
            .filter(|name| name.ends_with(".wal"))
            .count();
        assert!(count <= 8, "{segments:?}");
        let (log, recovery) = Log::open(storage, config).unwrap();
        assert_eq!(
            recovery.purged,
            Some(Position {
                index: next - 20,
                term: 1
            })
        );
        assert_eq!(recovery.first_index, Some(next - 19));
        assert_eq!(
            recovery.last,
            Some(Position {
                index: next,
                term: 1
            })
        );
        assert_eq!(recovery.vote.as_deref(), Some(b"v".as_slice()));
        assert_eq!(recovery.committed.as_deref(), Some(b"c".as_slice()));
        let range = next - 19..next + 1;
        assert_eq!(
            log.read(range.clone(), usize::MAX).unwrap(),
            entries(range, 1)
        );
    });
}

#[test]
fn a_purge_beyond_the_end_empties_the_log_and_moves_on() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        append(&log, 1..10, 1);
        log.purge_to(Position {
            index: 500,
            term: 4,
        });
        log.durable().wait_for(500).unwrap();
        drop(log);
        let (log, recovery) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        assert_eq!((recovery.first_index, recovery.last), (None, None));
        assert_eq!(
            recovery.purged,
            Some(Position {
                index: 500,
                term: 4
            })
        );
        assert_eq!(log.durable().index(), Some(500));
        append(&log, 501..503, 5);
        drop(log);
        let (log, recovery) = Log::open(storage, config).unwrap();
        assert_eq!(recovery.first_index, Some(501));
        assert_eq!(
            log.read(501..503, usize::MAX).unwrap(),
            entries(501..503, 5)
        );
    });
}

#[test]
fn a_record_larger_than_a_segment_is_kept() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        let large = quoin_wal::Entry {
            index: 2,
            term: 1,
            kind: 9,
            payload: Bytes::from(vec![7; 3 * config.segment_bytes as usize]),
        };
        append(&log, 1..2, 1);
        let waiter = Waiter::new();
        log.append(std::slice::from_ref(&large), waiter.completion());
        waiter.wait().unwrap();
        append(&log, 3..100, 1);
        drop(log);
        let (log, _) = Log::open(storage, config).unwrap();
        assert_eq!(log.read(2..3, 1).unwrap(), [large]);
        assert_eq!(log.read(3..100, usize::MAX).unwrap(), entries(3..100, 1));
    });
}

#[test]
fn a_directory_has_one_owner_and_one_identity() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        let again = Log::open(Arc::clone(&storage), config.clone());
        assert!(matches!(again, Err(Error::Locked { .. })));
        log.close().unwrap();
        let mut other = config.clone();
        other.log_id = LogIdentity {
            cluster_id: 0xc,
            member_id: 0xbad,
        };
        let error = Log::open(storage, other).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Identity { .. }));
        assert!(
            text.contains("0000000000000001.wal") && text.contains("bad"),
            "{text}"
        );
        assert!(
            text.contains(&format!("{:x}", config.log_id.member_id)),
            "{text}"
        );
    });
}

#[test]
fn a_closed_log_refuses_writes_and_still_reads() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(storage, config).unwrap();
        append(&log, 1..4, 1);
        log.close().unwrap();
        log.close().unwrap();
        let waiter = Waiter::new();
        log.append(&[entry(4, 1)], waiter.completion());
        assert!(matches!(waiter.wait(), Err(Error::Closed)));
        assert!(matches!(log.durable().wait_for(4), Err(Error::Closed)));
        assert_eq!(log.read(1..4, usize::MAX).unwrap(), entries(1..4, 1));
    });
}

#[test]
fn too_much_pending_makes_append_wait() {
    on_every_storage(|storage, mut config| {
        config.group_bytes_max = 512;
        config.pending_bytes_max = 1024;
        let (log, _) = Log::open(storage, config).unwrap();
        for index in 0..500 {
            log.append(&[entry(index, 1)], Box::new(|_| ()));
        }
        log.durable().wait_for(499).unwrap();
        assert!(log.metrics().append_waits.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn buffers_are_reused_in_steady_state() {
    on_every_storage(|storage, config| {
        let (log, _) = Log::open(storage, config).unwrap();
        for index in 0..3000 {
            log.append(&[entry(index, 1)], Box::new(|_| ()));
            if index % 7 == 0 {
                log.durable().wait_for(index).unwrap();
            }
        }
        log.close().unwrap();
        let hits = log.metrics().buffer_hits.load(Ordering::Relaxed);
        let misses = log.metrics().buffer_misses.load(Ordering::Relaxed);
        assert!(misses < 10 && hits > 400, "{hits} hits, {misses} misses");
        assert_eq!(log.metrics().buffers_in_use.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_gathering_pause_changes_no_outcome() {
    on_every_storage(|storage, mut config| {
        config.gather_pause = std::time::Duration::from_micros(200);
        config.gather_records_min = 1;
        let (log, _) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        for start in (0..200).step_by(10) {
            append(&log, start..start + 10, 1);
        }
        log.close().unwrap();
        let (log, _) = Log::open(storage, config).unwrap();
        assert_eq!(log.read(0..200, usize::MAX).unwrap(), entries(0..200, 1));
    });
}
