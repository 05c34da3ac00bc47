//! A file that somebody else wrote, and that may be damaged in any way.
//!
//! Every number read is checked against the file before it is used; a walk
//! visits no page twice, goes down a bounded number of levels, and holds one
//! page of each. Pages that no bucket leads to are not looked at.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::error::ReadError;
use super::page::{BUCKET_HEADER_BYTES, Header, META_BYTES, Meta, u64_at};
use super::walk::{self, Walk};

/// Where the bytes of a file come from.
pub trait Source {
    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// They cannot be read, or there are not so many.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl Source for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        let found = found.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// An opened file.
#[derive(Debug)]
pub struct Database<S = File> {
    source: S,
    page_bytes: usize,
    meta: Meta,
}

/// A bucket of the file.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: Vec<u8>,
    root: Root,
}

/// Where the rows of a bucket are.
#[derive(Debug, Clone)]
enum Root {
    Page(u64),
    /// In the value of the bucket, which is in this page.
    Inline {
        leaf: Vec<u8>,
        page: u64,
    },
}

impl Bucket {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    fn decode(name: &[u8], value: &[u8], page: u64) -> Result<Self, &'static str> {
        let root = u64_at(value, 0).ok_or("the value of a bucket is too short")?;
        let inline = value.get(BUCKET_HEADER_BYTES..);
        let inline = inline.ok_or("the value of a bucket is too short")?;
        let root = match root {
            0 => Root::Inline {
                leaf: inline.to_vec(),
                page,
            },
            root => Root::Page(root),
        };
        Ok(Self {
            name: name.to_vec(),
            root,
        })
    }
}

/// Takes a row.
pub(super) type Visit<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<(), E> + 'a;

impl<S: Source> Database<S> {
    /// Opens the file in the first `length` bytes of `source`.
    ///
    /// # Errors
    /// It is no such file, or shorter than it says.
    pub fn open(source: S, length: u64) -> Result<Self, ReadError> {
        let meta = find_meta(&source, length)?;
        let page_bytes = meta.page_bytes as usize;
        let needed_bytes = meta.pages_count.checked_mul(u64::from(meta.page_bytes));
        let needed_bytes = needed_bytes.unwrap_or(u64::MAX);
        if needed_bytes > length {
            return Err(ReadError::Truncated {
                pages_count: meta.pages_count,
                page_bytes,
                needed_bytes,
                found_bytes: length,
            });
        }
        Ok(Self {
            source,
            page_bytes,
            meta,
        })
    }

