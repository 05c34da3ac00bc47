//! Reading entries back: for apply, for followers, at start.
//!
//! A read that the cache cannot serve goes to the log's files on a blocking
//! thread. Requests for replication are bounded by bytes, ranges for apply
//! are streamed in chunks: neither ever holds a whole backlog in memory.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream;
use openraft::RaftLogReader;

use super::{LogStore, Shared, entry_codec};
use crate::types::{Entry, TypeConfig, Vote};

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let mut range = self.present(&range);
        let mut entries = Vec::new();
        while !range.is_empty() {
            let mut more = self.read(range.clone(), CHUNK_BYTES_MAX).await?;
            range.start += more.len() as u64;
            entries.append(&mut more);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let range = self.present(&(start..end));
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.read(range, REQUEST_BYTES_MAX).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let feed = Feed {
            store: self.clone(),
            range: self.present(&range),
            chunk: Vec::new().into_iter(),
        };
        Box::pin(stream::try_unfold(feed, Feed::next))
    }
}

impl LogStore {
    /// The part of `range` that the log holds.
    fn present(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let state = self.shared.state.lock();
        let next = state.last.map_or(0, |id| id.index + 1);
        start.max(state.first)..end.min(next)
    }

    /// Entries of a non-empty range that the log holds, at least one.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let cached = self
            .shared
            .state
            .lock()
            .cache
            .read(range.clone(), bytes_max);
        if let Some(entries) = cached {
            self.shared.metrics.cache_hits.add(1);
            return Ok(entries);
        }
        self.shared.metrics.cache_misses.add(1);
        let shared = Arc::clone(&self.shared);
        let blocking = shared.blocking.clone();
        let read = blocking.run(move || read_files(&shared, range, bytes_max));
        read.await.map_err(io::Error::other)?
    }
}

/// State of an entry stream. Only apply reads by streams.
struct Feed {
    store: LogStore,
    range: Range<u64>,
    chunk: std::vec::IntoIter<Entry>,
}

impl Feed {
    async fn next(mut self) -> io::Result<Option<(Entry, Self)>> {
        loop {
            if let Some(entry) = self.chunk.next() {
                return Ok(Some((entry, self)));
            }
            if self.range.is_empty() {
                return Ok(None);
            }
            let end = self
                .range
                .end
                .min(self.range.start.saturating_add(CHUNK_ENTRIES_MAX));
            let chunk = self
                .store
                .read(self.range.start..end, CHUNK_BYTES_MAX)
                .await?;
            self.range.start += chunk.len() as u64;
            self.chunk = chunk.into_iter();
            let mut state = self.store.shared.state.lock();
            state.cache.note_read(self.range.start);
        }
    }
}

fn read_files(shared: &Shared, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
    let entries = shared
        .wal
        .read(range.clone(), bytes_max)
        .map_err(io::Error::other)?;
    if entries.is_empty() {
        let text = format!("the log returned nothing for entries {range:?}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    let decoded = entries.into_iter().map(entry_codec::from_wal);
    decoded
        .collect::<Result<_, _>>()
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Entries per step of an apply stream.
const CHUNK_ENTRIES_MAX: u64 = 1024;
/// Bytes per step of an apply stream.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Bytes per replication request: one frame, sent in a few milliseconds.
const REQUEST_BYTES_MAX: usize = 1 << 20;
