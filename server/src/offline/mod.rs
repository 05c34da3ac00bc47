//! Work on data directories while no member runs on them.
//!
//! A member that is not founded empty is made here: [`NewDirectory`] writes a
//! data directory from a snapshot stream, in such a way that a crash leaves
//! either all of it or nothing. Used by `quoinctl`; everything blocks.

mod directory;
mod error;
mod etcd;
mod founder;
mod place;

pub use directory::NewDirectory;
pub use error::OfflineError;
pub use etcd::{EtcdError, EtcdSource, HashCheck, etcd_file_status};
pub use founder::Founder;

pub use crate::etcd_file::{Changes, FileStatus, Import, ImportError};

#[cfg(test)]
mod tests;
