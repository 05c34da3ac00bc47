//! What a client does.
//!
//! [`unary`] drives workloads of single requests, each of which only says how
//! its next message looks; the others hold streams or read long replies and
//! drive themselves. [`keys`] names keys alike for all of them.

pub mod catch_up;
pub mod keys;
pub mod lease;
pub mod mixed;
pub mod put;
pub mod range;
pub mod txn;
pub mod unary;
pub mod watch;

mod kind;
mod watcher;

pub use kind::Workload;
