//! Segments: the files of the log, numbered by sequence without a gap.
//!
//! A segment is written once from front to back, below bytes that already
//! exist (zeros or the bytes of a purged segment), and reused when everything
//! in it is purged. Only the newest one is written to.

mod handle;
mod header;
mod name;
mod preallocator;
mod reader;

pub(crate) use handle::Segment;
pub use header::FORMAT_VERSION;
pub(crate) use header::{HEADER_BYTES, decode_header, encode_header, read_header};
pub(crate) use name::{LOCK_FILE_NAME, Name};
pub(crate) use preallocator::{Preallocator, create_segment};
pub(crate) use reader::{Frame, SegmentReader};
