//! Sequential read of a segment during recovery.
//!
//! Reads through a window, yields verified frames, and can look for a valid
//! frame past a damaged place. Arbitrary bytes are fine: whatever does not
//! verify is no frame.

use crate::error::Error;
use crate::record::{FRAME_HEADER_BYTES, FRAME_MAGIC, decode_frame_header, verify_frame};

use super::Segment;

/// Reads one segment.
#[derive(Debug)]
pub(crate) struct SegmentReader<'a> {
    segment: &'a Segment,
    length: u64,
    window: Vec<u8>,
    window_start: u64,
}

/// A verified frame.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Offset of the frame header in the segment.
    pub(crate) offset: u64,
    /// Length of header and body.
    pub(crate) length: u64,
    /// Checksum of the frame before this one.
    pub(crate) previous: u32,
    /// Checksum of this frame.
    pub(crate) checksum: u32,
    pub(crate) body: &'a [u8],
}

impl<'a> SegmentReader<'a> {
    pub(crate) fn open(segment: &'a Segment) -> Result<Self, Error> {
        let length = segment
            .file
            .length()
            .map_err(|source| Error::io("read the length of", &segment.path, source))?;
        Ok(Self {
            segment,
            length,
            window: Vec::new(),
            window_start: 0,
        })
    }

    /// Bytes at `offset`; `None` if the file ends before.
    pub(crate) fn bytes(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>, Error> {
        let Some(end) = offset
            .checked_add(length as u64)
            .filter(|end| *end <= self.length)
        else {
            return Ok(None);
        };
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || end > window_end {
            self.fill(offset, length)?;
        }
        let start = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(start..start.saturating_add(length)))
    }

    /// The frame at `offset`, if a valid one is there.
    pub(crate) fn frame(&mut self, offset: u64) -> Result<Option<Frame<'_>>, Error> {
        let sequence = self.segment.sequence;
        let Some(bytes) = self.bytes(offset, FRAME_HEADER_BYTES)? else {
            return Ok(None);
        };
        let Some(header) = decode_frame_header(bytes) else {
            return Ok(None);
        };
        if header.sequence != sequence || u64::from(header.offset) != offset {
            return Ok(None);
        }
        let Some(length) = FRAME_HEADER_BYTES.checked_add(header.body_length as usize) else {
            return Ok(None);
        };
        let Some(bytes) = self.bytes(offset, length)? else {
            return Ok(None);
        };
        if !verify_frame(&header, bytes) {
            return Ok(None);
        }
        Ok(Some(Frame {
            offset,
            length: length as u64,
            previous: header.previous,
            checksum: header.checksum,
            body: bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default(),
        }))
    }

    /// Whether a frame of this segment was begun at `offset`.
    pub(crate) fn is_frame_begun(&mut self, offset: u64) -> Result<bool, Error> {
        let sequence = self.segment.sequence;
        let header = self
            .bytes(offset, FRAME_HEADER_BYTES)?
            .and_then(decode_frame_header);
        Ok(header.is_some_and(|header| {
            header.sequence == sequence && u64::from(header.offset) == offset
        }))
    }

    /// Offset of the first valid frame after `offset`, which must be aligned.
    pub(crate) fn find_frame_after(&mut self, offset: u64) -> Result<Option<u64>, Error> {
        let mut position = offset + ALIGNMENT;
        while position < self.length {
            let available = usize::try_from(self.length - position).unwrap_or(usize::MAX);
            let length = available.min(WINDOW_BYTES);
            let Some(bytes) = self.bytes(position, length)? else {
                return Ok(None);
            };
            let magic = FRAME_MAGIC.to_le_bytes();
            let candidates: Vec<u64> = bytes
                .chunks_exact(ALIGNMENT as usize)
                .zip((position..).step_by(ALIGNMENT as usize))
                .filter(|(chunk, _)| chunk.starts_with(&magic))
                .map(|(_, at)| at)
                .collect();
            for candidate in candidates {
                if self.frame(candidate)?.is_some() {
                    return Ok(Some(candidate));
                }
            }
            position += length as u64;
        }
        Ok(None)
    }

    fn fill(&mut self, offset: u64, length: usize) -> Result<(), Error> {
        let available = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
        self.window
            .resize(length.max(WINDOW_BYTES).min(available), 0);
        self.window_start = offset;
        let count = self
            .segment
            .file
            .read_at(offset, &mut self.window)
            .map_err(|source| Error::io("read", &self.segment.path, source))?;
        self.window.truncate(count);
        Ok(())
    }
}

/// Frames start at multiples of this.
const ALIGNMENT: u64 = 8;
/// Read at once.
const WINDOW_BYTES: usize = 1 << 20;
