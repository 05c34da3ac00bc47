//! The digest says what was applied, and nothing else.

use bytes::Bytes;

use super::model::State;
use super::{KINDS, Place, wait};
use crate::backend::{Backend, Digest, EngineKind, Error, Table};

/// Applies the entry with this index, the same on every backend.
fn apply(backend: &Backend, state: &mut State) -> Digest {
    let mut batch = backend.batch();
    for key in 0..5 {
        let record = state.put(0, key, 50 + state.index as usize % 7);
        batch.append(&record.info, &record.value);
        state.revision = record.info.revision.main;
    }
    let key = (state.index % 3).to_be_bytes();
    if state.index % 5 == 4 {
        batch.delete_row(Table::Lease, &key);
    } else {
        batch.put_row(Table::Lease, &key, b"lease");
    }
    if state.index % 4 == 3 {
        batch.set_membership(Bytes::from_static(b"members"));
    }
    state.index += 1;
    batch.commit((state.index, 1), state.revision)
}

/// The digests after each of the first entries of a member that does nothing else.
fn expected(entries_count: usize) -> Vec<Digest> {
    let place = Place::new(EngineKind::Memory);
    let (backend, mut state) = (place.open(), State::default());
    (0..entries_count)
        .map(|_| apply(&backend, &mut state))
        .collect()
}

fn transfer(from: &Backend, to: &Backend) -> Result<(), Error> {
    let mut snapshot = from.snapshot();
    let mut staging = to.stage()?;
    while let Some(chunk) = snapshot.next_chunk()? {
        staging.write(&chunk)?;
    }
    to.install(staging).map(drop)
}

#[test]
fn checkpoints_restarts_compaction_and_snapshots_are_not_in_the_digest() {
    let expected = expected(40);
    for kind in KINDS {
        let mut place = Place::new(kind);
        let (mut backend, mut state) = (place.open(), State::default());
        for (at, digest) in expected.iter().enumerate() {
            match at % 8 {
                1 => {
                    // Dropped without a commit.
                    let mut batch = backend.batch();
                    batch.put_row(Table::Lease, b"other", b"value");
                }
                3 => drop(wait(backend.checkpoint()).unwrap()),
                4 => backend.discard(&state.compact(state.revision - 3)),
                5 => {
                    wait(backend.checkpoint()).unwrap();
                    drop(backend);
                    backend = place.open();
                }
                7 => {
                    let next = Place::new(kind);
                    let receiver = next.open();
                    transfer(&backend, &receiver).unwrap();
                    drop(backend);
                    (place, backend) = (next, receiver);
                }
                _ => {}
            }
            assert_eq!(apply(&backend, &mut state), *digest, "{kind:?}, entry {at}");
            assert_eq!(backend.read().digest(), *digest);
        }
        drop(backend);
        assert_eq!(place.open().recovered().applied.map(|at| at.term), Some(1));
    }
}

#[test]
fn members_that_parted_once_stay_different() {
    let place = Place::new(EngineKind::Memory);
    let (backend, mut state) = (place.open(), State::default());
    for (at, digest) in expected(20).iter().enumerate() {
        if at == 9 {
            // A row that nobody else has, and that is gone again right after.
            let mut batch = backend.batch();
            batch.put_row(Table::Alarm, b"planted", b"");
            batch.commit((state.index, 1), state.revision);
            let mut batch = backend.batch();
            batch.delete_row(Table::Alarm, b"planted");
            batch.commit((state.index, 1), state.revision);
        }
        assert_eq!(apply(&backend, &mut state) == *digest, at < 9, "entry {at}");
    }
}

#[test]
fn a_digest_begins_anew_where_the_entry_says() {
    let digests = [3, 0].map(|before| {
        let place = Place::new(EngineKind::Memory);
        let (backend, mut state) = (place.open(), State::default());
        for _ in 0..before {
            apply(&backend, &mut state);
        }
        // As if both had the same state here, reached in different ways.
        state = State::default();
        state.index = 10;
        state.revision = 100;
        let mut batch = backend.batch();
        batch.begin_digest();
        let begun = batch.commit((10, 1), 100);
        assert_eq!(begun, Digest::begun(10));
        apply(&backend, &mut state)
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0].base, Some(10));
}

/// A stream with its manifest's version replaced, and without `cut` of it.
fn with_version(stream: &[u8], version: u32, cut: std::ops::Range<usize>) -> Vec<u8> {
    const HEADER_BYTES: usize = 9;
    let len = u32::from_le_bytes(stream[1..5].try_into().unwrap()) as usize;
    let mut payload = stream[HEADER_BYTES..HEADER_BYTES + len].to_vec();
    payload[..4].copy_from_slice(&version.to_le_bytes());
    payload.drain(cut);
    let mut out = vec![stream[0]];
    out.extend((payload.len() as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out);
    crc.update(&payload);
    out.extend(crc.finalize().to_le_bytes());
    out.extend(payload);
    out.extend(&stream[HEADER_BYTES + len..]);
    out
}

#[test]
fn a_stream_of_version_1_has_no_digest_and_a_later_one_is_refused_by_number() {
    let place = Place::new(EngineKind::Memory);
    let (backend, mut state) = (place.open(), State::default());
    apply(&backend, &mut state);
    let (mut stream, mut snapshot) = (Vec::new(), backend.snapshot());
    while let Some(chunk) = snapshot.next_chunk().unwrap() {
        stream.extend_from_slice(&chunk);
    }
    let receive = |bytes: &[u8]| {
        let place = Place::new(EngineKind::Memory);
        let receiver = place.open();
        let mut staging = receiver.stage()?;
        staging.write(bytes)?;
        receiver.install(staging)
    };
    let whole = receive(&with_version(&stream, 2, 0..0)).unwrap();
    assert_eq!(whole.digest, backend.read().digest());
    let old = receive(&with_version(&stream, 1, 4..29)).unwrap();
    assert_eq!(
        (old.digest, old.revision),
        (Digest::UNKNOWN, whole.revision)
    );
    let newer = receive(&with_version(&stream, 3, 0..0)).unwrap_err();
    assert!(newer.to_string().contains("stream version 3"), "{newer}");
}
