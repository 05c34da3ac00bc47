//! One data directory of a member that does not run: who it is and what its log
//! says. Nothing in it is written to.

use std::path::{Path, PathBuf};

use quoin_raft::LogExamination;
use serde::Serialize;

use super::{error::OfflineError, plan::Source};
use crate::{
    backend::{self, disk_bytes},
    bootstrap::{IDENTITY_FORMAT, Ids},
};

/// A place in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Term of the entry: compared first, as in an election.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

impl From<quoin_raft::LogId> for Position {
    fn from(at: quoin_raft::LogId) -> Self {
        Self {
            term: at.term,
            index: at.index,
        }
    }
}

/// What one directory holds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The directory, as it was given.
    pub directory: PathBuf,
    /// Id of its member; 0 if nothing says it.
    pub member_id: u64,
    /// Id of its cluster; 0 if nothing says it.
    pub cluster_id: u64,
    /// The name that the member published; empty if that is not known.
    pub name: String,
    /// Formats of identity, log and backend; the only ones that are read.
    pub format_versions: [u32; 3],
    /// The engine of the backend; empty if there is no checkpoint.
    pub engine: String,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// Term of its last vote.
    pub vote_term: u64,
    /// Last entry of its log, or of its state if that goes further.
    pub last: Position,
    /// Last entry that it knew to be committed.
    pub committed_index: u64,
    /// Last entry that its checkpoint holds.
    pub applied_index: u64,
    /// Entries behind the checkpoint that can be applied.
    pub replayed_count: u64,
    /// Revision with all of them applied; 0 if the state cannot be had.
    pub revision: i64,
    /// Digest of that state and the entry behind which it began, in hexadecimal
    /// and decimal: `<digest>@<index>`; empty if it is not known.
    pub digest: String,
    /// Keys at that revision.
    pub keys_count: usize,
    /// An unfinished last write, as a crash leaves it; it was not acknowledged.
    /// Damage of the very last write looks the same.
    pub torn_tail: Option<String>,
    /// What is damaged, and what that costs.
    pub damage: Vec<String>,
    /// The log is whole: everything that the member acknowledged is in it.
    pub is_log_sound: bool,
    /// A new cluster can be made from it.
    pub is_usable: bool,
}

/// A directory under examination. No member can start on it meanwhile.
#[derive(Debug)]
pub(super) struct Survivor {
    pub(super) report: Report,
    pub(super) backend_directory: PathBuf,
    /// `None` if it cannot even be listed.
    pub(super) log: Option<LogExamination>,
}

impl Survivor {
    /// Reads identity and log.
    pub(super) fn open(source: &Source) -> Result<Self, OfflineError> {
        let member = source.data_directory.join("member");
        if !member.is_dir() {
            let path = source.data_directory.clone();
            return Err(OfflineError::NoMember { path });
        }
        let wal = source.wal_directory.clone();
        let wal = wal.unwrap_or_else(|| member.join("wal"));
        let mut damage = Vec::new();
        let log = open_log(&source.data_directory, &wal, &mut damage)?;
        let ids = who(&member, log.as_ref(), &mut damage)?;
        let mut size_bytes = disk_bytes(&source.data_directory);
        if !wal.starts_with(&source.data_directory) {
            size_bytes += disk_bytes(&wal);
        }
        let whole = |log: &LogExamination| log.damage().is_none() && log.last().is_some();
        let index = |at: quoin_raft::LogId| at.index;
        let report = Report {
            directory: source.data_directory.clone(),
            member_id: ids.map_or(0, |ids| ids.member_id),
            cluster_id: ids.map_or(0, |ids| ids.cluster_id),
            name: String::new(),
            format_versions: [
                IDENTITY_FORMAT,
                quoin_raft::LOG_FORMAT_VERSION,
                backend::FORMAT,
            ],
            engine: String::new(),
            size_bytes,
            vote_term: log.as_ref().map_or(0, LogExamination::term),
            last: log
                .as_ref()
                .and_then(LogExamination::last)
                .map_or(Position::default(), Into::into),
            committed_index: log
                .as_ref()
                .and_then(LogExamination::committed)
                .map_or(0, index),
            applied_index: 0,
            replayed_count: 0,
            revision: 0,
            digest: String::new(),
            keys_count: 0,
            torn_tail: log.as_ref().and_then(LogExamination::torn_tail),
            is_log_sound: log.as_ref().is_some_and(whole),
            is_usable: false,
            damage,
        };
        Ok(Self {
            report,
            backend_directory: member.join("backend"),
            log,
        })
    }

    /// Term of an entry, if the log holds it.
    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        self.log.as_ref()?.term_at(index)
    }
}

/// The log, unless it cannot be read at all. One in use is refused.
fn open_log(
    data: &Path,
    wal: &Path,
    damage: &mut Vec<String>,
) -> Result<Option<LogExamination>, OfflineError> {
    match LogExamination::open(wal) {
        Ok(log) => {
            if let Some(found) = log.damage() {
                let last = log.last().map_or(0, |last| last.index);
                damage.push(format!("{found}; entries up to {last} are readable"));
            } else if log.last().is_none() {
                damage.push(format!("{} holds no log", wal.display()));
            }
            Ok(Some(log))
        }
        Err(error) if error.is_locked() => Err(OfflineError::Running {
            path: data.to_owned(),
        }),
        Err(error) => {
            damage.push(error.to_string());
            Ok(None)
        }
    }
}

/// The ids: those of the file, else those of the log. If both say something it
/// has to be the same.
fn who(
    member: &Path,
    log: Option<&LogExamination>,
    damage: &mut Vec<String>,
) -> Result<Option<Ids>, OfflineError> {
    let of_log = log.and_then(LogExamination::identity);
    let of_log = of_log.map(|(cluster_id, member_id)| Ids {
        cluster_id,
        member_id,
        joined: false,
    });
    let of_file = match Ids::read(member) {
        Ok(Some(ids)) => Some(ids),
        Ok(None) => {
            damage.push("identity.json is missing".to_owned());
            None
        }
        Err(error) => {
            damage.push(error.to_string());
            None
        }
    };
    if let (Some(file), Some(log)) = (of_file, of_log)
        && (file.cluster_id, file.member_id) != (log.cluster_id, log.member_id)
    {
        return Err(OfflineError::Mixed {
            path: member.to_owned(),
            of_file: (file.cluster_id, file.member_id),
            of_log: (log.cluster_id, log.member_id),
        });
    }
    Ok(of_file.or(of_log))
}
