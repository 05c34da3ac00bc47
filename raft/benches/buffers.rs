//! Entry buffers: what one costs from the pool, and what its allocation costs.
//!
//! `reuse` is one buffer of that size through its whole life (taken, frozen,
//! shared with the log and a peer, dropped by all) with a warm pool; `allocate`
//! the same life of a new allocation. `contended` is `reuse` by several threads
//! that share the pool, as the RPC and raft threads do, per thread.
//!
//! `cargo bench -p quoin-raft --bench buffers`

use bytes::Bytes;
use divan::{Bencher, black_box};
use quoin_raft::{EntryPool, Metrics};

fn main() {
    divan::main();
}

#[divan::bench(args = [200, 3_000, 40_000])]
fn reuse(bencher: Bencher<'_, '_>, bytes: usize) {
    let pool = EntryPool::new(Metrics::shared());
    bencher.bench(|| live(&pool, bytes));
}

#[divan::bench(args = [200, 3_000, 40_000])]
fn allocate(bencher: Bencher<'_, '_>, bytes: usize) {
    bencher.bench(|| {
        let mut buffer = Vec::with_capacity(bytes);
        buffer.push(7);
        share(Bytes::from(buffer));
    });
}

#[divan::bench(threads = [1, 2, 4])]
fn contended(bencher: Bencher<'_, '_>) {
    let pool = EntryPool::new(Metrics::shared());
    bencher.bench(|| live(&pool, 3_000));
}

fn live(pool: &EntryPool, bytes: usize) {
    let mut buffer = pool.get(bytes);
    buffer.bytes_mut().push(7);
    share(buffer.freeze());
}

/// The log, a peer and apply each hold it for a while.
fn share(entry: Bytes) {
    black_box([entry.clone(), entry.clone(), entry]);
}
