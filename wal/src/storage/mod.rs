//! Where segments live: the few file operations the log needs, as a trait.
//!
//! Implementations: `file` (the disk), `memory` (tests, simulation), `faulty`
//! (memory that fails on schedule and forgets what was not synced); these pass
//! the suite in `contract`. `read_only` looks at a disk and refuses the rest.
//!
//! Paths are whole paths; the log uses one flat directory.

#[cfg(test)]
mod contract;
mod faulty;
mod file;
mod memory;
mod read_only;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use faulty::{FaultyStorage, Loss};
pub use file::FileStorage;
pub use memory::MemoryStorage;
pub use read_only::ReadOnlyStorage;

/// A file system as the log sees it. Any thread may call any method at any
/// time; the log never writes one range of a file from two threads.
pub trait Storage: Send + Sync + Debug {
    /// Creates the directory and its parents, durably, if absent.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;

    /// Locks `path` (created if absent) against other holders until the guard
    /// is dropped.
    ///
    /// # Errors
    /// `WouldBlock` if it is held, otherwise whatever the file system reports.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;

    /// Names of the files in `directory`, in no order.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file. Durable after `sync_directory`.
    ///
    /// # Errors
    /// `AlreadyExists`, or whatever the file system reports.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or whatever the file system reports.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames within one directory, replacing the target. Open handles stay
    /// valid. Durable after `sync_directory`.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file. Durable after `sync_directory`.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in `directory` durable.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Send + Sync + Debug {
    /// Reads at `offset` until `buffer` is full or the file ends; returns the
    /// bytes read.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file if needed.
    ///
    /// # Errors
    /// Whatever the file system reports; how much was written is then unknown.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written (and the length) durable.
    ///
    /// # Errors
    /// Whatever the file system reports; the caller must not try again.
    fn sync_data(&self) -> io::Result<()>;

    /// Length of the file.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn length(&self) -> io::Result<u64>;
}

/// Names of the files directly in `directory`, for storages that keep paths.
fn names_in<'a>(paths: impl Iterator<Item = &'a PathBuf>, directory: &Path) -> Vec<String> {
    let inside = paths.filter(|path| path.parent() == Some(directory));
    inside
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into()))
        .collect()
}

/// Holds a lock; dropping it releases the lock.
pub trait LockGuard: Send + Sync + Debug {}
