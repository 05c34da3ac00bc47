//! Simulated clusters by seed: many, one again, one with a planted fault. Each seed
//! runs in a process of its own, which is this binary again.

use std::env::current_exe;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use quoin_tests::simulation::{Outcome, Plant, Settings, process, run, run_apart};

use crate::system;

/// Which seeds.
#[derive(Debug, Args)]
pub(crate) struct Seeds {
    /// How many.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Go on after a violation.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    options: Options,
}

/// One seed.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The seed.
    seed: u64,
    #[command(flatten)]
    options: Options,
}

/// Planted faults.
#[derive(Debug, Args)]
pub(crate) struct Planted {
    /// Seeds after which one counts as unseen.
    #[arg(long, default_value_t = 50)]
    seeds: u64,
}

#[derive(Clone, Debug, Args)]
struct Options {
    /// A fault of the simulation itself
    #[arg(long)]
    plant: Option<Plant>,
    /// Three members, no faults
    #[arg(long)]
    calm: bool,
    /// Simulated seconds with faults, at most
    #[arg(long, default_value_t = Settings::default().trouble_seconds)]
    trouble_seconds: u64,
    /// Keep every event
    #[arg(long, hide = true)]
    told: bool,
}

impl From<Options> for Settings {
    fn from(options: Options) -> Self {
        Self {
            plant: options.plant,
            is_calm: options.calm,
            trouble_seconds: options.trouble_seconds,
            is_told: options.told,
        }
    }
}

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

impl One {
    /// Runs the seed in this process and prints what it was as JSON.
    #[expect(clippy::print_stdout, reason = "its output is what it is for")]
    pub(crate) fn run(self) -> Fallible<ExitCode> {
        system::watch_over();
        process::begin(self.seed);
        let outcome = run(self.seed, &self.options.into())?;
        println!("{}", serde_json::to_string(&outcome)?);
        Ok(ExitCode::SUCCESS)
    }

    /// Runs the seed twice, compares, and prints its events.
    pub(crate) fn replay(self) -> Fallible<ExitCode> {
        replay(&current_exe()?, self.seed, &self.options.into())
    }
}

impl Seeds {
    /// Runs the seeds; a violation is an exit status.
    pub(crate) fn run(self) -> Fallible<ExitCode> {
        let seeds = self.from..self.from.saturating_add(self.seeds);
        many(&current_exe()?, seeds, self.all, &self.options.into())
    }
}

impl Planted {
    /// Runs every planted fault until it is seen.
    pub(crate) fn run(self) -> Fallible<ExitCode> {
        plants(&current_exe()?, self.seeds)
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn many(
    binary: &Path,
    seeds: std::ops::Range<u64>,
    goes_on: bool,
    settings: &Settings,
) -> Fallible<ExitCode> {
    let (mut simulated, mut cpu, mut count, mut violations) = (0, 0, 0_u64, 0_u64);
    let (mut writes, mut reads) = (0, 0);
    for seed in seeds {
        let outcome = run_apart(binary, seed, settings)?;
        count += 1;
        simulated += outcome.simulated_ms;
        cpu += outcome.cpu_ms;
        writes += outcome.writes;
        reads += outcome.reads;
        if let Some(violation) = &outcome.violation {
            violations += 1;
            println!("seed {seed}: {violation}\n  again: faults replay {seed}");
            if !goes_on {
                break;
            }
        }
        if count % 100 == 0 {
            println!("{count} seeds, {violations} violations");
        }
    }
    let hours = |milliseconds: u64| milliseconds as f64 / 3_600_000.0;
    println!(
        "{count} seeds, {violations} violations; {writes} writes, {reads} reads; {:.2} simulated \
         hours in {:.3} hours of CPU: {:.0} simulated hours per CPU hour",
        hours(simulated),
        hours(cpu),
        simulated as f64 / (cpu.max(1)) as f64
    );
    Ok(ExitCode::from(u8::from(violations > 0)))
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn replay(binary: &Path, seed: u64, settings: &Settings) -> Fallible<ExitCode> {
    let told = Settings {
        is_told: true,
        ..settings.clone()
    };
    let first = run_apart(binary, seed, &told)?;
    let again = run_apart(binary, seed, settings)?;
    for line in &first.lines {
        println!("{line}");
    }
    summary(&first);
    if first.hash != again.hash {
        println!("NOT THE SAME: {} and {}", first.hash, again.hash);
        return Ok(ExitCode::from(2));
    }
    Ok(ExitCode::from(u8::from(first.violation.is_some())))
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn summary(outcome: &Outcome) {
    println!(
        "seed {}: {} events, hash {}, {:.1} simulated s, {} ms CPU, {} writes, {} reads",
        outcome.seed,
        outcome.events,
        outcome.hash,
        outcome.simulated_ms as f64 / 1000.0,
        outcome.cpu_ms,
        outcome.writes,
        outcome.reads
    );
    println!("{:?}", outcome.by_kind);
    match &outcome.violation {
        Some(violation) => println!("VIOLATION {violation}"),
        None => println!("no violation"),
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn plants(binary: &Path, seeds: u64) -> Fallible<ExitCode> {
    let mut unseen = 0;
    for plant in Plant::ALL {
        let settings = Settings {
            plant: Some(plant),
            ..Settings::default()
        };
        let mut caught = None;
        for seed in 1..=seeds {
            let outcome = run_apart(binary, seed, &settings)?;
            if let Some(violation) = outcome.violation {
                caught = Some((seed, violation));
                break;
            }
        }
        match caught {
            Some((seed, violation)) => println!("{plant:?}: seen by seed {seed}: {violation}"),
            None => {
                unseen += 1;
                println!("{plant:?}: NOT SEEN in {seeds} seeds");
            }
        }
    }
    Ok(ExitCode::from(u8::from(unseen > 0)))
}
