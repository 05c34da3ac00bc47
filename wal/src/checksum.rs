//! The chained crc32 of frames and the plain one of records.
//!
//! A frame's checksum starts from the checksum of the frame before it and the
//! sequence of its segment. Stale bytes of a recycled segment therefore never
//! verify, and neither does a frame that was moved or whose predecessor is
//! another one. Records carry a checksum of their own, so that one record can
//! be read back and verified alone.

use crc32fast::Hasher;

/// Checksum of a frame: `parts` in order, after `previous` and `sequence`.
pub(crate) fn frame(sequence: u64, previous: u32, parts: [&[u8]; 2]) -> u32 {
    let mut hasher = Hasher::new_with_initial(previous);
    hasher.update(&sequence.to_le_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Checksum of a record or header: `parts` in order.
pub(crate) fn plain(parts: [&[u8]; 2]) -> u32 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
