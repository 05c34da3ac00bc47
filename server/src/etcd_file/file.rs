//! A database file of etcd, opened for reading.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{ImportError, TRAILER_BYTES};
use crate::bbolt::{Bucket, Database, ReadError};

/// An opened file, a snapshot or a member's own.
#[derive(Debug)]
pub struct EtcdFile {
    path: PathBuf,
    file: File,
    database: Database,
    buckets: Vec<Bucket>,
    /// Length of the file without a SHA-256 behind it.
    content_bytes: u64,
    has_trailer: bool,
}

/// A walk over rows that was ended by whoever looks at them.
#[derive(Debug)]
pub(super) enum Walk {
    File(ReadError),
    /// What is wrong with the row of this key.
    Row(Vec<u8>, String),
    Other(ImportError),
}

impl From<ReadError> for Walk {
    fn from(error: ReadError) -> Self {
        Self::File(error)
    }
}

impl EtcdFile {
    /// Opens `path` and finds its buckets. Does not look at the SHA-256.
    ///
    /// # Errors
    /// It cannot be read, or is no bbolt file.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("not a regular file")));
        }
        lock(&file).map_err(failed)?;
        let length = metadata.len();
        // Pages of at least 512 bytes, and then perhaps a SHA-256. Source: etcd.
        let has_trailer = length % 512 == TRAILER_BYTES as u64;
        let content_bytes = if has_trailer {
            length - TRAILER_BYTES as u64
        } else {
            length
        };
        let damaged = |source| ImportError::File {
            path: path.to_owned(),
            source,
        };
        let source = file.try_clone().map_err(failed)?;
        let database = Database::open(source, content_bytes).map_err(damaged)?;
        let buckets = database.buckets().map_err(damaged)?;
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            database,
            buckets,
            content_bytes,
            has_trailer,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the part that is in use, without a SHA-256.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.database.image_bytes()
    }

    /// Whether there is a SHA-256 behind the image: a snapshot has one, a member's
    /// own file has none.
    #[must_use]
    pub fn has_hash(&self) -> bool {
        self.has_trailer
    }

    /// Compares the SHA-256 behind the image with that of the image.
    ///
    /// # Errors
    /// There is none, it is another one, or the file cannot be read.
    pub fn verify_hash(&self) -> Result<(), ImportError> {
        if !self.has_trailer {
            return Err(ImportError::NoHash);
        }
        let failed = |source| ImportError::Io {
            path: self.path.clone(),
            source,
        };
        let mut expected = [0; TRAILER_BYTES];
        let read = self.file.read_exact_at(&mut expected, self.content_bytes);
        read.map_err(failed)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut offset = 0;
        while offset < self.content_bytes {
            let length = (self.content_bytes - offset).min(READ_BYTES as u64) as usize;
            let piece = buffer.get_mut(..length).unwrap_or_default();
            self.file.read_exact_at(piece, offset).map_err(failed)?;
            hasher.update(&*piece);
            offset += length as u64;
        }
        let found: [u8; TRAILER_BYTES] = hasher.finalize().into();
        if found == expected {
            Ok(())
        } else {
            Err(ImportError::WrongHash { expected, found })
        }
    }

    /// All buckets in name order.
    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    pub(super) fn bucket(&self, name: &[u8]) -> Option<&Bucket> {
        self.buckets.iter().find(|bucket| bucket.name() == name)
    }

    /// A bucket that every file has.
    pub(super) fn needed(&self, name: &'static str) -> Result<&Bucket, ImportError> {
        let found = self.bucket(name.as_bytes());
        let path = self.path.clone();
        found.ok_or(ImportError::NoBucket { path, bucket: name })
    }

    /// Shows every row of a bucket to `visit`, in key order; what it complains of
    /// gets the row's place.
    pub(super) fn for_each(&self, bucket: &Bucket, visit: Visit<'_>) -> Result<(), ImportError> {
        let walked = self.database.for_each(bucket, visit);
        walked.map_err(|end| match end {
            Walk::File(source) => ImportError::File {
                path: self.path.clone(),
                source,
            },
            Walk::Row(key, reason) => self.bad_row(bucket.name(), &key, reason),
            Walk::Other(error) => error,
        })
    }

    /// The last key of a bucket.
    pub(super) fn last_key(&self, bucket: &Bucket) -> Result<Option<Vec<u8>>, ImportError> {
        let found = self.database.last_key(bucket);
        found.map_err(|source| ImportError::File {
            path: self.path.clone(),
            source,
        })
    }

    pub(super) fn bad_row(&self, bucket: &[u8], key: &[u8], reason: String) -> ImportError {
        ImportError::Row {
            path: self.path.clone(),
            bucket: String::from_utf8_lossy(bucket).into_owned(),
            key: hex(key),
            reason,
        }
    }
}

/// A running etcd has its file locked: what is read would change meanwhile. Held
/// until the file is closed.
fn lock(file: &File) -> io::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::other(
            "in use by another process; stop the member whose file it is, or take a snapshot of it",
        )),
        // Not every file system has locks.
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(HEX_BYTES_SHOWN);
    let mut text: String = shown.map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > HEX_BYTES_SHOWN {
        text.push_str("...");
    }
    text
}

/// Who is shown the key and the value of a row.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), Walk>;

/// Read at once for the SHA-256.
const READ_BYTES: usize = 1 << 20;
/// Bytes of a key shown in an error.
const HEX_BYTES_SHOWN: usize = 64;
