//! Why a file could not be read or written.

use std::io;

/// A file that cannot be read: every text says where in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system could not read.
    #[error("cannot read {length} bytes at offset {offset}")]
    Io {
        /// Where in the file.
        offset: u64,
        /// How much was wanted.
        length: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// Neither meta page is one.
    #[error("not a bbolt file: {reason}; neither page 0 nor page 1 describes a database")]
    NoMeta {
        /// What is wrong with the first of them.
        reason: &'static str,
    },
    /// The file ends before its last page.
    #[error(
        "the file is cut off: its {pages_count} pages of {page_bytes} bytes need {needed_bytes} \
         bytes, it has {found_bytes}"
    )]
    Truncated {
        /// Pages in use, by the meta page.
        pages_count: u64,
        /// Size of a page.
        page_bytes: usize,
        /// Both multiplied.
        needed_bytes: u64,
        /// Size of the file.
        found_bytes: u64,
    },
    /// A page does not hold what it should.
    #[error("damaged at page {page} (offset {offset}): {reason}")]
    Damaged {
        /// Number of the page.
        page: u64,
        /// Where in the file.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A file that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Bucket names or keys do not ascend.
    #[error("rows are not in order")]
    OutOfOrder,
    /// A row before the first bucket.
    #[error("a row without a bucket")]
    NoBucket,
    /// The format has no room for it.
    #[error("a key of {key_bytes} bytes with a value of {value_bytes} is too large for the file")]
    TooLarge {
        /// Length of the key.
        key_bytes: usize,
        /// Length of the value.
        value_bytes: usize,
    },
    /// The rows are not those that were measured.
    #[error("the rows changed between the two passes over them")]
    Changed,
    /// Whoever takes the bytes wants no more.
    #[error("stopped by the receiver")]
    Stopped,
}
