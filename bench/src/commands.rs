//! Carries out one command line.

use std::{path::PathBuf, time::Duration};

use tokio::task::LocalSet;

use crate::{
    Error, Result, compaction,
    compare::{metric::Metric, sample::Sample, session, statistics::Spread},
    flags::{Command, LoadFlags, RangeFlags, ReadyFlags, WatchFlags},
    load::{self, Options},
    progress::{note, print},
    ready,
    workload::{
        Workload,
        catch_up::CatchUps,
        keys::{Keys, Prefix},
        lease::{Grants, KeepAlives},
        mixed::Mixed,
        put::Puts,
        range::{Ranges, Rows},
        txn::Txns,
        watch::{Fan, Watches},
    },
};

/// Does what `command` says.
///
/// # Errors
/// There is no result.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Put(flags) => {
            let keys = Keys::new(Prefix::Written, flags.keys);
            let puts = Puts::new(keys, flags.value_bytes, flags.sequential);
            single(&options(&flags.load), &Workload::Put(puts))
        }
        Command::Range(flags) => range(&flags),
        Command::Txn(flags) => {
            let keys = Keys::new(Prefix::Updated, flags.keys);
            let txns = Txns::new(keys, flags.value_bytes);
            single(&options(&flags.load), &Workload::Txn(txns))
        }
        Command::Watch(flags) => watch(&flags),
        Command::CatchUp(flags) => {
            let options = options(&flags.load);
            let prefix = Prefix::History;
            fill(&options, Keys::new(prefix, flags.events), flags.value_bytes)?;
            single(&options, &Workload::CatchUp(CatchUps { prefix }))
        }
        Command::Grant(flags) => {
            let ttl_seconds = flags.ttl;
            let grants = Workload::Grant(Grants { ttl_seconds });
            single(&options(&flags.load), &grants)
        }
        Command::Lease(flags) => {
            let ttl_seconds = flags.ttl;
            let keep_alives = Workload::KeepAlive(KeepAlives { ttl_seconds });
            single(&options(&flags.load), &keep_alives)
        }
        Command::Mixed(flags) => {
            let mut options = options(&flags.load);
            let objects = Keys::new(Prefix::Object, flags.objects);
            fill(&options, objects, flags.value_bytes)?;
            options.clients_count += flags.watchers;
            let mixed = Mixed::new(flags.watchers, objects, flags.value_bytes);
            single(&options, &Workload::Mixed(mixed))
        }
        Command::Ready(flags) => local(starts(flags))?,
        Command::Compare(flags) => local(session::run(flags.resolved()))?,
        Command::Compaction(flags) => local(compaction::run(&flags))?,
    }
}

fn range(flags: &RangeFlags) -> Result<()> {
    let options = options(&flags.load);
    let keys = Keys::new(Prefix::Read, flags.keys);
    fill(&options, keys, flags.value_bytes)?;
    let rows = match flags.rows {
        _ if flags.all => Rows::All,
        0 | 1 => Rows::One,
        several => Rows::Some(several),
    };
    let ranges = Ranges {
        keys,
        rows,
        serializable: flags.serializable,
        streamed: flags.stream,
    };
    single(&options, &Workload::Range(ranges))
}

fn watch(flags: &WatchFlags) -> Result<()> {
    let mut options = options(&flags.load);
    let streams_count = flags.streams.unwrap_or(flags.watchers);
    let fan = Fan {
        watchers_count: flags.watchers,
        streams_count: streams_count.clamp(1, flags.watchers.max(1)),
        keys_count: flags.keys.max(1),
    };
    options.clients_count += fan.streams_count;
    let watches = Watches::new(fan, flags.value_bytes);
    single(&options, &Workload::Watch(watches))
}

/// Writes what a workload expects to find.
fn fill(options: &Options, keys: Keys, value_bytes: usize) -> Result<()> {
    note(&format!("writing {} keys", keys.keys_count));
    let fill = Options {
        duration: None,
        rate: None,
        ..options.clone()
    };
    load::run(&fill, &Workload::fill(keys, value_bytes)).map(|_| ())
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

fn single(options: &Options, workload: &Workload) -> Result<()> {
    let sample = Sample::new(load::run(options, workload)?);
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
