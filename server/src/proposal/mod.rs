//! The way of a request into the replicated log and of its outcome back.
//!
//! [`Proposer`] takes commands, packs all that wait into one Raft entry
//! ([`frame`]), and hands the entry to Raft. Whichever member applies the
//! entry passes the outcomes of its own batches to the [`Registry`], which
//! wakes the requests that wait. [`ReadGate`] is the counterpart for
//! linearizable reads: one read-index round for all that wait.
//!
//! Replies travel by registry, not through Raft's own response, because a
//! follower answers its own clients after its own apply, as etcd does.

pub(crate) mod applied;
mod coalescing;
pub(crate) mod frame;
pub(crate) mod outcome;
pub(crate) mod proposer;
pub(crate) mod read_gate;
pub(crate) mod registry;
pub(crate) mod stages;

pub(crate) use applied::Applied;
pub use coalescing::Coalescing;
pub(crate) use outcome::{ApplyError, Outcome, Reply};
pub(crate) use proposer::{LeaderView, Limits, ProposalError, ProposeFn, Proposer, Refusal};
pub(crate) use read_gate::{ReadError, ReadGate, ReadIndexFn};
pub(crate) use registry::Registry;
pub(crate) use stages::{Passage, RequestStages, Times};
