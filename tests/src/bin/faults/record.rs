//! The record: everything once, written as docs/faults.md.

use std::{env::current_exe, fmt::Write, fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use quoin_tests::{Error, faults::fault::Fault, simulation::Settings};

use crate::{
    simulate::{self, Caught, Fallible},
    soak::{self, Soak, Target},
};

/// How much of everything.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Simulated seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Seeds after which a planted fault counts as unseen.
    #[arg(long, default_value_t = 50)]
    planted_seeds: u64,
    /// Rounds on real processes.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Rounds on etcd, which has to be in the path.
    #[arg(long, default_value_t = 0)]
    etcd_rounds: u64,
    /// What commit it is of; for the heading.
    #[arg(long)]
    commit: String,
    /// The page.
    #[arg(long, default_value = "docs/faults.md")]
    output: PathBuf,
}

impl Record {
    /// Runs it all and writes the page; violations are an exit status.
    pub(crate) fn run(&self) -> Fallible<ExitCode> {
        let binary = current_exe()?;
        let seeds = self.from..self.from.saturating_add(self.seeds);
        let simulated = simulate::many(&binary, seeds, true, &Settings::default())?;
        let caught = simulate::caught(&binary, self.planted_seeds)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let soak = |target, rounds| {
            let soak = Soak::recorded(target, rounds, self.from);
            runtime.block_on(async { soak.run().await })
        };
        let mut soaks = vec![("Quoin", soak(Target::Quoin, self.rounds)?)];
        if self.etcd_rounds > 0 {
            soaks.push(("etcd", soak(Target::Etcd, self.etcd_rounds)?));
        }
        let page = self.page(&simulated, &caught, &soaks)?;
        fs::write(&self.output, page).map_err(Error::io(self.output.display().to_string()))?;
        let is_bad = simulated.violated_count > 0
            || caught.iter().any(|(_, caught)| caught.is_none())
            || soaks.iter().any(|(_, totals)| totals.violated_count > 0);
        Ok(ExitCode::from(u8::from(is_bad)))
    }

    fn page(
        &self,
        simulated: &simulate::Totals,
        caught: &[Caught],
        soaks: &[(&str, soak::Totals)],
    ) -> Result<String, std::fmt::Error> {
        let mut page = String::from("# Fault record\n\n");
        writeln!(
            page,
            "Written by `faults record`, commit {}. What is broken and what judges is in \
             [TESTING.md](TESTING.md).\n\n\
             \x20   cargo run --release -p quoin-tests --bin faults -- record --commit COMMIT \
             --seeds {} --from {} --rounds {} --etcd-rounds {}\n",
            self.commit, self.seeds, self.from, self.rounds, self.etcd_rounds
        )?;
        write_simulated(&mut page, simulated)?;
        write_caught(&mut page, caught, self.planted_seeds)?;
        write_soaks(&mut page, soaks)?;
        Ok(page)
    }
}

fn write_simulated(page: &mut String, totals: &simulate::Totals) -> std::fmt::Result {
    writeln!(page, "## Simulation\n\n| | |\n|---|---|")?;
    writeln!(page, "| seeds | {} |", totals.seeds_count)?;
    writeln!(page, "| with violations | {} |", totals.violated_count)?;
    writeln!(page, "| acknowledged writes | {} |", totals.writes_count)?;
    writeln!(page, "| linearizable reads | {} |", totals.reads_count)?;
    let (hours, speed) = (totals.simulated_hours(), totals.speed());
    writeln!(page, "| simulated hours | {hours:.1} |")?;
    writeln!(page, "| simulated hours per CPU hour | {speed:.0} |\n")?;
    let kinds = totals
        .by_kind
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"));
    writeln!(page, "Events: {}.\n", kinds.collect::<Vec<_>>().join(", "))
}

fn write_caught(page: &mut String, caught: &[Caught], seeds: u64) -> std::fmt::Result {
    writeln!(
        page,
        "## Planted faults\n\nThe judges see what is wrong on purpose.\n"
    )?;
    writeln!(
        page,
        "| planted | first seed that sees it | what it sees |\n|---|---|---|"
    )?;
    for (plant, caught) in caught {
        match caught {
            Some((seed, violation)) => {
                let violation: String = violation.chars().take(160).collect();
                writeln!(
                    page,
                    "| {plant:?} | {seed} | {} |",
                    violation.replace('|', "/")
                )?;
            }
            None => writeln!(page, "| {plant:?} | none of {seeds} | **not seen** |")?,
        }
    }
    writeln!(page)
}

fn write_soaks(page: &mut String, soaks: &[(&str, soak::Totals)]) -> std::fmt::Result {
    writeln!(page, "## Real processes\n")?;
    writeln!(
        page,
        "Three members, eight clients, three watches; the same plan of faults for each server.\n"
    )?;
    let names: Vec<_> = soaks.iter().map(|(name, _)| *name).collect();
    writeln!(page, "| | {} |", names.join(" | "))?;
    writeln!(page, "|---{}|", "|---".repeat(names.len()))?;
    let mut row = |name: &str, cell: &dyn Fn(&soak::Totals) -> String| {
        let cells: Vec<_> = soaks.iter().map(|(_, totals)| cell(totals)).collect();
        writeln!(page, "| {name} | {} |", cells.join(" | "))
    };
    row("rounds", &|totals| totals.rounds_count.to_string())?;
    row("with violations", &|totals| {
        totals.violated_count.to_string()
    })?;
    row("answered", &|totals| totals.answered_count.to_string())?;
    row("outcome open", &|totals| totals.open_count.to_string())?;
    row("events of a watch", &|totals| {
        totals.events_count.to_string()
    })?;
    row("all serve again, median", &|totals| {
        shown(middle(&totals.recoveries))
    })?;
    row("all serve again, longest", &|totals| {
        shown(totals.recoveries.last().copied().unwrap_or_default())
    })?;
    row("time", &|totals| {
        format!("{} min", totals.took.as_secs() / 60)
    })?;
    for fault in Fault::ALL {
        let count = |totals: &soak::Totals| totals.faults.get(&fault).copied().unwrap_or(0);
        row(fault.name(), &|totals| count(totals).to_string())?;
    }
    Ok(())
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
