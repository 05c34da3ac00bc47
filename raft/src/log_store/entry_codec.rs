//! Bytes of entries, memberships and hard state (docs/formats/entry.md).
//!
//! All integers are little-endian. Decoding takes bytes from disk or from a
//! peer: it never panics, never allocates more than the input justifies, and
//! refuses trailing bytes. Checksums are the business of the layers that
//! carry these bytes (log records, peer frames).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::impls::leader_id_std::LeaderId;

use crate::config::Member;
use crate::types::{
    Entry, EntryBody, LogId, Membership, PeerNode, StoredMembership, Tag, Vote, log_id,
};

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("ends too early")]
    Short,
    #[error("{0} bytes too many")]
    Trailing(usize),
    #[error("{what} has the unknown value {value}")]
    Unknown { what: &'static str, value: u64 },
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    #[error("membership is inconsistent: {0}")]
    Membership(String),
}

/// Reads fields one after the other; every read may fail, none may panic.
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        self.bytes.try_get_u8().map_err(|_| CodecError::Short)
    }

    pub(crate) fn short(&mut self) -> Result<u16, CodecError> {
        self.bytes.try_get_u16_le().map_err(|_| CodecError::Short)
    }

    pub(crate) fn word(&mut self) -> Result<u32, CodecError> {
        self.bytes.try_get_u32_le().map_err(|_| CodecError::Short)
    }

    pub(crate) fn long(&mut self) -> Result<u64, CodecError> {
        self.bytes.try_get_u64_le().map_err(|_| CodecError::Short)
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(CodecError::Unknown {
                what,
                value: value.into(),
            }),
        }
    }

    pub(crate) fn slice(&mut self, length: usize) -> Result<Bytes, CodecError> {
        if self.bytes.len() < length {
            return Err(CodecError::Short);
        }
        Ok(self.bytes.split_to(length))
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, CodecError> {
        let length = self.short()?;
        let bytes = self.slice(length.into())?;
        String::from_utf8(bytes.to_vec()).map_err(|_| CodecError::NotText(what))
    }

    pub(crate) fn log_id_option(&mut self) -> Result<Option<LogId>, CodecError> {
        if !self.flag("log id presence")? {
            return Ok(None);
        }
        Ok(Some(log_id(self.long()?, self.long()?)))
    }

    pub(crate) fn vote(&mut self) -> Result<Vote, CodecError> {
        let committed = self.flag("vote committed")?;
        let leader_id = LeaderId {
            term: self.long()?,
            voted_for: self.long()?,
        };
        Ok(Vote {
            leader_id,
            committed,
        })
    }

    /// Everything not yet read.
    pub(crate) fn rest(self) -> Bytes {
        self.bytes
    }

    /// # Errors
    /// Something is left over.
    pub(crate) fn finish(self) -> Result<(), CodecError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(CodecError::Trailing(left)),
        }
    }
}

pub(crate) fn put_log_id_option(out: &mut BytesMut, id: Option<&LogId>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        out.put_u64_le(id.leader_id.term);
        out.put_u64_le(id.index);
    }
}

pub(crate) fn put_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u8(u8::from(vote.committed));
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.voted_for);
}

/// Writes a text; longer than 65535 bytes it is cut at a character.
pub(crate) fn put_text(out: &mut BytesMut, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_u16_le(u16::try_from(end).unwrap_or(u16::MAX));
    out.put_slice(text.get(..end).unwrap_or_default().as_bytes());
}

/// Encodes a membership.
pub(crate) fn encode_membership(membership: &Membership) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    put_membership(&mut out, membership);
    out.freeze()
}

/// Decodes a membership.
///
/// # Errors
/// The bytes are not one membership.
pub(crate) fn decode_membership(bytes: &Bytes) -> Result<Membership, CodecError> {
    let mut reader = Reader::new(bytes.clone());
    let membership = take_membership(&mut reader)?;
    reader.finish()?;
    Ok(membership)
}

/// Encodes a membership together with the entry that set it.
pub(crate) fn encode_stored_membership(stored: &StoredMembership) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    put_log_id_option(&mut out, stored.log_id().as_ref());
    put_membership(&mut out, stored.membership());
    out.freeze()
}

/// # Errors
/// The bytes are not one stored membership.
pub(crate) fn decode_stored_membership(bytes: &Bytes) -> Result<StoredMembership, CodecError> {
    let mut reader = Reader::new(bytes.clone());
    let id = reader.log_id_option()?;
    let membership = take_membership(&mut reader)?;
    reader.finish()?;
    Ok(StoredMembership::new(id, membership))
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(HARD_STATE_VERSION);
    put_vote(&mut out, vote);
    out.freeze()
}

