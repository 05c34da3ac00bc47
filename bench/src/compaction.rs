//! Puts beside a compaction of a large history, against the same puts without.
//!
//! One member of Quoin. Each round writes every key of a space many times over,
//! puts at a fixed rate for a while, compacts at the newest revision, and puts at
//! the same rate while the history is removed and the files shrink. An open loop:
//! what a stall delays is charged with all of the delay.

use std::time::Duration;

use crate::{
    Error, Result,
    compare::{
        deployment::{Deployment, complete},
        growth::{compacting, size},
        metric::Metric,
        sample::Sample,
        statistics::Spread,
        system::System,
    },
    flags::CompactionFlags,
    load::{self, Options},
    progress::{Progress, note, print},
    workload::{
        Workload,
        keys::{Keys, Prefix},
        put::Puts,
    },
};

/// What the percentile may become, as a multiple of that without a compaction.
const RATIO_MAX: f64 = 2.0;

/// Clients and connections that write the history.
const FILLERS_COUNT: (usize, usize) = (1000, 100);

/// Space that the member may take: the history, and room.
const QUOTA_BYTES: u64 = 16 << 30;

/// Rest before puts are measured: checkpoints of the fill are over.
const REST: Duration = Duration::from_secs(10);

/// One round.
struct Round {
    before: Sample,
    beside: Sample,
    /// Bytes of the backend's files before and after.
    bytes: [u64; 2],
}

/// Runs all rounds and prints what they gave.
///
/// # Errors
/// The member does not start, or a load gave nothing.
pub async fn run(flags: &CompactionFlags) -> Result<()> {
    let system = System::quoin(flags.quoin.clone())?;
    let mut progress = Progress::new(flags.rounds);
    let mut rounds = Vec::new();
    for number in 0..flags.rounds {
        let round = round(&system, flags, number as u64).await?;
        progress.step(&line(&round));
        rounds.push(round);
    }
    report(&rounds);
    Ok(())
}

async fn round(system: &System, flags: &CompactionFlags, seed: u64) -> Result<Round> {
    let quota = format!("--quota-backend-bytes={QUOTA_BYTES}");
    let deployment = Deployment::start(system, 1, &[quota]).await?;
    let keys = Keys::new(Prefix::Written, flags.keys.max(1));
    let (clients, connections) = FILLERS_COUNT;
    let endpoints = deployment.endpoints.clone();
    let whole = Options::to_the_end(endpoints, clients, connections, seed);
    for _ in 0..flags.times {
        let filled = load::run(&whole, &Workload::fill(keys, flags.value_bytes))?;
        complete(&filled, keys.keys_count)?;
    }
    tokio::time::sleep(REST).await;
    // What the system has not written yet would slow down the first measurement alone.
    let written = tokio::process::Command::new("sync").status().await;
    written.map_err(Error::io("sync"))?;
    let backend = deployment.folder.join("member/backend");
    let bytes = || size(&backend).map_err(Error::io("backend"));
    let timed = Options {
        clients_count: flags.clients.max(1),
        connections_count: flags.connections.max(1),
        rate: Some(flags.rate),
        warm_up: Duration::from_secs(1),
        duration: Some(Duration::from_secs_f64(flags.seconds.max(0.0))),
        pids: deployment.pids.clone(),
        ..whole
    };
    let puts = Workload::Put(Puts::new(keys, flags.value_bytes, false));
    note("puts without a compaction");
    let before = load::run(&timed, &puts)?;
    let full = bytes()?;
    note("the same puts beside a compaction");
    let beside = compacting(&deployment, timed, puts).await?;
    let left = bytes()?;
    Ok(Round {
        before: Sample::new(before),
        beside: Sample::new(beside),
        bytes: [full, left],
    })
}

fn line(round: &Round) -> String {
    let figure = |sample: &Sample, metric| sample.value(metric).unwrap_or(f64::NAN);
    let [full, left] = round.bytes.map(|bytes| bytes >> 20);
    format!(
        "p50 {:.2} ms, beside {:.2}; p99 {:.2} ms, beside {:.2}; files {full} MiB, then {left}",
        figure(&round.before, Metric::P50),
        figure(&round.beside, Metric::P50),
        figure(&round.before, Metric::P99),
        figure(&round.beside, Metric::P99),
    )
}

fn report(rounds: &[Round]) {
    for round in rounds {
        print(&line(round));
        for sample in [&round.before, &round.beside] {
            if let (count @ 1.., first) = sample.errors() {
                print(&format!(
                    "{count} failures, the first: {}",
                    first.unwrap_or_default()
                ));
            }
        }
    }
    for metric in [Metric::P50, Metric::P99] {
        let of = |sample: fn(&Round) -> &Sample| {
            let values = rounds
                .iter()
                .filter_map(|round| sample(round).value(metric));
            values.collect::<Vec<_>>()
        };
        let (beside, before) = (of(|round| &round.beside), of(|round| &round.before));
        if let Some(spread) = Spread::of_ratios(&beside, &before) {
            print(&verdict(metric, spread));
        }
    }
}

fn verdict(metric: Metric, Spread { median, min, max }: Spread) -> String {
    let title = metric.title();
    let met = match metric {
        Metric::P99 if median <= RATIO_MAX => format!(", at most {RATIO_MAX:.0}: met"),
        Metric::P99 => format!(", at most {RATIO_MAX:.0}: missed"),
        _ => String::new(),
    };
    format!("{title}, beside a compaction over without: {median:.2} ({min:.2} to {max:.2}){met}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_decides_by_its_median() {
        let spread = |median| Spread {
            median,
            min: 0.5,
            max: 3.0,
        };
        assert!(verdict(Metric::P99, spread(2.0)).ends_with("met"));
        assert!(verdict(Metric::P99, spread(2.1)).ends_with("missed"));
        assert!(!verdict(Metric::P50, spread(9.0)).contains("met"));
    }
}
