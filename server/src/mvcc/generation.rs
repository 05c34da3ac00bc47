//! One change of one key, packed for the index.
//!
//! A generation is the life of a key from the put that creates it to its
//! tombstone. Generations need no object of their own: every put carries the
//! revision that created its generation and its place in it (`version`), and a
//! tombstone ends it. So a key's history is a flat list of [`Change`]s.
//!
//! The layout is packed to 28 bytes, so that with a 4-byte history link a key's
//! index entry takes 32. `sub` is kept in 32 bits: a request is at most a few
//! MiB, and a lease with 2^32 keys does not fit in memory.

use crate::base::revision::Revision;

/// One change of one key: a put or the tombstone that ends a generation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(Rust, packed(4))]
pub(super) struct Change {
    /// Main revision of the change.
    main: i64,
    /// Main revision of the put that began the generation; 0 in a tombstone.
    create: i64,
    /// Version above [`VERSION_SHIFT`], and the flags below it.
    version_and_flags: u64,
    /// Place of the change within its main revision.
    sub: u32,
}

impl Change {
    /// The put that begins a generation.
    pub(super) fn creation(revision: Revision, leased: bool) -> Self {
        Self::put(revision, revision.main, 1, leased)
    }

    /// Any put.
    pub(super) fn put(revision: Revision, create: i64, version: i64, leased: bool) -> Self {
        let flags = if leased { LEASED } else { 0 };
        Self {
            main: revision.main,
            create,
            version_and_flags: (version.cast_unsigned() << VERSION_SHIFT) | flags,
            sub: sub_of(revision),
        }
    }

    /// The end of a generation.
    pub(super) fn tombstone(revision: Revision) -> Self {
        Self {
            main: revision.main,
            create: 0,
            version_and_flags: TOMBSTONE,
            sub: sub_of(revision),
        }
    }

    /// The put that follows this change.
    pub(super) fn next_put(self, revision: Revision, leased: bool) -> Self {
        if self.is_tombstone() {
            Self::creation(revision, leased)
        } else {
            Self::put(revision, self.create, self.version() + 1, leased)
        }
    }

    pub(super) fn main(self) -> i64 {
        self.main
    }

    pub(super) fn revision(self) -> Revision {
        Revision {
            main: self.main,
            sub: i64::from(self.sub),
        }
    }

    pub(super) fn create_revision(self) -> i64 {
        self.create
    }

    pub(super) fn version(self) -> i64 {
        (self.version_and_flags >> VERSION_SHIFT).cast_signed()
    }

    /// Whether the put carries a lease; which one, the record tells.
    pub(super) fn is_leased(self) -> bool {
        self.version_and_flags & LEASED != 0
    }

    pub(super) fn is_tombstone(self) -> bool {
        self.version_and_flags & TOMBSTONE != 0
    }
}

/// Packed changes saturate here; see the file header for why none gets there.
fn sub_of(revision: Revision) -> u32 {
    debug_assert!(revision.sub >= 0 && revision.sub <= i64::from(u32::MAX));
    u32::try_from(revision.sub).unwrap_or(u32::MAX)
}

const TOMBSTONE: u64 = 1;
const LEASED: u64 = 2;
/// Two flag bits leave 62 for the version: 10 million puts per second of one
/// key for 14 000 years.
const VERSION_SHIFT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_packed_and_gives_back_what_went_in() {
        assert_eq!(size_of::<Change>(), 28);
        let revision = Revision {
            main: i64::MAX,
            sub: 7,
        };
        let put = Change::put(revision, 5, 1 << 60, true);
        assert_eq!((put.revision(), put.create_revision()), (revision, 5));
        assert_eq!(
            (put.version(), put.is_leased(), put.is_tombstone()),
            (1 << 60, true, false)
        );
        let dead = Change::tombstone(revision);
        assert_eq!(
            (dead.revision(), dead.version(), dead.is_tombstone()),
            (revision, 0, true)
        );
        let reborn = dead.next_put(Revision { main: 9, sub: 0 }, false);
        assert_eq!((reborn.version(), reborn.create_revision()), (1, 9));
    }
}
