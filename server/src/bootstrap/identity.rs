//! Who this member is.
//!
//! On first boot the ids are computed from the initial cluster, static or found by
//! DNS, or told by the cluster that is joined, and written to `member/identity.json`, in one atomic
//! step before anything else is created. From then on that file decides, whatever
//! the flags say: as with etcd, `--initial-cluster` and its companions count on
//! first boot only.

use std::{fs, io, net::TcpListener, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    discovery::{self, DiscoveryError},
    founding,
    join::{self, JoinError, Joined},
};
use crate::{
    base::atomic_file,
    config::{ClusterState, ServerConfig},
};

/// Name of the file below the member directory.
const FILE_NAME: &str = "identity.json";
/// Format of the file; another one is refused.
pub(crate) const FORMAT: u32 = 1;

/// Ids of the cluster and its first members.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    /// The first membership, used by Raft on first boot only. Empty for a member
    /// that joined: it waits for the leader, however often it starts.
    pub(super) members: Vec<quoin_raft::Member>,
}

/// The identity as stored; ids as lower-case hex, as tools show them.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    cluster_id: String,
    member_id: String,
    /// It joined a running cluster. Absent in files of members that did not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    joined: bool,
}

/// Why it is not known who this member is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The initial cluster does not describe this member.
    #[error("{0}")]
    FirstBoot(String),
    /// DNS does not tell the initial cluster.
    #[error("error setting up initial cluster: {0}")]
    Discovery(#[from] DiscoveryError),
    /// The cluster cannot be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A running cluster knows this member: its data is gone. Text: etcd 3.7.
    #[error("member {member_id:x} has already been bootstrapped")]
    Bootstrapped {
        /// The id that the initial cluster gives it.
        member_id: u64,
    },
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
    /// A later build wrote it.
    #[error(
        "{path} has format {found}, this build reads {FORMAT}: start the version of quoin that \
         wrote it, or a later one"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
    },
}

impl Identity {
    /// Reads the identity below `config.member_directory()`, or finds it out and
    /// stores it on first boot. `listeners` are this member's for its peers.
    pub(super) async fn open(
        config: &ServerConfig,
        listeners: &[TcpListener],
    ) -> Result<Self, IdentityError> {
        let path = config.member_directory().join(FILE_NAME);
        let stored = read(&path)?;
        // Without a log there is still a first membership to write.
        let is_first_boot = stored.is_none() || is_empty(&config.wal_directory);
        let discovered;
        let config = if is_first_boot && !config.discovery_srv.is_empty() {
            discovered = discovery::discover(config).await?;
            &discovered
        } else {
            config
        };
        if let Some(identity) = stored {
            return Ok(identity.with_members(config));
        }
        config
            .check_first_boot()
            .map_err(IdentityError::FirstBoot)?;
        let ids = match config.initial_cluster_state {
            ClusterState::New => founded(config, listeners).await?,
            ClusterState::Existing => joined(config).await?,
        };
        write(&path, ids)?;
        Ok(ids.with_members(config))
    }
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    /// It joined a running cluster.
    pub(crate) joined: bool,
}

impl Ids {
    /// Reads the file in a member directory, if there is one.
    pub(crate) fn read(member_directory: &Path) -> Result<Option<Self>, IdentityError> {
        read(&member_directory.join(FILE_NAME))
    }

    /// Writes the file of a new member directory.
    pub(crate) fn write(self, member_directory: &Path) -> Result<(), IdentityError> {
        write(&member_directory.join(FILE_NAME), self)
    }

    fn with_members(self, config: &ServerConfig) -> Identity {
        let first = if self.joined {
            Vec::new()
        } else {
            config.bootstrap_members().0
        };
        let members = first.into_iter().map(|member| quoin_raft::Member {
            id: member.id,
            // In DNS nobody but the member itself is named.
            name: if config.discovery_srv.is_empty() {
                member.name
            } else {
                String::new()
            },
            peer_urls: member.peer_urls,
            is_learner: false,
        });
        Identity {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            members: members.collect(),
        }
    }
}

/// The ids of a member of a new cluster, unless it has run before.
async fn founded(config: &ServerConfig, listeners: &[TcpListener]) -> Result<Ids, IdentityError> {
    let ids = found(config)?;
    let (cluster_id, member_id) = (ids.cluster_id, ids.member_id);
    if founding::has_run_before(config, listeners, cluster_id, member_id).await {
        return Err(IdentityError::Bootstrapped { member_id });
    }
    Ok(ids)
}

/// The ids that the initial cluster gives this member.
fn found(config: &ServerConfig) -> Result<Ids, IdentityError> {
    let (members, cluster_id) = config.bootstrap_members();
    let own = members.iter().find(|member| member.name == config.name);
    let own = own.ok_or_else(|| {
        IdentityError::FirstBoot("the initial cluster does not name this member".to_owned())
    })?;
    Ok(Ids {
        cluster_id,
        member_id: own.id,
        joined: false,
    })
}

/// The ids of a member of a running cluster.
async fn joined(config: &ServerConfig) -> Result<Ids, IdentityError> {
    let Joined {
        cluster_id,
        member_id,
    } = join::join(config).await?;
    Ok(Ids {
        cluster_id,
        member_id,
        joined: true,
    })
}

/// True for a directory that is not there or holds nothing.
fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}

fn read(path: &Path) -> Result<Option<Ids>, IdentityError> {
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
    if stored.format > FORMAT {
        return Err(IdentityError::Newer {
            path: path.display().to_string(),
            found: stored.format,
        });
    }
    if stored.format != FORMAT {
        return Err(damaged(format!("format {} is not {FORMAT}", stored.format)));
    }
    let id = |hex: &str| u64::from_str_radix(hex, 16).map_err(|e| damaged(e.to_string()));
    Ok(Some(Ids {
        cluster_id: id(&stored.cluster_id)?,
        member_id: id(&stored.member_id)?,
        joined: stored.joined,
    }))
}

/// Writes the file, whole or not at all.
fn write(path: &Path, ids: Ids) -> Result<(), IdentityError> {
    let stored = Stored {
        format: FORMAT,
        cluster_id: format!("{:x}", ids.cluster_id),
        member_id: format!("{:x}", ids.member_id),
        joined: ids.joined,
    };
    let written =
        || -> io::Result<()> { atomic_file::write(path, &serde_json::to_vec_pretty(&stored)?) };
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
        for joined in [false, true] {
            let ids = Ids {
                cluster_id: u64::MAX,
                member_id: 7,
                joined,
            };
            write(&path, ids).unwrap();
            assert_eq!(read(&path).unwrap(), Some(ids));
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.contains("joined"), joined);
        }
    }

    #[test]
    fn a_damaged_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        for text in ["", "{}", r#"{"format":0,"cluster_id":"1","member_id":"2"}"#] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains(FILE_NAME) && error.contains("damaged"),
                "{error}"
            );
        }
    }
    #[test]
    fn a_file_of_a_later_build_is_refused_by_number_and_not_called_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let text = r#"{"format":99,"cluster_id":"1","member_id":"2"}"#;
        fs::write(&path, text).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("format 99, this build reads 1"), "{error}");
        assert!(!error.contains("damaged"), "{error}");
    }
}
