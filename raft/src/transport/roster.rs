//! The members of a cluster, told to whoever asks on the peer port before it
//! belongs to it: how a new member learns the cluster's id and its own.
//!
//! One question and one answer on a connection of their own, in place of a
//! handshake; see docs/formats/peer_wire.md. The answer is what the asked member
//! has applied, so one that is behind may not know a new member yet: ask another.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::type_config::TypeConfigExt;

use super::frame::{FrameReader, Kind, OutFrame};
use super::handshake::{Identity, MAGIC, VERSION};
use super::vectored::FrameWriter;
use super::{TcpTransport, Transport, address_of};
use crate::config::Member;
use crate::log_store::entry_codec::{CodecError, Reader, put_member, take_member};
use crate::log_store::entry_pool::EntryPool;
use crate::metrics::Metrics;
use crate::types::TypeConfig;

/// The members of a cluster as one of them knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The cluster.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// All members, ascending by id, those that have run under the names they
    /// published, the others without one; empty while the member that answered has
    /// not heard of the others itself.
    pub members: Vec<Member>,
    /// Members that were removed, ascending by id.
    pub removed: Vec<u64>,
}

/// Why a peer did not tell its members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RosterError(String);

/// Asks the member that listens at a peer URL.
///
/// # Errors
/// Nobody answers there within `limit`, or not with a roster.
pub async fn ask_roster(url: &str, limit: Duration) -> Result<Roster, RosterError> {
    let transport = TcpTransport::new(Vec::<TcpListener>::new());
    match TypeConfig::timeout(limit, ask(&transport, url)).await {
        Ok(answer) => answer,
        Err(_) => Err(RosterError(format!("no answer within {limit:?}"))),
    }
}

async fn ask(transport: &dyn Transport, url: &str) -> Result<Roster, RosterError> {
    let failed = |error: &dyn std::fmt::Display| RosterError(error.to_string());
    let connection = transport.connect(address_of(url)).await;
    let connection = connection.map_err(|error| failed(&error))?;
    let metrics = Metrics::shared();
    let pool = EntryPool::new(Arc::clone(&metrics));
    let mut reader = FrameReader::new(connection.reader, pool);
    let mut writer = FrameWriter::new(connection.writer, metrics);
    let question = OutFrame::new(Kind::AskRoster, 0, encode_question());
    let sent = writer.write(&[question]).await;
    sent.map_err(|error| failed(&error))?;
    reader.expect_up_to(ROSTER_BYTES_MAX);
    let frame = reader.next().await.map_err(|error| failed(&error))?;
    match frame.kind {
        Kind::Roster => Roster::decode(frame.payload).map_err(|error| failed(&error)),
        other => Err(RosterError(format!("answered {other:?}"))),
    }
}

fn encode_question() -> Bytes {
    let mut out = BytesMut::with_capacity(10);
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.freeze()
}

/// # Errors
/// The question is none of this protocol.
pub(super) fn check_question(payload: Bytes) -> Result<(), CodecError> {
    let mut reader = Reader::new(payload);
    let unknown = |what, value| Err(CodecError::Unknown { what, value });
    if reader.slice(MAGIC.len())? != MAGIC.as_slice() {
        return unknown("magic", 0);
    }
    match reader.short()? {
        VERSION => reader.finish(),
        other => unknown("peer protocol", other.into()),
    }
}

impl Roster {
    /// What the member `own` has to tell.
    pub(crate) fn new(own: Identity, mut members: Vec<Member>, mut removed: Vec<u64>) -> Self {
        members.sort_unstable_by_key(|member| member.id);
        removed.sort_unstable();
        Self {
            cluster_id: own.cluster_id,
            member_id: own.member_id,
            members,
            removed,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        out.put_u64_le(self.cluster_id);
        out.put_u64_le(self.member_id);
        out.put_u16_le(count(self.members.len()));
        for member in self.members.iter().take(usize::from(u16::MAX)) {
            let (name, peer_urls) = (&member.name, &member.peer_urls);
            put_member(&mut out, member.id, member.is_learner, name, peer_urls);
        }
        let removed = self.removed.iter().rev().take(REMOVED_COUNT_MAX);
        out.put_u16_le(count(removed.len()));
        removed.rev().for_each(|id| out.put_u64_le(*id));
        out.freeze()
    }

    fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        let mut roster = Self {
            cluster_id: reader.long()?,
            member_id: reader.long()?,
            ..Self::default()
        };
        for _ in 0..reader.short()? {
            roster.members.push(take_member(&mut reader)?);
        }
        for _ in 0..reader.short()? {
            roster.removed.push(reader.long()?);
        }
        reader.finish()?;
        Ok(roster)
    }
}

fn count(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// Largest answer believed: hundreds of members with long names.
const ROSTER_BYTES_MAX: usize = 1 << 20;
/// Removed members told at most.
const REMOVED_COUNT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        let member = |id: u64| Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![format!("http://host{id}:1"), "http://other:2".into()],
            is_learner: id == 2,
        };
        let own = Identity {
            cluster_id: 7,
            member_id: 1,
        };
        Roster::new(own, vec![member(2), member(1)], vec![9, 4])
    }

    #[test]
    fn a_roster_reads_back_as_written_and_sorted() {
        let roster = roster();
        assert_eq!(roster.members.first().map(|member| member.id), Some(1));
        assert_eq!(roster.removed, [4, 9]);
        assert_eq!(Roster::decode(roster.encode()), Ok(roster));
    }

    #[test]
    fn every_cut_of_a_roster_is_refused() {
        let bytes = roster().encode();
        for length in 0..bytes.len() {
            assert!(Roster::decode(bytes.slice(..length)).is_err(), "{length}");
        }
    }

    #[test]
    fn only_questions_of_this_protocol_are_answered() {
        let question = encode_question();
        assert_eq!(check_question(question.clone()), Ok(()));
        let mut newer = question.to_vec();
        newer[8] = 9;
        assert!(check_question(newer.into()).is_err());
        assert!(check_question(question.slice(1..)).is_err());
    }
}
