//! What a stream says to its client, before it becomes a gRPC message.

use bytes::Bytes;

/// One message of a watch stream, without cluster, member and term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The watcher; -1 for the stream itself or a refused creation.
    pub watch_id: i64,
    /// Revision in the header.
    pub revision: i64,
    /// What is said.
    pub body: Body,
}

/// What a [`Response`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The watcher exists from now on.
    Created,
    /// No watcher was created.
    Refused(Refusal),
    /// The client's cancellation took effect.
    Canceled,
    /// Compaction overtook the watcher; it gets nothing more.
    Compacted {
        /// The compact revision then.
        compact_revision: i64,
    },
    /// Every matching event up to the header's revision was sent.
    Progress,
    /// Changes, in order of their revisions.
    Events {
        /// Encoded `mvccpb.Event`s, never empty.
        events: Vec<Bytes>,
        /// More fragments of the same response follow.
        fragment: bool,
    },
}

/// Why a watcher was not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The start revision is negative.
    StartCompacted,
    /// No key can be in the range.
    EmptyRange,
    /// The stream has a watcher of that id.
    DuplicateId,
    /// The client may not read the range; the text names the reason.
    Denied(String),
}
