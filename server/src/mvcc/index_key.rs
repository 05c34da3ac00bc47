//! A key as the index holds it: short ones in place.
//!
//! A lookup compares a key with some twenty others. Where those lie in the
//! tree's nodes themselves, most of these comparisons find their bytes in a
//! line of the cache that the one before has fetched.

use std::{borrow::Borrow, cmp::Ordering, fmt, ops::Deref};

/// Bytes of a key. 24 bytes; longer keys own memory outside.
#[derive(Clone)]
pub(super) struct IndexKey(Place);

#[derive(Clone)]
enum Place {
    /// The first `length` bytes.
    Here {
        length: u8,
        bytes: [u8; HERE_BYTES_MAX],
    },
    Outside(Box<[u8]>),
}

/// Longest key that is held in place.
const HERE_BYTES_MAX: usize = 22;

impl From<&[u8]> for IndexKey {
    fn from(key: &[u8]) -> Self {
        let mut bytes = [0; HERE_BYTES_MAX];
        Self(match bytes.get_mut(..key.len()) {
            Some(here) => {
                here.copy_from_slice(key);
                let length = key.len() as u8;
                Place::Here { length, bytes }
            }
            None => Place::Outside(key.into()),
        })
    }
}

impl Deref for IndexKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Here { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Place::Outside(key) => key,
        }
    }
}

impl Borrow<[u8]> for IndexKey {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Ord for IndexKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for IndexKey {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for IndexKey {}

impl fmt::Debug for IndexKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.escape_ascii().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_24_bytes() {
        assert_eq!(size_of::<IndexKey>(), 24);
    }

    #[test]
    fn keys_of_every_length_are_their_bytes_and_in_their_order() {
        let texts: Vec<Vec<u8>> = (0..50).map(|length| vec![b'k'; length]).collect();
        let keys: Vec<IndexKey> = texts.iter().map(|text| text.as_slice().into()).collect();
        for (key, text) in keys.iter().zip(&texts) {
            assert_eq!(**key, **text);
            assert!(matches!(key.0, Place::Here { .. }) == (text.len() <= HERE_BYTES_MAX));
        }
        assert!(keys.is_sorted());
        // Padding does not count.
        assert!(IndexKey::from(&b"k"[..]) < IndexKey::from(&b"k\0"[..]));
    }
}
