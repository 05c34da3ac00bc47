//! The writer thread: takes everything that waits as one group, writes it with
//! one call, syncs once, then tells those who wait, newest first.
//!
//! While a group is in its sync, callers fill the next one; that is the whole
//! of group commit, no timer is involved (unless `gather_pause` is set). At
//! most one unsynced frame exists, which is what recovery relies on. The first
//! failure poisons the log: nothing is retried, every waiter and every later
//! call is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::buffer_pool::PooledBuffer;
use crate::error::Error;
use crate::group::{Effect, Group};
use crate::log::Shared;
use crate::metrics::add;
use crate::record::{FRAME_HEADER_BYTES, StreamState, seal_frame};
use crate::recovery::Recovered;
use crate::segment::{HEADER_BYTES, Segment};

/// What only the writer thread touches.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    /// Where the next frame goes.
    offset: u64,
    /// Checksum of the last frame.
    previous: u32,
    /// The stream as written, for the head of the next segment.
    written: StreamState,
    /// The next segment was asked for.
    is_next_requested: bool,
    /// Records of the last group.
    last_records_count: usize,
    zeros: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, recovered: &Recovered) -> Self {
        Self {
            shared,
            segment: Arc::clone(&recovered.segment),
            offset: recovered.offset,
            previous: recovered.previous,
            written: recovered.state.clone(),
            is_next_requested: false,
            last_records_count: 0,
            zeros: Vec::new(),
        }
    }

    /// Body of the thread: until the log is closed and drained, or fails.
    pub(crate) fn run(mut self) {
        let mut exit = ExitGuard {
            shared: Arc::clone(&self.shared),
            is_regular: false,
        };
        while let Some(group) = self.next_group() {
            if !self.carry_out(group) {
                break;
            }
        }
        exit.is_regular = true;
    }

    /// Writes a group and tells who waits for it. False if the log has failed.
    pub(crate) fn carry_out(&mut self, mut group: Group) -> bool {
        if let Err(error) = self.write_group(&mut group) {
            tracing::error!(%error, "write-ahead log failed, the member must stop");
            self.shared.poison(&error);
            complete(&mut group, &Err(error));
            return false;
        }
        complete(&mut group, &Ok(()));
        self.shared.state.lock().reuse(group);
        true
    }

    /// Waits for work. `None`: closed and drained, or failed.
    fn next_group(&mut self) -> Option<Group> {
        let config = &self.shared.config;
        let mut state = self.shared.state.lock();
        let gathers = self.last_records_count > config.gather_records_min;
        if gathers && !config.gather_pause.is_zero() && !state.closing {
            self.shared.work.wait_for(&mut state, config.gather_pause);
        }
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(group) = state.take_group() {
                return Some(group);
            }
            if state.closing {
                return None;
            }
            state.writer_idle = true;
            self.shared.work.wait(&mut state);
            state.writer_idle = false;
        }
    }

    /// Makes a group durable and known.
    fn write_group(&mut self, group: &mut Group) -> Result<(), Error> {
        let base = if group.has_records() {
            *self.shared.writing_since.lock() = Some(Instant::now());
            let written = self.write_frame(group);
            *self.shared.writing_since.lock() = None;
            written?
        } else {
            0
        };
        self.last_records_count = group.effects.len();
        let mut state = self.shared.state.lock();
        state.finish_group(group, self.segment.sequence, base);
        self.shared
            .metrics
            .pending_bytes
            .store(state.pending_bytes as u64, Ordering::Relaxed);
        self.shared.durable.set_end(state.durable_end);
        let released = state.release_segments(self.segment.sequence);
        drop(state);
        self.shared.room.notify_all();
        self.shared.preallocator.retire(released);
        Ok(())
    }

    /// Writes and syncs the group's frame. Returns what to add to the offsets
    /// in the group to get offsets in the segment.
    fn write_frame(&mut self, group: &mut Group) -> Result<u32, Error> {
        self.choose_segment(group.buffer.len() as u64)?;
        let mut headed = self.is_at_start().then(|| self.with_state(group));
        let frame: &mut PooledBuffer = headed.as_mut().unwrap_or(&mut group.buffer);
        let sequence = self.segment.sequence;
        let offset = u32::try_from(self.offset)
            .map_err(|_| Error::corruption(&self.segment.path, self.offset, "segment too long"))?;
        let checksum = seal_frame(frame, sequence, offset, self.previous);
        let length = frame.len();
        Self::extend(
            &mut self.zeros,
            &self.shared,
            &self.segment,
            self.offset + length as u64,
        )?;
        let written = self.segment.file.write_at(self.offset, frame);
        written.map_err(|source| Error::io("write", &self.segment.path, source))?;
        self.sync()?;
        let inserted = length - group.buffer.len();
        let base = self.offset + inserted as u64;
        self.offset += length as u64;
        self.previous = checksum;
        for effect in &group.effects {
            self.written.apply(effect);
        }
        self.count(length, group);
        self.request_next();
        u32::try_from(base)
            .map_err(|_| Error::corruption(&self.segment.path, base, "segment too long"))
    }

    fn is_at_start(&self) -> bool {
        self.offset == HEADER_BYTES
    }

    /// Moves to the next segment if the frame should not go into this one.
    fn choose_segment(&mut self, length: u64) -> Result<(), Error> {
        if self.is_at_start() {
            return Ok(());
        }
        let end = self.offset + length;
        let next = if end > self.shared.config.segment_bytes {
            Some(self.shared.preallocator.take()?)
        } else if end > self.segment.extent() {
            // A short first segment: go on in a full one if it is there.
            self.shared.preallocator.try_take()
        } else {
            None
        };
        if let Some(next) = next {
            self.shared
                .state
                .lock()
                .segments
                .insert(next.sequence, Arc::clone(&next));
            self.segment = next;
            self.offset = HEADER_BYTES;
            self.is_next_requested = false;
        }
        Ok(())
    }

    /// The group's frame with the state record in front.
    fn with_state(&self, group: &Group) -> PooledBuffer {
        let length = group.buffer.len() + self.written.record_bytes();
        let mut frame = self.shared.pool.take(length);
        frame.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        self.written.encode(&mut frame);
        frame.extend_from_slice(group.buffer.get(FRAME_HEADER_BYTES..).unwrap_or_default());
        frame
    }

    /// Keeps written bytes ahead of the end of the log, in steps, so that only
    /// one sync per step has to commit a new file length.
    fn extend(
        zeros: &mut Vec<u8>,
        shared: &Shared,
        segment: &Segment,
        end: u64,
    ) -> Result<(), Error> {
        let extent = segment.extent();
        if end <= extent {
            return Ok(());
        }
        let full = shared.config.segment_bytes.max(end);
        let target = (end + EXTEND_BYTES).min(full);
        zeros.resize(EXTEND_BYTES as usize, 0);
        let ahead = usize::try_from(target - end).unwrap_or(0);
        let written = segment
            .file
            .write_at(end, zeros.get(..ahead).unwrap_or_default());
        written.map_err(|source| Error::io("extend", &segment.path, source))?;
        segment.extend_to(target);
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        if self.shared.config.unsafe_no_fsync {
            return Ok(());
        }
        let start = Instant::now();
        let synced = self.segment.file.sync_data();
        synced.map_err(|source| Error::io("sync", &self.segment.path, source))?;
        self.shared.metrics.fsync.observe(start.elapsed());
        Ok(())
    }

    fn count(&self, length: usize, group: &Group) {
        let metrics = &self.shared.metrics;
        add(&metrics.written_bytes, length as u64);
        add(&metrics.groups, 1);
        add(&metrics.records, group.effects.len() as u64);
        let is_entry = |effect: &&Effect| matches!(effect, Effect::Entry { .. });
        add(
            &metrics.entries,
            group.effects.iter().filter(is_entry).count() as u64,
        );
        if length != group.buffer.len() {
            add(&metrics.segments_started, 1);
        }
    }

    fn request_next(&mut self) {
        if !self.is_next_requested && self.offset > self.segment.extent() / REQUEST_FRACTION {
            self.is_next_requested = true;
            self.shared.preallocator.request();
        }
    }
}

/// Tells all who wait on the group, newest first.
fn complete(group: &mut Group, outcome: &Result<(), Error>) {
    while let Some(done) = group.completions.pop() {
        done(outcome.clone());
    }
}

/// Poisons the log if the thread ends by a panic, so that nobody waits for ever.
#[derive(Debug)]
struct ExitGuard {
    shared: Arc<Shared>,
    is_regular: bool,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        if !self.is_regular {
            self.shared.poison(&Error::WriterPanicked);
        }
    }
}

/// Zeros written ahead when a segment is shorter than full length.
const EXTEND_BYTES: u64 = 1 << 20;
/// The next segment is asked for when this part of the current one is used:
/// early enough to zero a whole one at the pace set, and never on an idle log.
const REQUEST_FRACTION: u64 = 4;
