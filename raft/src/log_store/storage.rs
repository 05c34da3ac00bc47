//! Writing: appends, votes, truncation, purge, commit marks.
//!
//! Every method is awaited by openraft's core, so none blocks: only a vote is
//! waited for, because it must be durable when `save_vote` returns.

use std::io;
use std::sync::Arc;

use openraft::LogState;
use openraft::alias::VoteOf;
use openraft::storage::{IOFlushed, RaftLogStorage};
use quoin_wal::Position;

use super::{LogStore, entry_codec};
use crate::error::Error;
use crate::types::{Entry, LogId, TypeConfig};

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.shared.state.lock();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        let (sender, saved) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| {
            // The waiter is gone only when the member stops.
            let _ = sender.send(result);
        });
        self.shared
            .wal
            .save_vote(entry_codec::encode_vote(vote), done);
        saved
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        self.shared.state.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared
            .wal
            .save_committed(entry_codec::encode_committed(committed.as_ref()));
        let mut state = self.shared.state.lock();
        if let Some(last) = committed {
            let before = state.committed.map(|id| id.index);
            for entry in state.cache.between(before, last.index) {
                entry.body.trace.note_committed(&self.shared.metrics);
            }
        }
        state.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut records = Vec::new();
        let mut traces = Vec::new();
        {
            let mut state = self.shared.state.lock();
            for entry in entries {
                records.push(entry_codec::to_wal(&entry));
                if state.last.is_none_or(|last| last.index < state.first) {
                    state.first = entry.log_id.index;
                }
                state.last = Some(entry.log_id);
                state
                    .weights
                    .push(entry.log_id.index, entry.weight() as u64);
                if entry.body.trace.is_kept() {
                    entry.body.trace.note_appended(&self.shared.metrics);
                    traces.push(entry.body.trace.clone());
                }
                state.cache.push(entry);
            }
        }
        let metrics = Arc::clone(&self.shared.metrics);
        let done = Box::new(move |result: Result<(), quoin_wal::Error>| {
            if result.is_ok() {
                traces.iter().for_each(|trace| trace.note_durable(&metrics));
            }
            callback.io_completed(result.map_err(io::Error::other));
        });
        self.shared.wal.append(&records, done);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let index = last.map(|id| id.index);
        {
            let mut state = self.shared.state.lock();
            if state.last.map(|last| last.index) <= index {
                return Ok(());
            }
            state.cache.truncate_after(index);
            state.weights.truncate_after(index);
            state.last = last.or(state.purged);
        }
        self.shared.wal.truncate_after(index);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.purge_to(upto);
        Ok(())
    }
}

impl LogStore {
    /// Makes the log agree with a state machine that was found at `applied`.
    ///
    /// A snapshot is installed before the truncation and the purge that go with
    /// it are durable. After a crash in between the log may end before the
    /// snapshot or hold other entries in its place; openraft refuses to start
    /// on these. What is applied is committed, so the log gives way.
    pub(crate) fn agree_with(&self, applied: LogId) -> Result<(), Error> {
        let (purged, last) = {
            let state = self.shared.state.lock();
            (state.purged, state.last)
        };
        let is_behind = |end: Option<LogId>| end.is_none_or(|end| end.index < applied.index);
        if last.is_none() || !is_behind(purged) {
            return Ok(());
        }
        if !is_behind(last) {
            let at = applied.index;
            let found = self.shared.wal.read(at..at.saturating_add(1), 1)?;
            if found
                .first()
                .is_some_and(|entry| entry.term == applied.leader_id.term)
            {
                return Ok(());
            }
            self.shared.wal.truncate_after(None);
            self.shared.state.lock().last = purged;
        }
        tracing::info!(%applied, "the log gives way to an installed snapshot");
        self.purge_to(applied);
        Ok(())
    }

    pub(super) fn purge_to(&self, upto: LogId) {
        {
            let mut state = self.shared.state.lock();
            state.cache.purge_to(upto.index);
            state.weights.purge_to(upto.index);
            state.purged = state.purged.max(Some(upto));
            state.first = state.first.max(upto.index.saturating_add(1));
            // By index: an end that is dropped may be of a later term.
            if state.last.is_none_or(|last| last.index <= upto.index) {
                state.last = state.purged;
            }
        }
        self.shared.note_purged(upto.index);
        self.shared.wal.purge_to(Position {
            index: upto.index,
            term: upto.leader_id.term,
        });
    }
}
