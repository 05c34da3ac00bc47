//! Quoin on much data against Quoin on little.
//!
//! One member alone, because three would write three times as much to one
//! disk. The same puts run twice, of random keys out of those that fill the
//! store: before it is filled, and after; reads likewise. Then the store is
//! compacted under puts, the member is stopped and started, and another one
//! joins it. There is nothing of etcd in it.

use std::{fs, io, path::Path, time::Duration};

use quoin_proto::etcdserverpb::CompactionRequest;

use crate::{
    Error, Result,
    compare::{
        deployment::{Deployment, complete},
        loaded,
        metric::Metric,
        sample::Sample,
        statistics::Spread,
        system::System,
    },
    flags::CompareFlags,
    load::{self, Options},
    progress::note,
    ready,
    usage::Usage,
    workload::{
        Workload,
        keys::{KEY_BYTES, Keys, Prefix},
        put::Puts,
        range::{Ranges, Rows},
    },
};

/// Bytes of the values that fill the store.
pub const FILL_VALUE_BYTES: usize = 1024;

/// Clients and their connections.
const CLIENTS_COUNT: (usize, usize) = (1000, 100);

/// Measured time of the puts, as a multiple of that of other works: they run
/// once, and checkpoints come and go.
const TIMES: u32 = 5;

/// Space that the member may take, for each byte that is written.
const QUOTA_FACTOR: u64 = 4;

/// Rest after the fill: checkpoints that it began are over.
const REST: Duration = Duration::from_secs(10);

/// Keys that are read while there are few.
const FEW_KEYS_COUNT: u64 = 10_000;

/// What growth did.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Keys that filled the store.
    pub keys_count: u64,
    /// Bytes of the data directory after the fill.
    pub folder_bytes: u64,
    /// Puts on nothing.
    pub empty: Sample,
    /// The fill itself.
    pub fill: Sample,
    /// Puts on everything.
    pub full: Sample,
    /// Puts while a compaction at the newest revision removes what it can.
    pub compacting: Sample,
    /// Linearizable reads of one key out of few, and out of all.
    pub reads: [Sample; 2],
    /// From the start of a member that was stopped to its first answer.
    pub restart: Duration,
    /// Resident bytes of that member then.
    pub restarted_bytes: u64,
    /// From the start of a member that was added until it had everything;
    /// `None` if it did not come so far.
    pub join: Option<Duration>,
}

impl Growth {
    /// A figure on everything over that on nothing; one measurement.
    #[must_use]
    pub fn ratio(&self, metric: Metric) -> Option<Spread> {
        let (empty, full) = (self.empty.value(metric)?, self.full.value(metric)?);
        Spread::of_ratios(&[full], &[empty])
    }
}

/// Fills one member of `system` with `gib` gibibytes.
///
/// # Errors
/// The member does not start, or a key was not written.
pub async fn run(system: &System, gib: u64, flags: &CompareFlags) -> Result<Growth> {
    let bytes = gib << 30;
    let quota = format!(
        "--quota-backend-bytes={}",
        bytes.saturating_mul(QUOTA_FACTOR)
    );
    let mut deployment = Deployment::start(system, 1, &[quota]).await?;
    let keys_count = (bytes / (FILL_VALUE_BYTES + KEY_BYTES) as u64).max(1);
    let keys = Keys::new(Prefix::Written, keys_count);
    let few = Keys::new(Prefix::Read, FEW_KEYS_COUNT);
    let timed = options(&deployment, flags);
    let whole = Options {
        duration: None,
        ..timed.clone()
    };
    let puts = Workload::Put(Puts::new(keys, flags.value_bytes, false));
    note("growth: reads and puts on an empty store");
    load::run(&whole, &Workload::fill(few, flags.value_bytes))?;
    let few_reads = load::run(&timed, &reads(few))?;
    let empty = load::run(&timed, &puts)?;
    note(&format!(
        "growth: writing {keys_count} keys of {FILL_VALUE_BYTES} bytes"
    ));
    let fill = load::run(&whole, &Workload::fill(keys, FILL_VALUE_BYTES))?;
    complete(&fill, keys_count)?;
    tokio::time::sleep(REST).await;
    let folder_bytes = size(&deployment.folder).map_err(Error::io("data directory"))?;
    note("growth: puts and reads on the full store");
    let again = Options { seed: 2, ..timed };
    let full = load::run(&again, &puts)?;
    let all_reads = load::run(&again, &reads(keys))?;
    note("growth: puts while it is compacted");
    let compacting = compacting(&deployment, Options { seed: 3, ..again }, puts).await?;
    note("growth: restart and join");
    deployment.cluster.terminate(0).await?;
    let restart = loaded::restart(&mut deployment).await?;
    let process = deployment.cluster.process(0)?.id();
    let restarted_bytes = Usage::of(process)?.resident_bytes;
    let join = loaded::join(&mut deployment).await;
    if let Err(error) = &join {
        note(&format!("growth: no member joined: {error}"));
    }
    Ok(Growth {
        keys_count,
        folder_bytes,
        empty: Sample::new(empty),
        fill: Sample::new(fill),
        full: Sample::new(full),
        compacting: Sample::new(compacting),
        reads: [Sample::new(few_reads), Sample::new(all_reads)],
        restart,
        restarted_bytes,
        join: join.ok(),
    })
}

/// How loads are put on the member for a while.
fn options(deployment: &Deployment, flags: &CompareFlags) -> Options {
    let (clients, connections) = CLIENTS_COUNT;
    Options {
        warm_up: Duration::from_secs_f64(flags.warm_up.max(0.0)),
        duration: Some(Duration::from_secs_f64(flags.seconds.max(0.0)) * TIMES),
        pids: deployment.pids.clone(),
        folder: Some(deployment.folder.clone()),
        ..Options::to_the_end(deployment.endpoints.clone(), clients, connections, 1)
    }
}

/// Reads of one key of `keys`.
const fn reads(keys: Keys) -> Workload {
    Workload::Range(Ranges {
        keys,
        rows: Rows::One,
        serializable: false,
        streamed: false,
    })
}

/// Compacts at the newest revision and puts at the same time.
pub(crate) async fn compacting(
    deployment: &Deployment,
    options: Options,
    puts: Workload,
) -> Result<load::Outcome> {
    let revision = ready::revision(loaded::address(&deployment.cluster, 0)?).await?;
    let mut kv = deployment.cluster.kv(0)?;
    let request = CompactionRequest {
        revision,
        physical: false,
    };
    let answer = kv.compact(request).await;
    answer.map_err(|status| Error::Load {
        what: "compaction".to_owned(),
        problem: status.to_string(),
    })?;
    let loaded = tokio::task::spawn_blocking(move || load::run(&options, &puts)).await;
    loaded.map_err(|error| Error::Load {
        what: "puts".to_owned(),
        problem: error.to_string(),
    })?
}

/// Bytes of all files below `folder`; those that vanish meanwhile count
/// nothing.
pub(crate) fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        bytes += if facts.is_dir() {
            size(&entry.path())?
        } else {
            facts.len()
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_folder_is_that_of_all_files_below() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("one"), [0; 100]).unwrap();
        fs::write(folder.path().join("two"), [0; 20]).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 120);
    }
}
