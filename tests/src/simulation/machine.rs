//! The replicated state of a simulated member: registers.
//!
//! A checkpoint is a cell that is replaced as a whole, once the log is durable as
//! far; a crash finds the old one or the new one. Everything that is applied is
//! shown to the oracle.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quoin_raft::{
    Applied, Committed, Durable, Payload, SnapshotSink, SnapshotSource, StateMachine,
    StateMachineError,
};

use super::Plant;
use super::oracle::{How, Key, Oracle, Registers, Write};

/// A state and where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) applied: Applied,
    pub(super) registers: Registers,
}

impl Image {
    pub(super) fn index(&self) -> u64 {
        self.applied.log_id.map_or(0, |id| id.index)
    }
}

/// A cell with an image.
pub(super) type Cell = Arc<Mutex<Image>>;

/// A write as it is proposed: key, number of the write, and weight.
pub(super) fn encode(key: Key, write: Write, weight: usize) -> Bytes {
    let mut payload = BytesMut::with_capacity(12 + weight);
    payload.put_u32(key);
    payload.put_u64(write);
    payload.put_bytes(0xa5, weight);
    payload.freeze()
}

fn decode(mut payload: &[u8]) -> Option<(Key, Write)> {
    (payload.len() >= 12).then(|| (payload.get_u32(), payload.get_u64()))
}

/// What an entry holds, as far as comparing goes.
pub(super) fn content(payload: &[u8]) -> u64 {
    (payload.len() as u64) << 32 | u64::from(crc32fast::hash(payload))
}

/// The state machine of one member.
pub(super) struct Machine {
    pub(super) member: u64,
    /// What local reads see.
    pub(super) live: Cell,
    /// What a crash leaves.
    pub(super) checkpoint: Cell,
    pub(super) durable: Durable,
    pub(super) oracle: Oracle,
    pub(super) plant: Option<Plant>,
}

impl Machine {
    /// Goes on from the checkpoint.
    pub(super) fn open(self) -> Self {
        let image = self.checkpoint.lock().clone();
        self.oracle.resumed(
            self.member,
            How::Checkpoint,
            &image.applied,
            image.registers.digest,
        );
        *self.live.lock() = image;
        self
    }
}

impl StateMachine for Machine {
    fn applied(&self) -> Applied {
        self.live.lock().applied.clone()
    }

    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = Committed>,
    ) -> Result<(), StateMachineError> {
        for entry in entries {
            let mut live = self.live.lock();
            let at = entry.log_id;
            if at.index != live.index() + 1 {
                return Err(StateMachineError::new(format!(
                    "entry {} follows entry {}",
                    at.index,
                    live.index()
                )));
            }
            let (content, write) = match entry.payload {
                Payload::Blank => (1, None),
                Payload::Normal(bytes) => (content(&bytes), decode(&bytes)),
                Payload::Membership { encoded, .. } => {
                    let content = content(&encoded);
                    live.applied.membership = Some(encoded);
                    (content, None)
                }
            };
            if let Some((key, write)) = write {
                live.registers.set(key, write);
            }
            live.applied.log_id = Some(at);
            let digest = live.registers.digest;
            drop(live);
            self.oracle.applied(self.member, at, content, write, digest);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> BoxFuture<'static, Result<Applied, StateMachineError>> {
        let before = self.checkpoint.lock().registers.clone();
        let mut image = self.live.lock().clone();
        if self.plant == Some(Plant::AppliedAheadOfData) {
            image.registers = before;
        }
        let (cell, durable) = (Arc::clone(&self.checkpoint), self.durable.clone());
        async move {
            while durable.index() < image.index() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Writing it takes a while.
            tokio::time::sleep(Duration::from_millis(15)).await;
            let applied = image.applied.clone();
            *cell.lock() = image;
            Ok(applied)
        }
        .boxed()
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, StateMachineError> {
        let image = self.live.lock().clone();
        let is_lossy = self.plant == Some(Plant::SnapshotLosesRow);
        Ok(Box::new(Source {
            skip: usize::from(is_lossy),
            next: 0,
            image: Arc::new(image),
        }))
    }

    fn receive(&mut self) -> Result<Box<dyn SnapshotSink>, StateMachineError> {
        Ok(Box::new(Sink::default()))
    }

    fn install(
        &mut self,
        applied: Applied,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), StateMachineError> {
        let sink = sink.into_any().downcast::<Sink>();
        let sink = sink.map_err(|_| StateMachineError::new("a sink of another kind"))?;
        let mut registers = Registers::default();
        let mut rows = sink.bytes.as_slice();
        while let Some((key, write)) = decode(rows) {
            registers.set(key, write);
            rows.advance(12);
        }
        self.oracle
            .resumed(self.member, How::Snapshot, &applied, registers.digest);
        let image = Image { applied, registers };
        *self.checkpoint.lock() = image.clone();
        *self.live.lock() = image;
        Ok(())
    }
}

struct Source {
    image: Arc<Image>,
    skip: usize,
    /// Rows given so far.
    next: usize,
}

impl SnapshotSource for Source {
    fn applied(&self) -> Applied {
        self.image.applied.clone()
    }

    fn again(&self) -> Box<dyn SnapshotSource> {
        Box::new(Self {
            image: Arc::clone(&self.image),
            skip: self.skip,
            next: 0,
        })
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError> {
        let rows = self.image.registers.values.iter().skip(self.skip);
        let mut chunk = BytesMut::new();
        for (key, write) in rows.skip(self.next).take(ROWS_PER_CHUNK) {
            chunk.put_u32(*key);
            chunk.put_u64(*write);
            self.next += 1;
        }
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }
}

#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
}

impl SnapshotSink for Sink {
    fn write(&mut self, chunk: Bytes) -> Result<(), StateMachineError> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Few, so that a snapshot of some registers has several chunks.
const ROWS_PER_CHUNK: usize = 3;
