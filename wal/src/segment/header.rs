//! The header page of a segment (docs/formats/wal.md): who wrote it and which
//! one of the log it is. Synced before the segment gets its name, so it is
//! never torn: a bad header under a segment's name is damage.

use std::path::Path;

use crate::checksum;
use crate::config::LogIdentity;
use crate::error::Error;
use crate::layout::{put, u32_at, u64_at};

/// Bytes before the first frame: one page.
pub(crate) const HEADER_BYTES: u64 = 4096;

/// The header page.
pub(crate) fn encode_header(log_id: LogIdentity, sequence: u64) -> Vec<u8> {
    let mut page = vec![0; HEADER_BYTES as usize];
    put(&mut page, 0, MAGIC);
    put(&mut page, 8, &FORMAT_VERSION.to_le_bytes());
    put(&mut page, 12, &(HEADER_BYTES as u32).to_le_bytes());
    put(&mut page, 16, &log_id.cluster_id.to_le_bytes());
    put(&mut page, 24, &log_id.member_id.to_le_bytes());
    put(&mut page, 32, &sequence.to_le_bytes());
    let checksum = checksum::plain([&page[..CHECKSUM_AT], &[]]);
    put(&mut page, CHECKSUM_AT, &checksum.to_le_bytes());
    page
}

/// Checks that `page` is the header of this log's segment `sequence`.
pub(crate) fn decode_header(
    path: &Path,
    page: &[u8],
    log_id: LogIdentity,
    sequence: u64,
) -> Result<(), Error> {
    let found = read_header(path, page, sequence)?;
    if found == log_id {
        return Ok(());
    }
    Err(Error::Identity {
        path: path.to_path_buf(),
        expected: log_id,
        found,
    })
}

/// Whose log it is that `page` is the header of segment `sequence` of.
pub(crate) fn read_header(path: &Path, page: &[u8], sequence: u64) -> Result<LogIdentity, Error> {
    let corrupt = |what| Err(Error::corruption(path, 0, what));
    if page.get(..MAGIC.len()) != Some(MAGIC) {
        return corrupt("not a segment header");
    }
    let covered = page.get(..CHECKSUM_AT).unwrap_or_default();
    if u32_at(page, CHECKSUM_AT) != Some(checksum::plain([covered, &[]])) {
        return corrupt("segment header checksum does not match");
    }
    let version = u32_at(page, 8).unwrap_or_default();
    if version != FORMAT_VERSION {
        let path = path.to_path_buf();
        return Err(Error::Version {
            path,
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    if u64_at(page, 32) != Some(sequence) {
        return corrupt("segment header has another sequence than the file name");
    }
    Ok(LogIdentity {
        cluster_id: u64_at(page, 16).unwrap_or_default(),
        member_id: u64_at(page, 24).unwrap_or_default(),
    })
}

const MAGIC: &[u8] = b"quoinwal";
/// Version of the format that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;
const CHECKSUM_AT: usize = 40;
