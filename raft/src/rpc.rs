//! Payloads of peer frames: openraft's requests and answers as bytes
//! (docs/formats/peer_wire.md).
//!
//! Entry payloads are never copied: on the way out they are body parts of the
//! frame, on the way in slices of the received buffer. Decoding bytes of a
//! peer never panics; an entry that decodes can be used without more checks.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::log_store::entry_codec::{
    CodecError, Reader, checked_body, decode_stored_membership, encode_stored_membership,
    put_log_id_option, put_text, put_vote,
};
use crate::types::{Entry, LogId, SnapshotMeta, TypeConfig, Vote, log_id};

pub(crate) type AppendRequest = AppendEntriesRequest<TypeConfig>;
pub(crate) type AppendResult = StreamAppendResult<TypeConfig>;

/// Head and body of an append request.
pub(crate) fn encode_append(request: &AppendRequest) -> (Bytes, Vec<Bytes>) {
    let mut head = BytesMut::with_capacity(64 + request.entries.len() * ENTRY_HEAD_BYTES);
    put_vote(&mut head, &request.vote);
    put_log_id_option(&mut head, request.prev_log_id.as_ref());
    put_log_id_option(&mut head, request.leader_commit.as_ref());
    head.put_u32_le(u32::try_from(request.entries.len()).unwrap_or(u32::MAX));
    let mut body = Vec::with_capacity(request.entries.len());
    for entry in &request.entries {
        head.put_u64_le(entry.log_id.leader_id.term);
        head.put_u32_le(u32::try_from(entry.body.bytes.len()).unwrap_or(u32::MAX));
        head.put_u8(entry.body.tag as u8);
        if !entry.body.bytes.is_empty() {
            body.push(entry.body.bytes.clone());
        }
    }
    (head.freeze(), body)
}

/// # Errors
/// The payload is not one append request.
pub(crate) fn decode_append(payload: Bytes) -> Result<AppendRequest, CodecError> {
    let mut reader = Reader::new(payload);
    let vote = reader.vote()?;
    let prev_log_id = reader.log_id_option()?;
    let leader_commit = reader.log_id_option()?;
    let count = reader.word()? as usize;
    let heads_bytes = count
        .checked_mul(ENTRY_HEAD_BYTES)
        .ok_or(CodecError::Short)?;
    let mut heads = Reader::new(reader.slice(heads_bytes)?);
    let mut index = prev_log_id.map_or(Some(0), |id| id.index.checked_add(1));
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let at = index.ok_or(CodecError::Short)?;
        let (term, length, tag) = (heads.long()?, heads.word()? as usize, heads.byte()?);
        let body = checked_body(tag, reader.slice(length)?)?;
        entries.push(Entry::new(log_id(term, at), body));
        index = at.checked_add(1);
    }
    reader.finish()?;
    Ok(AppendRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

pub(crate) fn encode_append_result(result: &AppendResult) -> Bytes {
    let mut out = BytesMut::with_capacity(24);
    match result {
        Ok(matched) => {
            out.put_u8(0);
            put_log_id_option(&mut out, matched.as_ref());
        }
        Err(StreamAppendError::Conflict(id)) => {
            out.put_u8(1);
            put_log_id_option(&mut out, Some(id));
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(2);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}

pub(crate) fn decode_append_result(payload: Bytes) -> Result<AppendResult, CodecError> {
    let mut reader = Reader::new(payload);
    let result = match reader.byte()? {
        0 => Ok(reader.log_id_option()?),
        1 => Err(StreamAppendError::Conflict(required(&mut reader)?)),
        2 => Err(StreamAppendError::HigherVote(reader.vote()?)),
        value => return Err(unknown("append result", value)),
    };
    reader.finish()?;
    Ok(result)
}

pub(crate) fn encode_vote_request(request: &VoteRequest<TypeConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    put_vote(&mut out, &request.vote);
    put_log_id_option(&mut out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
    out.freeze()
}

pub(crate) fn decode_vote_request(payload: Bytes) -> Result<VoteRequest<TypeConfig>, CodecError> {
    let mut reader = Reader::new(payload);
    let mut request = VoteRequest::new(reader.vote()?, reader.log_id_option()?);
    request.leadership_transfer = reader.flag("leadership transfer")?;
    reader.finish()?;
    Ok(request)
}

pub(crate) fn encode_vote_response(response: &VoteResponse<TypeConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    put_vote(&mut out, &response.vote);
    put_log_id_option(&mut out, response.last_log_id.as_ref());
    out.put_u8(u8::from(response.vote_granted));
    out.freeze()
}

pub(crate) fn decode_vote_response(payload: Bytes) -> Result<VoteResponse<TypeConfig>, CodecError> {
    let mut reader = Reader::new(payload);
    let (vote, last) = (reader.vote()?, reader.log_id_option()?);
    let granted = reader.flag("vote granted")?;
    reader.finish()?;
    Ok(VoteResponse::new(vote, last, granted))
}

pub(crate) fn encode_transfer(request: &TransferLeaderRequest<TypeConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    put_vote(&mut out, request.from_leader());
    out.put_u64_le(*request.to_node_id());
    put_log_id_option(&mut out, request.last_log_id());
    out.freeze()
}

pub(crate) fn decode_transfer(
    payload: Bytes,
) -> Result<TransferLeaderRequest<TypeConfig>, CodecError> {
    let mut reader = Reader::new(payload);
    let request =
        TransferLeaderRequest::new(reader.vote()?, reader.long()?, reader.log_id_option()?);
    reader.finish()?;
    Ok(request)
}

pub(crate) fn encode_transfer_response(response: &TransferLeaderResponse<TypeConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    match response {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            put_vote(&mut out, expected);
            put_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_log_id_option(&mut out, expected.as_ref());
            put_log_id_option(&mut out, actual.as_ref());
        }
    }
    out.freeze()
}

pub(crate) fn decode_transfer_response(
    payload: Bytes,
) -> Result<TransferLeaderResponse<TypeConfig>, CodecError> {
    let mut reader = Reader::new(payload);
    let response = match reader.byte()? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged {
            expected: reader.vote()?,
            actual: reader.vote()?,
        }),
        2 => Err(TransferLeaderError::LogNotFlushed {
            expected: reader.log_id_option()?,
            actual: reader.log_id_option()?,
        }),
        value => return Err(unknown("transfer answer", value)),
    };
    reader.finish()?;
    Ok(response)
}

/// Answer of a leader to something forwarded to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// Done; what comes back depends on the request.
    Done(Bytes),
    /// Certainly not done: that member cannot do it now.
    Refused(String),
    /// Perhaps done, or failed in the handler.
    Failed(String),
}

