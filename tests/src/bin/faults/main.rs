//! Breaks clusters in every way it knows and judges what their clients saw.
//!
//! `faults soak` on real processes, `faults simulate` in one thread by seed, `faults
//! replay SEED` one of these again, `faults planted` to show that the judges see.

mod record;
mod simulate;
mod soak;
mod system;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Breaks clusters in every way it knows and judges what their clients saw.
#[derive(Debug, Parser)]
#[command(name = "faults", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the kinds of faults of `soak`.
    List,
    /// Runs rounds of faults on clusters of three real processes.
    Soak(soak::Soak),
    /// Runs simulated clusters, one per seed.
    Simulate(simulate::Seeds),
    /// Runs a seed of `simulate` twice, compares, and prints its events.
    Replay(simulate::One),
    /// Runs every planted fault until a simulation sees it.
    Planted(simulate::Planted),
    /// Runs everything and writes the record, docs/faults.md.
    Record(record::Record),
    /// Runs a seed in this process and prints what it was as JSON.
    #[command(hide = true)]
    One(simulate::One),
}

fn main() -> simulate::Fallible<ExitCode> {
    match Arguments::parse().verb {
        Verb::List => {
            soak::list();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Soak(soak) => {
            let runtime = tokio::runtime::Runtime::new()?;
            Ok(runtime.block_on(soak.run())?.status())
        }
        Verb::Simulate(seeds) => seeds.run(),
        Verb::Replay(seed) => seed.replay(),
        Verb::Planted(planted) => planted.run(),
        Verb::Record(record) => record.run(),
        Verb::One(seed) => seed.run(),
    }
}
