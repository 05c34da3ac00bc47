//! Frames and records, the bytes of docs/formats/wal.md.
//!
//! A frame is what one write carries: a 32 byte header and records. A record is
//! a 32 byte header and a payload, padded to 8 bytes. Encoding appends to a
//! buffer that starts with room for the frame header, which is filled in last,
//! when segment, offset and predecessor are known. Decoding never panics.

use bytes::Bytes;

use crate::checksum;
use crate::entry::Position;
use crate::layout::{padded, put, u32_at, u64_at};

/// Bytes of a frame header.
pub(crate) const FRAME_HEADER_BYTES: usize = 32;
/// Bytes of a record header.
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// First bytes of every frame ("QWF1").
pub(crate) const FRAME_MAGIC: u32 = 0x3146_5751;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A log entry.
    Entry,
    /// The vote, payload opaque.
    Vote,
    /// Entries from `index` on are dropped; tag 1: all entries.
    Truncate,
    /// Entries up to (index, term) are dropped.
    Purge,
    /// The commit mark, payload opaque.
    Committed,
    /// What earlier segments said; first record of every segment.
    State,
}

/// Fields of a record beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) tag: u8,
    pub(crate) index: u64,
    pub(crate) term: u64,
}

/// A decoded record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
    /// Offset of the record header in the decoded body.
    pub(crate) offset: usize,
}

/// A decoded frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) body_length: u32,
    pub(crate) sequence: u64,
    pub(crate) offset: u32,
    pub(crate) previous: u32,
    pub(crate) checksum: u32,
}

/// What the stream has established so far, besides entries. The first frame of
/// every segment repeats it, so that older segments can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<Position>,
    /// Index of the first entry, or where it would be; 0 if `next` is `None`.
    pub(crate) first: u64,
    /// Index of the next entry, once that is determined.
    pub(crate) next: Option<u64>,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Entry => 1,
            Self::Vote => 2,
            Self::Truncate => 3,
            Self::Purge => 4,
            Self::Committed => 5,
            Self::State => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        let all = [
            Self::Entry,
            Self::Vote,
            Self::Truncate,
            Self::Purge,
            Self::Committed,
            Self::State,
        ];
        all.into_iter().find(|kind| kind.code() == code)
    }
}

impl RecordHeader {
    /// A record that has neither index nor term.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self {
            kind,
            tag: 0,
            index: 0,
            term: 0,
        }
    }
}

/// Bytes of a record with a payload of this length.
pub(crate) fn record_bytes(payload_length: usize) -> usize {
    RECORD_HEADER_BYTES + padded(payload_length)
}

/// Appends a record to `buffer`, which has room for it.
pub(crate) fn encode_record(buffer: &mut Vec<u8>, record: RecordHeader, payload: &[u8]) {
    let mut header = [0; RECORD_HEADER_BYTES];
    let length = u32::try_from(payload.len()).expect("log checks payloads against the limit");
    put(&mut header, 0, &length.to_le_bytes());
    put(&mut header, 4, &[record.kind.code(), record.tag]);
    put(&mut header, 8, &record.index.to_le_bytes());
    put(&mut header, 16, &record.term.to_le_bytes());
    let checksum = record_checksum(&header, payload);
    put(&mut header, 24, &checksum.to_le_bytes());
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(payload);
    buffer.extend_from_slice(&[0; 8][..padded(payload.len()) - payload.len()]);
}

/// Decodes the record at `offset` of `body`; `None` if it is not whole.
pub(crate) fn decode_record(body: &[u8], offset: usize) -> Option<Record<'_>> {
    let bytes = body.get(offset..)?;
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let end = RECORD_HEADER_BYTES.checked_add(length)?;
    let payload = bytes.get(RECORD_HEADER_BYTES..end)?;
    let header = RecordHeader {
        kind: Kind::from_code(*bytes.get(4)?)?,
        tag: *bytes.get(5)?,
        index: u64_at(bytes, 8)?,
        term: u64_at(bytes, 16)?,
    };
    Some(Record {
        header,
        payload,
        offset,
    })
}

/// Whether the record at the start of `bytes` matches its own checksum.
pub(crate) fn verify_record(bytes: &[u8], payload: &[u8]) -> bool {
    u32_at(bytes, 24) == Some(record_checksum(bytes, payload))
}

fn record_checksum(header: &[u8], payload: &[u8]) -> u32 {
    checksum::plain([header.get(..24).unwrap_or_default(), payload])
}

/// Fills in the header of the frame in `buffer`; returns its checksum.
pub(crate) fn seal_frame(buffer: &mut [u8], sequence: u64, offset: u32, previous: u32) -> u32 {
    let (header, body) = buffer.split_at_mut(FRAME_HEADER_BYTES);
    let length = u32::try_from(body.len()).expect("log checks frames against the limit");
    put(header, 0, &FRAME_MAGIC.to_le_bytes());
    put(header, 4, &length.to_le_bytes());
    put(header, 8, &sequence.to_le_bytes());
    put(header, 16, &offset.to_le_bytes());
    put(header, 20, &previous.to_le_bytes());
    put(header, 24, &[0; 4]);
    let (covered, rest) = header.split_at_mut(28);
    let checksum = checksum::frame(sequence, previous, [covered, body]);
    put(rest, 0, &checksum.to_le_bytes());
    checksum
}

/// Decodes a frame header; `None` if these bytes are none.
pub(crate) fn decode_frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    if u32_at(bytes, 0)? != FRAME_MAGIC {
        return None;
    }
    Some(FrameHeader {
        body_length: u32_at(bytes, 4)?,
        sequence: u64_at(bytes, 8)?,
        offset: u32_at(bytes, 16)?,
        previous: u32_at(bytes, 20)?,
        checksum: u32_at(bytes, 28)?,
    })
}

