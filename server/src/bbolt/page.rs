//! Pages: headers, meta pages, elements.
//!
//! All numbers are little-endian. Nothing here trusts a length: what does not
//! lie inside its page is an error in words.

use std::ops::Range;

/// Length of a page header.
pub(super) const HEADER_BYTES: usize = 16;
/// Length of one element, of a leaf and of a branch.
pub(super) const ELEMENT_BYTES: usize = 16;
/// Length of what a bucket's value begins with: root page and sequence.
pub(super) const BUCKET_HEADER_BYTES: usize = 16;
/// Page size of the files that are written.
pub(super) const PAGE_BYTES: usize = 4096;
/// Longest key. Source: bbolt.
pub(super) const KEY_BYTES_MAX: usize = 32768;
/// Longest value. Source: bbolt.
pub(super) const VALUE_BYTES_MAX: usize = (1 << 31) - 2;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Length of a meta page's body in front of its checksum.
const META_BODY_BYTES: usize = 56;
/// Length of the part of a meta page that says something.
pub(super) const META_BYTES: usize = HEADER_BYTES + META_BODY_BYTES + 8;

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
    Meta,
    Freelist,
}

impl Kind {
    pub(super) fn flags(self) -> u16 {
        match self {
            Self::Branch => 0x01,
            Self::Leaf => 0x02,
            Self::Meta => 0x04,
            Self::Freelist => 0x10,
        }
    }

    fn from_flags(flags: u16) -> Option<Self> {
        let all = [Self::Branch, Self::Leaf, Self::Meta, Self::Freelist];
        all.into_iter().find(|kind| kind.flags() == flags)
    }
}

/// The first bytes of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Its number, counted from the start of the file; 0 in an inline bucket.
    pub(super) id: u64,
    pub(super) kind: Kind,
    /// Elements in it.
    pub(super) count: u16,
    /// Pages that follow and belong to it.
    pub(super) overflow: u32,
}

impl Header {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.kind.flags().to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.overflow.to_le_bytes());
    }

    pub(super) fn decode(page: &[u8]) -> Result<Self, &'static str> {
        let (Some(id), Some(flags), Some(count), Some(overflow)) = (
            u64_at(page, 0),
            u16_at(page, 8),
            u16_at(page, 10),
            u32_at(page, 12),
        ) else {
            return Err("shorter than a page header");
        };
        let kind = Kind::from_flags(flags).ok_or("unknown kind of page")?;
        Ok(Self {
            id,
            kind,
            count,
            overflow,
        })
    }
}

/// A meta page: where everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: u32,
    /// Root of the tree of buckets.
    pub(super) root: u64,
    pub(super) freelist: u64,
    /// Pages in use; the number of the next one.
    pub(super) pages_count: u64,
    pub(super) transaction: u64,
}

impl Meta {
    /// The start of the page numbered `id`; the rest of it is zero.
    pub(super) fn encode(self, id: u64, out: &mut Vec<u8>) {
        let header = Header {
            id,
            kind: Kind::Meta,
            count: 0,
            overflow: 0,
        };
        header.encode(out);
        let body = out.len();
        for number in [MAGIC, VERSION, self.page_bytes, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sequence = 0;
        for number in [
            self.root,
            sequence,
            self.freelist,
            self.pages_count,
            self.transaction,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(out.get(body..).unwrap_or_default());
        out.extend_from_slice(&sum.to_le_bytes());
    }

    pub(super) fn decode(page: &[u8]) -> Result<Self, &'static str> {
        let header = Header::decode(page)?;
        if header.kind != Kind::Meta {
            return Err("it does not begin with a meta page");
        }
        let body = page
            .get(HEADER_BYTES..META_BYTES)
            .ok_or("shorter than a meta page")?;
        let (body, sum) = body.split_at(META_BODY_BYTES);
        if u32_at(body, 0) != Some(MAGIC) {
            return Err("its magic number is another one");
        }
        if u32_at(body, 4) != Some(VERSION) {
            return Err("it has an unknown version");
        }
        if u64_at(sum, 0) != Some(checksum(body)) {
            return Err("the checksum of its meta page does not match");
        }
        let number = |at| u64_at(body, at).unwrap_or_default();
        Ok(Self {
            page_bytes: u32_at(body, 8).unwrap_or_default(),
            root: number(16),
            freelist: number(32),
            pages_count: number(40),
            transaction: number(48),
        })
    }
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// An element of a leaf, as places inside its page.
#[derive(Debug, Clone)]
pub(super) struct LeafElement {
    pub(super) is_bucket: bool,
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl LeafElement {
    /// Element number `at`; places are counted from the start of `page`.
    pub(super) fn decode(page: &[u8], at: usize) -> Result<Self, &'static str> {
        let start = HEADER_BYTES + at * ELEMENT_BYTES;
        let number = |offset| u32_at(page, start + offset).map(|number| number as usize);
        let (Some(flags), Some(place), Some(key), Some(value)) =
            (number(0), number(4), number(8), number(12))
        else {
            return Err("more elements than there is room for");
        };
        let key = start + place..start + place + key;
        let value = key.end..key.end + value;
        if value.end > page.len() {
            return Err("an element ends behind its page");
        }
        if flags > 1 {
            return Err("an element of an unknown kind");
        }
        Ok(Self {
            is_bucket: flags == 1,
            key,
            value,
        })
    }
}

/// An element of a branch.
#[derive(Debug, Clone)]
pub(super) struct BranchElement {
    pub(super) key: Range<usize>,
    pub(super) child: u64,
}

impl BranchElement {
    /// Element number `at`; places are counted from the start of `page`.
    pub(super) fn decode(page: &[u8], at: usize) -> Result<Self, &'static str> {
        let start = HEADER_BYTES + at * ELEMENT_BYTES;
        let number = |offset| u32_at(page, start + offset).map(|number| number as usize);
        let (Some(place), Some(key), Some(child)) = (number(0), number(4), u64_at(page, start + 8))
        else {
            return Err("more elements than there is room for");
        };
        let key = start + place..start + place + key;
        if key.end > page.len() {
            return Err("an element ends behind its page");
        }
        Ok(Self { key, child })
    }
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u16::from_le_bytes(*bytes))
}
