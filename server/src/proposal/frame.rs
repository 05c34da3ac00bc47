//! The payload of one Raft entry: a batch of encoded commands.
//!
//! Layout (docs/formats/entry.md): version u8, origin member u64, batch u64,
//! count u32, then per command its length u32 and its protobuf bytes; all
//! integers little endian. The frame is encoded once and shared by the WAL,
//! the peers and apply. Its checksum is that of the record or peer frame
//! around it.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use quoin_proto::quoinpb::Command;
use quoin_raft::{EntryBuffer, EntryPool};

/// The version this build writes, and the only one it reads.
const VERSION: u8 = 1;
/// Version, origin, batch, count.
const HEADER_BYTES: usize = 1 + 8 + 8 + 4;
/// Length prefix of a command.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Identifies a batch among all batches ever proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BatchId {
    /// The member whose clients wait for the outcomes.
    pub(crate) origin: u64,
    /// Unique per origin; starts at a random number in every process, so that
    /// a batch replayed after a restart meets no waiter of the new process.
    pub(crate) number: u64,
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// Written by a newer build, or damaged.
    #[error("batch frame has version {found}, this build reads version {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The frame ends before its contents do.
    #[error("batch frame is cut short: {needed} bytes needed, {left} left")]
    Short {
        /// Bytes the next field takes.
        needed: usize,
        /// Bytes that remain.
        left: usize,
    },
    /// A command is not a protobuf message.
    #[error("command in a batch frame cannot be decoded")]
    Command(#[from] prost::DecodeError),
}

/// Collects encoded commands into one frame.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    /// On loan from the pool until the entry has left memory everywhere.
    buffer: EntryBuffer,
    count: u32,
}

impl FrameBuilder {
    /// An empty frame with room for about `bytes` of commands.
    pub(crate) fn new(pool: &EntryPool, id: BatchId, bytes: usize) -> Self {
        let mut buffer = pool.get(HEADER_BYTES + bytes);
        let header = buffer.bytes_mut();
        header.put_u8(VERSION);
        header.put_u64_le(id.origin);
        header.put_u64_le(id.number);
        header.put_u32_le(0);
        Self { buffer, count: 0 }
    }

    /// Appends one command.
    pub(crate) fn push(&mut self, command: &Command, encoded_bytes: usize) {
        let frame = self.buffer.bytes_mut();
        frame.put_u32_le(u32::try_from(encoded_bytes).unwrap_or(u32::MAX));
        let before = frame.len();
        command.encode_raw(frame);
        debug_assert_eq!(frame.len() - before, encoded_bytes);
        self.count += 1;
    }

    /// Bytes collected so far.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.as_ref().len()
    }

    /// The finished frame.
    pub(crate) fn finish(mut self) -> Bytes {
        let count_at = HEADER_BYTES - 4;
        if let Some(slot) = self.buffer.bytes_mut().get_mut(count_at..HEADER_BYTES) {
            slot.copy_from_slice(&self.count.to_le_bytes());
        }
        self.buffer.freeze()
    }
}

/// Reads a frame: its id at once, its commands one by one.
#[derive(Debug)]
pub(crate) struct FrameReader {
    id: BatchId,
    left: u32,
    rest: Bytes,
}

impl FrameReader {
    /// Reads the header.
    ///
    /// # Errors
    /// The frame is of another version or cut short.
    pub(crate) fn open(mut frame: Bytes) -> Result<Self, FrameError> {
        need(&frame, HEADER_BYTES)?;
        let version = frame.get_u8();
        if version != VERSION {
            return Err(FrameError::Version { found: version });
        }
        let id = BatchId {
            origin: frame.get_u64_le(),
            number: frame.get_u64_le(),
        };
        let left = frame.get_u32_le();
        Ok(Self {
            id,
            left,
            rest: frame,
        })
    }

    /// Whose batch this is.
    pub(crate) fn id(&self) -> BatchId {
        self.id
    }

    /// The commands undecoded; ends early where the frame is cut short.
    pub(crate) fn encoded(mut self) -> impl Iterator<Item = Bytes> {
        std::iter::from_fn(move || {
            self.left = self.left.checked_sub(1)?;
            next_encoded(&mut self.rest).ok()
        })
    }
}

impl Iterator for FrameReader {
    type Item = Result<Command, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let command = next_command(&mut self.rest);
        if command.is_err() {
            self.left = 0;
        }
        Some(command)
    }
}

fn next_command(rest: &mut Bytes) -> Result<Command, FrameError> {
    Ok(Command::decode(next_encoded(rest)?)?)
}

fn next_encoded(rest: &mut Bytes) -> Result<Bytes, FrameError> {
    need(rest, LENGTH_BYTES)?;
    let length = rest.get_u32_le() as usize;
    need(rest, length)?;
    Ok(rest.split_to(length))
}

fn need(rest: &Bytes, needed: usize) -> Result<(), FrameError> {
    if rest.len() < needed {
        return Err(FrameError::Short {
            needed,
            left: rest.len(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quoin_proto::{etcdserverpb::PutRequest, quoinpb::command::Request};

    use super::*;

    fn pool() -> EntryPool {
        EntryPool::new(quoin_raft::Metrics::shared())
    }

    fn put(key: Vec<u8>, value: Vec<u8>) -> Command {
        let put = PutRequest {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        Command {
            request: Some(Request::Put(put)),
        }
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_as_written(
            pairs in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..20),
            origin: u64,
            number: u64,
        ) {
            let commands: Vec<_> = pairs.into_iter().map(|(k, v)| put(k, v)).collect();
            let mut builder = FrameBuilder::new(&pool(), BatchId { origin, number }, 64);
            for command in &commands {
                builder.push(command, command.encoded_len());
            }
            let reader = FrameReader::open(builder.finish()).unwrap();
            prop_assert_eq!(reader.id(), BatchId { origin, number });
            let read: Result<Vec<_>, _> = reader.collect();
            prop_assert_eq!(read.unwrap(), commands);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(reader) = FrameReader::open(bytes.into()) {
                let _ = reader.count();
            }
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let mut frame = FrameBuilder::new(
            &pool(),
            BatchId {
                origin: 1,
                number: 2,
            },
            0,
        )
        .finish()
        .to_vec();
        frame[0] = 9;
        let error = FrameReader::open(frame.into()).unwrap_err();
        assert!(error.to_string().contains("version 9"));
    }
}
