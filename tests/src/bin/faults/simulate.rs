//! Simulated clusters by seed: many, one again, one with a planted fault. Each seed
//! runs in a process of its own, which is this binary again.

use std::collections::BTreeMap;
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
        let totals = many(&current_exe()?, seeds, self.all, &self.options.into())?;
        Ok(ExitCode::from(u8::from(totals.violated_count > 0)))
    }
}

/// What many seeds came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Seeds.
    pub(crate) seeds_count: u64,
    /// Seeds with violations.
    pub(crate) violated_count: u64,
    /// Acknowledged writes.
    pub(crate) writes_count: u64,
    /// Answered reads.
    pub(crate) reads_count: u64,
    /// Simulated time.
    pub(crate) simulated_ms: u64,
    /// Processor time.
    pub(crate) cpu_ms: u64,
    /// Events by kind, faults among them.
    pub(crate) by_kind: BTreeMap<String, u64>,
}

impl Totals {
    /// Simulated hours.
    pub(crate) fn simulated_hours(&self) -> f64 {
        self.simulated_ms as f64 / 3_600_000.0
    }

    /// Simulated hours per hour of processor time.
    pub(crate) fn speed(&self) -> f64 {
        self.simulated_ms as f64 / self.cpu_ms.max(1) as f64
    }

    fn add(&mut self, outcome: &Outcome) {
        self.seeds_count += 1;
        self.violated_count += u64::from(outcome.violation.is_some());
        self.writes_count += outcome.writes;
        self.reads_count += outcome.reads;
        self.simulated_ms += outcome.simulated_ms;
        self.cpu_ms += outcome.cpu_ms;
        for (kind, count) in &outcome.by_kind {
            *self.by_kind.entry(kind.clone()).or_default() += count;
        }
    }
}

impl Planted {
    /// Runs every planted fault until it is seen.
    pub(crate) fn run(self) -> Fallible<ExitCode> {
        plants(&current_exe()?, self.seeds)
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
pub(crate) fn many(
    binary: &Path,
    seeds: std::ops::Range<u64>,
    goes_on: bool,
    settings: &Settings,
) -> Fallible<Totals> {
    let mut totals = Totals::default();
    for seed in seeds {
        let outcome = run_apart(binary, seed, settings)?;
        totals.add(&outcome);
        if let Some(violation) = &outcome.violation {
            println!("seed {seed}: {violation}\n  again: faults replay {seed}");
            if !goes_on {
                break;
            }
        }
        if totals.seeds_count.is_multiple_of(100) {
            let (seeds, violated) = (totals.seeds_count, totals.violated_count);
            println!("{seeds} seeds, {violated} with violations");
        }
    }
    println!(
        "{} seeds, {} with violations; {} writes, {} reads; {:.2} simulated hours, {:.0} per hour \
         of CPU",
        totals.seeds_count,
        totals.violated_count,
        totals.writes_count,
        totals.reads_count,
        totals.simulated_hours(),
        totals.speed(),
    );
    Ok(totals)
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
    let caught = caught(binary, seeds)?;
    for (plant, caught) in &caught {
        match caught {
            Some((seed, violation)) => println!("{plant:?}: seen by seed {seed}: {violation}"),
            None => println!("{plant:?}: NOT SEEN in {seeds} seeds"),
        }
    }
    let unseen = caught.iter().any(|(_, caught)| caught.is_none());
    Ok(ExitCode::from(u8::from(unseen)))
}

/// A planted fault, the first seed that sees it, and what it sees.
pub(crate) type Caught = (Plant, Option<(u64, String)>);

/// Which of the first `seeds` seeds is the first to see each planted fault.
pub(crate) fn caught(binary: &Path, seeds: u64) -> Fallible<Vec<Caught>> {
    let mut all = Vec::new();
    for plant in Plant::ALL {
        let settings = Settings {
            plant: Some(plant),
            ..Settings::default()
        };
        let mut caught = None;
        for seed in 1..=seeds {
            let outcome = run_apart(binary, seed, &settings)?;
            caught = outcome.violation.map(|violation| (seed, violation));
            if caught.is_some() {
                break;
            }
        }
        all.push((plant, caught));
    }
    Ok(all)
}
