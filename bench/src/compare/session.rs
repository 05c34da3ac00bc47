//! The whole comparison: rounds, systems in alternating order, report.

use std::fs;

use crate::{
    Error, Result,
    compare::{
        plan::{WORKS, Work},
        round::{self, Round},
        system::System,
    },
    flags::CompareFlags,
    machine::{self, Machine},
    progress::{Progress, note, print},
    ready::{self, Start},
    report,
};

/// Name that `--only` knows the start measurement by.
const READY: &str = "ready";

/// Everything that was measured.
#[derive(Debug)]
pub struct Session {
    /// How it was asked for.
    pub flags: CompareFlags,
    /// Where it ran.
    pub machine: Machine,
    /// Load averages at the end.
    pub load_after: String,
    /// etcd and Quoin.
    pub systems: [System; 2],
    /// The works that ran.
    pub works: Vec<Work>,
    /// Of each system, its rounds; each round once per cluster size.
    pub rounds: [Vec<Vec<Round>>; 2],
    /// Of each system, one start per round.
    pub starts: [Vec<Start>; 2],
}

/// Runs the comparison and writes its report.
///
/// # Errors
/// A binary is missing, nothing matches `--only`, or the report cannot be
/// written.
pub async fn run(flags: CompareFlags) -> Result<()> {
    let session = Session::run(flags).await?;
    let folder = &session.flags.output;
    let text = report::markdown::render(&session);
    let plot = report::plot::render(&session);
    fs::create_dir_all(folder).map_err(Error::io(folder.display().to_string()))?;
    for (name, content) in [("compare.md", &text), ("compare.svg", &plot)] {
        let path = folder.join(name);
        fs::write(&path, content).map_err(Error::io(path.display().to_string()))?;
        note(&format!("wrote {}", path.display()));
    }
    print(&text);
    Ok(())
}

impl Session {
    async fn run(flags: CompareFlags) -> Result<Self> {
        let chosen = |name: &str| {
            flags.only.is_empty() || flags.only.iter().any(|only| name.starts_with(only))
        };
        let works: Vec<Work> = WORKS.into_iter().filter(|work| chosen(work.name)).collect();
        let with_starts = chosen(READY);
        if works.is_empty() && !with_starts {
            let names: Vec<_> = WORKS.iter().map(|work| work.name).collect();
            let names = names.join(", ");
            return Err(Error::Flags(format!("works are {names}, {READY}")));
        }
        let systems = System::both(&flags)?;
        let steps = works.len() + usize::from(with_starts);
        let mut progress = Progress::new(steps * 2 * flags.rounds);
        let mut session = Self {
            machine: Machine::survey()?,
            load_after: String::new(),
            rounds: [Vec::new(), Vec::new()],
            starts: [Vec::new(), Vec::new()],
            works,
            systems,
            flags,
        };
        for number in 0..session.flags.rounds {
            session.round(number, with_starts, &mut progress).await;
        }
        session.load_after = machine::load();
        Ok(session)
    }

    /// Both systems through everything, the first one alternating.
    async fn round(&mut self, number: usize, with_starts: bool, progress: &mut Progress) {
        let order = if number.is_multiple_of(2) {
            [0, 1]
        } else {
            [1, 0]
        };
        let sizes = self
            .works
            .chunk_by(|one, two| one.members_count == two.members_count);
        let sizes: Vec<Vec<Work>> = sizes.map(<[Work]>::to_vec).collect();
        let mut parts: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
        for works in &sizes {
            for which in order {
                let (Some(system), Some(part)) = (self.systems.get(which), parts.get_mut(which))
                else {
                    continue;
                };
                let seed = number as u64 + 1;
                part.push(round::run(system, works, &self.flags, seed, progress).await);
            }
        }
        for (rounds, part) in self.rounds.iter_mut().zip(parts) {
            rounds.push(part);
        }
        for which in order.into_iter().filter(|_| with_starts) {
            let (Some(system), Some(starts)) =
                (self.systems.get(which), self.starts.get_mut(which))
            else {
                continue;
            };
            let text = match ready::start(&system.binary).await {
                Ok(start) => {
                    starts.push(start);
                    format!("ready after {:.1} ms", start.ready.as_secs_f64() * 1e3)
                }
                Err(error) => error.to_string(),
            };
            progress.step(&format!("{}: {text}", system.name));
        }
    }
}
