//! The receiving side of a snapshot transfer: verifies before it writes.

use bytes::Bytes;

use crate::blocking::Blocking;
use crate::rpc::{SnapshotChunk, SnapshotEnd};
use crate::state_machine::SnapshotSink;
use crate::types::{SnapshotMeta, Vote};

/// A transfer in progress or broken off. Dropping it discards the sink.
pub(crate) struct Receiver {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    sink: Option<Box<dyn SnapshotSink>>,
    next: u32,
    bytes: u64,
    crc: crc32fast::Hasher,
    blocking: Blocking,
}

impl Receiver {
    pub(crate) fn new(
        vote: Vote,
        meta: SnapshotMeta,
        sink: Box<dyn SnapshotSink>,
        blocking: Blocking,
    ) -> Self {
        Self {
            vote,
            meta,
            sink: Some(sink),
            next: 0,
            bytes: 0,
            crc: crc32fast::Hasher::new(),
            blocking,
        }
    }

    /// The same for a sender that has this vote now.
    pub(crate) fn under(mut self, vote: Vote) -> Self {
        self.vote = vote;
        self
    }

    /// The chunk that must come next.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Verifies and writes one chunk; returns its sequence.
    ///
    /// # Errors
    /// The chunk is damaged or out of place, or it cannot be written.
    pub(crate) async fn write(&mut self, payload: Bytes) -> Result<u32, String> {
        let chunk = SnapshotChunk::decode(payload).map_err(|error| error.to_string())?;
        if chunk.sequence != self.next {
            return Err(format!(
                "expected chunk {}, got {}",
                self.next, chunk.sequence
            ));
        }
        if crc32fast::hash(&chunk.data) != chunk.crc {
            return Err(format!(
                "checksum of chunk {} does not match",
                chunk.sequence
            ));
        }
        self.crc.update(&chunk.data);
        self.bytes += chunk.data.len() as u64;
        self.next += 1;
        let mut sink = self.sink.take().ok_or("the sink is gone after an error")?;
        let write = self.blocking.run(move || {
            let written = sink.write(chunk.data);
            (sink, written)
        });
        let (sink, written) = write.await.map_err(|error| error.to_string())?;
        written.map_err(|error| error.to_string())?;
        self.sink = Some(sink);
        Ok(chunk.sequence)
    }

    /// Checks that everything arrived and gives the sink for installation.
    ///
    /// # Errors
    /// Count, length or checksum of the whole differ from what was sent.
    pub(crate) fn finish(
        mut self,
        payload: Bytes,
    ) -> Result<(Vote, SnapshotMeta, Box<dyn SnapshotSink>), String> {
        let end = SnapshotEnd::decode(payload).map_err(|error| error.to_string())?;
        let seen = SnapshotEnd {
            chunks_count: self.next,
            bytes: self.bytes,
            crc: self.crc.clone().finalize(),
        };
        if seen != end {
            return Err(format!("received {seen:?}, sent {end:?}"));
        }
        let sink = self.sink.take().ok_or("the sink is gone after an error")?;
        Ok((self.vote, self.meta, sink))
    }
}

#[cfg(test)]
mod tests {
    use openraft::impls::leader_id_std::LeaderId;

    use super::*;
    use crate::error::StateMachineError;

    #[derive(Default)]
    struct Spool(Vec<u8>);

    impl SnapshotSink for Spool {
        fn write(&mut self, chunk: Bytes) -> Result<(), StateMachineError> {
            self.0.extend_from_slice(&chunk);
            Ok(())
        }

        fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
            self
        }
    }

    fn receiver() -> Receiver {
        let vote = Vote {
            leader_id: LeaderId {
                term: 1,
                voted_for: 1,
            },
            committed: true,
        };
        let (meta, sink) = (SnapshotMeta::default(), Box::<Spool>::default());
        Receiver::new(vote, meta, sink, Blocking::Threads)
    }

    fn payload(sequence: u32, data: &'static [u8]) -> Bytes {
        let chunk = SnapshotChunk::new(sequence, Bytes::from_static(data));
        [chunk.encode_head(), chunk.data].concat().into()
    }

    #[tokio::test]
    async fn a_damaged_or_misplaced_chunk_is_refused() {
        let mut damaged = payload(0, b"abcdef").to_vec();
        damaged[10] ^= 1;
        assert!(
            receiver()
                .write(damaged.into())
                .await
                .unwrap_err()
                .contains("checksum")
        );
        assert!(
            receiver()
                .write(payload(1, b"abc"))
                .await
                .unwrap_err()
                .contains("expected")
        );
        assert!(receiver().write(Bytes::from_static(b"abc")).await.is_err());
    }

    #[tokio::test]
    async fn a_transfer_with_a_missing_chunk_is_refused_at_its_end() {
        let mut receiver = receiver();
        assert_eq!(receiver.write(payload(0, b"abc")).await, Ok(0));
        let end = SnapshotEnd {
            chunks_count: 2,
            bytes: 6,
            crc: crc32fast::hash(b"abcdef"),
        };
        assert!(receiver.finish(end.encode()).is_err());
    }

    #[tokio::test]
    async fn a_complete_transfer_gives_the_sink_back() {
        let mut receiver = receiver();
        receiver.write(payload(0, b"abc")).await.unwrap();
        receiver.write(payload(1, b"def")).await.unwrap();
        let end = SnapshotEnd {
            chunks_count: 2,
            bytes: 6,
            crc: crc32fast::hash(b"abcdef"),
        };
        let (.., sink) = receiver.finish(end.encode()).unwrap();
        let spool = sink.into_any().downcast::<Spool>().unwrap();
        assert_eq!(spool.0, b"abcdef");
    }
}
