//! How far each watch of a round has been told.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// The newest revision told, per watch. Clones are the same.
#[derive(Clone, Debug)]
pub struct Told(Arc<[AtomicI64]>);

impl Told {
    /// For `count` watches.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicI64::new(0)).collect())
    }

    /// One watch was told a revision.
    pub fn set(&self, watch: usize, revision: i64) {
        if let Some(told) = self.0.get(watch) {
            told.fetch_max(revision, Ordering::Relaxed);
        }
    }

    /// What all have been told.
    #[must_use]
    pub fn by_all(&self) -> i64 {
        let told = self.0.iter().map(|told| told.load(Ordering::Relaxed));
        told.min().unwrap_or(0)
    }
}
