//! An open segment file, shared by the writer and by readers.
//!
//! A segment is recycled only when its handle has no other owner, so a reader
//! that holds one never sees its bytes replaced.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::StorageFile;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Number of the segment; also in its name and header.
    pub(crate) sequence: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
    /// Written length of the file: below it no write changes metadata.
    extent: AtomicU64,
}

impl Segment {
    pub(crate) fn new(
        sequence: u64,
        path: PathBuf,
        file: Arc<dyn StorageFile>,
        extent: u64,
    ) -> Self {
        Self {
            sequence,
            path,
            file,
            extent: AtomicU64::new(extent),
        }
    }

    /// Written length of the file.
    pub(crate) fn extent(&self) -> u64 {
        self.extent.load(Ordering::Relaxed)
    }

    /// Notes that the file is written up to `extent`; by the writer alone.
    pub(crate) fn extend_to(&self, extent: u64) {
        self.extent.fetch_max(extent, Ordering::Relaxed);
    }
}
