//! The meta row: everything that a commit makes true in one step.
//!
//! Bytes: the table "meta" of docs/formats/backend.md. It is the last row of a
//! checkpoint, so whatever it says is backed by rows of the same commit. `graves`
//! are blocks that no longer belong to the state although their rows may still be
//! there for older views; recovery ignores them and the next checkpoints dig
//! them out.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::block::{seal, verify};
use super::config::Identity;
use super::digest::{DIGEST_BYTES, Digest};
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
        out.put_u32_le(VERSION);
        out.put_u64_le(self.identity.cluster_id);
        out.put_u64_le(self.identity.member_id);
        let applied = self.position.applied;
        let membership = self.position.membership.as_ref();
        let flags = (u8::from(applied.is_some()) * FLAG_APPLIED)
            | (u8::from(membership.is_some()) * FLAG_MEMBERSHIP)
            | (u8::from(self.is_partial) * FLAG_PARTIAL)
            | (u8::from(self.position.digest.base.is_some()) * FLAG_DIGEST);
        out.put_u8(flags);
        out.put_u64_le(applied.map_or(0, |applied| applied.index));
        out.put_u64_le(applied.map_or(0, |applied| applied.term));
        out.put_i64_le(self.position.revision);
        out.put_i64_le(self.checkpointed.main);
        out.put_i64_le(self.checkpointed.sub);
        out.put_u64_le(self.next_id);
        out.put_u32_le(membership.map_or(0, |membership| membership.len() as u32));
        out.put_u32_le(self.graves.len() as u32);
        self.position.digest.put(&mut out);
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
    /// What is wrong with the bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let (version, mut rest) = verify(bytes, HEADER_BYTES)?;
        let digest_bytes = match version {
            VERSION_UNDIGESTED => 0,
            VERSION => DIGEST_BYTES,
            newer => return Err(MetaError::Version(newer)),
        };
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
        if rest.len() != digest_bytes + membership_len + graves_count * GRAVE_BYTES {
            return Err("wrong length".into());
        }
        let digest = match version {
            VERSION => Digest::take(flags & FLAG_DIGEST != 0, &mut rest),
            _ => Digest::UNKNOWN,
        };
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
            digest,
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

/// Why bytes are no meta row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetaError {
    /// They are damaged, for this reason.
    Damaged(&'static str),
    /// A version of quoin wrote them that this one does not know.
    Version(u32),
}

impl From<&'static str> for MetaError {
    fn from(reason: &'static str) -> Self {
        Self::Damaged(reason)
    }
}

/// Version of the meta row; later ones are refused.
pub(super) const VERSION: u32 = 2;
/// The version before, without a digest.
const VERSION_UNDIGESTED: u32 = 1;
const FLAG_APPLIED: u8 = 1;
const FLAG_MEMBERSHIP: u8 = 2;
const FLAG_PARTIAL: u8 = 4;
const FLAG_DIGEST: u8 = 8;
/// Everything before the digest and the membership.
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
                digest: Digest {
                    base: Some(10),
                    value: u128::MAX / 3,
                },
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
        assert_eq!(bytes.len(), HEADER_BYTES + DIGEST_BYTES + 7 + GRAVE_BYTES);
        assert_eq!(Meta::decode(&bytes), Ok(meta.clone()));
        assert_eq!(Meta::decode(&Meta::default().encode()), Ok(Meta::default()));
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            assert!(Meta::decode(&bad).is_err());
            assert!(Meta::decode(&bytes[..at]).is_err());
        }
    }

    /// The bytes with another version and without `cut`, resealed.
    fn rewritten(meta: &Meta, version: u32, cut: std::ops::Range<usize>) -> Bytes {
        let mut bytes = meta.encode().to_vec();
        bytes.drain(cut);
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        seal(BytesMut::from(&bytes[..]))
    }

    #[test]
    fn version_1_has_no_digest_and_a_later_version_is_named() {
        let mut meta = Meta::default();
        meta.position.applied = Some(Applied { index: 3, term: 4 });
        meta.position.membership = Some(Bytes::from_static(b"members"));
        let cut = HEADER_BYTES..HEADER_BYTES + DIGEST_BYTES;
        let found = Meta::decode(&rewritten(&meta, VERSION_UNDIGESTED, cut)).unwrap();
        assert_eq!(found.position.digest, Digest::UNKNOWN);
        meta.position.digest = Digest::UNKNOWN;
        assert_eq!(found, meta);
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta.clone()));
        let newer = Meta::decode(&rewritten(&meta, 3, 0..0));
        assert_eq!(newer, Err(MetaError::Version(3)));
    }
}
