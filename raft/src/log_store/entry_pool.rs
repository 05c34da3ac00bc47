//! Entry buffers that are used again: get - fill - commit/apply - reset - put.
//!
//! A buffer is a guard: frozen into `Bytes` or not, it goes home when its last
//! user drops it, on every path, errors included. Buffers come in size classes
//! so that a small entry never holds a large buffer; what does not fit the
//! largest class is allocated and dropped (and counted as a miss). Home is
//! bounded per class; above the bound a returning buffer is freed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::metrics::Metrics;

/// A pool of buffers; clones share it.
#[derive(Clone)]
pub struct EntryPool {
    shared: Arc<Shared>,
}

impl EntryPool {
    /// An empty pool that counts into `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let classes = CLASS_BYTES.map(|_| Mutex::new(Vec::new()));
        Self {
            shared: Arc::new(Shared { classes, metrics }),
        }
    }

    /// Puts buffers at home before anybody asks: about as many as the entry cache
    /// and the entries under way hold, so that a member is warm from its first
    /// request on. Memory that was never written to is not resident, so a large
    /// buffer costs a page until its first use.
    pub(crate) fn fill_ahead(&self) {
        for ((class, bytes), count) in self
            .shared
            .classes
            .iter()
            .zip(CLASS_BYTES)
            .zip(CLASS_READY_COUNTS)
        {
            let buffers = (0..count).map(|_| Vec::with_capacity(bytes));
            class.lock().extend(buffers);
        }
    }

    /// An empty buffer with room for at least `capacity` bytes.
    pub fn get(&self, capacity: usize) -> EntryBuffer {
        let metrics = &self.shared.metrics;
        metrics.pool_gets.add(1);
        let class = CLASS_BYTES.iter().position(|bytes| *bytes >= capacity);
        let reused = class.and_then(|class| self.shared.classes.get(class)?.lock().pop());
        let bytes = reused.unwrap_or_else(|| {
            metrics.pool_misses.add(1);
            let room = class.and_then(|class| CLASS_BYTES.get(class).copied());
            Vec::with_capacity(room.unwrap_or(capacity))
        });
        debug_assert!(bytes.is_empty(), "a buffer was put back without a reset");
        EntryBuffer {
            bytes,
            _out: Outstanding::new(metrics),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Buffers that are at home now.
    #[cfg(test)]
    pub(crate) fn idle_count(&self) -> usize {
        self.shared
            .classes
            .iter()
            .map(|class| class.lock().len())
            .sum()
    }
}

impl fmt::Debug for EntryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryPool")
    }
}

/// A buffer on loan. Fill it through [`EntryBuffer::bytes_mut`], then freeze.
pub struct EntryBuffer {
    bytes: Vec<u8>,
    _out: Outstanding,
    shared: Arc<Shared>,
}

impl EntryBuffer {
    /// The bytes, to be filled. `Vec<u8>` is a `BufMut`.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes it immutable and shareable; the last clone brings it home.
    pub fn freeze(self) -> Bytes {
        if self.bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for EntryBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for EntryBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryBuffer of {} bytes", self.bytes.len())
    }
}

impl Drop for EntryBuffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // A buffer that grew past its class goes to the class it now fills.
        let class = CLASS_BYTES
            .iter()
            .rposition(|class_bytes| bytes.capacity() >= *class_bytes);
        let Some(class) = class else { return };
        let (Some(home), Some(class_bytes)) =
            (self.shared.classes.get(class), CLASS_BYTES.get(class))
        else {
            return;
        };
        if bytes.capacity() > class_bytes.saturating_mul(4) {
            return;
        }
        let mut home = home.lock();
        if home.len() < CLASS_HOME_BYTES_MAX / class_bytes {
            home.push(bytes);
        }
    }
}

struct Shared {
    classes: [Mutex<Vec<Vec<u8>>>; CLASS_BYTES.len()],
    metrics: Arc<Metrics>,
}

/// Counts a buffer as out of the pool for as long as it lives.
struct Outstanding(Arc<Metrics>);

impl Outstanding {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.pool_outstanding.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.pool_outstanding.sub(1);
    }
}

/// Bytes of the buffer that holds a payload of this length.
pub(crate) fn footprint(length: usize) -> usize {
    let class = CLASS_BYTES.iter().find(|bytes| **bytes >= length);
    class.copied().unwrap_or(length)
}

/// Size classes: votes and single small requests, small batches, the largest
/// coalesced entry, a full replication frame.
const CLASS_BYTES: [usize; 7] = [
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    512 << 10,
    2 << 20,
];

/// Buffers made ahead per class; less than 1 MiB becomes resident by it. Entries
/// of few requests are held in number by the cache, larger ones sooner reach its
/// bound of bytes.
const CLASS_READY_COUNTS: [usize; CLASS_BYTES.len()] = [192, 192, 96, 48, 24, 4, 0];

/// Bytes kept at home per class: enough for the entries between two purges of
/// the cache at full load, small beside the cache itself.
const CLASS_HOME_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_home_when_its_last_clone_drops() {
        let metrics = Metrics::shared();
        let pool = EntryPool::new(Arc::clone(&metrics));
        let mut buffer = pool.get(100);
        buffer.bytes_mut().extend_from_slice(b"abc");
        let first = buffer.freeze();
        let second = first.slice(1..);
        drop(first);
        assert_eq!(
            (pool.idle_count(), metrics.pool_outstanding.value()),
            (0, 1)
        );
        assert_eq!(second, "bc");
        drop(second);
        assert_eq!(
            (pool.idle_count(), metrics.pool_outstanding.value()),
            (1, 0)
        );
    }

    #[test]
    fn a_buffer_goes_home_unused_and_comes_back_empty() {
        let pool = EntryPool::new(Metrics::shared());
        let mut buffer = pool.get(10);
        buffer.bytes_mut().push(1);
        drop(buffer);
        assert!(pool.get(10).as_ref().is_empty());
    }

    #[test]
    fn steady_use_reuses_nearly_every_buffer() {
        let metrics = Metrics::shared();
        let pool = EntryPool::new(Arc::clone(&metrics));
        let mut window = std::collections::VecDeque::new();
        for round in 0..10_000_usize {
            let mut buffer = pool.get(200 + round % 3000);
            buffer.bytes_mut().push(7);
            window.push_back(buffer.freeze());
            if window.len() > 64 {
                window.pop_front();
            }
        }
        assert!(
            metrics.pool_reuse_rate() > 0.927,
            "rate {}",
            metrics.pool_reuse_rate()
        );
    }

    #[test]
    fn a_filled_pool_serves_the_first_entries_without_allocating() {
        let metrics = Metrics::shared();
        let pool = EntryPool::new(Arc::clone(&metrics));
        pool.fill_ahead();
        let held: Vec<_> = (0..150).map(|_| pool.get(700)).collect();
        assert_eq!(metrics.pool_misses.value(), 0);
        drop(held);
    }

    #[test]
    fn an_oversized_buffer_is_not_kept() {
        let pool = EntryPool::new(Metrics::shared());
        drop(pool.get(64 << 20));
        assert_eq!(pool.idle_count(), 0);
    }
}
