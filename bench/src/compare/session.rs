//! The whole comparison: rounds, systems in alternating order, report.

use std::fs;

use crate::{
    Error, Result,
    compare::{
        growth::{self, Growth},
        plan::{self, Stage},
        round::{self, Round},
        system::System,
        work::Work,
    },
    flags::CompareFlags,
    machine::{self, Machine},
    progress::{Progress, note, print},
    ready::{self, Start},
    report,
};

/// Name that `--only` knows the start measurement by.
const READY: &str = "ready";

/// Name that `--only` knows the growth measurement by.
const GROWTH: &str = "growth";

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
    /// Everything that a whole comparison runs.
    pub plan: Vec<Stage>,
    /// What ran of it.
    pub stages: Vec<Stage>,
    /// Of each system, its rounds; each round once per stage that ran.
    pub rounds: [Vec<Vec<Round>>; 2],
    /// Of each system, one start per round.
    pub starts: [Vec<Start>; 2],
    /// What much data did to Quoin, where it was asked for.
    pub growth: Option<Growth>,
}

/// Runs the comparison and writes its report.
///
/// # Errors
/// A binary is missing, nothing matches `--only`, or the report cannot be
/// written.
pub async fn run(flags: CompareFlags) -> Result<()> {
    let session = Session::run(flags).await?;
    let folder = &session.flags.output;
    let text = report::page::render(&session);
    let plots = report::plots(&session);
    fs::create_dir_all(folder).map_err(Error::io(folder.display().to_string()))?;
    let page = (report::PAGE, text.clone());
    for (name, content) in plots.into_iter().chain([page]) {
        let path = folder.join(name);
        fs::write(&path, content).map_err(Error::io(path.display().to_string()))?;
        note(&format!("wrote {}", path.display()));
    }
    print(&text);
    Ok(())
}

impl Session {
    /// The works that ran, in their order.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        self.stages.iter().flat_map(|stage| &stage.works)
    }

    /// A work by its short name, whether it ran or not.
    #[must_use]
    pub fn planned(&self, name: &str) -> Option<&Work> {
        let mut works = self.plan.iter().flat_map(|stage| &stage.works);
        works.find(|work| work.name == name)
    }

    async fn run(flags: CompareFlags) -> Result<Self> {
        let plan = plan::stages(&flags);
        let chosen = |name: &str| is_chosen(&plan, &flags.only, name);
        let stages: Vec<Stage> = plan
            .iter()
            .filter_map(|stage| part(stage, chosen))
            .collect();
        let with_starts = chosen(READY);
        let growth = flags.growth.filter(|_| chosen(GROWTH));
        if stages.is_empty() && !with_starts && growth.is_none() {
            let works = plan.iter().flat_map(|stage| &stage.works);
            let names: Vec<_> = works.map(|work| work.name.as_str()).collect();
            let names = names.join(", ");
            return Err(Error::Flags(format!(
                "works are {names}, {READY}, and {GROWTH} with --growth"
            )));
        }
        let systems = System::both(&flags)?;
        let works_count: usize = stages.iter().map(|stage| stage.works.len()).sum();
        let steps = works_count + usize::from(with_starts);
        let mut progress = Progress::new(steps * 2 * flags.rounds);
        let mut session = Self {
            machine: Machine::survey()?,
            load_after: String::new(),
            rounds: [Vec::new(), Vec::new()],
            starts: [Vec::new(), Vec::new()],
            growth: None,
            plan,
            stages,
            systems,
            flags,
        };
        for number in 0..session.flags.rounds {
            session.round(number, with_starts, &mut progress).await;
        }
        if let Some(gib) = growth {
            let [_, quoin] = &session.systems;
            match growth::run(quoin, gib, &session.flags).await {
                Ok(growth) => session.growth = Some(growth),
                Err(error) => note(&format!("growth: {error}")),
            }
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
        let mut parts: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
        for stage in &self.stages {
            for which in order {
                let (Some(system), Some(part)) = (self.systems.get(which), parts.get_mut(which))
                else {
                    continue;
                };
                let seed = number as u64 + 1;
                part.push(round::run(system, stage, &self.flags, seed, progress).await);
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

/// The works of a stage that were chosen; `None` if there are none.
fn part(stage: &Stage, chosen: impl Fn(&str) -> bool) -> Option<Stage> {
    let works = stage.works.iter().filter(|work| chosen(&work.name));
    let works: Vec<Work> = works.cloned().collect();
    (!works.is_empty()).then_some(Stage { works, ..*stage })
}

/// True if `only` names this work, or the start of its name and no other work;
/// nothing in `only` chooses everything.
fn is_chosen(plan: &[Stage], only: &[String], name: &str) -> bool {
    let is_work = |text: &str| {
        let mut works = plan.iter().flat_map(|stage| &stage.works);
        works.any(|work| work.name == text)
    };
    let matches = |only: &String| name == only || (!is_work(only) && name.starts_with(only));
    only.is_empty() || only.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_chooses_one_work_and_the_start_of_names_several() {
        let plan = plan::stages(&plan::tests::flags());
        let chosen = |only: &[&str], name| {
            let only: Vec<String> = only.iter().map(|only| (*only).to_owned()).collect();
            is_chosen(&plan, &only, name)
        };
        assert!(chosen(&["watch-100"], "watch-100"));
        assert!(!chosen(&["watch-100"], "watch-1000"));
        assert!(chosen(&["watch"], "watch-1000") && chosen(&["lease", "rea"], READY));
        assert!(!chosen(&["watch"], "lease") && chosen(&[], "lease"));
    }
}