/// # Errors
/// The bytes are not one vote.
pub(crate) fn decode_vote(bytes: &Bytes) -> Result<Vote, CodecError> {
    let mut reader = versioned(bytes, "vote version")?;
    let vote = reader.vote()?;
    reader.finish()?;
    Ok(vote)
}

pub(crate) fn encode_committed(id: Option<&LogId>) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(HARD_STATE_VERSION);
    put_log_id_option(&mut out, id);
    out.freeze()
}

/// # Errors
/// The bytes are not one commit mark.
pub(crate) fn decode_committed(bytes: &Bytes) -> Result<Option<LogId>, CodecError> {
    let mut reader = versioned(bytes, "commit mark version")?;
    let id = reader.log_id_option()?;
    reader.finish()?;
    Ok(id)
}

/// The entry as the log keeps it.
pub(crate) fn to_wal(entry: &Entry) -> quoin_wal::Entry {
    quoin_wal::Entry {
        index: entry.log_id.index,
        term: entry.log_id.leader_id.term,
        kind: entry.body.tag as u8,
        payload: entry.body.bytes.clone(),
    }
}

/// # Errors
/// The tag is unknown or a membership does not decode.
pub(crate) fn from_wal(entry: quoin_wal::Entry) -> Result<Entry, CodecError> {
    let body = checked_body(entry.kind, entry.payload)?;
    Ok(Entry {
        log_id: log_id(entry.term, entry.index),
        body,
    })
}

/// Builds a body from bytes of unknown origin; afterwards `get_membership`
/// cannot fail on it.
///
/// # Errors
/// The tag is unknown or a membership does not decode.
pub(crate) fn checked_body(tag: u8, bytes: Bytes) -> Result<EntryBody, CodecError> {
    let Some(tag) = Tag::from_byte(tag) else {
        return Err(CodecError::Unknown {
            what: "entry tag",
            value: tag.into(),
        });
    };
    if tag == Tag::Membership {
        decode_membership(&bytes)?;
    }
    Ok(EntryBody::new(tag, bytes))
}

fn versioned(bytes: &Bytes, what: &'static str) -> Result<Reader, CodecError> {
    let mut reader = Reader::new(bytes.clone());
    match reader.byte()? {
        HARD_STATE_VERSION => Ok(reader),
        value => Err(CodecError::Unknown {
            what,
            value: value.into(),
        }),
    }
}

fn put_membership(out: &mut BytesMut, membership: &Membership) {
    out.put_u8(MEMBERSHIP_VERSION);
    let configs = membership.get_joint_config();
    out.put_u16_le(u16::try_from(configs.len()).unwrap_or(u16::MAX));
    for config in configs {
        out.put_u16_le(u16::try_from(config.len()).unwrap_or(u16::MAX));
        for id in config {
            out.put_u64_le(*id);
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.put_u16_le(u16::try_from(nodes.len()).unwrap_or(u16::MAX));
    for (id, node) in nodes {
        put_member(out, *id, node.is_learner, &node.name, &node.peer_urls);
    }
}

/// A member, as memberships and rosters hold it.
pub(crate) fn put_member(
    out: &mut BytesMut,
    id: u64,
    is_learner: bool,
    name: &str,
    peer_urls: &[String],
) {
    out.put_u64_le(id);
    out.put_u8(u8::from(is_learner));
    put_text(out, name);
    out.put_u16_le(u16::try_from(peer_urls.len()).unwrap_or(u16::MAX));
    for url in peer_urls.iter().take(usize::from(u16::MAX)) {
        put_text(out, url);
    }
}

/// # Errors
/// The bytes are not one member.
pub(crate) fn take_member(reader: &mut Reader) -> Result<Member, CodecError> {
    let mut member = Member {
        id: reader.long()?,
        is_learner: reader.flag("learner")?,
        name: reader.text("member name")?,
        peer_urls: Vec::new(),
    };
    for _ in 0..reader.short()? {
        member.peer_urls.push(reader.text("peer url")?);
    }
    Ok(member)
}

fn take_membership(reader: &mut Reader) -> Result<Membership, CodecError> {
    match reader.byte()? {
        MEMBERSHIP_VERSION => {}
        value => {
            return Err(CodecError::Unknown {
                what: "membership version",
                value: value.into(),
            });
        }
    }
    let mut configs = Vec::new();
    for _ in 0..reader.short()? {
        let mut config = BTreeSet::new();
        for _ in 0..reader.short()? {
            config.insert(reader.long()?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.short()? {
        let member = take_member(reader)?;
        nodes.insert(member.id, PeerNode::from(member));
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|error| CodecError::Membership(error.to_string()))
}

const HARD_STATE_VERSION: u8 = 1;
const MEMBERSHIP_VERSION: u8 = 1;
