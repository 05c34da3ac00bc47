//! A full disk: the backend ends with a line that says where and what to do,
//! and what it had acknowledged is there once there is room again.
//!
//! redb writes to a disk in memory that ends. sled opens its files itself; for
//! it, as for redb, a checkpoint is refused before the real disk is full.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::limits::commit;
use super::{Place, wait};
use crate::backend::engine::{Engine, OpenEngine, redb_on};
use crate::backend::{EngineKind, Error};
use crate::base::error_chain::error_chain;

/// A disk in memory of a certain size.
#[derive(Debug, Clone)]
struct SmallDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    bytes_max: Arc<AtomicUsize>,
}

impl SmallDisk {
    fn check(&self, end: u64) -> Result<(), std::io::Error> {
        if end > self.bytes_max.load(Ordering::Relaxed) as u64 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl redb::StorageBackend for SmallDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let bytes = self.bytes.lock();
        let range = offset as usize..offset as usize + out.len();
        let found = bytes.get(range).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.check(len)?;
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let end = offset as usize + data.len();
        self.check(end as u64)?;
        let mut bytes = self.bytes.lock();
        let held = bytes.len().max(end);
        bytes.resize(held, 0);
        bytes[offset as usize..end].copy_from_slice(data);
        Ok(())
    }
}

impl OpenEngine for SmallDisk {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn create(&self, _: &Path) -> Result<Arc<dyn Engine>, Error> {
        redb_on(self.clone(), true)
    }

    fn open(&self, _: &Path) -> Result<Arc<dyn Engine>, Error> {
        redb_on(self.clone(), false)
    }
}

#[test]
fn a_full_disk_ends_the_backend_and_loses_nothing_acknowledged() {
    for mebibytes in [3, 5, 9] {
        let mut place = Place::new(EngineKind::Redb);
        let disk = SmallDisk {
            bytes: Arc::default(),
            bytes_max: Arc::new(AtomicUsize::new(mebibytes << 20)),
        };
        place.opener = Arc::new(disk.clone());
        let backend = place.open();
        let (mut acknowledged, mut index) = (0, 0);
        let failure = loop {
            for _ in 0..10 {
                index += 1;
                commit(&backend, index, 30_000);
            }
            match wait(backend.checkpoint()) {
                Ok(durable) => acknowledged = durable.applied.unwrap().index,
                Err(error) => break error,
            }
            assert!(index < 10_000, "the disk never filled");
        };
        assert!(matches!(failure, Error::Full { .. }), "{failure}");
        let told = error_chain(&wait(backend.failed()));
        let directory = place.directory.path().display().to_string();
        for part in [
            directory.as_str(),
            "make room on this volume",
            "redb cannot",
        ] {
            assert!(told.contains(part), "{part} in: {told}");
        }
        drop(backend);
        disk.bytes_max.store(usize::MAX, Ordering::Relaxed);
        let backend = place.open();
        let recovered = backend
            .recovered()
            .applied
            .map_or(0, |applied| applied.index);
        assert!(recovered >= acknowledged, "{recovered} of {acknowledged}");
        for index in recovered + 1..=index {
            commit(&backend, index, 30_000);
        }
        let durable = wait(backend.checkpoint()).unwrap();
        assert_eq!(durable.applied.unwrap().index, index);
    }
}
