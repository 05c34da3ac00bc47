//! Snapshots over the wire: chunks out, chunks in and verified.
//!
//! The sender numbers and checksums chunks of bounded size and keeps a bounded
//! number of them unanswered; every answer has a deadline. The receiver spools
//! into the state machine's sink and installs only when count, length and
//! checksum of the whole agree. Any failure ends the transfer; the leader
//! starts a new one. Nothing of a failed transfer stays.

mod receiver;
mod sender;

pub(crate) use receiver::Receiver;
pub(crate) use sender::send;

/// Largest piece of a snapshot in one frame.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Unanswered chunks: covers the delay of a network at disk speed.
const WINDOW_CHUNKS_MAX: usize = 8;
/// Wait for the answer to one chunk: a slow disk, not a dead one.
const CHUNK_DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
/// Wait for the installation after the last chunk.
const INSTALL_DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