/// Whether a whole frame (header and body) matches its checksum.
pub(crate) fn verify_frame(header: &FrameHeader, bytes: &[u8]) -> bool {
    let Some(covered) = bytes.get(..28) else {
        return false;
    };
    let Some(body) = bytes.get(FRAME_HEADER_BYTES..) else {
        return false;
    };
    checksum::frame(header.sequence, header.previous, [covered, body]) == header.checksum
}

impl StreamState {
    /// Appends the state as a record.
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        encode_record(buffer, RecordHeader::plain(Kind::State), &self.to_payload());
    }

    /// Length of the record `encode` appends.
    pub(crate) fn record_bytes(&self) -> usize {
        let votes = self.vote.as_ref().map_or(0, Bytes::len);
        record_bytes(STATE_FIXED_BYTES + votes + self.committed.as_ref().map_or(0, Bytes::len))
    }

    fn to_payload(&self) -> Vec<u8> {
        let vote = self.vote.as_deref().unwrap_or_default();
        let committed = self.committed.as_deref().unwrap_or_default();
        let flags = u32::from(self.vote.is_some())
            | u32::from(self.committed.is_some()) << 1
            | u32::from(self.purged.is_some()) << 2
            | u32::from(self.next.is_some()) << 3;
        let purged = self.purged.unwrap_or(Position { index: 0, term: 0 });
        let lengths = [vote.len(), committed.len()]
            .map(|length| u32::try_from(length).expect("log checks payloads against the limit"));
        let mut payload = Vec::with_capacity(STATE_FIXED_BYTES + vote.len() + committed.len());
        payload.extend_from_slice(&flags.to_le_bytes());
        payload.extend_from_slice(&lengths[0].to_le_bytes());
        payload.extend_from_slice(&lengths[1].to_le_bytes());
        payload.extend_from_slice(&[0; 4]);
        payload.extend_from_slice(&purged.index.to_le_bytes());
        payload.extend_from_slice(&purged.term.to_le_bytes());
        payload.extend_from_slice(&self.first.to_le_bytes());
        payload.extend_from_slice(&self.next.unwrap_or(0).to_le_bytes());
        payload.extend_from_slice(vote);
        payload.extend_from_slice(committed);
        payload
    }

    /// Decodes the payload of a state record.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let flags = u32_at(payload, 0)?;
        let vote_end = STATE_FIXED_BYTES.checked_add(u32_at(payload, 4)? as usize)?;
        let committed_end = vote_end.checked_add(u32_at(payload, 8)? as usize)?;
        let position = Position {
            index: u64_at(payload, 16)?,
            term: u64_at(payload, 24)?,
        };
        let (first, next) = (u64_at(payload, 32)?, u64_at(payload, 40)?);
        if flags & 8 != 0 && first > next {
            return None;
        }
        let vote = payload.get(STATE_FIXED_BYTES..vote_end)?;
        let committed = payload.get(vote_end..committed_end)?;
        Some(Self {
            vote: (flags & 1 != 0).then(|| Bytes::copy_from_slice(vote)),
            committed: (flags & 2 != 0).then(|| Bytes::copy_from_slice(committed)),
            purged: (flags & 4 != 0).then_some(position),
            first,
            next: (flags & 8 != 0).then_some(next),
        })
    }
}

/// Payload of a state record without vote and commit mark.
const STATE_FIXED_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for length in 0..20 {
            let header = RecordHeader {
                kind: Kind::Entry,
                tag: 7,
                index: 9,
                term: 3,
            };
            let payload = vec![0xab; length];
            let mut buffer = Vec::new();
            encode_record(&mut buffer, header, &payload);
            assert_eq!(buffer.len(), record_bytes(length));
            let record = decode_record(&buffer, 0).unwrap();
            assert_eq!(
                (record.header, record.payload),
                (header, payload.as_slice())
            );
            assert!(verify_record(&buffer, record.payload));
            buffer[8] ^= 1;
            assert!(!verify_record(&buffer, &payload));
        }
    }

    #[test]
    fn a_frame_verifies_only_with_its_sequence_and_predecessor() {
        let mut buffer = vec![0; FRAME_HEADER_BYTES];
        encode_record(&mut buffer, RecordHeader::plain(Kind::Vote), b"vote");
        seal_frame(&mut buffer, 5, 4096, 77);
        let header = decode_frame_header(&buffer).unwrap();
        assert!(verify_frame(&header, &buffer));
        assert!(!verify_frame(
            &FrameHeader {
                sequence: 6,
                ..header
            },
            &buffer
        ));
        assert!(!verify_frame(
            &FrameHeader {
                previous: 78,
                ..header
            },
            &buffer
        ));
        for bit in 0..buffer.len() * 8 {
            buffer[bit / 8] ^= 1 << (bit % 8);
            let whole = decode_frame_header(&buffer).is_some_and(|h| verify_frame(&h, &buffer));
            assert!(!whole, "bit {bit} is not covered");
            buffer[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn the_state_record_comes_back_as_it_was_written() {
        let state = StreamState {
            vote: Some(Bytes::from_static(b"v")),
            committed: Some(Bytes::new()),
            purged: Some(Position { index: 4, term: 2 }),
            first: 5,
            next: Some(10),
        };
        for state in [state, StreamState::default()] {
            let mut buffer = Vec::new();
            state.encode(&mut buffer);
            assert_eq!(buffer.len(), state.record_bytes());
            let record = decode_record(&buffer, 0).unwrap();
            assert_eq!(StreamState::decode(record.payload), Some(state));
        }
    }
}
