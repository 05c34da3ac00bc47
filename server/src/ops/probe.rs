//! What the plain endpoints ask the server.

use std::future::Future;
use std::pin::Pin;

/// The future of a read made by a probe; the error is the text of its status.
pub type ProbeFuture<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// An alarm that is raised somewhere in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A member is out of space.
    NoSpace,
    /// A member's data differs.
    Corrupt,
    /// A kind this release does not know.
    Unknown,
}

impl Alarm {
    /// The alarm's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Versions of the API that are spoken and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The API version of this member.
    pub server: String,
    /// The version the cluster agreed on, `None` before it has.
    pub cluster: Option<String>,
    /// The version of the stored data, `None` before it is known.
    pub storage: Option<String>,
}

/// What the member is busy with, for a dump; each with its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Tasks that live long.
    pub tasks: Vec<(String, u64)>,
    /// Things worked on: connections, watchers, requests that wait.
    pub counts: Vec<(&'static str, u64)>,
}

/// The server as seen by the plain endpoints. Calls must not block; reads take
/// at most the request timeout.
pub trait Probe: Send + Sync + 'static {
    /// Whether this member knows a leader.
    fn has_leader(&self) -> bool;

    /// Whether this member has no vote.
    fn is_learner(&self) -> bool;

    /// The alarms raised now.
    fn alarms(&self) -> Vec<Alarm>;

    /// A read of the smallest kind that needs the quorum.
    fn linearizable_read(&self) -> ProbeFuture<'_>;

    /// A read of the smallest kind from this member alone.
    fn serializable_read(&self) -> ProbeFuture<'_>;

    /// What this member and its cluster speak.
    fn versions(&self) -> Versions;

    /// What this member is busy with.
    fn activity(&self) -> Activity;
}
