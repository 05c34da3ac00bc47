//! Rounds of faults on clusters of real processes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use quoin_tests::{
    Result,
    faults::{
        fault::Fault,
        report,
        round::{self, Outcome, Settings},
    },
};

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How long to go on.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Runs this number of rounds instead.
    #[arg(long)]
    rounds: Option<u64>,
    /// Seed of the first round; each round has the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kinds of faults, separated by commas; all if none is named.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Seconds during which faults begin, in each round.
    #[arg(long, default_value_t = SECONDS)]
    seconds: u64,
    /// The server.
    #[arg(long, value_enum, default_value = "quoin")]
    target: Target,
    /// Its binary, if it is not built here (quoin) or in the path (etcd).
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Folder for the rounds that are worth keeping: those with violations.
    #[arg(long, default_value = FOLDER)]
    output: PathBuf,
    /// Keeps every round.
    #[arg(long)]
    keep_all: bool,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// The server of this workspace.
    Quoin,
    /// The reference server.
    Etcd,
}

/// What many rounds came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Rounds.
    pub(crate) rounds_count: u64,
    /// Rounds with violations.
    pub(crate) violated_count: u64,
    /// Operations that were answered.
    pub(crate) answered_count: usize,
    /// Changes whose outcome stayed open.
    pub(crate) open_count: usize,
    /// Events that a watch was told.
    pub(crate) events_count: usize,
    /// Faults by kind.
    pub(crate) faults: BTreeMap<Fault, u64>,
    /// Times from the last fault until all members served, ascending.
    pub(crate) recoveries: Vec<Duration>,
    /// How long it all took.
    pub(crate) took: Duration,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        let verdict = &outcome.verdict;
        self.rounds_count += 1;
        self.violated_count += u64::from(!verdict.violations.is_empty());
        self.answered_count += verdict.answered_count;
        self.open_count += verdict.open_count;
        self.events_count += verdict.events_count;
        for span in &outcome.spans {
            *self.faults.entry(span.fault).or_default() += 1;
        }
        self.recoveries.push(outcome.recovery);
        self.recoveries.sort_unstable();
    }

    /// An exit status that tells of violations.
    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(u8::from(self.violated_count > 0))
    }
}

/// Seconds of a round during which faults begin.
const SECONDS: u64 = 20;

/// Where rounds are kept.
const FOLDER: &str = "target/faults";

/// Prints the kinds of faults.
#[expect(clippy::print_stdout, reason = "a command prints its results")]
pub(crate) fn list() {
    for fault in Fault::ALL {
        println!("{:<16} {}", fault.name(), fault.describe());
    }
}

impl Soak {
    /// Runs rounds until the time is over; violations are an exit status.
    #[expect(clippy::print_stdout, reason = "a command prints its results")]
    pub(crate) async fn run(&self) -> Result<Totals> {
        let started = Instant::now();
        let mut totals = Totals::default();
        println!(
            "{:>8} {:>7} {:>9} {:>6} {:>8} {:>10}  result",
            "seed", "faults", "answered", "open", "events", "recovery"
        );
        for round in 0_u64.. {
            let is_over = match self.rounds {
                Some(rounds) => round >= rounds,
                None => started.elapsed() >= Duration::from_secs(60 * self.minutes),
            };
            if is_over {
                totals.took = started.elapsed();
                println!(
                    "{round} rounds, {} with violations, in {:.0?}",
                    totals.violated_count, totals.took
                );
                break;
            }
            let seed = self.seed + round;
            let outcome = round::run(&self.settings(seed)).await?;
            totals.add(&outcome);
            self.tell(seed, &outcome)?;
        }
        Ok(totals)
    }

    /// Rounds of all faults on `target`, to be recorded.
    pub(crate) fn recorded(target: Target, rounds: u64, seed: u64) -> Self {
        Self {
            minutes: 0,
            rounds: Some(rounds),
            seed,
            faults: Vec::new(),
            seconds: SECONDS,
            target,
            binary: None,
            output: FOLDER.into(),
            keep_all: false,
        }
    }

    fn settings(&self, seed: u64) -> Settings {
        let faults = match self.faults.is_empty() {
            true => Fault::ALL.to_vec(),
            false => self.faults.clone(),
        };
        let etcd = || PathBuf::from("etcd");
        let binary = self.binary.clone();
        Settings {
            seed,
            faults,
            length: Duration::from_secs(self.seconds),
            binary: binary.or_else(|| (self.target == Target::Etcd).then(etcd)),
        }
    }

    #[expect(clippy::print_stdout, reason = "a command prints its results")]
    fn tell(&self, seed: u64, outcome: &Outcome) -> Result<()> {
        let verdict = &outcome.verdict;
        let is_good = verdict.violations.is_empty();
        let mut result = "ok".to_owned();
        if !is_good || self.keep_all {
            let name = format!("{:?}-{seed}", self.target).to_lowercase();
            let folder = report::write(&self.output, &name, &self.command(seed), outcome)?;
            let verdict = if is_good { "ok" } else { "VIOLATION" };
            result = format!("{verdict}, see {}", folder.display());
        }
        println!(
            "{seed:>8} {:>7} {:>9} {:>6} {:>8} {:>10.2?}  {result}",
            outcome.spans.len(),
            verdict.answered_count,
            verdict.open_count,
            verdict.events_count,
            outcome.recovery,
        );
        for violation in &verdict.violations {
            println!("         {violation}");
        }
        Ok(())
    }

    /// The command that repeats a round.
    fn command(&self, seed: u64) -> String {
        let target = format!("{:?}", self.target).to_lowercase();
        let mut command = format!(
            "cargo run -p quoin-tests --bin faults -- soak --rounds 1 --seed {seed} --seconds {} \
             --target {target}",
            self.seconds
        );
        if !self.faults.is_empty() {
            let names: Vec<_> = self.faults.iter().map(|fault| fault.name()).collect();
            command.push_str(&format!(" --faults {}", names.join(",")));
        }
        command
    }
}
