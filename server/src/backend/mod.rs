//! The store below MVCC: records by revision, and small tables.
//!
//! No engine is on the apply path. A batch appends encoded records to memory
//! segments and publishes a new view; one checkpoint thread packs them into
//! blocks and hands those to an engine behind the write-ahead log. Views are
//! immutable, so reads and snapshots need nothing from the engine but a block
//! by its id.
//!
//! Lock order: `Shared::writer` (taken out, not held), `Shared::collector`,
//! `Shared::publish`. Threads: the one that holds the batch (apply), the
//! checkpoint thread, any number of readers.

mod batch_transaction;
mod block;
mod block_cache;
mod block_writer;
mod checkpoint;
mod checkpoint_thread;
mod cold;
mod collect;
mod config;
mod dead_marks;
mod defragment;
mod digest;
mod directory;
mod engine;
mod error;
mod export;
mod handle;
mod meta;
mod page;
mod read_transaction;
mod read_view;
mod record;
mod recovery;
mod recycle;
mod row_table;
mod segment;
mod segment_list;
mod space;
mod stage;
mod state_directory;
mod stream_writer;
mod table;
#[cfg(test)]
mod tests;

pub use self::batch_transaction::BatchTransaction;
pub use self::config::{Config, Durability, Identity};
pub use self::digest::Digest;
pub use self::engine::EngineKind;
pub use self::error::Error;
pub use self::export::Snapshot;
pub use self::handle::{Applied, Backend, Recovered};
pub use self::read_transaction::ReadTransaction;
pub use self::record::RecordInfo;
pub use self::space::Sizes;
pub use self::stage::Staging;
pub(crate) use self::state_directory::{FORMAT, disk_bytes, engine_in};
pub use self::stream_writer::StreamWriter;
pub use self::table::Table;
