//! Damaged bytes: in the middle they are reported with file and offset, in the
//! last frame they are cut, and arbitrary bytes never panic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test is the error path"
)]

mod harness;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use quoin_wal::storage::FaultyStorage;
use quoin_wal::{Error, Log, Recovery};

use harness::{append, small_config};

type Files = Vec<(PathBuf, Vec<u8>)>;

const HEADER_BYTES: usize = 4096;

/// A log of several segments: its files before and after the last frame.
fn written_log() -> (Files, Files) {
    let storage = FaultyStorage::new(0);
    let (log, _) = Log::open(Arc::new(storage.clone()), small_config("/log".as_ref())).unwrap();
    for start in (1..500).step_by(20) {
        append(&log, start..start + 20, 1);
    }
    let before = storage.files();
    append(&log, 501..503, 1);
    log.close().unwrap();
    (before, storage.files())
}

fn open(files: &[(PathBuf, Vec<u8>)]) -> Result<Recovery, Error> {
    let storage = FaultyStorage::new(0);
    for (path, content) in files {
        storage.overwrite(path, content);
    }
    let (log, recovery) = Log::open(Arc::new(storage), small_config("/log".as_ref()))?;
    if let (Some(first), Some(last)) = (recovery.first_index, recovery.last) {
        log.read(first..last.index + 1, usize::MAX)?;
    }
    log.close()?;
    Ok(recovery)
}

/// File and offset at which the last frame starts.
fn last_frame(before: &Files, after: &Files) -> (PathBuf, usize) {
    for ((path, old), (_, new)) in before.iter().zip(after) {
        if let Some(offset) = old.iter().zip(new).position(|(old, new)| old != new) {
            return (path.clone(), offset);
        }
    }
    panic!("the last append changed nothing");
}

/// etcd issue 14140: a flipped bit in the log made a member panic, or start from
/// something else than was written.
#[test]
fn a_flipped_bit_is_reported_where_it_is_or_cut_with_the_last_frame() {
    let (before, files) = written_log();
    let (tail, tail_offset) = last_frame(&before, &files);
    let whole = open(&files).unwrap();
    let cut = open(&before).unwrap();
    assert!(files.len() > 3, "more than one segment is wanted");
    let (mut corrupt_count, mut cut_count) = (0, 0);
    for file in 0..files.len() {
        let (path, content) = &files[file];
        for position in (0..content.len()).step_by(37) {
            let mut damaged = files.clone();
            damaged[file].1[position] ^= 1 << (position % 8);
            match open(&damaged) {
                Ok(recovery) if recovery == whole => {
                    let is_unused = (44..HEADER_BYTES).contains(&position)
                        || content[position..].iter().all(|byte| *byte == 0)
                        || path > &tail;
                    assert!(
                        is_unused,
                        "{} at {position} was not noticed",
                        path.display()
                    );
                }
                Ok(recovery) => {
                    assert_eq!((path, recovery.last), (&tail, cut.last));
                    assert!(position >= tail_offset);
                    cut_count += 1;
                }
                Err(Error::Corruption {
                    path: reported,
                    offset,
                    ..
                }) => {
                    assert_eq!(&reported, path);
                    assert!(offset <= position as u64);
                    corrupt_count += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(
        corrupt_count > 500 && cut_count > 1,
        "{corrupt_count} corrupt, {cut_count} cut"
    );
}

#[test]
fn a_torn_tail_is_reported_and_cut() {
    let (before, mut files) = written_log();
    let (tail, offset) = last_frame(&before, &files);
    let content = &mut files.iter_mut().find(|(path, _)| *path == tail).unwrap().1;
    content[offset + 64..offset + 72].fill(0);
    let torn = open(&files).unwrap().torn_tail.unwrap();
    assert_eq!((torn.path, torn.offset), (tail, offset as u64));
}

#[test]
fn a_missing_segment_is_corruption() {
    let (_, files) = written_log();
    let segments: Vec<_> = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    for (missing, _) in &segments[..segments.len() - 2] {
        let mut left = files.clone();
        left.retain(|(path, _)| path != missing);
        let error = open(&left).unwrap_err();
        assert!(matches!(error, Error::Corruption { .. }), "{error}");
    }
}

#[test]
fn a_file_cut_short_never_panics() {
    let (_, files) = written_log();
    for file in 0..files.len() {
        for length in (0..files[file].1.len()).step_by(97) {
            let mut damaged = files.clone();
            damaged[file].1.truncate(length);
            if let Err(error) = open(&damaged) {
                assert!(matches!(error, Error::Corruption { .. }), "{error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..9000),
        keeps_header in any::<bool>(),
    ) {
        let (path, content) = golden_like();
        let mut damaged = if keeps_header { content[..HEADER_BYTES].to_vec() } else { Vec::new() };
        damaged.extend_from_slice(&bytes);
        let _outcome = open(&[(path, damaged)]);
    }

    #[test]
    fn rearranged_bytes_never_panic(
        moves in proptest::collection::vec((any::<u16>(), any::<u16>(), any::<u16>()), 1..8),
    ) {
        let (path, mut content) = golden_like();
        for (from, to, length) in moves {
            let from = from as usize % content.len();
            let to = to as usize % content.len();
            let length = (length as usize % 600).min(content.len() - from.max(to));
            content.copy_within(from..from + length, to);
        }
        if let Err(error) = open(&[(path, content)]) {
            let is_corruption = matches!(error, Error::Corruption { .. });
            prop_assert!(is_corruption, "{error}");
        }
    }
}

/// The first segment of a log, full of small frames.
fn golden_like() -> (PathBuf, Vec<u8>) {
    static CONTENT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let path = Path::new("/log/0000000000000001.wal").to_path_buf();
    let content = CONTENT.get_or_init(|| {
        let storage = FaultyStorage::new(0);
        let opened = Log::open(Arc::new(storage.clone()), small_config("/log".as_ref()));
        let (log, _) = opened.unwrap();
        for index in 1..30 {
            append(&log, index..index + 1, 1);
        }
        log.close().unwrap();
        storage
            .files()
            .into_iter()
            .find(|(found, _)| *found == path)
            .unwrap()
            .1
    });
    (path, content.clone())
}
