//! Ranges of keys as the API writes them.
//!
//! A range is a key and an end; the special ends are computed here and nowhere
//! else.

use bytes::Bytes;

/// End of a range without an end.
pub(crate) const UNBOUNDED: &[u8] = b"\0";

/// Key and end of all keys that start with `prefix`; all keys for an empty one.
pub(crate) fn prefix(prefix: Bytes) -> (Bytes, Bytes) {
    if prefix.is_empty() {
        return (Bytes::from_static(UNBOUNDED), Bytes::from_static(UNBOUNDED));
    }
    let end = prefix_end(&prefix);
    (prefix, end)
}

/// Key and end of all keys from `key` on; all keys for an empty one.
pub(crate) fn from_key(key: Bytes) -> (Bytes, Bytes) {
    let start = if key.is_empty() {
        Bytes::from_static(UNBOUNDED)
    } else {
        key
    };
    (start, Bytes::from_static(UNBOUNDED))
}

/// The first key after all keys that start with `prefix`: the end of their
/// range.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|&byte| byte != u8::MAX) else {
        return Bytes::from_static(UNBOUNDED);
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_follow_the_last_byte_that_can_grow() {
        assert_eq!(&prefix_end(b"ab")[..], b"ac");
        assert_eq!(&prefix_end(b"a\xff\xff")[..], b"b");
        assert_eq!(&prefix_end(b"\xff")[..], UNBOUNDED);
        let (start, end) = prefix(Bytes::new());
        assert_eq!((&start[..], &end[..]), (UNBOUNDED, UNBOUNDED));
    }
}
