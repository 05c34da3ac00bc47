//! Files shrink by themselves, online, and nothing is lost on the way.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Place, wait};
use crate::backend::state_directory::disk_bytes;
use crate::backend::{Backend, Config, EngineKind, RecordInfo, Table};
use crate::base::revision::Revision;

/// Bytes of one record: about thirty fill a block.
const VALUE_BYTES: usize = 1000;
/// Records of one entry.
const RECORDS_PER_ENTRY: i64 = 500;
/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(120);

/// What cannot be compressed, a function of the revision.
fn value(main: i64) -> Vec<u8> {
    let mut value = vec![0; VALUE_BYTES];
    SmallRng::seed_from_u64(main as u64).fill(&mut value[..]);
    value
}

/// Commits entry `index`, with a row that tells it.
pub(super) fn commit(backend: &Backend, index: u64) {
    let mut batch = backend.batch();
    let first = (index as i64 - 1) * RECORDS_PER_ENTRY + 2;
    for main in first..first + RECORDS_PER_ENTRY {
        let info = RecordInfo {
            revision: Revision::new(main, 0),
            key: Bytes::from(format!("key-{}", main % 977)),
            create_revision: main,
            version: 1,
            lease: 0,
            tombstone: false,
        };
        batch.append(&info, &value(main));
    }
    batch.put_row(Table::Lease, b"entry", index.to_string().as_bytes());
    batch.commit((index, 1), first + RECORDS_PER_ENTRY - 1);
}

/// Collects and moves at full speed, as soon as there is reason to.
pub(super) fn eager(place: &Place) -> Config {
    let mut config = place.config();
    config.checkpoint_interval = Duration::from_millis(50);
    config.collect_interval = Duration::from_millis(20);
    config.checkpoint_bytes = 4 << 20;
    config.space_bytes_per_second = 1 << 30;
    config
}

/// Compaction: keeps every fourth record below `end`.
pub(super) fn discard_most(backend: &Backend, end: i64) {
    let dead = (2..end).filter(|main| main % 4 != 0);
    let dead: Vec<_> = dead.map(|main| Revision::new(main, 0)).collect();
    backend.discard(&dead);
}

pub(super) fn check_kept(backend: &Backend, entries: u64) {
    let read = backend.read();
    let last = entries as i64 * RECORDS_PER_ENTRY + 1;
    for main in (4..=last).step_by(4) {
        let found = read.record(Revision::new(main, 0)).unwrap();
        assert_eq!(found.as_deref(), Some(&value(main)[..]), "{main}");
    }
    let row = read.row(Table::Lease, b"entry");
    assert_eq!(row.as_deref(), Some(entries.to_string().as_bytes()));
}

/// The number of the current state directory.
fn generation(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("CURRENT")).unwrap()
}

#[test]
fn the_files_shrink_by_themselves_while_writes_go_on() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let place = Place::new(kind);
        let backend = place.try_open(eager(&place)).unwrap();
        let mut entries = 0;
        while entries < 120 {
            entries += 1;
            commit(&backend, entries);
        }
        wait(backend.checkpoint()).unwrap();
        let full = disk_bytes(place.directory.path());
        assert!(full > 60_000_000, "{kind:?} {full}");
        let before = generation(place.directory.path());
        let pinned = backend.read();
        discard_most(&backend, entries as i64 * RECORDS_PER_ENTRY + 2);
        let deadline = Instant::now() + LIMIT;
        loop {
            // Every new record lives: it has to be moved too.
            if entries < 140 {
                entries += 1;
                commit(&backend, entries);
            }
            let sizes = backend.sizes();
            let is_small = sizes.allocated_bytes < 2 * sizes.in_use_bytes;
            if is_small && generation(place.directory.path()) != before {
                break;
            }
            assert!(Instant::now() < deadline, "{kind:?} {sizes:?} of {full}");
            std::thread::sleep(Duration::from_millis(5));
        }
        // A reader of before still has what is gone for all others.
        let old = pinned.record(Revision::new(3, 0)).unwrap();
        assert_eq!(old.as_deref(), Some(&value(3)[..]));
        drop(pinned);
        let directory = place.directory.path();
        while disk_bytes(directory) >= 2 * backend.sizes().in_use_bytes {
            let (now, sizes) = (disk_bytes(directory), backend.sizes());
            assert!(Instant::now() < deadline, "{kind:?} {now} {sizes:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        check_kept(&backend, entries);
        wait(backend.checkpoint()).unwrap();
        drop(backend);
        check_kept(&place.open(), entries);
    }
}

