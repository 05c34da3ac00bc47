//! Frames between members: a request and its reply over TCP loopback.
//!
//! A follower asks the leader, which echoes: two frames of that many bytes, each
//! written with one call, checked and read into a pooled buffer. `alone` is the
//! round trip of one request; `together` the time per request when 64 are under
//! way, so that frames share writes and reads.
//!
//! `cargo bench -p quoin-raft --bench transport`

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark without members has nothing to say"
)]

mod members;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use futures_util::future::join_all;
use quoin_raft::Node;
use tokio::runtime::Runtime;

use members::Cluster;

fn main() {
    divan::main();
}

#[divan::bench(args = [64, 16 << 10, 512 << 10])]
fn alone(bencher: Bencher<'_, '_>, bytes: usize) {
    let bed = Bed::new();
    let payload = Bytes::from(vec![7; bytes]);
    bencher
        .counter(BytesCount::new(2 * bytes))
        .bench_local(|| bed.ask(&payload, 1));
}

#[divan::bench(args = [64, 16 << 10])]
fn together(bencher: Bencher<'_, '_>, bytes: usize) {
    let bed = Bed::new();
    let payload = Bytes::from(vec![7; bytes]);
    bencher
        .counter(ItemsCount::new(TOGETHER_COUNT))
        .bench_local(|| bed.ask(&payload, TOGETHER_COUNT));
}

/// Three members, and a runtime for who asks.
struct Bed {
    runtime: Runtime,
    cluster: Cluster,
    follower: Node,
}

impl Bed {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (cluster, follower) = runtime.block_on(async {
            let cluster = Cluster::start(3).await.unwrap();
            let leader = cluster.leader().await.unwrap().status().member_id;
            let mut nodes = cluster.nodes.iter();
            let follower = nodes.find(|node| node.status().member_id != leader);
            let follower = follower.unwrap().clone();
            let mut known = follower.watch_leader();
            let knows = known.wait_for(|now| now.leader.is_some()).await;
            assert!(knows.is_ok());
            (cluster, follower)
        });
        Self {
            runtime,
            cluster,
            follower,
        }
    }

    fn ask(&self, payload: &Bytes, count: usize) {
        self.runtime.block_on(async {
            let asked = (0..count).map(|_| self.follower.request_leader(payload.clone()));
            for reply in join_all(asked).await {
                assert_eq!(reply.unwrap().len(), payload.len());
            }
        });
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let nodes = self.cluster.nodes.iter();
        self.runtime.block_on(join_all(nodes.map(Node::shutdown)));
    }
}

/// Requests under way at once.
const TOGETHER_COUNT: usize = 64;
