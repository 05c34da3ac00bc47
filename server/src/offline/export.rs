//! The state of a member that does not run, as a file of etcd.
//!
//! The directory is only read: a copy of its state is opened elsewhere and its log
//! applied to that to the end, as for a recovery.

use std::{io, path::Path};

use super::{error::OfflineError, plan::Plan, plan::Source, progress::Told, state::State};
use crate::etcd_file::{Export, ExportError};

/// A state that can be written to a file.
#[derive(Debug)]
pub struct StateExport {
    state: State,
    /// Newest revision in it.
    pub revision: i64,
    /// Entries at the end of the log that the member did not know to be committed.
    /// They are in the state: they may have been acknowledged.
    pub uncommitted_count: u64,
    /// What is damaged in the directory, and what that costs.
    pub damage: Vec<String>,
}

impl StateExport {
    /// Reads a directory; a copy of its state is opened below `work_directory`.
    ///
    /// # Errors
    /// It is no member's, or in use, or its state cannot be read.
    pub fn open(
        source: &Source,
        work_directory: &Path,
        told: Told<'_>,
    ) -> Result<Self, OfflineError> {
        let plan = Plan::make(std::slice::from_ref(source), work_directory, told)?;
        let (report, state) = plan.into_state()?;
        Ok(Self {
            revision: state.store.revision(),
            uncommitted_count: state.last.index.saturating_sub(report.committed_index),
            damage: report.damage,
            state,
        })
    }

    /// Writes the image and its SHA-256; returns their length. Blocks.
    ///
    /// # Errors
    /// The state cannot be read, or the file cannot be written.
    pub fn write(&self, out: &mut dyn io::Write) -> Result<u64, ExportError> {
        Export::new(self.state.store.read(), self.state.members()).save(out)
    }
}
