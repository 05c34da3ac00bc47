//! Who this member is.
//!
//! On first boot the ids are computed from the static initial cluster and
//! written to `member/identity.json`, in one atomic step before anything else
//! is created. From then on that file decides, whatever the flags say: as with
//! etcd, `--initial-cluster` and its companions count on first boot only.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::config::ServerConfig;

/// Name of the file below the member directory.
const FILE_NAME: &str = "identity.json";
/// Format of the file; another one is refused.
const FORMAT: u32 = 1;

/// Ids of the cluster and its first members.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    /// The first membership, used by Raft on first boot only.
    pub(super) members: Vec<quoin_raft::Member>,
}

/// The identity as stored; ids as lower-case hex, as tools show them.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    cluster_id: String,
    member_id: String,
}

/// Why it is not known who this member is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The initial cluster does not describe this member.
    #[error("{0}")]
    FirstBoot(String),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error(
        "{path} is damaged: {reason}; restore it from a backup, or remove the data directory to join anew"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Identity {
    /// Reads the identity below `config.member_directory()`, or computes and
    /// stores it on first boot.
    pub(super) fn open(config: &ServerConfig) -> Result<Self, IdentityError> {
        let path = config.member_directory().join(FILE_NAME);
        let (members, cluster_id) = config.bootstrap_members();
        let local_id = members.iter().find(|m| m.name == config.name).map(|m| m.id);
        let members = members.into_iter().map(|member| quoin_raft::Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            is_learner: false,
        });
        let members = members.collect();
        if let Some((cluster_id, member_id)) = read(&path)? {
            return Ok(Self {
                cluster_id,
                member_id,
                members,
            });
        }
        config
            .check_first_boot()
            .map_err(IdentityError::FirstBoot)?;
        let member_id = local_id.ok_or_else(|| {
            IdentityError::FirstBoot("the initial cluster does not name this member".to_owned())
        })?;
        write(&path, cluster_id, member_id)?;
        Ok(Self {
            cluster_id,
            member_id,
            members,
        })
    }
}

fn read(path: &Path) -> Result<Option<(u64, u64)>, IdentityError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, source)),
    };
    let damaged = |reason: String| IdentityError::Damaged {
        path: path.display().to_string(),
        reason,
    };
    let stored: Stored = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if stored.format != FORMAT {
        return Err(damaged(format!("format {} is not {FORMAT}", stored.format)));
    }
    let id = |hex: &str| u64::from_str_radix(hex, 16).map_err(|e| damaged(e.to_string()));
    Ok(Some((id(&stored.cluster_id)?, id(&stored.member_id)?)))
}

/// Writes aside, syncs, renames, syncs the directory.
fn write(path: &Path, cluster_id: u64, member_id: u64) -> Result<(), IdentityError> {
    let stored = Stored {
        format: FORMAT,
        cluster_id: format!("{cluster_id:x}"),
        member_id: format!("{member_id:x}"),
    };
    let aside: PathBuf = path.with_extension("tmp");
    let written = || -> io::Result<()> {
        let mut file = fs::File::create(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(&stored)?)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        path.parent()
            .map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
    };
    written().map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Io {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        assert_eq!(read(&path).unwrap(), None);
        write(&path, u64::MAX, 7).unwrap();
        assert_eq!(read(&path).unwrap(), Some((u64::MAX, 7)));
    }

    #[test]
    fn a_damaged_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        for text in ["", "{}", r#"{"format":2,"cluster_id":"1","member_id":"2"}"#] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains(FILE_NAME) && error.contains("damaged"),
                "{error}"
            );
        }
    }
}
