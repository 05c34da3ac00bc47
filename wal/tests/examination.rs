//! A log that is only looked at: nothing changes, and of a damaged one what came
//! before the damage is read.
#![allow(clippy::unwrap_used, reason = "a failing test is the error path")]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quoin_wal::storage::FileStorage;
use quoin_wal::{Error, Examination, Log};

use harness::{append, small_config};

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// A closed log of entries 1 to 200 in several segments.
fn written(directory: &Path) {
    let (log, _) = Log::open(Arc::new(FileStorage), small_config(directory)).unwrap();
    for start in (1..200).step_by(20) {
        append(&log, start..start + 20, 3);
    }
    log.close().unwrap();
}

#[test]
fn a_sound_log_is_read_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let before = files(directory.path());
    let found = Examination::open(directory.path()).unwrap();
    assert!(found.damage().is_none());
    let config = small_config(directory.path());
    assert_eq!(found.identity(), Some(config.log_id));
    assert_eq!(found.recovery().last.unwrap().index, 200);
    assert_eq!((found.term_at(200), found.term_at(201)), (Some(3), None));
    let entries = found.read(1..201, usize::MAX).unwrap();
    assert_eq!((entries.len(), entries[199].index), (200, 200));
    // Nobody can open it meanwhile, and it cannot be looked at while it is open.
    let busy = Log::open(Arc::new(FileStorage), config.clone());
    assert!(matches!(busy, Err(Error::Locked { .. })));
    drop(found);
    assert_eq!(files(directory.path()), before);
    let (log, recovery) = Log::open(Arc::new(FileStorage), config).unwrap();
    assert_eq!(recovery.last.unwrap().index, 200);
    let running = Examination::open(directory.path());
    assert!(matches!(running, Err(Error::Locked { .. })));
    log.close().unwrap();
}

#[test]
fn what_comes_before_any_damage_is_read() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let paths: Vec<_> = files(directory.path()).into_keys().collect();
    let segments: Vec<_> = paths
        .iter()
        .filter(|path| !path.ends_with("LOCK"))
        .collect();
    let mut last_seen = 0;
    for path in segments.iter().take(4) {
        let whole = fs::read(path).unwrap();
        for position in [0, 45, 4100, 4200, whole.len() / 2] {
            let mut damaged = whole.clone();
            damaged[position] ^= 0x10;
            fs::write(path, damaged).unwrap();
            let found = Examination::open(directory.path()).unwrap();
            let last = found.recovery().last.map_or(0, |last| last.index);
            if last > 0 {
                let first = found.recovery().first_index.unwrap();
                let entries = found.read(first..last + 1, usize::MAX).unwrap();
                assert_eq!(entries.last().unwrap().index, last);
            }
            match found.damage() {
                None => assert!(last == 200 || position >= 44, "{path:?} {position}: {last}"),
                Some(error) => {
                    // The header of a segment that waits for frames is damage too.
                    assert!(last < 200 || position == 0, "{path:?} {position}");
                    let name = path.file_name().unwrap().to_string_lossy();
                    assert!(error.to_string().contains(&*name), "{error}");
                }
            }
            last_seen = last_seen.max(last);
        }
        fs::write(path, whole).unwrap();
    }
    assert!(last_seen > 0);
    // A missing segment ends what can be read.
    fs::remove_file(segments[1]).unwrap();
    let found = Examination::open(directory.path()).unwrap();
    assert!(found.damage().unwrap().to_string().contains("missing"));
    assert!(found.recovery().last.unwrap().index < 200);
}
