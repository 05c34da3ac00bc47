//! A member made from a database file of etcd.
//!
//! The file becomes a snapshot stream, and that a data directory, by the way of
//! every other. All members of the new cluster are made from the same file and
//! stand at the same place of the same log, its first entry.

use std::path::Path;

use super::{Founder, NewDirectory, OfflineError};
use crate::backend::{Applied, Recovered};
use crate::etcd_file::{Changes, EtcdFile, FileStatus, Import, ImportError};

/// Where the members of a cluster made from a file begin. Source: etcdutl, term.
const PLACE: Applied = Applied { index: 1, term: 1 };

/// What is asked of the SHA-256 behind the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashCheck {
    /// It must be there and be right: a snapshot.
    Required,
    /// It must be right if it is there: a snapshot, or a member's own file.
    IfPresent,
    /// Nothing.
    Skipped,
}

/// Why no member could be made from a file. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The file cannot be taken over.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The directory cannot be made.
    #[error(transparent)]
    Directory(#[from] OfflineError),
    /// The file has authentication switched on.
    #[error(
        "authentication is switched on in this file ({users_count} users), and this version of \
         quoin does not enforce it: every client that reaches the member could read and write \
         all keys. Keep others away from its client port and say --accept-no-auth, or switch \
         authentication off in etcd and take a new snapshot"
    )]
    AuthNotEnforced {
        /// Users in the file.
        users_count: usize,
    },
}

/// A file to make members from.
#[derive(Debug)]
pub struct EtcdSource {
    file: EtcdFile,
    import: Import,
}

impl EtcdSource {
    /// Opens a file and reads all of it but the history. Blocks.
    ///
    /// # Errors
    /// The file is damaged, or not one of etcd's.
    pub fn open(path: &Path, check: HashCheck) -> Result<Self, ImportError> {
        let file = EtcdFile::open(path)?;
        match check {
            HashCheck::Required => file.verify_hash()?,
            HashCheck::IfPresent if file.has_hash() => file.verify_hash()?,
            HashCheck::IfPresent | HashCheck::Skipped => {}
        }
        let import = Import::read(&file)?;
        Ok(Self { file, import })
    }

    /// What will be in the store.
    #[must_use]
    pub fn import(&self) -> &Import {
        &self.import
    }

    /// Refuses to serve openly what etcd protects.
    ///
    /// # Errors
    /// [`EtcdError::AuthNotEnforced`].
    pub fn check_auth(&self) -> Result<(), EtcdError> {
        let users_count = self.import.users_count;
        match self.import.has_auth {
            true => Err(EtcdError::AuthNotEnforced { users_count }),
            false => Ok(()),
        }
    }

    /// Makes the data directory of `founder`; durable when it returns. Blocks.
    ///
    /// # Errors
    /// The directory is not empty, the file is damaged, or the disk refuses
    /// something.
    pub fn make(&self, founder: Founder, changes: Changes) -> Result<Recovered, EtcdError> {
        let mut directory = NewDirectory::create(founder)?;
        let mut refusal = None;
        let streamed = self.import.stream(&self.file, changes, &mut |chunk| {
            directory.write(&chunk).map_err(|error| {
                refusal = Some(error);
                ImportError::Receiver
            })
        });
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        streamed?;
        Ok(directory.finish(PLACE)?)
    }
}

/// Reads all of a file and sums it up. Blocks.
///
/// # Errors
/// The file is damaged, or not one of etcd's.
pub fn etcd_file_status(path: &Path) -> Result<FileStatus, ImportError> {
    FileStatus::of(&EtcdFile::open(path)?)
}
