//! What a file says of itself. Source: etcdutl 3.7, `snapshot status`.

use std::collections::HashSet;

use super::file::Walk;
use super::layout::{KEY, META, STORAGE_VERSION};
use super::record::{self, Change};
use super::{EtcdFile, ImportError};

/// Summary of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileStatus {
    /// CRC-32C over bucket names and all rows, in order.
    pub hash: u32,
    /// Main revision of the last change.
    pub revision: i64,
    /// Keys alive at the end.
    pub keys_count: u64,
    /// Length of the image, without the SHA-256.
    pub image_bytes: u64,
    /// Storage version, empty if the file names none.
    pub version: String,
}

impl FileStatus {
    /// Reads all of `file`. Keys that are alive are held in memory.
    ///
    /// # Errors
    /// The file is damaged, or not one of etcd's.
    pub fn of(file: &EtcdFile) -> Result<Self, ImportError> {
        file.needed("key")?;
        file.needed("meta")?;
        let mut status = Self {
            image_bytes: file.image_bytes(),
            ..Self::default()
        };
        let mut alive: HashSet<Box<[u8]>> = HashSet::new();
        for bucket in file.buckets() {
            status.hash = crc32c::crc32c_append(status.hash, bucket.name());
            file.for_each(bucket, &mut |key, value| {
                status.hash = crc32c::crc32c_append(status.hash, key);
                status.hash = crc32c::crc32c_append(status.hash, value);
                if bucket.name() == KEY {
                    let noted = status.note_change(key, value, &mut alive);
                    noted.map_err(|reason| Walk::Row(key.to_vec(), reason.to_owned()))?;
                }
                if bucket.name() == META && key == STORAGE_VERSION {
                    status.version = String::from_utf8_lossy(value).into_owned();
                }
                Ok(())
            })?;
        }
        status.keys_count = alive.len() as u64;
        Ok(status)
    }

    fn note_change(
        &mut self,
        key: &[u8],
        value: &[u8],
        alive: &mut HashSet<Box<[u8]>>,
    ) -> Result<(), &'static str> {
        let (revision, is_tombstone) = record::decode_key(key)?;
        self.revision = revision.main;
        match record::decode(revision, is_tombstone, value)? {
            Change::Put(record) => {
                alive.insert(record.key_bytes().into());
            }
            Change::Tombstone { key } => {
                alive.remove(&key[..]);
            }
            Change::Nothing => {}
        }
        Ok(())
    }
}
