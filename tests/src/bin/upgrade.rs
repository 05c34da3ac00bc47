//! Records data directories of the build at hand, and upgrades between builds.
//!
//! `record` writes the recordings that later builds are tested with. `rolling`
//! starts a cluster with one build and restarts its members one by one with
//! another, while writers go on: see docs/TESTING.md.
#![expect(clippy::print_stdout, reason = "a command prints its results")]

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use quoin_tests::{
    Error, Result,
    cluster::{Cluster, Options},
    upgrade,
    workload::{self, Load},
};

/// Records data directories and upgrades between builds.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes recordings of the build of `QUOIN_BIN_DIR`.
    Record {
        /// Start of the file names: a version of the formats.
        name: String,
        /// Where to.
        folder: PathBuf,
    },
    /// Restarts three members one by one with another binary under load, once
    /// with each engine.
    Rolling {
        /// The older server.
        #[arg(long)]
        from: PathBuf,
        /// The newer server.
        #[arg(long)]
        to: PathBuf,
    },
}

/// Acknowledged writes between two restarts.
const WRITES_BETWEEN: usize = 300;

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Record { name, folder } => record(&name, &folder).await,
        Verb::Rolling { from, to } => {
            for engine in ["sled", "redb"] {
                rolling(&from, &to, engine).await?;
            }
            Ok(())
        }
    }
}

async fn record(name: &str, folder: &Path) -> Result<()> {
    for engine in ["sled", "redb"] {
        let flags = [format!("--backend-engine={engine}")];
        upgrade::record(folder, &format!("{name}-{engine}"), 1, &flags).await?;
    }
    upgrade::record(
        folder,
        &format!("{name}-cluster"),
        upgrade::HOSTS.len(),
        &[],
    )
    .await
}

async fn rolling(from: &Path, to: &Path, engine: &str) -> Result<()> {
    let flags = [
        format!("--backend-engine={engine}"),
        "--snapshot-count=500".into(),
    ];
    let options = Options::new(3).binary(Some(from.to_owned())).flags(flags);
    let mut cluster = Cluster::start(options).await?;
    let mut load = Load::start(&cluster.urls())?;
    let reads = load.read_along();
    load.wait_acknowledged(WRITES_BETWEEN).await?;
    cluster.set_binary(to.to_owned());
    for position in 0..cluster.members_count() {
        cluster.terminate(position).await?;
        cluster.start_member(position)?;
        cluster.wait_member_ready(position).await?;
        load.wait_acknowledged(WRITES_BETWEEN).await?;
        println!("{engine}: m{position} runs {}", to.display());
    }
    let history = load.stop().await;
    let leader = cluster.wait_leader().await?;
    let index = cluster.status(leader).await?.raft_applied_index;
    for position in 0..cluster.members_count() {
        cluster.wait_applied(position, index).await?;
        let broken = history.broken_promises(&workload::found(&cluster, position).await?);
        if !broken.is_empty() {
            return Err(Error::malformed(engine, broken.join("\n")));
        }
    }
    println!(
        "{engine}: {} acknowledged writes are on all members; reads: {reads:?}",
        history.acknowledged_count()
    );
    Ok(())
}
