//! Carries out one command line.

use std::{path::PathBuf, time::Duration};

use tokio::task::LocalSet;

use crate::{
    Error, Result,
    compare::{
        sample::{Metric, Sample},
        session,
        statistics::Spread,
    },
    flags::{Command, LoadFlags, ReadyFlags},
    load::{self, Options},
    progress::{note, print},
    ready,
    workload::{
        Workload, keys::Keys, lease::KeepAlives, put::Puts, range::Ranges, txn::Txns,
        watch::Watches,
    },
};

/// Longer than any run.
const LEASE_SECONDS: i64 = 3_600;

/// Does what `command` says.
///
/// # Errors
/// There is no result.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Put(flags) => {
            let keys = Keys::new(flags.keys);
            let puts = Puts::new(keys, flags.value_bytes, flags.sequential);
            single(options(&flags.load), &Workload::Put(puts))
        }
        Command::Range(flags) => {
            let options = options(&flags.load);
            let fill = Options {
                duration: None,
                rate: None,
                ..options.clone()
            };
            note("writing the keys to read");
            load::run(&fill, &Workload::fill(flags.keys, flags.value_bytes))?;
            let keys = Keys::new(flags.keys);
            let ranges = Ranges::new(keys, flags.rows, flags.serializable);
            single(options, &Workload::Range(ranges))
        }
        Command::Txn(flags) => {
            let txns = Txns::new(Keys::new(flags.keys), flags.value_bytes);
            single(options(&flags.load), &Workload::Txn(txns))
        }
        Command::Watch(flags) => {
            let mut options = options(&flags.load);
            options.clients_count += flags.watchers;
            let watches = Watches::new(flags.watchers, flags.value_bytes);
            single(options, &Workload::Watch(watches))
        }
        Command::Lease(flags) => {
            let keep_alives = KeepAlives {
                ttl_seconds: LEASE_SECONDS,
            };
            single(options(&flags.load), &Workload::KeepAlive(keep_alives))
        }
        Command::Ready(flags) => local(starts(flags))?,
        Command::Compare(flags) => local(session::run(flags))?,
    }
}

/// Runs `work` on this thread, where connections can be driven.
fn local<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::io("runtime"))?;
    let tasks = LocalSet::new();
    Ok(runtime.block_on(tasks.run_until(work)))
}

fn options(flags: &LoadFlags) -> Options {
    Options {
        endpoints: flags.endpoints.clone(),
        clients_count: flags.clients.max(1),
        connections_count: flags.connections.max(1),
        threads_count: flags.threads.max(1),
        rate: flags.rate,
        warm_up: Duration::from_secs_f64(flags.warm_up.max(0.0)),
        duration: Some(Duration::from_secs_f64(flags.seconds.max(0.0))),
        pids: flags.pids.clone(),
        folder: flags.folder.clone(),
        seed: 1,
    }
}

fn single(options: Options, workload: &Workload) -> Result<()> {
    let sample = Sample::new(load::run(&options, workload)?);
    for metric in Metric::ALL {
        if let Some(value) = sample.value(metric) {
            print(&format!("{:<52} {value:>14.3}", metric.title()));
        }
    }
    if let (count @ 1.., first) = sample.errors() {
        let first = first.unwrap_or_default();
        print(&format!("{count} failures, the first: {first}"));
    }
    Ok(())
}

async fn starts(flags: ReadyFlags) -> Result<()> {
    let binary: PathBuf = match flags.binary {
        Some(path) => path,
        None => quoin_tests::binaries::quoin()?,
    };
    let (mut ready, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..flags.tries {
        let start = ready::start(&binary).await?;
        ready.push(start.ready.as_secs_f64() * 1e3);
        idle.push(start.idle_bytes as f64 / f64::from(1 << 20));
        note(&format!(
            "ready after {:.1} ms",
            start.ready.as_secs_f64() * 1e3
        ));
    }
    for (name, values) in [("ready, ms", ready), ("idle, MiB", idle)] {
        if let Some(Spread { median, min, max }) = Spread::of(&values) {
            print(&format!("{name}: median {median:.1}, {min:.1} to {max:.1}"));
        }
    }
    Ok(())
}