#[test]
fn a_move_cut_off_at_any_step_leaves_the_old_state() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let place = Place::new(kind);
        let mut config = eager(&place);
        config.space_bytes_per_second = 0;
        let mut backend = place.try_open(config).unwrap();
        for index in 1..=60 {
            commit(&backend, index);
        }
        wait(backend.checkpoint()).unwrap();
        discard_most(&backend, 60 * RECORDS_PER_ENTRY + 2);
        // What is discarded is known to the next start once it is stored.
        wait(backend.checkpoint()).unwrap();
        for round in 0..6 {
            // One step in a fraction of a second: it is under way, never done.
            let mut config = eager(&place);
            config.space_bytes_per_second = 2 << 20;
            drop(backend);
            backend = place.try_open(config).unwrap();
            commit(&backend, 61 + round);
            wait(backend.checkpoint()).unwrap();
            let deadline = Instant::now() + LIMIT;
            let states = || {
                let entries = std::fs::read_dir(place.directory.path()).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name());
                names
                    .filter(|name| name.to_string_lossy().starts_with("state-"))
                    .count()
            };
            while states() < 2 {
                assert!(Instant::now() < deadline, "{kind:?}: no move in {round}");
                std::thread::sleep(Duration::from_millis(1));
            }
            // Each round ends at another step.
            std::thread::sleep(Duration::from_millis(40 * round));
            check_kept(&backend, 61 + round);
        }
        // An installation and an order to defragment end what is under way.
        let stream: Vec<_> = {
            let mut snapshot = backend.snapshot();
            std::iter::from_fn(|| snapshot.next_chunk().unwrap()).collect()
        };
        let mut staging = backend.stage().unwrap();
        stream
            .iter()
            .for_each(|chunk| staging.write(chunk).unwrap());
        backend.install(staging).unwrap();
        check_kept(&backend, 66);
        wait(backend.defragment()).unwrap();
        check_kept(&backend, 66);
        drop(backend);
        check_kept(&place.open(), 66);
    }
}

#[test]
fn a_snapshot_being_sent_survives_collection_and_a_move() {
    for kind in [EngineKind::Memory, EngineKind::Redb, EngineKind::Sled] {
        let place = Place::new(kind);
        let backend = place.open();
        for index in 1..=8 {
            commit(&backend, index);
        }
        wait(backend.checkpoint()).unwrap();
        commit(&backend, 9);
        let mut snapshot = backend.snapshot();
        let receiver_place = Place::new(kind);
        let receiver = receiver_place.open();
        commit(&receiver, 1);
        wait(receiver.checkpoint()).unwrap();
        let mut staging = receiver.stage().unwrap();
        let mut pieces = 0;
        while let Some(chunk) = snapshot.next_chunk().unwrap() {
            staging.write(&chunk).unwrap();
            pieces += 1;
            // Source: etcd issue 20271, a defragmentation during a snapshot.
            if pieces == 1 {
                // Not in the snapshot, and not held up by it.
                commit(&backend, 10);
                discard_most(&backend, 9 * RECORDS_PER_ENTRY + 2);
                wait(backend.defragment()).unwrap();
            }
            if pieces == 2 {
                commit(&receiver, 2);
                wait(receiver.defragment()).unwrap();
                wait(backend.defragment()).unwrap();
            }
        }
        assert!(pieces > 3, "{pieces}");
        check_kept(&backend, 10);
        receiver.install(staging).unwrap();
        check_kept(&receiver, 9);
        assert_eq!(receiver.recovered().applied.unwrap().index, 9);
        wait(receiver.defragment()).unwrap();
        check_kept(&receiver, 9);
    }
}

#[test]
fn a_reader_of_the_old_files_keeps_no_block_in_the_new_ones() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let place = Place::new(kind);
        let backend = place.open();
        for index in 1..=8 {
            commit(&backend, index);
        }
        wait(backend.checkpoint()).unwrap();
        let before = generation(place.directory.path());
        let reader = backend.read();
        wait(backend.defragment()).unwrap();
        assert_ne!(generation(place.directory.path()), before);
        discard_most(&backend, 8 * RECORDS_PER_ENTRY + 2);
        for _ in 0..10 {
            wait(backend.checkpoint()).unwrap();
        }
        let has_graves = backend.shared().collector.lock().has_graves();
        assert!(!has_graves, "{kind:?}: blocks wait for a reader");
        let old = reader.record(Revision::new(3, 0)).unwrap();
        assert_eq!(old.as_deref(), Some(&value(3)[..]));
        check_kept(&backend, 8);
    }
}
