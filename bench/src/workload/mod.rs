//! What a client does.
//!
//! [`unary`] drives workloads of single requests, each of which only says how
//! its next message looks; [`watch`] and [`lease`] hold streams and drive
//! themselves. [`keys`] names keys alike for all of them.

pub mod keys;
pub mod lease;
pub mod put;
pub mod range;
pub mod txn;
pub mod unary;
pub mod watch;

mod kind;

pub use kind::Workload;
