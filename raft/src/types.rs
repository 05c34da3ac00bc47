//! The openraft type configuration of this crate.
//!
//! An [`Entry`] is a log id, a one-byte tag and bytes: encoded once by the
//! proposer, the same `Bytes` goes to the log, to the peers and to apply. The
//! tag answers `get_membership` without decoding ordinary entries. Leader ids
//! are the standard kind: one leader per term, log ids are (term, index).
//!
//! openraft counts from index 0; everything outside this crate counts from 1.
//! `shown` and `hidden` are the only places where the two meet.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::alias::{CommittedLeaderIdOf, LogIdOf};
use openraft::entry::{RaftEntry, RaftPayload};
use openraft::impls::InlineBatch;
use openraft::raft::responder::Responder;
use openraft::{AnyError, Membership as RaftMembership, RaftTypeConfig};

use crate::config::Member;
use crate::log_store::{entry_codec, entry_pool};
use crate::stages::Trace;
use crate::state_machine::LogId as ShownLogId;

/// Marks the types openraft works with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Data;
    type R = ();
    type NodeId = u64;
    type Node = PeerNode;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryBody;
    type Entry = Entry;
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type Responder<T>
        = Callback<T>
    where
        T: Send + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = AnyError;
}

/// Position of an entry as openraft counts.
pub(crate) type LogId = LogIdOf<TypeConfig>;
/// The part of a leader id that log entries carry: the term.
pub(crate) type CommittedLeaderId = CommittedLeaderIdOf<TypeConfig>;
/// A vote.
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
/// A membership configuration.
pub(crate) type Membership = RaftMembership<u64, PeerNode>;
/// A membership and the entry that set it.
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot stands for.
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// Name and addresses of a member as the membership entry holds them. openraft
/// clones it several times per entry, so that must cost little.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerNode {
    /// Human readable name.
    pub name: Arc<str>,
    /// Addresses peers dial.
    pub peer_urls: Arc<[String]>,
    /// Asked to stay without a vote. A node without a vote and without this
    /// flag is promoted by whoever leads, as soon as it has caught up.
    pub is_learner: bool,
}

impl From<Member> for PeerNode {
    fn from(member: Member) -> Self {
        Self {
            name: member.name.into(),
            peer_urls: member.peer_urls.into(),
            is_learner: member.is_learner,
        }
    }
}

/// A proposed payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Data {
    pub(crate) bytes: Bytes,
    /// When it passed what; becomes the entry's.
    pub(crate) trace: Trace,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an entry holds; stored as the entry's tag byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// Nothing.
    Blank = 0,
    /// A proposed payload.
    Normal = 1,
    /// An encoded membership.
    Membership = 2,
}

impl Tag {
    /// Reads a tag byte.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Blank),
            1 => Some(Self::Normal),
            2 => Some(Self::Membership),
            _ => None,
        }
    }
}

/// Tag and bytes of an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryBody {
    pub(crate) tag: Tag,
    pub(crate) bytes: Bytes,
    /// Of an entry proposed on this member as leader; empty on all others.
    pub(crate) trace: Trace,
}

impl EntryBody {
    /// A body without a trace.
    pub(crate) fn new(tag: Tag, bytes: Bytes) -> Self {
        Self {
            tag,
            bytes,
            trace: Trace::default(),
        }
    }
}

impl fmt::Debug for EntryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.tag, self.bytes.len())
    }
}

impl fmt::Display for EntryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl RaftPayload for EntryBody {
    type D = Data;
    type NodeId = u64;
    type Node = PeerNode;

    fn blank() -> Self {
        Self::new(Tag::Blank, Bytes::new())
    }

    fn with_normal(self, data: Data) -> Self {
        Self {
            tag: Tag::Normal,
            bytes: data.bytes,
            trace: data.trace,
        }
    }

    fn with_membership(self, membership: Membership) -> Self {
        Self::new(Tag::Membership, entry_codec::encode_membership(&membership))
    }

    fn get_membership(&self) -> Option<Membership> {
        match self.tag {
            Tag::Membership => entry_codec::decode_membership(&self.bytes).ok(),
            Tag::Blank | Tag::Normal => None,
        }
    }
}

/// One log entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub(crate) log_id: LogId,
    pub(crate) body: EntryBody,
}

impl Entry {
    /// Bytes this entry counts for in requests and in what is kept on disk.
    pub(crate) fn weight(&self) -> usize {
        self.body.bytes.len() + ENTRY_OVERHEAD_BYTES
    }

    /// Bytes of memory it holds: the whole pooled buffer behind the payload.
    pub(crate) fn footprint(&self) -> usize {
        entry_pool::footprint(self.body.bytes.len()) + ENTRY_OVERHEAD_BYTES
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.log_id, self.body)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl RaftEntry for Entry {
    type CommittedLeaderId = CommittedLeaderId;
    type Payload = EntryBody;

    fn new(log_id: LogId, body: EntryBody) -> Self {
        Self { log_id, body }
    }

    fn log_id_parts(&self) -> (&CommittedLeaderId, u64) {
        (&self.log_id.leader_id, self.log_id.index)
    }

    fn set_log_id(&mut self, log_id: LogId) {
        self.log_id = log_id;
    }

    fn get_membership(&self) -> Option<Membership> {
        self.body.get_membership()
    }
}

/// A responder that is one boxed call: the raft thread decides what to do
/// with a result without a channel per request.
pub struct Callback<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Callback<T> {
    /// Wraps what is to be done with the result.
    pub(crate) fn new(call: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(call))
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}

/// Builds an openraft log id.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

/// The log id as everyone outside this crate sees it: counted from 1.
pub(crate) fn shown(id: &LogId) -> ShownLogId {
    ShownLogId {
        term: id.leader_id.term,
        index: id.index.saturating_add(1),
    }
}

/// The reverse of [`shown`]; index 0 does not exist outside.
pub(crate) fn hidden(id: &ShownLogId) -> Option<LogId> {
    Some(log_id(id.term, id.index.checked_sub(1)?))
}

/// Cost of an entry beside its payload: the struct and its slot in a deque.
const ENTRY_OVERHEAD_BYTES: usize = 64;
