//! The file format of bbolt, the store below etcd: read and written.
//!
//! Only the format is here, not what etcd keeps in it. A file is an array of
//! pages; two of them say where a tree of named buckets is, and every bucket is a
//! tree of its own. [`measure`] and [`write`] make a whole new file in one pass
//! each and in constant memory; [`Database`] reads one that anybody may have
//! damaged. Byte tables: docs/formats/etcd_file.md. Source: bbolt 1.5, observed.

mod builder;
mod error;
mod page;
mod reader;
mod tree;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use self::builder::Builder;
pub use self::error::{ReadError, WriteError};
pub use self::reader::{Bucket, Database, Source};
pub use self::writer::{Layout, measure, write};
