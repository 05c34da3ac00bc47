//! The store below the services: what apply pays for a put, a read for a range,
//! and compaction for what it removes. 100,000 keys, values of 256 bytes.
//!
//! `put` is one Raft entry of that many puts to scattered keys, per put: the
//! index, the record and the publication, without Raft and disk. `range` is a
//! read of that many pairs from the middle, per pair. `compact` removes nine of
//! ten versions of every key, per version, and holds up nobody for longer than a
//! step of 1000 keys.
//!
//! `cargo bench -p quoin-server --bench mvcc`

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark without a store has nothing to say"
)]

mod place;

use std::cell::RefCell;

use divan::Bencher;
use divan::counter::ItemsCount;
use quoin_server::base::key_range::KeyRange;
use quoin_server::mvcc::{CompactionProgress, RangeQuery};

use place::{KEYS_COUNT, Place, key, scattered};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 512], max_time = 1)]
fn put(bencher: Bencher<'_, '_>, puts_count: usize) {
    let place = RefCell::new(Place::filled());
    let next = RefCell::new(scattered());
    bencher
        .counter(ItemsCount::new(puts_count))
        .bench_local(|| {
            let numbers = std::iter::repeat_with(|| next.borrow_mut()()).take(puts_count);
            place.borrow_mut().put(numbers)
        });
}

#[divan::bench(args = [1, 100, 10_000], max_time = 1)]
fn range(bencher: Bencher<'_, '_>, pairs_count: u64) {
    let place = Place::filled();
    let start = KEYS_COUNT / 3;
    let query = RangeQuery::new(KeyRange::new(key(start), key(start + pairs_count)));
    bencher
        .counter(ItemsCount::new(pairs_count))
        .bench(|| place.store.read().range(&query).unwrap());
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn compact(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(KEYS_COUNT * 9))
        .with_inputs(|| {
            let mut place = Place::new();
            place.put_all(10);
            place.compact();
            place
        })
        .bench_values(|place| {
            while !matches!(
                place.store.compaction_step(1000),
                CompactionProgress::Finished { .. }
            ) {}
            place
        });
}
