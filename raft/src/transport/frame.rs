//! Frames: a fixed header and a payload (docs/formats/peer_wire.md).
//!
//! The header has its own checksum, verified before the length is believed;
//! the payload has another. A frame that fails either breaks the connection:
//! there is no resynchronising inside a byte stream. Arbitrary bytes give an
//! error, never a panic, and never an allocation above the limit in force.

use std::io;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

use crate::log_store::entry_pool::EntryPool;

/// What a frame means. Answers carry the id of their request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    Welcome = 2,
    Refused = 3,
    Ping = 4,
    Pong = 5,
    AskRoster = 6,
    Roster = 7,
    Append = 10,
    AppendReply = 11,
    StreamEnd = 12,
    Heartbeat = 13,
    HeartbeatReply = 14,
    Vote = 20,
    PreVote = 21,
    VoteReply = 22,
    Transfer = 23,
    TransferReply = 24,
    Propose = 30,
    ProposeReply = 31,
    ReadIndex = 32,
    ReadIndexReply = 33,
    Request = 34,
    RequestReply = 35,
    SnapshotBegin = 40,
    SnapshotChunk = 41,
    SnapshotEnd = 42,
    SnapshotReply = 43,
    AskSnapshot = 44,
    AskSnapshotReply = 45,
    Failed = 50,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        ALL_KINDS.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A received frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Request or stream this belongs to.
    pub(crate) id: u64,
    pub(crate) payload: Bytes,
}

/// A frame to be sent: its payload is `head` followed by all of `body`,
/// written without being joined.
#[derive(Clone, Debug)]
pub(crate) struct OutFrame {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) head: Bytes,
    pub(crate) body: Vec<Bytes>,
}

impl OutFrame {
    pub(crate) fn new(kind: Kind, id: u64, head: impl Into<Bytes>) -> Self {
        Self {
            kind,
            id,
            head: head.into(),
            body: Vec::new(),
        }
    }

    pub(crate) fn with_body(mut self, body: Vec<Bytes>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        self.head.len() + self.body.iter().map(Bytes::len).sum::<usize>()
    }

    /// The header; both checksums included.
    pub(crate) fn header(&self) -> [u8; HEADER_BYTES] {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.head);
        self.body.iter().for_each(|part| crc.update(part));
        let length = u32::try_from(self.payload_bytes()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES];
        let mut out = header.as_mut_slice();
        out.put_u32_le(length);
        out.put_u8(self.kind as u8);
        out.put_slice(&[0; 3]);
        out.put_u64_le(self.id);
        out.put_u32_le(crc.finalize());
        let crc = crc32fast::hash(header.get(..HEADER_BYTES - 4).unwrap_or_default());
        if let Some(place) = header.last_chunk_mut::<4>() {
            *place = crc.to_le_bytes();
        }
        header
    }
}

/// Why received bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("connection closed")]
    Closed,
    #[error("header checksum does not match")]
    HeaderChecksum,
    #[error("payload checksum does not match")]
    PayloadChecksum,
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("reserved header bytes are not zero")]
    Reserved,
    #[error("payload of {length} bytes exceeds {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads frames from a byte stream.
pub(crate) struct FrameReader<R> {
    input: BufReader<R>,
    pool: EntryPool,
    payload_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(input: R, pool: EntryPool) -> Self {
        let input = BufReader::with_capacity(READ_BUFFER_BYTES, input);
        Self {
            input,
            pool,
            payload_bytes_max: HELLO_BYTES_MAX,
        }
    }

    /// Called once the other side has proved who it is.
    pub(crate) fn trust(&mut self) {
        self.expect_up_to(FRAME_BYTES_MAX);
    }

    /// Takes payloads of so many bytes from now on.
    pub(crate) fn expect_up_to(&mut self, payload_bytes_max: usize) {
        self.payload_bytes_max = payload_bytes_max;
    }

    /// The next frame. Not cancel safe: a dropped read loses its place.
    pub(crate) async fn next(&mut self) -> Result<Frame, FrameError> {
        let mut header = [0; HEADER_BYTES];
        match self.input.read_exact(&mut header).await {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(FrameError::Closed),
            Err(e) => return Err(e.into()),
        }
        let header = Header::decode(&header, self.payload_bytes_max)?;
        if header.length == 0 {
            header.check(&[])?;
            return Ok(Frame {
                kind: header.kind,
                id: header.id,
                payload: Bytes::new(),
            });
        }
        let mut buffer = self.pool.get(header.length);
        while buffer.bytes_mut().len() < header.length {
            let left = header.length - buffer.bytes_mut().len();
            if self
                .input
                .read_buf(&mut buffer.bytes_mut().limit(left))
                .await?
                == 0
            {
                return Err(FrameError::Closed);
            }
        }
        header.check(buffer.as_ref())?;
        Ok(Frame {
            kind: header.kind,
            id: header.id,
            payload: buffer.freeze(),
        })
    }
}

/// A verified header.
#[derive(Debug)]
struct Header {
    length: usize,
    kind: Kind,
    id: u64,
    payload_crc: u32,
}

impl Header {
    fn decode(header: &[u8; HEADER_BYTES], limit: usize) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, r0, r1, r2, rest @ ..] = *header;
        let [
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
            p0,
            p1,
            p2,
            p3,
            h0,
            h1,
            h2,
            h3,
        ] = rest;
        let crc = crc32fast::hash(header.get(..HEADER_BYTES - 4).unwrap_or_default());
        if crc != u32::from_le_bytes([h0, h1, h2, h3]) {
            return Err(FrameError::HeaderChecksum);
        }
        if [r0, r1, r2] != [0; 3] {
            return Err(FrameError::Reserved);
        }
        let kind = Kind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > limit {
            return Err(FrameError::TooLong { length, limit });
        }
        Ok(Self {
            length,
            kind,
            id: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
            payload_crc: u32::from_le_bytes([p0, p1, p2, p3]),
        })
    }

    fn check(&self, payload: &[u8]) -> Result<(), FrameError> {
        if crc32fast::hash(payload) != self.payload_crc {
            return Err(FrameError::PayloadChecksum);
        }
        Ok(())
    }
}

/// Every kind.
pub(crate) const ALL_KINDS: [Kind; 30] = [
    Kind::Hello,
    Kind::Welcome,
    Kind::Refused,
    Kind::Ping,
    Kind::Pong,
    Kind::AskRoster,
    Kind::Roster,
    Kind::Append,
    Kind::AppendReply,
    Kind::StreamEnd,
    Kind::Heartbeat,
    Kind::HeartbeatReply,
    Kind::Vote,
    Kind::PreVote,
    Kind::VoteReply,
    Kind::Transfer,
    Kind::TransferReply,
    Kind::Propose,
    Kind::ProposeReply,
    Kind::ReadIndex,
    Kind::ReadIndexReply,
    Kind::Request,
    Kind::RequestReply,
    Kind::SnapshotBegin,
    Kind::SnapshotChunk,
    Kind::SnapshotEnd,
    Kind::SnapshotReply,
    Kind::AskSnapshot,
    Kind::AskSnapshotReply,
    Kind::Failed,
];

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 24;
/// Largest payload: the largest entry a server admits, with room to spare.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// Largest payload before the handshake is done.
const HELLO_BYTES_MAX: usize = 4 << 10;
/// Read buffer per connection: dozens of small frames per system call; larger
/// payloads are read straight into their own buffer.
const READ_BUFFER_BYTES: usize = 32 << 10;
