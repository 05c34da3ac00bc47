//! A full disk: the log stops with a line that says what, where and what to do,
//! nothing acknowledged is lost, and with room again it goes on where it was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test is the error path"
)]

mod harness;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use quoin_wal::storage::{FaultyStorage, Loss};
use quoin_wal::{Error, Log};

use harness::{Waiter, append, entries, entry, small_config};

/// The failure below the wrapping that later callers get.
fn cause(error: &Error) -> &Error {
    match error {
        Error::Poisoned { cause } => cause,
        other => other,
    }
}

fn is_full(error: &Error) -> bool {
    matches!(cause(error), Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
}

/// Appends one by one until the log refuses; returns how many were acknowledged
/// and the refusal.
fn fill(log: &Log, from: u64) -> (u64, Error) {
    for index in from.. {
        let waiter = Waiter::new();
        log.append(&[entry(index, 1)], waiter.completion());
        if let Err(error) = waiter.wait() {
            return (index, error);
        }
    }
    unreachable!("the disk never filled")
}

/// Fills a disk of this size, loses power, makes room and looks what is left.
fn fill_and_recover(bytes_max: usize, loss: Loss) -> Error {
    let config = small_config(Path::new("/log"));
    let disk = FaultyStorage::new(bytes_max as u64);
    let (log, _) = Log::open(Arc::new(disk.clone()), config.clone()).unwrap();
    append(&log, 0..10, 1);
    disk.limit_bytes(Some(bytes_max.max(disk.used_bytes())));
    let (acknowledged, error) = fill(&log, 10);
    assert!(is_full(&error), "{error}");
    // It stays so: what comes later is refused, not tried.
    let later = Waiter::new();
    log.append(&[entry(acknowledged + 1, 1)], later.completion());
    assert!(is_full(&later.wait().unwrap_err()));
    assert!(is_full(&log.close().unwrap_err()));
    assert_eq!(
        log.read(0..acknowledged, usize::MAX).unwrap().len() as u64,
        acknowledged
    );
    drop(log);
    let disk = disk.after_crash(loss);
    let (log, recovery) = Log::open(Arc::new(disk), config).unwrap();
    let last = recovery.last.unwrap().index;
    assert!(
        last + 1 >= acknowledged,
        "{last} of {acknowledged} entries left"
    );
    assert_eq!(
        log.read(0..last + 1, usize::MAX).unwrap(),
        entries(0..last + 1, 1)
    );
    append(&log, last + 1..last + 400, 1);
    log.close().unwrap();
    error
}

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing_acknowledged() {
    let mut failed = BTreeSet::new();
    for bytes_max in (12..80).map(|step| step * 700) {
        for loss in [Loss::Drop, Loss::Keep, Loss::Mix] {
            let error = fill_and_recover(bytes_max, loss);
            let Error::Io { operation, .. } = cause(&error) else {
                panic!("{error}");
            };
            failed.insert(*operation);
        }
    }
    // Which thread meets the end of the disk, and in which of its steps, is a
    // matter of time; other steps need no room.
    let steps = BTreeSet::from(["extend", "write the header of", "zero"]);
    assert!(failed.is_subset(&steps), "{failed:?}");
}

#[test]
fn a_full_disk_is_named_with_what_to_do() {
    let error = fill_and_recover(20_000, Loss::Keep);
    let text = cause(&error).to_string();
    assert!(text.starts_with("cannot "), "{text}");
    assert!(text.contains(" /log/"), "{text}");
    assert!(text.contains("make room on this volume"), "{text}");
    assert!(text.contains("nothing acknowledged is lost"), "{text}");
}

#[test]
fn a_log_on_a_disk_that_is_still_full_opens_and_stops_again() {
    let config = small_config(Path::new("/log"));
    let disk = FaultyStorage::new(5);
    let (log, _) = Log::open(Arc::new(disk.clone()), config.clone()).unwrap();
    append(&log, 0..10, 1);
    disk.limit_bytes(Some(disk.used_bytes()));
    let (mut acknowledged, _) = fill(&log, 10);
    drop(log);
    for _ in 0..3 {
        let opened = Log::open(Arc::new(disk.clone()), config.clone());
        let (log, recovery) = opened.unwrap();
        let next = recovery.last.unwrap().index + 1;
        assert!(next >= acknowledged);
        acknowledged = fill(&log, next).0;
    }
    disk.limit_bytes(None);
    let (log, recovery) = Log::open(Arc::new(disk), config).unwrap();
    let next = recovery.last.unwrap().index + 1;
    assert!(next >= acknowledged);
    append(&log, next..next + 500, 1);
}

#[test]
fn a_new_log_that_finds_no_room_says_so_and_leaves_nothing() {
    let config = small_config(Path::new("/log"));
    for bytes_max in [0, 1000, 4096, 8000] {
        let disk = FaultyStorage::new(5);
        disk.limit_bytes(Some(bytes_max));
        let error = Log::open(Arc::new(disk.clone()), config.clone()).unwrap_err();
        assert!(is_full(&error), "{error}");
        disk.limit_bytes(None);
        let (log, recovery) = Log::open(Arc::new(disk), config.clone()).unwrap();
        assert_eq!(recovery.last, None);
        append(&log, 0..10, 1);
    }
}
