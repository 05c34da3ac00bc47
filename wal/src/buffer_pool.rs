//! Write buffers in size classes of 4 KiB times powers of four, reused.
//!
//! A group starts in the class the previous group ended in and moves to the
//! next class when it outgrows its buffer, so in steady state nothing is
//! allocated. Each class begins with a few buffers, so that hardly anything is
//! allocated before that either; memory that was never written costs nothing.
//! How many are kept follows demand: the most that were out at once during the
//! last two windows of takes, but never fewer than at the beginning, within a
//! byte limit. Buffers are guards: they go home on drop, on every path.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::metrics::{Metrics, add, subtract};

/// The pool; shared by the log and its writer.
#[derive(Debug)]
pub(crate) struct BufferPool {
    classes: Mutex<Vec<Class>>,
    metrics: Arc<Metrics>,
}

/// A buffer on loan.
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

#[derive(Debug)]
struct Class {
    capacity: usize,
    free: Vec<Vec<u8>>,
    outstanding: usize,
    takes: usize,
    demand: usize,
    previous_demand: usize,
}

impl BufferPool {
    /// A pool whose largest class holds a group of `group_bytes_max`.
    pub(crate) fn new(group_bytes_max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let mut classes = Vec::new();
        let mut capacity = CLASS_BYTES_MIN;
        loop {
            classes.push(Class::new(capacity));
            if capacity >= group_bytes_max + CLASS_BYTES_MIN {
                break;
            }
            capacity = capacity.saturating_mul(4);
            if capacity > group_bytes_max {
                capacity = (group_bytes_max + CLASS_BYTES_MIN).next_multiple_of(CLASS_BYTES_MIN);
            }
        }
        Arc::new(Self {
            classes: Mutex::new(classes),
            metrics,
        })
    }

    /// An empty buffer of at least this capacity.
    pub(crate) fn take(self: &Arc<Self>, capacity: usize) -> PooledBuffer {
        let mut classes = self.classes.lock();
        let class = classes.iter_mut().find(|class| class.capacity >= capacity);
        let reused = class.map(Class::take);
        drop(classes);
        let (bytes, hit) = match reused {
            Some((Some(bytes), _)) => (bytes, true),
            Some((None, class_capacity)) => (Vec::with_capacity(class_capacity), false),
            None => (
                Vec::with_capacity(capacity.next_multiple_of(CLASS_BYTES_MIN)),
                false,
            ),
        };
        add(
            if hit {
                &self.metrics.buffer_hits
            } else {
                &self.metrics.buffer_misses
            },
            1,
        );
        add(&self.metrics.buffers_in_use, 1);
        PooledBuffer {
            bytes,
            pool: Arc::clone(self),
        }
    }

    fn put(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        subtract(&self.metrics.buffers_in_use, 1);
        let mut classes = self.classes.lock();
        if let Some(class) = classes
            .iter_mut()
            .find(|class| class.capacity == bytes.capacity())
        {
            class.put(bytes);
        }
    }

    /// Buffers on loan.
    pub(crate) fn outstanding(&self) -> u64 {
        self.metrics.buffers_in_use.load(Ordering::Relaxed)
    }
}

impl Class {
    fn new(capacity: usize) -> Self {
        let buffer = |_| Vec::with_capacity(capacity);
        Self {
            capacity,
            free: (0..kept_count_min(capacity)).map(buffer).collect(),
            outstanding: 0,
            takes: 0,
            demand: 0,
            previous_demand: 0,
        }
    }

    fn take(&mut self) -> (Option<Vec<u8>>, usize) {
        self.outstanding += 1;
        self.takes += 1;
        if self.takes > DEMAND_WINDOW_TAKES {
            self.takes = 0;
            self.previous_demand = std::mem::replace(&mut self.demand, self.outstanding);
        }
        self.demand = self.demand.max(self.outstanding);
        (self.free.pop(), self.capacity)
    }

