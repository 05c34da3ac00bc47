//! Bounds, refusals and failures that must stay failures.

use bytes::Bytes;

use super::{KINDS, Place, wait};
use crate::backend::{Backend, Error, Identity, RecordInfo};
use crate::base::revision::Revision;

/// Commits one record of this length as entry `index`.
fn commit(backend: &Backend, index: u64, value_len: usize) {
    let revision = Revision::new(index as i64 + 1, 0);
    let mut batch = backend.batch();
    let info = RecordInfo {
        revision,
        key: Bytes::from_static(b"key"),
        create_revision: 2,
        version: index as i64,
        lease: 0,
        tombstone: false,
    };
    batch.append(&info, &vec![index as u8; value_len]);
    batch.commit((index, 1), revision.main);
}

#[test]
fn a_directory_of_another_member_is_refused() {
    for kind in KINDS {
        let place = Place::new(kind);
        let backend = place.open();
        commit(&backend, 1, 10);
        backend.close().unwrap();
        drop(backend);
        let mut config = place.config();
        config.identity = Identity {
            cluster_id: 10,
            member_id: 21,
        };
        let error = place.try_open(config).unwrap_err();
        assert!(matches!(error, Error::WrongDirectory { .. }), "{error}");
    }
}

#[test]
fn writers_wait_above_the_hot_limit_until_a_checkpoint() {
    let place = Place::new(super::EngineKind::Memory);
    let mut config = place.config();
    config.hot_bytes_max = 100_000;
    let backend = place.try_open(config).unwrap();
    for index in 1..=50 {
        commit(&backend, index, 30_000);
        wait(backend.wait_below_hot_limit()).unwrap();
        assert!(!backend.over_hot_limit());
    }
    assert!(backend.recovered().applied.is_some());
}
