//! Data directories of older builds, and what was in them.
//!
//! A recording is a packed data directory and a JSON file with everything its
//! member answered before it was killed: each revision that can be read, leases,
//! alarms, members, and the hash of the history. Whatever build opens a copy must
//! answer the same. How recordings are made is in docs/TESTING.md.

mod archive;
mod facts;
mod recording;

pub use archive::{pack, unpack};
pub use facts::Facts;
pub use recording::{HOSTS, PEER_PORT, Recorded, record, recorded_cluster, recorded_member};