    fn put(&mut self, bytes: Vec<u8>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let demand = self.demand.max(self.previous_demand);
        let wanted = demand.max(kept_count_min(self.capacity));
        let kept = self.free.len() + self.outstanding;
        if kept < wanted && (self.free.len() + 1) * self.capacity <= CLASS_KEPT_BYTES_MAX {
            self.free.push(bytes);
        }
    }
}

impl PooledBuffer {
    /// Makes room for `additional` bytes, moving to a larger buffer if needed.
    pub(crate) fn reserve(&mut self, additional: usize) {
        let needed = self.bytes.len() + additional;
        if needed <= self.bytes.capacity() {
            return;
        }
        let mut larger = self.pool.take(needed);
        larger.bytes.extend_from_slice(&self.bytes);
        *self = larger;
    }
}

impl Deref for PooledBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.bytes));
    }
}

/// Buffers that a class has at the beginning and keeps.
fn kept_count_min(capacity: usize) -> usize {
    (CLASS_READY_BYTES / capacity).min(CLASS_READY_COUNT)
}

/// Smallest class: one page.
const CLASS_BYTES_MIN: usize = 4 << 10;
/// Free bytes kept per class: a few groups of the largest size in flight.
const CLASS_KEPT_BYTES_MAX: usize = 16 << 20;
/// Buffers ready per class: one filling, one in flight, and one for each move to
/// a larger class at either end (most seen out at once under load: 3).
const CLASS_READY_COUNT: usize = 4;
/// Bytes ready per class at most; above 1 MiB classes start empty.
const CLASS_READY_BYTES: usize = 1 << 20;
/// Takes after which demand is measured afresh.
const DEMAND_WINDOW_TAKES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_taken_again() {
        let metrics = Arc::new(Metrics::default());
        let pool = BufferPool::new(1 << 20, Arc::clone(&metrics));
        for _ in 0..1000 {
            let mut buffer = pool.take(100);
            for _ in 0..100 {
                buffer.reserve(300);
                buffer.extend_from_slice(&[1; 300]);
            }
            assert_eq!(buffer.len(), 30_000);
            assert_eq!(pool.outstanding(), 1);
        }
        assert_eq!(pool.outstanding(), 0);
        let misses = metrics.buffer_misses.load(Ordering::Relaxed);
        let hits = metrics.buffer_hits.load(Ordering::Relaxed);
        assert!(misses == 0 && hits >= 2900, "{hits} hits, {misses} misses");
    }

    #[test]
    fn a_short_load_from_a_cold_start_allocates_next_to_nothing() {
        let metrics = Arc::new(Metrics::default());
        let pool = BufferPool::new(1 << 20, Arc::clone(&metrics));
        let mut in_flight = pool.take(100);
        for group in 0..400_usize {
            // From one record to a group of 200 KiB, as load comes and goes.
            let mut filling = pool.take(in_flight.len());
            for _ in 0..1 + (group * 37) % 400 {
                filling.reserve(512);
                filling.extend_from_slice(&[1; 512]);
            }
            in_flight = filling;
        }
        drop(in_flight);
        let misses = metrics.buffer_misses.load(Ordering::Relaxed);
        let hits = metrics.buffer_hits.load(Ordering::Relaxed);
        assert!(misses * 200 < hits, "{hits} hits, {misses} misses");
    }

    #[test]
    fn no_more_buffers_are_kept_than_demand_had() {
        let pool = BufferPool::new(64 << 10, Arc::new(Metrics::default()));
        let out: Vec<_> = (0..10).map(|_| pool.take(10)).collect();
        drop(out);
        assert_eq!(pool.classes.lock()[0].free.len(), 10);
        for _ in 0..3 * DEMAND_WINDOW_TAKES {
            drop(pool.take(10));
        }
        let _pair = (pool.take(10), pool.take(10));
        assert!(pool.take(5 << 20).capacity() > 1 << 20);
    }
}
