//! The services of the API, one file each.
//!
//! Every method is on [`crate::Client`]; these modules hold the requests that
//! need building and the streams that live longer than a call.

mod call;
mod range;

pub mod auth;
pub mod cluster;
pub mod kv;
pub mod lease;
pub mod maintenance;
pub mod repair;
pub mod txn;
pub mod watch;

pub use range::prefix_end;
