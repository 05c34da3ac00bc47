//! Snapshots over the wire: chunks out, chunks in and verified, and on again
//! after a connection broke.
//!
//! The leader pins one state and sends it to whoever needs one, to a bounded
//! number of members at once. The sender numbers and checksums chunks of bounded
//! size and keeps a bounded number of them unanswered; every answer has a
//! deadline. The receiver spools into the state machine's sink and installs only
//! when count, length and checksum of the whole agree.
//!
//! When the connection breaks, both sides keep what they have for a bounded time:
//! the sender its place in the pinned state and the unanswered chunks, the
//! receiver what it spooled. The next attempt goes on at the chunk the receiver
//! names. Anything else that goes wrong, another sender and another snapshot end
//! the transfer: the leader starts a new one, and nothing stays of the old. What a
//! process held of a transfer does not outlive it.

mod cursor;
mod off_thread;
mod pinned;
mod receiver;
mod sender;
mod stages;
mod transfers;

pub(crate) use off_thread::{sink_closed_off_thread, source_closed_off_thread};
pub(crate) use pinned::{Pinned, Pins};
pub(crate) use receiver::Receiver;
pub(crate) use stages::Stages;
pub(crate) use transfers::Transfers;

/// Largest piece of a snapshot in one frame.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Unanswered chunks: covers the delay of a network at disk speed.
pub(crate) const WINDOW_CHUNKS_MAX: usize = 8;
/// Wait for the answer to one chunk: a slow disk, not a dead one.
const CHUNK_DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
/// Wait for the installation after the last chunk.
const INSTALL_DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
