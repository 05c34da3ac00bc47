//! Quoin's puts on much data against its puts on none.
//!
//! One member alone, because three would write three times as much to one
//! disk. The same puts run twice, of random keys out of those that fill the
//! store: before it is filled, and after. There is nothing of etcd in it.

use std::{fs, io, path::Path, time::Duration};

use crate::{
    Error, Result,
    compare::{
        deployment::{Deployment, complete},
        metric::Metric,
        sample::Sample,
        statistics::Spread,
        system::System,
    },
    flags::CompareFlags,
    load::{self, Options},
    progress::note,
    workload::{
        Workload,
        keys::{KEY_BYTES, Keys, Prefix},
        put::Puts,
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
    let deployment = Deployment::start(system, 1, &[quota]).await?;
    let keys_count = (bytes / (FILL_VALUE_BYTES + KEY_BYTES) as u64).max(1);
    let keys = Keys::new(Prefix::Written, keys_count);
    let options = Options {
        endpoints: deployment.endpoints.clone(),
        clients_count: CLIENTS_COUNT.0,
        connections_count: CLIENTS_COUNT.1,
        threads_count: 1,
        rate: None,
        warm_up: Duration::from_secs_f64(flags.warm_up.max(0.0)),
        duration: Some(Duration::from_secs_f64(flags.seconds.max(0.0)) * TIMES),
        pids: deployment.pids.clone(),
        folder: Some(deployment.folder.clone()),
        seed: 1,
    };
    let puts = Workload::Put(Puts::new(keys, flags.value_bytes, false));
    note("growth: puts on an empty store");
    let empty = load::run(&options, &puts)?;
    note(&format!(
        "growth: writing {keys_count} keys of {FILL_VALUE_BYTES} bytes"
    ));
    let fill = Options {
        duration: None,
        ..options.clone()
    };
    let fill = load::run(&fill, &Workload::fill(keys, FILL_VALUE_BYTES))?;
    complete(&fill, keys_count)?;
    tokio::time::sleep(REST).await;
    let folder_bytes = size(&deployment.folder).map_err(Error::io("data directory"))?;
    note("growth: puts on the full store");
    let full = load::run(&Options { seed: 2, ..options }, &puts)?;
    Ok(Growth {
        keys_count,
        folder_bytes,
        empty: Sample::new(empty),
        fill: Sample::new(fill),
        full: Sample::new(full),
    })
}

/// Bytes of all files below `folder`; those that vanish meanwhile count
/// nothing.
fn size(folder: &Path) -> io::Result<u64> {
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
