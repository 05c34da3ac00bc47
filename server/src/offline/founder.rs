//! Who a new directory is made for.
//!
//! Described by the server's own flags, checked by the server's own rules: the
//! ids are those that a first boot with these flags would compute. So members
//! that are made on different machines from one file, with one
//! `--initial-cluster`, find each other.

use std::path::PathBuf;

use super::error::OfflineError;
use crate::{
    backend::EngineKind,
    bootstrap::{Ids, stores::engine_kind},
    config::{self, LoadError},
};

/// A first member of a cluster that is made from a state.
#[derive(Debug, Clone)]
pub struct Founder {
    /// Where it is to live.
    pub(super) data_directory: PathBuf,
    /// Directory of the log, if it is not below `data_directory`.
    pub(super) wal_directory: Option<PathBuf>,
    pub(super) engine: EngineKind,
    pub(super) ids: Ids,
    /// What the ids were made with.
    pub(super) token: String,
    /// All first members of the cluster.
    pub(super) members: Vec<quoin_raft::Member>,
}

impl Founder {
    /// Reads flags of `quoin`, each `--name=value`: `--data-dir`, `--wal-dir`, `--name`,
    /// `--initial-cluster`, `--initial-cluster-token`,
    /// `--initial-advertise-peer-urls`, `--backend-engine`. Neither environment
    /// nor other flags count.
    ///
    /// # Errors
    /// [`OfflineError::Flags`] with the server's text.
    pub fn from_flags(flags: &[String]) -> Result<Self, OfflineError> {
        let loaded = config::load(flags, &[]).map_err(|error| OfflineError::Flags(text(error)))?;
        let config = loaded.config;
        config.check_first_boot().map_err(OfflineError::Flags)?;
        let (members, cluster_id) = config.bootstrap_members();
        let own = members.iter().find(|member| member.name == config.name);
        let member_id = own.map(|member| member.id).unwrap_or_default();
        let engine = engine_kind(config.backend.engine);
        if engine == EngineKind::Memory {
            let text = "--backend-engine=memory keeps nothing on disk; choose sled or redb";
            return Err(OfflineError::Flags(text.to_owned()));
        }
        let members = members.into_iter().map(|member| quoin_raft::Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            is_learner: false,
        });
        Ok(Self {
            wal_directory: config
                .wal_directory_dedicated
                .then_some(config.wal_directory),
            data_directory: config.data_directory,
            token: config.initial_cluster_token,
            engine,
            ids: Ids {
                cluster_id,
                member_id,
                joined: false,
            },
            members: members.collect(),
        })
    }

    /// Id of the new cluster.
    pub fn cluster_id(&self) -> u64 {
        self.ids.cluster_id
    }

    /// Id of this member in it.
    pub fn member_id(&self) -> u64 {
        self.ids.member_id
    }

    /// Id, name and peer URLs of every first member.
    pub fn members(&self) -> impl Iterator<Item = (u64, &str, &[String])> {
        let members = self.members.iter();
        members.map(|member| (member.id, member.name.as_str(), member.peer_urls.as_slice()))
    }
}

fn text(error: LoadError) -> String {
    match error {
        LoadError::Syntax(text) => text.trim_end().to_owned(),
        LoadError::Refused { error, .. } => error,
        LoadError::Fatal { notice, .. } => notice
            .fields
            .into_iter()
            .find(|(name, _)| name == "error")
            .map_or(notice.message, |(_, text)| text),
        LoadError::HelpWanted | LoadError::VersionWanted => {
            "--help and --version describe no member".to_owned()
        }
    }
}
