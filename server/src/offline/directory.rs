//! Making a data directory from a snapshot stream.
//!
//! Everything is written below `member.partial` (`place`), synced, and renamed to
//! `member`: a crash leaves either all of it or nothing that a member would take
//! for its own.
//!
//! The result is what a member has that has just received the state from a
//! leader: ids, a checkpoint at a position, and a log purged up to it.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    error::OfflineError,
    founder::Founder,
    place::{LogPlace, MemberPlace, make_directory},
    unlogged::Unlogged,
};
use crate::{
    backend::{self, Applied, Backend, Recovered, Snapshot, Staging},
    bootstrap::Ids,
};

/// A data directory in the making. Dropping it removes what was written.
#[derive(Debug)]
pub struct NewDirectory {
    founder: Founder,
    /// Open until the end of the stream.
    backend: Backend,
    staging: Staging,
    member: MemberPlace,
    log: Option<LogPlace>,
}

impl NewDirectory {
    /// Claims the place; nothing is there under the final name before
    /// [`Self::finish`]. Blocks, as all of this does.
    ///
    /// # Errors
    /// The place is taken, or it cannot be written to.
    pub fn create(founder: Founder) -> Result<Self, OfflineError> {
        let member = MemberPlace::claim(&founder.data_directory)?;
        let log = founder.wal_directory.as_deref();
        let log = log.map(LogPlace::claim).transpose()?;
        let owner = backend::Identity {
            cluster_id: founder.ids.cluster_id,
            member_id: founder.ids.member_id,
        };
        make_directory(&member.path().join("snap"))?;
        let config = backend::Config::new(member.path().join("backend"), founder.engine, owner);
        let backend = Backend::open(config, Arc::new(Unlogged))?;
        let staging = backend.stage()?;
        Ok(Self {
            founder,
            backend,
            staging,
            member,
            log,
        })
    }

    /// Takes the next piece of the snapshot stream, cut anywhere.
    ///
    /// # Errors
    /// The stream is damaged, or the disk refuses it.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), OfflineError> {
        Ok(self.staging.write(chunk)?)
    }

    /// Takes a whole snapshot; `progress` is told the bytes so far.
    ///
    /// # Errors
    /// As [`Self::write`], or the snapshot cannot be read.
    pub fn write_all(
        &mut self,
        mut snapshot: Snapshot,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), OfflineError> {
        let mut bytes = 0;
        while let Some(chunk) = snapshot.next_chunk()? {
            self.write(&chunk)?;
            bytes += chunk.len() as u64;
            progress(bytes);
        }
        Ok(())
    }

    /// Ends the directory and gives it its name; durable when it returns. What
    /// the stream says of position and members is replaced: the state stands at
    /// `position` of the log of a new cluster with the founder's members. All
    /// its members have to be made with the same `position`.
    ///
    /// # Errors
    /// The stream is not complete, or the disk refuses something.
    pub fn finish(self, position: Applied) -> Result<Recovered, OfflineError> {
        let Self {
            founder,
            backend,
            mut staging,
            member,
            log,
        } = self;
        let at = quoin_raft::LogId {
            term: position.term,
            index: position.index,
        };
        // Without names, as at a first boot: what founders begin with must be the same.
        let unnamed = |member: &quoin_raft::Member| quoin_raft::Member {
            name: String::new(),
            ..member.clone()
        };
        let members: Vec<_> = founder.members.iter().map(unnamed).collect();
        let founding = quoin_raft::Applied::founding(at, &members)?;
        staging.found(position, founding.membership.unwrap_or_else(Bytes::new));
        let made = backend.install(staging)?;
        backend.close()?;
        drop(backend);
        let directory = match &log {
            Some(place) => place.path().to_owned(),
            None => member.path().join("wal"),
        };
        let wal = quoin_raft::WalConfig::new(directory);
        let Ids {
            cluster_id,
            member_id,
            ..
        } = founder.ids;
        let config = quoin_raft::Config::new(member_id, cluster_id, Vec::new(), wal);
        quoin_raft::LogStore::create_behind(&config, at)?;
        founder.ids.write(member.path())?;
        // The log first: a data directory needs its log, not the reverse.
        if let Some(place) = log {
            place.publish()?;
        }
        member.publish()?;
        Ok(made)
    }
}
