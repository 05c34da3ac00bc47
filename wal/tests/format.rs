//! Golden file of docs/formats/wal.md: a stored segment must be read as it was
//! meant, and writing the same stream must give the same bytes. `UPDATE=1`
//! rewrites the file; the change is then read in review.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test is the error path"
)]

mod harness;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quoin_wal::storage::{FaultyStorage, Storage};
use quoin_wal::{Config, Entry, Log, LogIdentity, Position};

use harness::Waiter;

const SEGMENT: &str = "0000000000000001.wal";

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/v1")
        .join(SEGMENT)
}

fn config() -> Config {
    let log_id = LogIdentity {
        cluster_id: 0x1122_3344_5566_7788,
        member_id: 0x99aa_bbcc_ddee_ff00,
    };
    Config {
        segment_bytes: 8 << 10,
        first_segment_bytes: 6 << 10,
        ..Config::new("/log".into(), log_id)
    }
}

fn entry(index: u64, term: u64, payload: &'static str) -> Entry {
    Entry {
        index,
        term,
        kind: 2,
        payload: Bytes::from_static(payload.as_bytes()),
    }
}

/// Writes one record of every kind, in frames that do not depend on timing.
fn write_stream(storage: &FaultyStorage) {
    let (log, _) = Log::open(Arc::new(storage.clone()), config()).unwrap();
    let append = |entries: &[Entry]| {
        let waiter = Waiter::new();
        log.append(entries, waiter.completion());
        waiter.wait().unwrap();
    };
    let waiter = Waiter::new();
    log.save_vote(Bytes::from_static(b"vote"), waiter.completion());
    waiter.wait().unwrap();
    append(&[entry(1, 1, "one"), entry(2, 1, ""), entry(3, 1, "three")]);
    log.save_committed(Bytes::from_static(b"committed"));
    log.truncate_after(Some(2));
    append(&[entry(3, 2, "three again")]);
    log.purge_to(Position { index: 1, term: 1 });
    log.close().unwrap();
}

#[test]
fn the_stored_segment_reads_as_it_was_written() {
    let storage = FaultyStorage::new(0);
    write_stream(&storage);
    let (_, written) = storage
        .files()
        .into_iter()
        .find(|(path, _)| path.ends_with(SEGMENT))
        .unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(golden_path().parent().unwrap()).unwrap();
        std::fs::write(golden_path(), &written).unwrap();
    }
    let golden = std::fs::read(golden_path()).unwrap();
    assert!(
        written == golden,
        "the format has changed: raise its version"
    );

    let storage = FaultyStorage::new(0);
    storage.overwrite(&Path::new("/log").join(SEGMENT), &golden);
    let (log, recovery) = Log::open(Arc::new(storage), config()).unwrap();
    assert_eq!(recovery.first_index, Some(2));
    assert_eq!(recovery.last, Some(Position { index: 3, term: 2 }));
    assert_eq!(recovery.purged, Some(Position { index: 1, term: 1 }));
    assert_eq!(recovery.vote.as_deref(), Some(b"vote".as_slice()));
    assert_eq!(recovery.committed.as_deref(), Some(b"committed".as_slice()));
    let expected = [entry(2, 1, ""), entry(3, 2, "three again")];
    assert_eq!(log.read(2..4, usize::MAX).unwrap(), expected);
}

#[test]
fn a_newer_format_is_refused_by_number() {
    let storage = FaultyStorage::new(0);
    let mut golden = std::fs::read(golden_path()).unwrap();
    golden[8] = 2;
    let checksum = crc32fast::hash(&golden[..40]);
    golden[40..44].copy_from_slice(&checksum.to_le_bytes());
    storage.overwrite(&Path::new("/log").join(SEGMENT), &golden);
    let error = Log::open(Arc::new(storage.clone()), config()).unwrap_err();
    assert!(error.to_string().contains("log format 2"), "{error}");
    assert!(
        storage
            .list(Path::new("/log"))
            .unwrap()
            .contains(&SEGMENT.to_owned())
    );
}
