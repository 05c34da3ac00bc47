//! Write-ahead log of one member: entries, vote, truncation, purge and commit
//! marks as one ordered stream of records in recycled segment files.
//!
//! Guarantees: a completion is called with success only after the record and
//! everything before it is on disk; after a crash `Log::open` yields a prefix
//! of the stream that contains every completed record; a torn tail is cut,
//! damage anywhere else is reported with file and offset; a failed write or
//! sync poisons the log for good.
//!
//! Not promised: the payload is opaque (this crate knows no Raft), nothing is
//! repaired, and a log has one owner (the directory is locked).
//!
//! Map: `log` is the entry point; `writer` the one thread that writes and
//! syncs, `pump` the same without a thread; `record` and `segment` the bytes
//! (docs/formats/wal.md); `recovery` reads them back, `examination` without changing
//! anything; `storage` is the file system behind a trait.

mod buffer_pool;
mod checksum;
mod config;
mod durable;
mod entry;
mod error;
mod examination;
mod fetch;
mod group;
mod layout;
mod log;
mod metrics;
mod pump;
mod record;
mod recovery;
mod segment;
mod state;
pub mod storage;
mod table;
mod tail;
mod writer;

pub use config::{Config, LogIdentity};
pub use durable::Durable;
pub use entry::{Entry, Position};
pub use error::Error;
pub use examination::Examination;
pub use log::{Completion, Log, Recovery, TornTail};
pub use metrics::{DURATION_BUCKET_BOUNDS, Histogram, Metrics};
pub use pump::Pump;
pub use segment::FORMAT_VERSION;
