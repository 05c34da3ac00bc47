//! Many keys in the store: what they cost in memory, on disk and at a restart.
//!
//! All keys are written, one request each, and the members rest. Then all of
//! them are stopped as a service manager would, which makes them write what
//! they still hold: so the count of bytes charges each system for everything
//! that the keys make it write, sooner or later. Then all but one start again,
//! and once they have a leader the last one starts: its time is that of
//! reading its data, without an election.
//!
//! Last a member is added and started on an empty directory: its time is that of
//! getting the data from the others.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use quoin_tests::cluster::Cluster;

use crate::{
    Result,
    compare::{
        deployment::{Deployment, complete},
        metric::Metric,
        sample::{Sample, per_operation},
        work::Work,
    },
    flags::CompareFlags,
    load::{self, DeviceCount, Options},
    progress::note,
    ready,
};

/// Rest before memory is read: checkpoints and collections that the load began
/// are over.
const REST: Duration = Duration::from_secs(5);

/// Loads `keys_count` keys and measures what they cost.
///
/// # Errors
/// A key was not written, or a member does not stop or start in time.
pub async fn run(
    deployment: &mut Deployment,
    work: &Work,
    keys_count: u64,
    flags: &CompareFlags,
    seed: u64,
) -> Result<Sample> {
    let options = Options {
        duration: None,
        seed,
        ..deployment.options(work, flags)
    };
    note(&format!("    {}", work.title));
    let written = DeviceCount::flushed_bytes(&deployment.folder);
    let outcome = load::run(&options, &work.workload())?;
    complete(&outcome, keys_count)?;
    let mut sample = Sample::new(outcome);
    tokio::time::sleep(REST).await;
    sample.set_resident(&deployment.usages()?);
    for position in 0..deployment.cluster.members_count() {
        deployment.cluster.terminate(position).await?;
    }
    let after = DeviceCount::flushed_bytes(&deployment.folder);
    let device = written.zip(after).map(|(before, after)| DeviceCount {
        bytes: after.saturating_sub(before),
        operations_count: keys_count,
    });
    sample.set(Metric::Device, device.and_then(per_operation));
    let restart = restart(deployment).await?;
    sample.set(Metric::Restart, Some(restart.as_secs_f64() * 1e3));
    match join(deployment).await {
        Ok(join) => sample.set(Metric::Join, Some(join.as_secs_f64() * 1e3)),
        Err(error) => note(&format!("    no member joined: {error}")),
    }
    Ok(sample)
}

/// Adds a member and returns how long it took from the start of its process until
/// it answered a serializable read at the revision that the leader had before.
pub(super) async fn join(deployment: &mut Deployment) -> Result<Duration> {
    let cluster = &mut deployment.cluster;
    let leader = cluster.wait_leader().await?;
    let position = cluster.add_member(leader, false).await?;
    let revision = ready::revision(address(cluster, leader)?).await?;
    let address = address(cluster, position)?;
    ready::caught_up(address, revision, || Ok(cluster.start_member(position)?)).await
}

pub(super) fn address(cluster: &Cluster, position: usize) -> Result<SocketAddr> {
    let port = cluster.member(position)?.client_port;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Starts all members, the last one when the others serve, and returns how
/// long it took from the start of its process to its first linearizable read.
pub(super) async fn restart(deployment: &mut Deployment) -> Result<Duration> {
    let cluster = &mut deployment.cluster;
    let last = cluster.members_count().saturating_sub(1);
    for position in 0..last {
        cluster.start_member(position)?;
    }
    if last > 0 {
        cluster.wait_ready().await?;
        cluster.wait_leader().await?;
    }
    let address = address(cluster, last)?;
    ready::answered(address, || Ok(cluster.start_member(last)?)).await
}
