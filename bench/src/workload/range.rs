//! Reads: one key, some rows, or all of a space; in one reply or as a stream.
//!
//! Every reply's rows are counted: a server that answered with fewer would not
//! be faster, it would be wrong.

use bytes::Bytes;
use quoin_proto::etcdserverpb::RangeRequest;

use crate::{
    connection::{Call, Failure, Frames},
    load::Client,
    random::Random,
    workload::keys::Keys,
};

/// How much one reply carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A single key, read by its name.
    One,
    /// So many, from a random key on, by `limit`.
    Some(u64),
    /// Everything with the prefix, without a limit.
    All,
}

/// Reads from a space that was filled before.
#[derive(Clone, Copy, Debug)]
pub struct Ranges {
    /// The space; every key of it is there.
    pub keys: Keys,
    /// Rows of each reply.
    pub rows: Rows,
    /// Reads what the member has, without asking the leader.
    pub serializable: bool,
    /// Asks for a stream of chunks.
    pub streamed: bool,
}

impl Ranges {
    /// Rows that every reply must have.
    fn rows_count(&self) -> u64 {
        match self.rows {
            Rows::One => 1,
            Rows::Some(count) => count.min(self.keys.keys_count),
            Rows::All => self.keys.keys_count,
        }
    }

    /// One client's life.
    pub(super) async fn drive(self, mut client: Client) -> Result<(), Failure> {
        let call = if self.streamed {
            Call::RangeStream
        } else {
            Call::Range
        };
        let expected = self.rows_count();
        client.begin().await;
        while let Some(start) = client.arrivals.next().await {
            let frame = self.frame(&mut client.frames.borrow_mut(), &mut client.random);
            match client.connection.rows(call, frame).await {
                Ok(rows) if rows.count() == Some(expected) => {
                    client.complete_rows(start, expected);
                }
                Ok(rows) => client.fail(format!("{:?} rows, not {expected}", rows.count())),
                Err(failure) => client.refused(failure).await?,
            }
        }
        Ok(())
    }

    fn frame(&self, frames: &mut Frames, random: &mut Random) -> Bytes {
        let (start, end) = self.keys.prefix.range();
        let (key, range_end, limit) = match self.rows {
            Rows::One => (frames.bytes(&self.keys.random(random)), Bytes::new(), 0),
            Rows::Some(count) => {
                // A start that leaves as many rows as are asked for.
                let starts = self.keys.keys_count.saturating_sub(count) + 1;
                let start = self.keys.name(random.below(starts));
                let limit = i64::try_from(count).unwrap_or(i64::MAX);
                (frames.bytes(&start), end, limit)
            }
            Rows::All => (start, end, 0),
        };
        frames.frame(&RangeRequest {
            key,
            range_end,
            limit,
            serializable: self.serializable,
            ..RangeRequest::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::workload::keys::Prefix;

    fn request(rows: Rows) -> RangeRequest {
        let ranges = Ranges {
            keys: Keys::new(Prefix::Read, 10),
            rows,
            serializable: true,
            streamed: false,
        };
        let frame = ranges.frame(&mut Frames::default(), &mut Random::new(1));
        RangeRequest::decode(&frame[5..]).unwrap()
    }

    #[test]
    fn requests_ask_for_what_the_space_has() {
        let one = request(Rows::One);
        assert!(one.range_end.is_empty() && one.serializable);
        let some = request(Rows::Some(4));
        assert!(some.key <= Prefix::Read.name(6)[..]);
        assert_eq!((some.limit, &some.range_end[..]), (4, &b"reads0"[..]));
        let all = request(Rows::All);
        assert_eq!((all.limit, &all.key[..]), (0, &b"reads/"[..]));
    }
}
