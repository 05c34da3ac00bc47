//! `Storage` that looks at the real file system and changes nothing.
//!
//! For logs of members that do not run. A lock is shared and taken only if its
//! file is there: it fails while a member runs, and keeps one from starting.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::{FileStorage, LockGuard, Storage, StorageFile};

/// The disk, to be read only.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyStorage;

#[derive(Debug)]
struct ReadFile(File);

#[derive(Debug)]
struct SharedLock {
    /// Open for as long as the lock is held; `None` where there is no file.
    _file: Option<File>,
}

impl Storage for ReadOnlyStorage {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        fs::metadata(directory).map(|_| ())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file = match File::open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(file) = &file {
            flock(file, FlockOperation::NonBlockingLockShared)?;
        }
        Ok(Box::new(SharedLock { _file: file }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        FileStorage.list(directory)
    }

    fn create(&self, _path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Err(refused())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(ReadFile(File::open(path)?)))
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        Err(refused())
    }
}

impl StorageFile for ReadFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        super::file::read_at(&self.0, offset, buffer)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(refused())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl LockGuard for SharedLock {}

fn refused() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}
