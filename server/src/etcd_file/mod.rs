//! etcd's database file: the state of a store, out and in.
//!
//! A snapshot file is a bbolt image with ten buckets and a SHA-256 behind it; a
//! member's own file has no SHA-256. [`Export`] makes the former from a view of
//! the store, [`EtcdFile`] and [`Import`] read either. Buckets and encodings:
//! docs/formats/etcd_file.md. Source: etcd 3.7, observed; every file that is
//! written has been read by etcdutl and served by etcd.

mod error;
mod export;
mod file;
mod import;
mod layout;
mod record;
mod status;

#[cfg(test)]
mod tests;

pub use error::{ExportError, ImportError};
pub use export::Export;
pub use file::EtcdFile;
pub use import::{Changes, Import};
pub use status::FileStatus;

/// Length of the SHA-256 behind the image.
pub const TRAILER_BYTES: usize = 32;
