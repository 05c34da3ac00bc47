//! Cost of a proposal and of a read index: members in one process over TCP
//! loopback with a real write-ahead log, a state machine that does nothing.
//!
//! One claim each: round-trip latency at one client, throughput and CPU time
//! per proposal (all members and clients together) at more. Run with
//! `cargo bench -p quoin-raft`; QUOIN_BENCH_SECONDS sets the time per line.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark reports on standard output"
)]

mod members;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use quoin_raft::Node;

use members::Cluster;

async fn measure(label: &str, clients: usize, limit: Duration, call: impl AsyncFn() -> bool) {
    let done = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let (begin, cpu) = (Instant::now(), cpu_time());
    let client = async || {
        while begin.elapsed() < limit {
            if call().await {
                done.fetch_add(1, Ordering::Relaxed);
            } else {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    join_all((0..clients).map(|_| client())).await;
    let (elapsed, cpu) = (begin.elapsed(), cpu_time().saturating_sub(cpu));
    let done = done.load(Ordering::Relaxed).max(1) as f64;
    println!(
        "{label:<28} {clients:>5} clients {:>9.0}/s {:>9.1} us latency {:>8.2} us cpu  {} failed",
        done / elapsed.as_secs_f64(),
        elapsed.as_secs_f64() * 1e6 * clients as f64 / done,
        cpu.as_secs_f64() * 1e6 / done,
        failed.load(Ordering::Relaxed),
    );
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    Duration::from_millis(
        ticks
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum::<u64>()
            * 10,
    )
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::var("QUOIN_BENCH_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(3));
    for count in [1, 3] {
        let begin = Instant::now();
        let cluster = Cluster::start(count).await?;
        let leader = cluster.leader().await?;
        leader.propose(Bytes::from_static(b"first")).await?;
        println!(
            "{count} members: first proposal after {:?}",
            begin.elapsed()
        );
        let propose = async |node: &Node| {
            let mut buffer = node.entry_pool().get(256);
            buffer.bytes_mut().resize(256, 7);
            node.propose(buffer.freeze()).await.is_ok()
        };
        for clients in [1, 64, 1024] {
            let label = format!("{count} members, propose");
            measure(&label, clients, limit, async || propose(leader).await).await;
        }
        for clients in [1, 64, 1024] {
            let label = format!("{count} members, read index");
            measure(&label, clients, limit, async || {
                leader.read_index(1).await.is_ok()
            })
            .await;
        }
        let other = |node: &&Node| node.status().member_id != leader.status().member_id;
        if let Some(follower) = cluster.nodes.iter().find(other) {
            for clients in [1, 64] {
                let label = format!("{count} members, forwarded");
                measure(&label, clients, limit, async || propose(follower).await).await;
            }
            let label = format!("{count} members, follower read");
            measure(&label, 64, limit, async || {
                follower.read_index(1).await.is_ok()
            })
            .await;
        }
        for node in &cluster.nodes {
            let metrics = node.metrics();
            println!(
                "member {}: buffer reuse {:.4}, cache hits {} misses {}, frames {} in {} writes",
                node.status().member_id,
                metrics.pool_reuse_rate(),
                metrics.cache_hits.value(),
                metrics.cache_misses.value(),
                metrics.peer_sent_frames.value(),
                metrics.peer_writes.value(),
            );
        }
        for node in &cluster.nodes {
            node.shutdown().await;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run())
}
