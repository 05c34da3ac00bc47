//! Counts the pairs of a Range or RangeStream reply while its bytes come in.
//!
//! A reply of 10,000 rows is megabytes: putting it together to decode it would
//! cost the generator about as much as the server spends. All that is needed is
//! whether the rows are there, so lengths are read and contents skipped, across
//! the borders of chunks, without a copy.
//!
//! Source: gRPC over HTTP/2 (prefix of 5 bytes per message); RangeResponse has
//! its pairs in field 2, RangeStreamResponse a RangeResponse in field 1.

use crate::connection::{Call, frames::PREFIX_BYTES};

/// Wire type of a field that has a length.
const LENGTH_DELIMITED: u64 = 2;

/// Field of the pairs in a RangeResponse.
const PAIRS_FIELD: u64 = 2;

/// Field of the RangeResponse in a RangeStreamResponse.
const CHUNK_FIELD: u64 = 1;

/// Longest varint; what is longer is no protobuf.
const VARINT_BITS_MAX: u32 = 63;

/// A count under way.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Pairs begun so far.
    count: u64,
    /// Bytes not yet read of the message under way.
    message_left: usize,
    /// True for replies of RangeStream.
    nested: bool,
    state: State,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The message's prefix: bytes of it read, and its length so far.
    Prefix { read: usize, length: u32 },
    /// A field's number and wire type; `inside` a RangeStream chunk or not.
    Key { inside: bool, varint: Varint },
    /// The length of a field's content.
    Length {
        inside: bool,
        field: u64,
        varint: Varint,
    },
    /// A number that is not looked at.
    Number { inside: bool },
    /// Content that is not looked at.
    Skip { inside: bool, left: usize },
    /// Not protobuf as expected; nothing further is counted.
    Broken,
}

/// A varint of which some bytes were read.
#[derive(Clone, Copy, Debug, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// Takes a byte; true after the last one.
    const fn push(&mut self, byte: u8) -> bool {
        if self.bits < VARINT_BITS_MAX {
            self.value |= ((byte & 0x7f) as u64) << self.bits;
        }
        self.bits += 7;
        byte & 0x80 == 0
    }
}

impl Rows {
    /// Counts rows of the replies to `call`.
    #[must_use]
    pub fn of(call: Call) -> Self {
        Self {
            count: 0,
            message_left: 0,
            nested: call == Call::RangeStream,
            state: State::PREFIX,
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            let skipped = match &mut self.state {
                State::Skip { left, .. } => {
                    let skipped = (*left).min(bytes.len());
                    *left -= skipped;
                    skipped
                }
                State::Broken => return,
                _ => 0,
            };
            if skipped > 0 {
                bytes = bytes.get(skipped..).unwrap_or_default();
                self.message_left = self.message_left.saturating_sub(skipped);
            } else {
                if !matches!(self.state, State::Prefix { .. }) {
                    self.message_left = self.message_left.saturating_sub(1);
                }
                self.push(*first);
                bytes = rest;
            }
            self.settle();
        }
    }

    /// Rows so far; `None` if the bytes were no such reply, or end within one.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        matches!(self.state, State::Prefix { read: 0, .. }).then_some(self.count)
    }

    fn push(&mut self, byte: u8) {
        self.state = match self.state {
            State::Prefix { read, length } => {
                let length = if read == 0 {
                    0
                } else {
                    length << 8 | u32::from(byte)
                };
                let read = read + 1;
                if read == PREFIX_BYTES {
                    self.message_left = usize::try_from(length).unwrap_or(usize::MAX);
                    State::key(false)
                } else {
                    State::Prefix { read, length }
                }
            }
            State::Key { inside, mut varint } => {
                if varint.push(byte) {
                    self.field(inside, varint.value)
                } else {
                    State::Key { inside, varint }
                }
            }
            State::Length {
                inside,
                field,
                mut varint,
            } => {
                if varint.push(byte) {
                    self.content(inside, field, varint.value)
                } else {
                    State::Length {
                        inside,
                        field,
                        varint,
                    }
                }
            }
            State::Number { inside } if byte & 0x80 == 0 => State::key(inside),
            other => other,
        };
    }

    /// What follows a field's key.
    fn field(&self, inside: bool, key: u64) -> State {
        match key & 7 {
            0 => State::Number { inside },
            LENGTH_DELIMITED => State::Length {
                inside,
                field: key >> 3,
                varint: Varint::default(),
            },
            _ => State::Broken,
        }
    }

    /// What follows a field's length.
    fn content(&mut self, inside: bool, field: u64, length: u64) -> State {
        let Ok(left) = usize::try_from(length) else {
            return State::Broken;
        };
        if left > self.message_left {
            return State::Broken;
        }
        if self.nested && !inside && field == CHUNK_FIELD {
            return State::key(true);
        }
        self.count += u64::from(field == PAIRS_FIELD && inside == self.nested);
        State::Skip { inside, left }
    }

    /// Leaves what is complete: content, then the message.
    fn settle(&mut self) {
        if let State::Skip { inside, left: 0 } = self.state {
            self.state = State::key(inside);
        }
        if self.message_left == 0 && matches!(self.state, State::Key { .. }) {
            self.state = State::PREFIX;
        }
    }
}

impl State {
    const PREFIX: Self = Self::Prefix { read: 0, length: 0 };

    fn key(inside: bool) -> Self {
        Self::Key {
            inside,
            varint: Varint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use quoin_proto::{
        etcdserverpb::{RangeResponse, RangeStreamResponse, ResponseHeader},
        mvccpb::KeyValue,
    };

    use super::*;
    use crate::connection::Frames;

    fn reply(rows: usize) -> RangeResponse {
        let pair = KeyValue {
            key: "some key".into(),
            value: vec![2; 300].into(),
            mod_revision: i64::MAX,
            ..KeyValue::default()
        };
        RangeResponse {
            header: Some(ResponseHeader {
                revision: 1 << 40,
                ..ResponseHeader::default()
            }),
            kvs: vec![pair; rows],
            more: true,
            count: 1 << 33,
        }
    }

    fn counted(call: Call, bytes: &[u8], step: usize) -> Option<u64> {
        let mut rows = Rows::of(call);
        bytes.chunks(step).for_each(|chunk| rows.feed(chunk));
        rows.count()
    }

    #[test]
    fn rows_are_counted_across_chunks_and_messages() {
        let mut frames = Frames::default();
        let one = frames.frame(&reply(3));
        let empty = frames.frame(&RangeResponse::default());
        let chunk = |rows| RangeStreamResponse {
            range_response: Some(reply(rows)),
        };
        let stream = [frames.frame(&chunk(5)), frames.frame(&chunk(0))].concat();
        for step in [1, 2, 3, 7, 64, 1 << 20] {
            assert_eq!(counted(Call::Range, &one, step), Some(3));
            assert_eq!(counted(Call::Range, &empty, step), Some(0));
            assert_eq!(counted(Call::RangeStream, &stream, step), Some(5));
        }
    }

    #[test]
    fn what_is_cut_short_or_no_reply_has_no_count() {
        let one = Frames::default().frame(&reply(3));
        assert_eq!(counted(Call::Range, &one[..one.len() - 1], 9), None);
        assert_eq!(counted(Call::Range, &[0, 0, 0, 0, 2, 0x12, 90], 9), None);
        assert_eq!(counted(Call::Range, &[0, 0, 0, 0, 9, 0x0d, 1], 9), None);
    }
}
