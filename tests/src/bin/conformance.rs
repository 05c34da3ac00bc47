//! Records and replays the conformance traces.
//!
//! `record --etcd PATH` plays every script on a fresh reference server and
//! writes the traces. `replay` plays the traces on Quoin, on another binary,
//! or on the server at a URL, and prints every difference.
#![expect(clippy::print_stdout, reason = "a command prints its results")]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Parser, Subcommand};
use quoin_tests::{Error, Result, conformance::suite, golden};

/// Records and replays conformance traces.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Plays the scripts on a reference server and writes the traces.
    Record {
        /// The reference server's binary.
        #[arg(long)]
        etcd: PathBuf,
        /// Only these areas.
        areas: Vec<String>,
    },
    /// Plays the traces on a server and compares.
    Replay {
        /// A running server with a fresh store; give one area with it.
        #[arg(long, conflicts_with = "binary")]
        endpoint: Option<String>,
        /// A server binary, started afresh for each area (default: Quoin).
        #[arg(long)]
        binary: Option<PathBuf>,
        /// Only these areas.
        areas: Vec<String>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    match Arguments::parse().verb {
        Verb::Record { etcd, areas } => record(&etcd, &chosen(areas)?).await,
        Verb::Replay {
            endpoint,
            binary,
            areas,
        } => replay(endpoint.as_deref(), binary.as_deref(), &chosen(areas)?).await,
    }
}

async fn record(etcd: &Path, areas: &[String]) -> Result<ExitCode> {
    let version = Command::new(etcd).arg("--version").output();
    let version = version.map_err(Error::io(etcd.display().to_string()))?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version
        .lines()
        .next()
        .unwrap_or_default()
        .replace("etcd Version:", "etcd");
    let mut failed = false;
    for area in areas {
        let mut trace = suite::play_fresh(&suite::load_script(area)?, Some(etcd)).await?;
        trace.recorded = version.clone();
        for step in trace
            .steps
            .iter()
            .filter(|step| step.outcome.get("failed").is_some())
        {
            failed = true;
            println!("{area}: {}: {}", step.rule, step.outcome);
            println!("  {}", serde_json::json!(step.action));
        }
        golden::write(&suite::folder().join(format!("{area}.json")), &trace.text())?;
        println!("{area}: {} steps recorded", trace.steps.len());
    }
    Ok(ExitCode::from(u8::from(failed)))
}

async fn replay(url: Option<&str>, binary: Option<&Path>, areas: &[String]) -> Result<ExitCode> {
    let mut differing = 0;
    for area in areas {
        let expected = suite::load_trace(area)?;
        let found = match url {
            Some(url) => suite::play(&expected, url).await?,
            None => suite::play_fresh(&expected, binary).await?,
        };
        let differences = suite::differences(&expected, &found);
        differences
            .iter()
            .for_each(|difference| println!("{difference}"));
        println!(
            "{area}: {} steps, {} differ",
            expected.steps.len(),
            differences.len()
        );
        differing += differences.len();
    }
    Ok(ExitCode::from(u8::from(differing > 0)))
}

fn chosen(areas: Vec<String>) -> Result<Vec<String>> {
    if areas.is_empty() {
        suite::areas()
    } else {
        Ok(areas)
    }
}
