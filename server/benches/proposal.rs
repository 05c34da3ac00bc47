//! Coalescing: what the way into an entry and back costs a request, by how many
//! come at once. Without gRPC, Raft and apply: the node below commits at once.
//!
//! One request at a time pays a wake-up of the coalescer, one of the fan-out and
//! an entry of its own; together they share all three, so the time per request
//! falls to that of encoding, queue and reply.
//!
//! `cargo bench -p quoin-server --bench proposal`

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark without a runtime has nothing to say"
)]

use divan::Bencher;
use divan::counter::ItemsCount;
use quoin_server::Coalescing;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 1_000], max_time = 1)]
fn put(bencher: Bencher<'_, '_>, requests_count: usize) {
    let bed = Coalescing::new().unwrap();
    bencher
        .counter(ItemsCount::new(requests_count))
        .bench_local(|| assert_eq!(bed.put(requests_count), requests_count));
    assert!(bed.entries_count() > 0);
}
