//! Work on data directories while no member runs on them.
//!
//! A member that is not founded empty is made here: [`NewDirectory`] writes a
//! data directory from a snapshot stream, in such a way that a crash leaves
//! either all of it or nothing. What a lost cluster left is looked at without
//! changing it: [`Plan`] says what each directory holds, which is the freshest and
//! whether anything acknowledged can be missing, and makes a new cluster of it.
//! Used by `quoinctl`; everything blocks.

mod directory;
mod error;
mod etcd;
mod export;
mod founder;
mod place;
mod plan;
mod progress;
mod recover;
mod state;
mod survivor;
mod unlogged;
mod verdict;

pub use directory::NewDirectory;
pub use error::OfflineError;
pub use etcd::{EtcdError, EtcdSource, HashCheck, etcd_file_status};
pub use export::StateExport;
pub use founder::Founder;
pub use plan::{Plan, Source};
pub use progress::Progress;
pub use recover::Recovery;
pub use survivor::{Position, Report};
pub use verdict::{Electorate, Verdict};

pub use crate::etcd_file::{Changes, ExportError, FileStatus, Import, ImportError};

#[cfg(test)]
mod tests;
