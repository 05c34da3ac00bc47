//! A member that knows its state to be wrong does not serve, now or after a restart.
//!
//! The fact is in a file of its own, written before anything else is done about
//! it: the state that would otherwise hold it is the one that cannot be trusted.
//! Bytes: docs/formats/quarantine.md.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::base::atomic_file;

/// Name of the file in the member's directory.
pub(crate) const FILE_NAME: &str = "quarantine.json";
const FORMAT: u32 = 1;

/// What is known about the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Divergence {
    /// Entry after which the digests were compared.
    pub(crate) found_index: u64,
    /// First entry after which the states differed, or the oldest known to.
    pub(crate) differed_index: u64,
    /// `differed_index` was looked up, and need not be again.
    pub(crate) is_located: bool,
    /// What is stored differs, which the digest does not tell.
    pub(crate) is_of_hash: bool,
}

/// Whether this member is in quarantine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The same as `divergence`, for checks on every request.
    is_active: AtomicBool,
    divergence: watch::Sender<Option<Divergence>>,
    /// Held for a change on disk and in memory: the two say the same.
    turn: Mutex<()>,
}

/// Why it cannot be said whether a member is in quarantine.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error(
        "{path} is damaged: {reason}. The state of this member may be wrong: replace the member, or \
         write {{\"format\":1,\"found_index\":1,\"differed_index\":1}} to the file and run \
         'quoinctl member repair'"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    found_index: u64,
    differed_index: u64,
    #[serde(default)]
    is_located: bool,
    #[serde(default)]
    is_of_hash: bool,
}

impl Quarantine {
    /// What the member's directory says.
    ///
    /// # Errors
    /// There is a file, and it cannot be read.
    pub(crate) fn open(directory: &Path) -> Result<Self, QuarantineError> {
        let path = directory.join(FILE_NAME);
        let divergence = read(&path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                is_active: AtomicBool::new(divergence.is_some()),
                divergence: watch::Sender::new(divergence),
                turn: Mutex::new(()),
            }),
        })
    }

    /// Whether the member must not serve; costs a load.
    pub(crate) fn is_active(&self) -> bool {
        self.inner.is_active.load(Ordering::Acquire)
    }

    /// What is known, if the member is in quarantine.
    pub(crate) fn divergence(&self) -> Option<Divergence> {
        *self.inner.divergence.borrow()
    }

    /// Follows beginnings and ends.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Divergence>> {
        self.inner.divergence.subscribe()
    }

    /// Resolves while the member is in quarantine. Cancel safe.
    pub(crate) async fn active(&self) {
        let mut divergence = self.subscribe();
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let _ = divergence.wait_for(Option::is_some).await;
    }

    /// Begins at once in memory, then on disk; or notes more about one that goes
    /// on. Blocks.
    ///
    /// # Errors
    /// The file cannot be written: the quarantine ends with the process.
    pub(crate) fn enter(&self, divergence: Divergence) -> io::Result<()> {
        let _turn = self.inner.turn.lock();
        self.set(divergence)
    }

    /// Notes more about the quarantine that goes on for `known`; nothing if it has
    /// ended meanwhile, or another one has begun. Blocks.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub(crate) fn refine(&self, known: Divergence, refined: Divergence) -> io::Result<()> {
        let _turn = self.inner.turn.lock();
        if self.divergence() != Some(known) {
            return Ok(());
        }
        self.set(refined)
    }

    fn set(&self, divergence: Divergence) -> io::Result<()> {
        self.inner.is_active.store(true, Ordering::Release);
        self.inner.divergence.send_replace(Some(divergence));
        let stored = Stored {
            format: FORMAT,
            found_index: divergence.found_index,
            differed_index: divergence.differed_index,
            is_located: divergence.is_located,
            is_of_hash: divergence.is_of_hash,
        };
        atomic_file::write(&self.inner.path, &serde_json::to_vec_pretty(&stored)?)
    }

    /// Ends on disk, then in memory. Blocks.
    ///
    /// # Errors
    /// The file cannot be removed: the quarantine goes on.
    pub(crate) fn leave(&self) -> io::Result<()> {
        let _turn = self.inner.turn.lock();
        atomic_file::remove(&self.inner.path)?;
        self.inner.is_active.store(false, Ordering::Release);
        self.inner.divergence.send_replace(None);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Divergence>, QuarantineError> {
    let shown = || path.display().to_string();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = shown();
            return Err(QuarantineError::Io { path, source });
        }
    };
    let damaged = |reason: String| QuarantineError::Damaged {
        path: shown(),
        reason,
    };
    let stored: Stored = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if stored.format != FORMAT {
        return Err(damaged(format!("format {} is not {FORMAT}", stored.format)));
    }
    Ok(Some(Divergence {
        found_index: stored.found_index,
        differed_index: stored.differed_index,
        is_located: stored.is_located,
        is_of_hash: stored.is_of_hash,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_quarantine_outlives_the_process_and_ends_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(directory.path()).unwrap();
        assert!(!quarantine.is_active());
        let divergence = Divergence {
            found_index: 20,
            differed_index: 15,
            is_located: true,
            is_of_hash: true,
        };
        let found = Divergence {
            is_located: false,
            ..divergence
        };
        quarantine.enter(found).unwrap();
        quarantine.refine(found, divergence).unwrap();
        quarantine.active().await;
        let restarted = Quarantine::open(directory.path()).unwrap();
        assert!(restarted.is_active());
        assert_eq!(restarted.divergence(), Some(divergence));
        restarted.leave().unwrap();
        assert!(!restarted.is_active());
        // Whoever looked something up about it meanwhile comes too late.
        let refined = Divergence {
            differed_index: 12,
            ..divergence
        };
        restarted.refine(divergence, refined).unwrap();
        assert!(!restarted.is_active());
        let restarted = Quarantine::open(directory.path()).unwrap();
        assert_eq!(restarted.divergence(), None);
    }

    #[test]
    fn a_damaged_file_is_refused_by_name_and_not_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        for text in [
            "",
            "{}",
            r#"{"format":2,"found_index":1,"differed_index":1}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Quarantine::open(directory.path()).unwrap_err().to_string();
            assert!(error.contains(FILE_NAME), "{error}");
        }
        let advised = r#"{"format":1,"found_index":1,"differed_index":1}"#;
        std::fs::write(&path, advised).unwrap();
        assert!(Quarantine::open(directory.path()).unwrap().is_active());
    }
}
