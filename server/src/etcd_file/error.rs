//! Why a file could not be made or taken over.

use std::io;
use std::path::PathBuf;

use crate::bbolt;
use crate::mvcc;

/// A store that could not be written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] mvcc::Error),
    /// What it holds does not fit the format.
    #[error(transparent)]
    Format(#[from] bbolt::WriteError),
    /// The file cannot be written.
    #[error("cannot write the file")]
    Io(#[from] io::Error),
}

/// A file that could not be taken over. The file is never changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is no bbolt file, or a damaged one.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Where it is damaged.
        source: bbolt::ReadError,
    },
    /// A bucket that every etcd file has is missing.
    #[error("{path}: it has no bucket {bucket}, so it is not a database file of etcd")]
    NoBucket {
        /// The file.
        path: PathBuf,
        /// The bucket.
        bucket: &'static str,
    },
    /// There is no SHA-256 behind the image. Text: etcdutl 3.7.
    #[error("snapshot missing hash but --skip-hash-check=false")]
    NoHash,
    /// The SHA-256 is that of other bytes. Text: etcdutl 3.7.
    #[error("expected sha256 {expected:?}, got {found:?}")]
    WrongHash {
        /// The SHA-256 behind the image.
        expected: [u8; super::TRAILER_BYTES],
        /// That of the image.
        found: [u8; super::TRAILER_BYTES],
    },
    /// A row does not say what it should.
    #[error("{path}: bucket {bucket}, key {key}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Name of the bucket.
        bucket: String,
        /// Key of the row, in hexadecimal.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever takes the data failed, and knows why.
    #[error("the data could not be taken over")]
    Receiver,
}