impl Forwarded {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        match self {
            Self::Done(bytes) => {
                out.put_u8(0);
                out.put_slice(bytes);
            }
            Self::Refused(text) => {
                out.put_u8(1);
                put_text(&mut out, text);
            }
            Self::Failed(text) => {
                out.put_u8(2);
                put_text(&mut out, text);
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        match reader.byte()? {
            0 => Ok(Self::Done(reader.rest())),
            1 => Ok(Self::Refused(reader.text("refusal")?)),
            2 => Ok(Self::Failed(reader.text("failure")?)),
            value => Err(unknown("forwarded answer", value)),
        }
    }
}

/// Start of a snapshot transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotBegin {
    pub(crate) vote: Vote,
    /// Chosen by the sender for this snapshot; the same in every attempt.
    pub(crate) id: u64,
    pub(crate) meta: SnapshotMeta,
}

impl SnapshotBegin {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        put_vote(&mut out, &self.vote);
        out.put_u64_le(self.id);
        put_log_id_option(&mut out, self.meta.last_log_id.as_ref());
        out.put_slice(&encode_stored_membership(&self.meta.last_membership));
        out.freeze()
    }

    pub(crate) fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        let (vote, id) = (reader.vote()?, reader.long()?);
        let last_log_id = reader.log_id_option()?;
        let last_membership = decode_stored_membership(&reader.rest())?;
        Ok(Self {
            vote,
            id,
            meta: SnapshotMeta {
                last_log_id,
                last_membership,
            },
        })
    }
}

/// A piece of a snapshot; `crc` covers `data` from source to sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotChunk {
    pub(crate) sequence: u32,
    pub(crate) crc: u32,
    pub(crate) data: Bytes,
}

impl SnapshotChunk {
    pub(crate) fn new(sequence: u32, data: Bytes) -> Self {
        Self {
            sequence,
            crc: crc32fast::hash(&data),
            data,
        }
    }

    pub(crate) fn encode_head(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8);
        out.put_u32_le(self.sequence);
        out.put_u32_le(self.crc);
        out.freeze()
    }

    pub(crate) fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        Ok(Self {
            sequence: reader.word()?,
            crc: reader.word()?,
            data: reader.rest(),
        })
    }
}

/// End of a snapshot transfer: what must have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotEnd {
    pub(crate) chunks_count: u32,
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
}

impl SnapshotEnd {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_u32_le(self.chunks_count);
        out.put_u64_le(self.bytes);
        out.put_u32_le(self.crc);
        out.freeze()
    }

    pub(crate) fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        let end = Self {
            chunks_count: reader.word()?,
            bytes: reader.long()?,
            crc: reader.word()?,
        };
        reader.finish()?;
        Ok(end)
    }
}

/// What the receiver of a snapshot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotReply {
    /// Ready for the chunk with this sequence and what follows.
    Accepted(u32),
    /// The chunk with this sequence is written.
    Written(u32),
    /// Installed, or not needed; the receiver's vote.
    Done(Vote),
    /// Given up.
    Rejected(String),
}

impl SnapshotReply {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(20);
        match self {
            Self::Accepted(next) => {
                out.put_u8(0);
                out.put_u32_le(*next);
            }
            Self::Written(sequence) => {
                out.put_u8(1);
                out.put_u32_le(*sequence);
            }
            Self::Done(vote) => {
                out.put_u8(2);
                put_vote(&mut out, vote);
            }
            Self::Rejected(text) => {
                out.put_u8(3);
                put_text(&mut out, text);
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(payload: Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(payload);
        let reply = match reader.byte()? {
            0 => Self::Accepted(reader.word()?),
            1 => Self::Written(reader.word()?),
            2 => Self::Done(reader.vote()?),
            3 => Self::Rejected(reader.text("rejection")?),
            value => return Err(unknown("snapshot answer", value)),
        };
        reader.finish()?;
        Ok(reply)
    }
}

pub(crate) fn encode_text(text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 2);
    put_text(&mut out, text);
    out.freeze()
}

pub(crate) fn decode_text(payload: Bytes) -> String {
    let text = Reader::new(payload).text("text");
    text.unwrap_or_else(|error| format!("unreadable reason: {error}"))
}

fn required(reader: &mut Reader) -> Result<LogId, CodecError> {
    reader
        .log_id_option()?
        .ok_or_else(|| unknown("log id presence", 0))
}

fn unknown(what: &'static str, value: u8) -> CodecError {
    CodecError::Unknown {
        what,
        value: value.into(),
    }
}

/// term, length, tag.
const ENTRY_HEAD_BYTES: usize = 13;