    /// Length of the part of the file that is in use.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.meta.pages_count * self.page_bytes as u64
    }

    /// All buckets, in name order.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn buckets(&self) -> Result<Vec<Bucket>, ReadError> {
        let mut buckets = Vec::new();
        let mut walk = Walk::new(self);
        walk.tree(self.meta.root, &mut |page, is_bucket, name, value| {
            if !is_bucket {
                return Err(self.damaged(page, "a row beside the buckets"));
            }
            if buckets.len() == BUCKETS_MAX {
                return Err(self.damaged(page, "more buckets than etcd ever makes"));
            }
            let bucket = Bucket::decode(name, value, page);
            buckets.push(bucket.map_err(|reason| self.damaged(page, reason))?);
            Ok(())
        })?;
        Ok(buckets)
    }

    /// Calls `visit` with every row of a bucket, in key order.
    ///
    /// # Errors
    /// As [`Self::buckets`], and what `visit` returns.
    pub fn for_each<E: From<ReadError>>(
        &self,
        bucket: &Bucket,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        let mut walk = Walk::new(self);
        let mut row = |page, is_bucket: bool, key: &[u8], value: &[u8]| {
            if is_bucket {
                return Err(self.damaged(page, "a bucket inside a bucket").into());
            }
            visit(key, value)
        };
        match &bucket.root {
            Root::Page(root) => walk.tree(*root, &mut row),
            Root::Inline { leaf, page } => walk.inline(leaf, *page, &mut row),
        }
    }

    /// The last key of a bucket, `None` if it has no rows.
    ///
    /// # Errors
    /// As [`Self::buckets`].
    pub fn last_key(&self, bucket: &Bucket) -> Result<Option<Vec<u8>>, ReadError> {
        match &bucket.root {
            Root::Page(root) => Walk::new(self).last_key(*root),
            Root::Inline { leaf, page } => walk::last_key_of(self, leaf, *page),
        }
    }

    pub(super) fn damaged(&self, page: u64, reason: &'static str) -> ReadError {
        let offset = page.saturating_mul(self.page_bytes as u64);
        ReadError::Damaged {
            page,
            offset,
            reason,
        }
    }

    /// Number of pages in use.
    pub(super) fn pages_count(&self) -> u64 {
        self.meta.pages_count
    }

    /// Reads the page numbered `id` with those that belong to it.
    pub(super) fn page(&self, id: u64) -> Result<(Header, Vec<u8>), ReadError> {
        if id < 2 || id >= self.meta.pages_count {
            return Err(self.damaged(id, "a reference to a page that is not in use"));
        }
        let offset = id * self.page_bytes as u64;
        let mut page = vec![0; self.page_bytes];
        self.read(&mut page, offset)?;
        let header = Header::decode(&page).map_err(|reason| self.damaged(id, reason))?;
        if header.id != id {
            return Err(self.damaged(id, "it carries the number of another page"));
        }
        let bytes = self.page_bytes as u64 * (u64::from(header.overflow) + 1);
        if u64::from(header.overflow) >= self.meta.pages_count - id {
            return Err(self.damaged(id, "it goes on behind the last page"));
        }
        if bytes > RUN_BYTES_MAX {
            return Err(self.damaged(id, "it is larger than 1 GiB"));
        }
        page.resize(bytes as usize, 0);
        let rest = page.get_mut(self.page_bytes..).unwrap_or_default();
        self.read(rest, offset + self.page_bytes as u64)?;
        Ok((header, page))
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        read(&self.source, buffer, offset)
    }
}

fn read(source: &impl Source, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    let length = buffer.len();
    let read = source.read_at(buffer, offset);
    read.map_err(|source| ReadError::Io {
        offset,
        length,
        source,
    })
}

/// The newer of the two meta pages that are valid.
fn find_meta(source: &impl Source, length: u64) -> Result<Meta, ReadError> {
    let first = meta_at(source, 0, length)?;
    // Without the first one the page size is unknown: any that there is.
    let sizes: Vec<u64> = match first {
        Ok(meta) => vec![u64::from(meta.page_bytes)],
        Err(_) => (PAGE_BITS_MIN..=PAGE_BITS_MAX)
            .map(|bits| 1 << bits)
            .collect(),
    };
    let mut best = first;
    for size in sizes {
        let Ok(second) = meta_at(source, size, length)? else {
            continue;
        };
        let is_newer = best.map_or(true, |meta| second.transaction > meta.transaction);
        if u64::from(second.page_bytes) == size && is_newer {
            best = Ok(second);
        }
    }
    best.map_err(|reason| ReadError::NoMeta { reason })
}

fn meta_at(
    source: &impl Source,
    offset: u64,
    length: u64,
) -> Result<Result<Meta, &'static str>, ReadError> {
    if length < offset.saturating_add(META_BYTES as u64) {
        return Ok(Err("it is too short"));
    }
    let mut page = [0; META_BYTES];
    read(source, &mut page, offset)?;
    Ok(Meta::decode(&page).and_then(|meta| {
        let sizes = 1 << PAGE_BITS_MIN..=1 << PAGE_BITS_MAX;
        if meta.page_bytes.is_power_of_two() && sizes.contains(&meta.page_bytes) {
            Ok(meta)
        } else {
            Err("it has an impossible page size")
        }
    }))
}

/// Page sizes of any system, 1 KiB to 64 KiB.
const PAGE_BITS_MIN: u32 = 10;
const PAGE_BITS_MAX: u32 = 16;
/// Bytes of one page with those that belong to it: what one read may allocate.
const RUN_BYTES_MAX: u64 = 1 << 30;
/// etcd has ten.
const BUCKETS_MAX: usize = 64;
