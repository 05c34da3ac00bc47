//! Snapshots that arrive damaged, and installations cut off half way.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::model::State;
use super::{KINDS, Place, wait};
use crate::backend::{Backend, EngineKind, Error, Table};

/// A backend with blocks, records in memory and rows, and its state.
pub(super) fn filled(place: &Place, seed: u16) -> (Backend, State) {
    let backend = place.open();
    let mut state = State::default();
    for round in 0..2 {
        let mut batch = backend.batch();
        for key in 0..60 {
            let record = state.put(0, key + seed, 900 + key as usize);
            batch.append(&record.info, &record.value);
            state.revision = record.info.revision.main;
        }
        let key = bytes::Bytes::from(format!("row {round}"));
        batch.put_row(Table::Lease, &key, b"value");
        state.rows.insert((Table::Lease, key), "value".into());
        state.index += 1;
        batch.commit((state.index, 1), state.revision);
        if round == 0 {
            wait(backend.checkpoint()).unwrap();
        }
    }
    (backend, state)
}

pub(super) fn stream(backend: &Backend) -> Vec<u8> {
    let mut snapshot = backend.snapshot();
    let mut stream = Vec::new();
    while let Some(chunk) = snapshot.next_chunk().unwrap() {
        stream.extend_from_slice(&chunk);
    }
    stream
}

pub(super) fn receive(backend: &Backend, stream: &[u8]) -> Result<(), Error> {
    let mut staging = backend.stage()?;
    staging.write(stream)?;
    backend.install(staging).map(drop)
}

#[test]
fn a_damaged_or_truncated_stream_changes_nothing() {
    let (sender, _) = filled(&Place::new(EngineKind::Memory), 0);
    let stream = stream(&sender);
    let place = Place::new(EngineKind::Memory);
    let (receiver, state) = filled(&place, 500);
    let step = stream.len() / 97;
    for at in (0..stream.len())
        .step_by(step)
        .chain(stream.len() - 30..stream.len())
    {
        let mut changed = stream.clone();
        changed[at] ^= 4;
        for bad in [&changed[..], &stream[..at]] {
            let error = receive(&receiver, bad).unwrap_err();
            assert!(
                matches!(error, Error::SnapshotRefused { .. }),
                "{at}: {error}"
            );
        }
    }
    let mut longer = stream.clone();
    longer.push(1);
    assert!(receive(&receiver, &longer).is_err());
    state.check(&receiver.read());
    assert!(receiver.failure().is_none());
    receive(&receiver, &stream).unwrap();
}

/// etcd pull request 11613: what a crash had left behind was taken for the new state
/// the next time.
#[test]
fn an_installation_leaves_the_old_or_the_new_state_and_no_rubbish() {
    for kind in KINDS {
        let (sender, new) = filled(&Place::new(kind), 0);
        let stream = stream(&sender);
        let place = Place::new(kind);
        let (receiver, old) = filled(&place, 500);
        wait(receiver.checkpoint()).unwrap();
        // Received completely, then the process dies before the switch.
        let mut staging = receiver.stage().unwrap();
        staging.write(&stream).unwrap();
        assert!(staging.is_complete());
        let left = place.directory.path().join("state-9");
        fs::create_dir_all(left.join("rubbish")).unwrap();
        fs::write(place.directory.path().join("CURRENT.new"), b"half").unwrap();
        drop(staging);
        drop(receiver);
        let receiver = place.open();
        assert!(!left.exists());
        old.check(&receiver.read());
        // Switched, with a reader of the old state left.
        let reader = receiver.read();
        receive(&receiver, &stream).unwrap();
        new.check(&receiver.read());
        new.check_infos(&receiver);
        old.check(&reader);
        drop(reader);
        let names = || {
            let entries = fs::read_dir(place.directory.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with("state-")).count()
        };
        assert!(names() <= 1, "the old state's directory is still there");
        // The new state is what a restart finds, without a checkpoint.
        drop(receiver);
        let receiver = place.open();
        new.check(&receiver.read());
        assert_eq!(receiver.recovered().applied.unwrap().index, new.index);
    }
}

/// Only this process's own list of open files tells of an engine that was leaked.
#[test]
fn a_state_received_in_part_closes_its_files() {
    let open_files = |directory: &Path| {
        let entries = fs::read_dir("/proc/self/fd").unwrap();
        let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|path| path.starts_with(directory)).count()
    };
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let (sender, _) = filled(&Place::new(kind), 0);
        let stream = stream(&sender);
        let place = Place::new(kind);
        let (receiver, state) = filled(&place, 500);
        wait(receiver.checkpoint()).unwrap();
        let directory = fs::canonicalize(place.directory.path()).unwrap();
        let before = open_files(&directory);
        assert!(before > 0, "{kind:?}");
        for part in 1..=4 {
            let mut staging = receiver.stage().unwrap();
            staging.write(&stream[..stream.len() * part / 4]).unwrap();
            assert!(open_files(&directory) > before, "{kind:?}");
            drop(staging);
        }
        // sled closes its files on a thread of its own.
        let deadline = Instant::now() + Duration::from_secs(20);
        while open_files(&directory) > before {
            assert!(Instant::now() < deadline, "{kind:?}: files are still open");
            std::thread::sleep(Duration::from_millis(5));
        }
        state.check(&receiver.read());
    }
}
