//! One system through some works on a fresh cluster.
//!
//! A work that fails is noted and the next one runs: a report with a gap says
//! more than none.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use quoin_tests::cluster::{Cluster, Options as ClusterOptions};

use crate::{
    Result,
    compare::{
        plan::{KEYS_READ_COUNT, VALUE_BYTES, Work},
        sample::Sample,
        system::System,
    },
    flags::CompareFlags,
    load::{self, Options},
    progress::{Progress, note},
    scrape,
    usage::Usage,
    workload::Workload,
};

/// Rest before idle memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Clients and connections that write the keys to be read.
const FILLERS_COUNT: (usize, usize) = (200, 20);

/// Counters of pools, as hits or gets and misses.
const POOLS: [(&str, &str, Counted, &str); 2] = [
    (
        "entry buffers",
        "quoin_entry_pool_gets_total",
        Counted::All,
        "quoin_entry_pool_misses_total",
    ),
    (
        "WAL buffers",
        "quoin_wal_buffer_hits_total",
        Counted::Hits,
        "quoin_wal_buffer_misses_total",
    ),
];

/// What a pool's first counter counts.
#[derive(Clone, Copy, Debug)]
enum Counted {
    /// Every request.
    All,
    /// Requests that were served from the pool.
    Hits,
}

/// How often a pool had what was asked for.
#[derive(Clone, Debug)]
pub struct Reuse {
    /// Which pool.
    pub pool: &'static str,
    /// Members of the cluster.
    pub members_count: usize,
    /// Requests, all members together.
    pub gets_count: f64,
    /// Requests that had to allocate.
    pub misses_count: f64,
}

/// What one system gave in one round with one cluster size.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// By the works' names; the text says why there is no sample.
    pub samples: Vec<(&'static str, std::result::Result<Sample, String>)>,
    /// Mean resident bytes of a member before the first work.
    pub idle_bytes: Option<f64>,
    /// Pools of servers that export them.
    pub reuse: Vec<Reuse>,
}

/// Runs `works`, all of the same cluster size.
pub async fn run(
    system: &System,
    works: &[Work],
    flags: &CompareFlags,
    seed: u64,
    progress: &mut Progress,
) -> Round {
    let mut round = Round::default();
    let members_count = works.first().map_or(1, |work| work.members_count);
    let mut target = match Target::start(system, members_count).await {
        Ok(target) => target,
        Err(error) => {
            let text = format!("the cluster did not start: {error}");
            note(&text);
            for work in works {
                progress.step(&format!("{}: {}", system.name, work.title));
                round.samples.push((work.name, Err(text.clone())));
            }
            return round;
        }
    };
    round.idle_bytes = target.idle_bytes().await;
    for work in works {
        let sample = target
            .run(work, flags, seed)
            .map_err(|error| error.to_string());
        progress.step(&summary(system, work, &sample));
        round.samples.push((work.name, sample));
    }
    round.reuse = target.reuse().await;
    round
}

/// A running cluster, members listed leader first.
struct Target {
    /// Kills the members when it goes.
    _cluster: Cluster,
    endpoints: Vec<SocketAddr>,
    pids: Vec<u32>,
    folder: PathBuf,
    filled: bool,
}

impl Target {
    async fn start(system: &System, members_count: usize) -> Result<Self> {
        let options = ClusterOptions::new(members_count).binary(Some(system.binary.clone()));
        let mut cluster = Cluster::start(options).await?;
        let leader = cluster.wait_leader().await?;
        let (mut endpoints, mut pids) = (Vec::new(), Vec::new());
        for offset in 0..members_count {
            let position = (leader + offset) % members_count;
            let port = cluster.member(position)?.client_port;
            endpoints.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            pids.push(cluster.process(position)?.id());
        }
        let folder = cluster.member(leader)?.data.clone();
        Ok(Self {
            folder,
            _cluster: cluster,
            endpoints,
            pids,
            filled: false,
        })
    }

    /// Mean resident bytes after a rest.
    async fn idle_bytes(&self) -> Option<f64> {
        tokio::time::sleep(IDLE).await;
        let usages = self.pids.iter().map(|pid| Usage::of(*pid));
        let usages = usages.collect::<Result<Vec<_>>>().ok()?;
        let sum: u64 = usages.iter().map(|usage| usage.resident_bytes).sum();
        Some(sum as f64 / usages.len().max(1) as f64)
    }

    fn run(&mut self, work: &Work, flags: &CompareFlags, seed: u64) -> Result<Sample> {
        let mut options = Options {
            endpoints: self.endpoints.clone(),
            clients_count: work.clients_count,
            connections_count: work.connections_count,
            threads_count: 1,
            rate: work.rate,
            warm_up: Duration::from_secs_f64(flags.warm_up),
            duration: Some(Duration::from_secs_f64(flags.seconds)),
            pids: self.pids.clone(),
            folder: Some(self.folder.clone()),
            seed,
        };
        if work.needs_keys() && !self.filled {
            let fill = Options {
                clients_count: FILLERS_COUNT.0,
                connections_count: FILLERS_COUNT.1,
                duration: None,
                ..options.clone()
            };
            load::run(&fill, &Workload::fill(KEYS_READ_COUNT, VALUE_BYTES))?;
            self.filled = true;
        }
        options.seed ^= 1 << 60;
        load::run(&options, &work.workload()).map(Sample::new)
    }

    /// Pool counters, where the system exports them.
    async fn reuse(&self) -> Vec<Reuse> {
        let mut pages = Vec::new();
        for endpoint in &self.endpoints {
            pages.extend(scrape::metrics(*endpoint).await);
        }
        let sum = |name| -> Option<f64> {
            let values = pages.iter().filter_map(|page| scrape::value(page, name));
            values.reduce(|one, two| one + two)
        };
        let pools = POOLS.iter().filter_map(|(pool, first, counted, misses)| {
            let (first, misses_count) = (sum(first)?, sum(misses)?);
            Some(Reuse {
                pool,
                members_count: self.pids.len(),
                gets_count: match counted {
                    Counted::All => first,
                    Counted::Hits => first + misses_count,
                },
                misses_count,
            })
        });
        pools.collect()
    }
}

fn summary(system: &System, work: &Work, sample: &std::result::Result<Sample, String>) -> String {
    use crate::compare::sample::Metric;
    let name = system.name;
    match sample {
        Ok(sample) => {
            let value = |metric| sample.value(metric).unwrap_or(f64::NAN);
            format!(
                "{name}: {}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, server {:.1} us/op, \
                 generator {:.1} us/op, {} errors",
                work.title,
                value(Metric::Throughput),
                value(Metric::P50),
                value(Metric::P99),
                value(Metric::CpuAll),
                value(Metric::CpuGenerator),
                sample.errors().0,
            )
        }
        Err(problem) => format!("{name}: {}: {problem}", work.title),
    }
}
