//! The name of one change: a main revision and its place inside it.
//!
//! Every request that changes anything gets the next main revision; the changes
//! inside it are numbered by `sub` from zero. Ordered by (main, sub), which is
//! also the order of the 17-byte form that etcd uses as a storage key and that
//! HashKV is defined over: main as 8 bytes big-endian, `_`, sub as 8 bytes.

use std::fmt;

/// Names one record: the request that made it and its place in that request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision {
    /// Counts requests that changed something; the first one is 2.
    pub main: i64,
    /// Place of the change within its request, from zero.
    pub sub: i64,
}

impl Revision {
    /// The smallest revision there is; nothing is stored under it.
    pub const ZERO: Self = Self { main: 0, sub: 0 };

    /// Names change number `sub` of main revision `main`.
    pub const fn new(main: i64, sub: i64) -> Self {
        Self { main, sub }
    }

    /// The 17-byte storage key form.
    pub fn to_key(self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&self.main.to_be_bytes());
        key[8] = b'_';
        key[9..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.main, self.sub)
    }
}

/// Length of the storage key form: main, a separator, sub.
pub const KEY_BYTES: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_order_by_main_then_sub_as_their_keys_do() {
        let mut revisions = [
            Revision::new(3, 0),
            Revision::new(2, 5),
            Revision::new(2, 0),
            Revision::new(256, 0),
        ];
        revisions.sort();
        let keys: Vec<_> = revisions.iter().map(|revision| revision.to_key()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(revisions[0], Revision::new(2, 0));
    }
}
