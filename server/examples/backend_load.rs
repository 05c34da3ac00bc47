//! Loads a backend and reports what it costs: CPU per append, memory, open time.
//!
//! `cargo run --release --example backend_load -- <sled|redb|memory> <directory>
//! [records] [value bytes]`. Appends in batches of 64, then checkpoints, reads at
//! random, closes and opens again. Figures are of this process, Linux only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quoin_server::backend::{Backend, Config, Durability, EngineKind, Identity, RecordInfo};
use quoin_server::base::revision::Revision;

struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a report on the terminal is its purpose"
)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let engine = match arguments.get(1).map(String::as_str) {
        Some("redb") => EngineKind::Redb,
        Some("memory") => EngineKind::Memory,
        _ => EngineKind::Sled,
    };
    let directory = PathBuf::from(arguments.get(2).ok_or("which directory?")?);
    let number = |at: usize, default: usize| {
        arguments
            .get(at)
            .map_or(Ok(default), |argument| argument.parse())
    };
    let (records, value_bytes) = (number(3, 1_000_000)?, number(4, 256)?);
    let open = || {
        let config = Config::new(&directory, engine, Identity::default());
        let start = Instant::now();
        let backend = Backend::open(config, Arc::new(AlwaysDurable))?;
        println!("open {:?}, rss {} MB", start.elapsed(), rss_mb());
        Ok::<_, Box<dyn std::error::Error>>(backend)
    };
    let backend = open()?;
    let cpu_before = cpu_time("self");
    let thread_before = cpu_time("thread-self");
    let start = Instant::now();
    for batch in 0..records / BATCH_RECORDS {
        append(&backend, batch, value_bytes);
        backend.wait_below_hot_limit().await?;
    }
    let per_record = |time: Duration| time.as_nanos() / records as u128;
    println!(
        "append {} ns CPU of the caller",
        per_record(cpu_time("thread-self") - thread_before)
    );
    backend.checkpoint().await?;
    println!(
        "append and checkpoint {} ns CPU",
        per_record(cpu_time("self") - cpu_before)
    );
    println!(
        "wall {:?}, rss {} MB, {:?}",
        start.elapsed(),
        rss_mb(),
        backend.sizes()
    );
    let start = Instant::now();
    let read = backend.read();
    let mut found = 0;
    for at in 0..10_000u64 {
        let main = at.wrapping_mul(0x9E37_79B9_7F4A_7C15) % records as u64 + 2;
        found += usize::from(read.record(Revision::new(main as i64, 0))?.is_some());
    }
    println!(
        "random read {:?} each, {found} found, rss {} MB",
        start.elapsed() / 10_000,
        rss_mb()
    );
    drop(read);
    backend.close()?;
    drop(backend);
    let backend = open()?;
    let start = Instant::now();
    let mut infos = 0;
    backend.for_each_record_info(&mut |_| infos += 1)?;
    println!(
        "{infos} infos in {:?}, rss {} MB",
        start.elapsed(),
        rss_mb()
    );
    Ok(())
}

fn append(backend: &Backend, number: usize, value_bytes: usize) {
    let mut batch = backend.batch();
    let first = number * BATCH_RECORDS;
    for at in first..first + BATCH_RECORDS {
        let revision = Revision::new(at as i64 + 2, 0);
        let info = RecordInfo {
            revision,
            key: Bytes::from(format!("key-{at:020}")),
            create_revision: revision.main,
            version: 1,
            lease: 0,
            tombstone: false,
        };
        batch.append_with(&info, value_bytes, |out| {
            let seed = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut word = seed;
            let mut left = value_bytes;
            while left > 0 {
                word = word
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(seed | 1);
                let bytes = word.to_le_bytes();
                let taken = left.min(bytes.len());
                out.extend_from_slice(&bytes[..taken]);
                left -= taken;
            }
        });
    }
    batch.commit((number as u64 + 1, 1), (first + BATCH_RECORDS) as i64 + 1);
}

/// CPU time of the process (`self`) or the calling thread (`thread-self`).
fn cpu_time(of: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Duration::from_millis(ticks * 10)
}

fn rss_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    (pages.unwrap_or(0) * 4096) >> 20
}

const BATCH_RECORDS: usize = 64;
