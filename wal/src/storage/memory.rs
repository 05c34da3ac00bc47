//! `Storage` in memory: for tests and simulation. Everything written is there
//! until the last clone is dropped; a sync does nothing.
//!
//! Clones share one file system, so a log can be closed and opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{LockGuard, Storage, StorageFile, names_in};

/// A file system in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage(Arc<Mutex<Files>>);

#[derive(Debug, Default)]
struct Files {
    by_path: BTreeMap<PathBuf, Arc<MemoryFile>>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Vec<u8>>);

#[derive(Debug)]
struct MemoryLock {
    storage: MemoryStorage,
    path: PathBuf,
}

impl MemoryStorage {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Storage for MemoryStorage {
    fn create_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        if !self.0.lock().locked.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock {
            storage: self.clone(),
            path: path.to_path_buf(),
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        Ok(names_in(self.0.lock().by_path.keys(), directory))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let mut files = self.0.lock();
        if files.by_path.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        files.by_path.insert(path.to_path_buf(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let files = self.0.lock();
        let file = files.by_path.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(file) as Arc<dyn StorageFile>)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.lock();
        let file = files.by_path.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.by_path.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0
            .lock()
            .by_path
            .remove(path)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(copy_out(&self.0.read(), offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        copy_in(&mut self.0.write(), offset, bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.0.lock().locked.remove(&self.path);
    }
}

impl LockGuard for MemoryLock {}

/// Copies from `content` at `offset`; returns how much there was.
pub(super) fn copy_out(content: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let available = content.get(start..).unwrap_or_default();
    let count = available.len().min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(available) {
        *to = *from;
    }
    count
}

/// Copies `bytes` into `content` at `offset`, with zeros in any gap.
pub(super) fn copy_in(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes.len());
    if content.len() < end && !bytes.is_empty() {
        content.resize(end, 0);
    }
    if let Some(target) = content.get_mut(start..end) {
        target.copy_from_slice(bytes);
    }
}
