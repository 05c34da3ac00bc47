//! The meta row: everything that a commit makes true in one step.
//!
//! Bytes: the table "meta" of docs/formats/backend.md. It is the last row of a
//! checkpoint, so whatever it says is backed by rows of the same commit. `graves`
//! are blocks that no longer belong to the state although their rows may still be
//! there for older views; recovery ignores them and the next checkpoints dig
//! them out.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::block::{open, seal};
use super::config::Identity;
use super::handle::{Applied, Recovered};
use crate::base::revision::Revision;

/// The state as of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meta {
    pub(super) identity: Identity,
    pub(super) position: Recovered,
    /// Last record that is in a block, or was dropped as dead before it was.
    pub(super) checkpointed: Revision,
    /// Ids from here on are free, for blocks and for pages.
    pub(super) next_id: u64,
    pub(super) graves: Vec<Grave>,
    /// Set while a snapshot is received: the state is not usable yet.
    pub(super) is_partial: bool,
}

/// A block whose rows are to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grave {
    pub(super) id: u64,
    pub(super) block_bytes: u32,
    pub(super) key_row_bytes: u32,
}

impl Meta {
    /// The byte form.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u32_le(0);
        out.put_u32_le(super::block::VERSION);
        out.put_u64_le(self.identity.cluster_id);
        out.put_u64_le(self.identity.member_id);
        let applied = self.position.applied;
        let membership = self.position.membership.as_ref();
        let flags = (u8::from(applied.is_some()) * FLAG_APPLIED)
            | (u8::from(membership.is_some()) * FLAG_MEMBERSHIP)
            | (u8::from(self.is_partial) * FLAG_PARTIAL);
        out.put_u8(flags);
        out.put_u64_le(applied.map_or(0, |applied| applied.index));
        out.put_u64_le(applied.map_or(0, |applied| applied.term));
        out.put_i64_le(self.position.revision);
        out.put_i64_le(self.checkpointed.main);
        out.put_i64_le(self.checkpointed.sub);
        out.put_u64_le(self.next_id);
        out.put_u32_le(membership.map_or(0, |membership| membership.len() as u32));
        out.put_u32_le(self.graves.len() as u32);
        out.extend_from_slice(membership.map_or(&[], |membership| membership.as_ref()));
        for grave in &self.graves {
            out.put_u64_le(grave.id);
            out.put_u32_le(grave.block_bytes);
            out.put_u32_le(grave.key_row_bytes);
        }
        seal(out)
    }

    /// Reads the byte form.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, in words.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = open(bytes, HEADER_BYTES)?;
        let identity = Identity {
            cluster_id: rest.get_u64_le(),
            member_id: rest.get_u64_le(),
        };
        let flags = rest.get_u8();
        let applied = Applied {
            index: rest.get_u64_le(),
            term: rest.get_u64_le(),
        };
        let revision = rest.get_i64_le();
        let checkpointed = Revision::new(rest.get_i64_le(), rest.get_i64_le());
        let next_id = rest.get_u64_le();
        let membership_len = rest.get_u32_le() as usize;
        let graves_count = rest.get_u32_le() as usize;
        if rest.len() != membership_len + graves_count * GRAVE_BYTES {
            return Err("wrong length");
        }
        let membership = Bytes::copy_from_slice(&rest[..membership_len]);
        rest.advance(membership_len);
        let mut graves = Vec::with_capacity(graves_count);
        for _ in 0..graves_count {
            graves.push(Grave {
                id: rest.get_u64_le(),
                block_bytes: rest.get_u32_le(),
                key_row_bytes: rest.get_u32_le(),
            });
        }
        let position = Recovered {
            applied: (flags & FLAG_APPLIED != 0).then_some(applied),
            membership: (flags & FLAG_MEMBERSHIP != 0).then_some(membership),
            revision,
        };
        let is_partial = flags & FLAG_PARTIAL != 0;
        Ok(Self {
            identity,
            position,
            checkpointed,
            next_id,
            graves,
            is_partial,
        })
    }
}

const FLAG_APPLIED: u8 = 1;
const FLAG_MEMBERSHIP: u8 = 2;
const FLAG_PARTIAL: u8 = 4;
/// Everything before the membership.
const HEADER_BYTES: usize = 81;
const GRAVE_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_survives_encoding_and_any_changed_byte_is_refused() {
        let meta = Meta {
            identity: Identity {
                cluster_id: 1,
                member_id: 2,
            },
            position: Recovered {
                applied: Some(Applied { index: 3, term: 4 }),
                membership: Some(Bytes::from_static(b"members")),
                revision: 5,
            },
            checkpointed: Revision::new(5, 1),
            next_id: 6,
            graves: vec![Grave {
                id: 7,
                block_bytes: 8,
                key_row_bytes: 9,
            }],
            is_partial: true,
        };
        let bytes = meta.encode();
        assert_eq!(bytes.len(), HEADER_BYTES + 7 + GRAVE_BYTES);
        assert_eq!(Meta::decode(&bytes), Ok(meta));
        assert_eq!(Meta::decode(&Meta::default().encode()), Ok(Meta::default()));
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            assert!(Meta::decode(&bad).is_err());
            assert!(Meta::decode(&bytes[..at]).is_err());
        }
    }
}
