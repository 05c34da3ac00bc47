//! Ranges of keys as the API writes them.
//!
//! A range is a key and an end; the special ends are computed here and nowhere
//! else. Requests over a range share one set of constructors.

use bytes::Bytes;

/// The constructors of a request over a key or a range: `$name` wraps a
/// `$message` with fields `key` and `range_end`.
macro_rules! range_constructors {
    ($name:ident, $message:ident) => {
        impl $name {
            /// One key.
            pub fn key(key: impl Into<bytes::Bytes>) -> Self {
                Self::over((key.into(), bytes::Bytes::new()))
            }

            /// Keys from `start` up to and without `end`.
            pub fn range(start: impl Into<bytes::Bytes>, end: impl Into<bytes::Bytes>) -> Self {
                Self::over((start.into(), end.into()))
            }

            /// All keys that start with `prefix`; all keys if it is empty.
            pub fn prefix(prefix: impl Into<bytes::Bytes>) -> Self {
                Self::over(crate::api::range::prefix(prefix.into()))
            }

            /// `key` and all keys after it.
            pub fn from_key(key: impl Into<bytes::Bytes>) -> Self {
                Self::over(crate::api::range::from_key(key.into()))
            }

            fn over((key, range_end): (bytes::Bytes, bytes::Bytes)) -> Self {
                Self($message {
                    key,
                    range_end,
                    ..$message::default()
                })
            }
        }

        impl From<&'static str> for $name {
            fn from(key: &'static str) -> Self {
                Self::key(key)
            }
        }

        impl From<String> for $name {
            fn from(key: String) -> Self {
                Self::key(key)
            }
        }

        impl From<$message> for $name {
            fn from(request: $message) -> Self {
                Self(request)
            }
        }
    };
}

pub(crate) use range_constructors;

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
