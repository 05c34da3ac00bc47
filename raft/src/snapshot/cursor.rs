//! Where the sending of a snapshot to one member stands.
//!
//! Cuts what the source yields into chunks and keeps those that are not answered,
//! at most a window of them, so that a transfer can go on after a lost connection.
//! What a read on a blocking thread yields is kept here even if nobody waits for
//! it any more.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::CHUNK_BYTES_MAX;
use super::pinned::Pinned;
use super::sender::SendError;
use crate::blocking::Blocking;
use crate::rpc::{SnapshotChunk, SnapshotEnd};
use crate::state_machine::SnapshotSource;

/// A place in a pinned state.
pub(crate) struct Cursor {
    pub(crate) pinned: Arc<Pinned>,
    reading: Arc<Mutex<Reading>>,
    /// Chunks that were sent, or were about to be, and not answered.
    unanswered: VecDeque<SnapshotChunk>,
    /// Chunks that the receiver has written.
    answered: u32,
    bytes: u64,
    crc: crc32fast::Hasher,
    blocking: Blocking,
}

struct Reading {
    source: Box<dyn SnapshotSource>,
    /// Read and not cut yet.
    rest: Bytes,
    is_ended: bool,
}

impl Reading {
    fn fill(&mut self) -> Result<(), SendError> {
        while self.rest.is_empty() && !self.is_ended {
            match self.source.next_chunk() {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => self.is_ended = true,
                Err(error) => return Err(SendError::Failed(error.to_string())),
            }
        }
        Ok(())
    }
}

impl Cursor {
    /// The beginning of a pinned state.
    pub(crate) fn new(pinned: Arc<Pinned>, blocking: Blocking) -> Self {
        let reading = Reading {
            source: pinned.reader(),
            rest: Bytes::new(),
            is_ended: false,
        };
        Self {
            pinned,
            reading: Arc::new(Mutex::new(reading)),
            unanswered: VecDeque::new(),
            answered: 0,
            bytes: 0,
            crc: crc32fast::Hasher::new(),
            blocking,
        }
    }

    /// Chunks that the receiver has written.
    pub(crate) fn answered(&self) -> u32 {
        self.answered
    }

    /// Bytes cut so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn unanswered(&self) -> &VecDeque<SnapshotChunk> {
        &self.unanswered
    }

    /// The next chunk, which now counts as sent; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<SnapshotChunk>, SendError> {
        if self.reading.lock().rest.is_empty() {
            let reading = Arc::clone(&self.reading);
            let fill = self.blocking.run(move || reading.lock().fill());
            fill.await
                .map_err(|error| SendError::Failed(error.to_string()))??;
        }
        let piece = {
            let mut reading = self.reading.lock();
            let length = reading.rest.len().min(CHUNK_BYTES_MAX);
            reading.rest.split_to(length)
        };
        if piece.is_empty() {
            return Ok(None);
        }
        let sequence = self.sent()?;
        self.bytes += piece.len() as u64;
        self.crc.update(&piece);
        let chunk = SnapshotChunk::new(sequence, piece);
        self.unanswered.push_back(chunk.clone());
        Ok(Some(chunk))
    }

    /// The receiver has written the oldest unanswered chunk.
    pub(super) fn note_answer(&mut self, sequence: u32) -> Result<(), SendError> {
        match self.unanswered.front() {
            Some(chunk) if chunk.sequence == sequence => {
                self.unanswered.pop_front();
                self.answered += 1;
                Ok(())
            }
            _ => Err(SendError::Failed(format!(
                "unexpected answer to chunk {sequence}"
            ))),
        }
    }

    /// Goes to the chunk that the receiver expects; from the start if it has
    /// nothing of it any more.
    pub(super) fn resume_at(&mut self, next: u32) -> Result<(), SendError> {
        if next == 0 && self.answered > 0 {
            *self = Self::new(Arc::clone(&self.pinned), self.blocking.clone());
            return Ok(());
        }
        if next < self.answered || next > self.sent()? {
            let (from, to) = (self.answered, self.sent()?);
            return Err(SendError::Failed(format!(
                "the receiver expects chunk {next}, kept are {from} to {to}"
            )));
        }
        while self.answered < next {
            self.unanswered.pop_front();
            self.answered += 1;
        }
        Ok(())
    }

    /// What must have arrived, once `next` has come to the end.
    pub(super) fn end(&self) -> Result<SnapshotEnd, SendError> {
        Ok(SnapshotEnd {
            chunks_count: self.sent()?,
            bytes: self.bytes,
            crc: self.crc.clone().finalize(),
        })
    }

    fn sent(&self) -> Result<u32, SendError> {
        let waiting = u32::try_from(self.unanswered.len()).ok();
        let sent = waiting.and_then(|waiting| self.answered.checked_add(waiting));
        sent.ok_or_else(|| SendError::Failed("the snapshot has too many chunks".into()))
    }
}
