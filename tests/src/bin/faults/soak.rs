//! Rounds of faults on clusters of real processes.

use std::{
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
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The server.
    #[arg(long, value_enum, default_value = "quoin")]
    target: Target,
    /// Its binary, if it is not built here (quoin) or in the path (etcd).
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Folder for the rounds that are worth keeping: those with violations.
    #[arg(long, default_value = "target/faults")]
    output: PathBuf,
    /// Keeps every round.
    #[arg(long)]
    keep_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    Quoin,
    Etcd,
}

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
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let started = Instant::now();
        let mut violated_count = 0;
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
                println!(
                    "{round} rounds, {violated_count} with violations, in {:.0?}",
                    started.elapsed()
                );
                break;
            }
            let seed = self.seed + round;
            let outcome = round::run(&self.settings(seed)).await?;
            violated_count += u64::from(!outcome.verdict.violations.is_empty());
            self.tell(seed, &outcome)?;
        }
        Ok(ExitCode::from(u8::from(violated_count > 0)))
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
