//! One system's running cluster, and loads on it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use quoin_tests::cluster::{Cluster, Options as ClusterOptions};

use crate::{
    Error, Result,
    compare::{sample::Sample, system::System, work::Work},
    flags::CompareFlags,
    load::{self, Options, Outcome},
    usage::Usage,
    workload::{
        Workload,
        keys::{Keys, Prefix},
    },
};

/// Rest before idle memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Clients and connections that write the keys to be read.
const FILLERS_COUNT: (usize, usize) = (200, 20);

/// Longest time that a step of the sweep over offered loads is measured: there
/// are many of them.
const STEP_MAX: Duration = Duration::from_secs(2);

/// A running cluster, members listed leader first.
#[derive(Debug)]
pub struct Deployment {
    /// Kills the members when it goes.
    pub cluster: Cluster,
    /// Client addresses.
    pub endpoints: Vec<SocketAddr>,
    /// Processes.
    pub pids: Vec<u32>,
    /// Data of the leader.
    pub folder: PathBuf,
    /// What was written for works that read.
    filled: Vec<Prefix>,
}

impl Deployment {
    /// Starts `members_count` members on fresh directories, with further
    /// `flags`.
    ///
    /// # Errors
    /// They do not start or find no leader.
    pub async fn start(system: &System, members_count: usize, flags: &[String]) -> Result<Self> {
        let options = ClusterOptions::new(members_count).binary(Some(system.binary.clone()));
        let options = options.flags(flags);
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
            cluster,
            endpoints,
            pids,
            folder,
            filled: Vec::new(),
        })
    }

    /// Runs one work, and before it writes what it reads.
    ///
    /// # Errors
    /// The load gave nothing, or what it reads could not be written.
    pub fn run(&mut self, work: &Work, flags: &CompareFlags, seed: u64) -> Result<Sample> {
        let mut options = self.options(work, flags);
        options.folder = work.writes().then(|| self.folder.clone());
        options.seed = seed | 1 << 60;
        self.fill(work, seed)?;
        load::run(&options, &work.workload()).map(Sample::new)
    }

    /// How `work` is put on this cluster.
    #[must_use]
    pub fn options(&self, work: &Work, flags: &CompareFlags) -> Options {
        let (mut warm_up, mut duration) = (
            Duration::from_secs_f64(flags.warm_up.max(0.0)),
            Duration::from_secs_f64(flags.seconds.max(0.0)),
        );
        if work.is_step() {
            duration = duration.min(STEP_MAX);
            warm_up = warm_up.min(STEP_MAX / 4);
        }
        Options {
            endpoints: self.endpoints.clone(),
            clients_count: work.clients_count,
            connections_count: work.connections_count,
            threads_count: 1,
            rate: work.rate,
            warm_up,
            duration: Some(duration),
            pids: self.pids.clone(),
            folder: None,
            seed: 0,
        }
    }

    fn fill(&mut self, work: &Work, seed: u64) -> Result<()> {
        let missing = |keys: &Keys| !self.filled.contains(&keys.prefix);
        let Some(keys) = work.needs().filter(missing) else {
            return Ok(());
        };
        let (clients, connections) = FILLERS_COUNT;
        let options = Options::to_the_end(self.endpoints.clone(), clients, connections, seed);
        let filled = load::run(&options, &Workload::fill(keys, work.value_bytes))?;
        complete(&filled, keys.keys_count)?;
        self.filled.push(keys.prefix);
        Ok(())
    }

    /// Mean resident bytes of a member after a rest.
    pub async fn idle_bytes(&self) -> Option<f64> {
        tokio::time::sleep(IDLE).await;
        let usages = self.usages().ok()?;
        let sum: u64 = usages.iter().map(|usage| usage.resident_bytes).sum();
        Some(sum as f64 / usages.len().max(1) as f64)
    }

    /// What each member has used, leader first.
    ///
    /// # Errors
    /// A member is gone.
    pub fn usages(&self) -> Result<Vec<Usage>> {
        self.pids.iter().map(|pid| Usage::of(*pid)).collect()
    }
}

/// Every one of `count` keys was written.
///
/// # Errors
/// Some were not.
pub fn complete(filled: &Outcome, count: u64) -> Result<()> {
    let written = filled.recorder.operations_count;
    if written == count {
        return Ok(());
    }
    let first = filled.recorder.first_error.as_deref().unwrap_or_default();
    Err(Error::Load {
        what: "fill".to_owned(),
        problem: format!("{written} of {count} keys were written: {first}"),
    })
}
