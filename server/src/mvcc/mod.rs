//! Multi-version keys: the rules of revisions over a backend of records.
//!
//! Every request that changes anything gets the next main revision, and every
//! version stays readable until compaction. The index (in memory) says which
//! record answers a read; records (in the backend) are encoded pairs, passed on
//! without being decoded. This module returns events; it never calls watch or
//! lease. It knows no clock, no task and no network: same calls, same state.
//!
//! Entry points: [`Store`], [`ReadTransaction`], [`WriteTransaction`].

mod error;
mod event;
mod key_info;
pub mod record;

mod generation;
mod index_key;
mod key_index;
mod tree_index;

mod changes;
mod compaction;
mod epoch;
mod hash;
mod kept;
mod range;
mod read_transaction;
mod store;
mod write_transaction;

#[cfg(test)]
mod tests;

pub use changes::{Changes, ChangesQuery};
pub use compaction::{CompactionProgress, compacted_row};
pub use error::Error;
pub use event::{Commit, Event, EventKind};
pub use hash::HashKv;
pub use key_info::KeyInfo;
pub use range::{RangeQuery, RangeResult, RevisionFilter, SortOrder, SortTarget};
pub use read_transaction::ReadTransaction;
pub use store::Store;
pub use write_transaction::{Deleted, Previous, WriteTransaction};
