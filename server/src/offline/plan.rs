//! What the surviving directories of a cluster hold, and what to make of them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    error::OfflineError,
    progress::{Progress, Told},
    state::{Memberships, State},
    survivor::{Position, Report, Survivor},
    verdict::{Electorate, Evidence, Verdict},
};
use crate::{agreement::Quarantine, backend, base::error_chain::error_chain};

/// A surviving directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The data directory.
    pub data_directory: PathBuf,
    /// Directory of the log, if it is not below it.
    pub wal_directory: Option<PathBuf>,
}

impl Source {
    /// Reads `DIR`, or `DIR=WALDIR` for a log on a disk of its own.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((data, wal)) if !Path::new(text).exists() => Self {
                data_directory: data.into(),
                wal_directory: Some(wal.into()),
            },
            _ => Self {
                data_directory: text.into(),
                wal_directory: None,
            },
        }
    }
}

/// What survived of a cluster. While it lives no member can start on it.
#[derive(Debug)]
pub struct Plan {
    survivors: Vec<Survivor>,
    freshest: usize,
    /// The freshest one whose state can be used, with that state.
    chosen: Option<(usize, State)>,
    electorates: Vec<Electorate>,
    verdict: Verdict,
    /// The freshest log goes on where no usable state leads up to: what that is.
    unreached: Option<String>,
}

impl Plan {
    /// Reads the directories; copies of their states are opened one after the
    /// other below `work_directory`, which must have room for the two largest.
    ///
    /// # Errors
    /// A directory is no member's or in use, or they are not of one cluster.
    pub fn make(
        sources: &[Source],
        work_directory: &Path,
        told: &mut dyn FnMut(&Progress),
    ) -> Result<Self, OfflineError> {
        let opened = sources.iter().map(Survivor::open);
        let mut survivors = opened.collect::<Result<Vec<_>, _>>()?;
        check_together(&survivors)?;
        let mut chosen: Option<(usize, State)> = None;
        let mut newest: Option<(Position, Memberships)> = None;
        for position in by_freshness(&survivors) {
            let Some(survivor) = survivors.get_mut(position) else {
                continue;
            };
            let state = read_state(survivor, work_directory, told);
            let memberships = match &state {
                Some(state) => state.memberships.clone(),
                None => of_log(survivor),
            };
            let last = survivor.report.last;
            let is_newer = newest.as_ref().is_none_or(|(newest, _)| *newest < last);
            if memberships.newest.is_some() && is_newer {
                newest = Some((last, memberships));
            }
            if let Some(state) = state
                && chosen
                    .as_ref()
                    .is_none_or(|(_, known)| known.last < state.last)
            {
                chosen = Some((position, state));
            }
        }
        if let Some((position, known)) = &chosen
            && let Some(state) = lend(&mut survivors, *position, known, work_directory, told)
        {
            chosen = Some((*position, state));
        }
        compare_states(&mut survivors);
        let memberships = newest
            .map(|(_, memberships)| memberships)
            .unwrap_or_default();
        Ok(Self::judge(survivors, chosen, &memberships))
    }

    fn judge(
        survivors: Vec<Survivor>,
        chosen: Option<(usize, State)>,
        memberships: &Memberships,
    ) -> Self {
        let committed_index = survivors
            .iter()
            .map(|survivor| survivor.report.committed_index);
        let committed_index = committed_index.max().unwrap_or_default();
        let electorates = electorates(&survivors, memberships, committed_index);
        let freshest = by_freshness(&survivors)
            .first()
            .copied()
            .unwrap_or_default();
        let freshest_last = survivors
            .get(freshest)
            .map_or(Position::default(), |survivor| survivor.report.last);
        let last = chosen
            .as_ref()
            .map_or(Position::default(), |(_, state)| state.last);
        let common_index = match &chosen {
            Some((position, state)) => common_index(
                survivors.get(freshest),
                survivors.get(*position),
                state.last,
            ),
            None => 0,
        };
        let is_behind = last != freshest_last;
        let unreached = chosen
            .as_ref()
            .filter(|(position, _)| is_behind && *position != freshest)
            .and(survivors.get(freshest))
            .map(|survivor| unreached(&survivor.report, common_index));
        let verdict = Verdict::of(&Evidence {
            electorates: electorates.clone(),
            committed_index,
            last_index: last.index,
            common_index,
            is_behind,
        });
        Self {
            survivors,
            freshest,
            chosen,
            electorates,
            verdict,
            unreached,
        }
    }

    /// What the freshest log has and no usable state leads up to, if anything.
    pub(super) fn unreached(&self) -> Option<&str> {
        self.unreached.as_deref()
    }

    /// What each directory holds, in the order given.
    pub fn reports(&self) -> impl ExactSizeIterator<Item = &Report> {
        self.survivors.iter().map(|survivor| &survivor.report)
    }

    /// The directory with the freshest log: last term, then last index.
    pub fn freshest(&self) -> Option<&Report> {
        self.survivors
            .get(self.freshest)
            .map(|survivor| &survivor.report)
    }

    /// The directory that a new cluster would be made from: the freshest one, unless
    /// its state cannot be used.
    pub fn chosen(&self) -> Option<&Report> {
        let (position, _) = self.chosen.as_ref()?;
        self.survivors
            .get(*position)
            .map(|survivor| &survivor.report)
    }

    /// Who voted, and who of them survives.
    pub fn electorates(&self) -> &[Electorate] {
        &self.electorates
    }

    /// Whether anything acknowledged may be missing.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The state that a new cluster is made from.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn into_state(self) -> Result<(Report, State), OfflineError> {
        let reports = self.survivors.iter().map(|survivor| &survivor.report);
        let damage = reports.flat_map(|report| &report.damage);
        let damage = damage.cloned().collect::<Vec<_>>().join("; ");
        let (position, state) = self.chosen.ok_or(OfflineError::Unusable(damage.clone()))?;
        let mut survivors = self.survivors;
        if position >= survivors.len() {
            return Err(OfflineError::Unusable(damage));
        }
        Ok((survivors.swap_remove(position).report, state))
    }
}

/// One cluster, and each member once.
fn check_together(survivors: &[Survivor]) -> Result<(), OfflineError> {
    let mut seen: Vec<&Report> = Vec::new();
    for report in survivors.iter().map(|survivor| &survivor.report) {
        let (path, id) = (report.directory.display(), report.member_id);
        for other in &seen {
            let beside = other.directory.display();
            if other.cluster_id != report.cluster_id
                && report.cluster_id != 0
                && other.cluster_id != 0
            {
                return Err(OfflineError::Sources(format!(
                    "{beside} is of cluster {:x}, {path} of cluster {:x}; give the directories of \
                     one cluster only",
                    other.cluster_id, report.cluster_id
                )));
            }
            if other.member_id == id && id != 0 {
                return Err(OfflineError::Sources(format!(
                    "{beside} and {path} are both of member {id:x}; give each member once, with \
                     its latest data"
                )));
            }
        }
        seen.push(report);
    }
    if survivors.is_empty() {
        let text = "no directory given; list the data directories that survived";
        return Err(OfflineError::Sources(text.to_owned()));
    }
    Ok(())
}

/// Positions of the directories, the freshest log first.
fn by_freshness(survivors: &[Survivor]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..survivors.len()).collect();
    let last = |position: &usize| {
        survivors
            .get(*position)
            .map(|survivor| survivor.report.last)
    };
    // Stable: of equals, the first one given.
    order.sort_by_key(|position| std::cmp::Reverse(last(position)));
    order
}

/// Reads the state of a directory and completes its report.
fn read_state(survivor: &mut Survivor, work: &Path, told: Told<'_>) -> Option<State> {
    let report = &mut survivor.report;
    let log = survivor.log.as_ref()?;
    if report.member_id == 0 {
        report
            .damage
            .push("neither identity nor log say whose state it is".to_owned());
        return None;
    }
    if let Some(text) = quarantine(&report.directory.join("member")) {
        report.damage.push(text);
        return None;
    }
    let owner = backend::Identity {
        cluster_id: report.cluster_id,
        member_id: report.member_id,
    };
    let mut state = match State::read(&survivor.backend_directory, owner, log, work, told) {
        Ok(state) => state,
        Err(error) => {
            report
                .damage
                .push(format!("state: {}", error_chain(&error)));
            return None;
        }
    };
    if let Some(cut) = state.cut.take() {
        report.damage.push(cut);
    }
    if state.is_log_overruled {
        report.damage.push(format!(
            "a snapshot was installed up to entry {} and the log not yet cut: entries in it from \
             there on are of a leader that was overruled, and do not count",
            state.checkpoint.index
        ));
    }
    if state.is_log_overruled || state.checkpoint.index > report.last.index {
        // A snapshot was installed, and the log had not given way yet.
        report.last = state.checkpoint;
    }
    report.is_usable = true;
    report.name = state.name_of(report.member_id).unwrap_or_default();
    report.engine = state
        .engine
        .map_or("", backend::EngineKind::name)
        .to_owned();
    report.applied_index = state.checkpoint.index;
    report.committed_index = report.committed_index.max(state.checkpoint.index);
    report.replayed_count = state.replayed_count;
    report.revision = state.store.revision();
    report.keys_count = state.store.keys_count();
    let digest = state.backend.read().digest();
    let known = digest
        .base
        .map(|base| format!("{:032x}@{base}", digest.value));
    report.digest = known.unwrap_or_default();
    Some(state)
}

/// Applies the freshest log to the checkpoint of the one at `position`, whose state
/// `known` is, if the freshest one has no state to be used. A log that has the last
/// entry of a checkpoint has what led to it too. Source: Raft paper, 5.3.
fn lend(
    survivors: &mut [Survivor],
    position: usize,
    known: &State,
    work: &Path,
    told: Told<'_>,
) -> Option<State> {
    let freshest = by_freshness(survivors).first().copied()?;
    let (lender, used) = (survivors.get(freshest)?, survivors.get(position)?);
    let end = lender.report.last;
    if lender.report.is_usable || !lender.report.is_log_sound || end <= known.last {
        return None;
    }
    let (log, checkpoint) = (lender.log.as_ref()?, known.checkpoint);
    let is_empty = checkpoint == Position::default();
    if !is_empty && log.term_at(checkpoint.index) != Some(checkpoint.term) {
        return None;
    }
    let owner = backend::Identity {
        cluster_id: used.report.cluster_id,
        member_id: used.report.member_id,
    };
    let state = State::read(&used.backend_directory, owner, log, work, told).ok()?;
    if state.cut.is_some() || state.last != end {
        return None;
    }
    let text = format!(
        "its log is used: it was applied to the checkpoint of {}, from entry {} to {}",
        used.report.directory.display(),
        checkpoint.index.saturating_add(1),
        end.index
    );
    survivors.get_mut(freshest)?.report.damage.push(text);
    Some(state)
}

/// What to do about entries behind `common_index` that cannot be applied.
fn unreached(freshest: &Report, common_index: u64) -> String {
    let directory = freshest.directory.display();
    format!(
        "{directory} has the freshest log, with entries {} to {} that cannot be applied: its own \
         state cannot be used ({}), and no other checkpoint leads up to them; add a directory \
         whose state does, or leave {directory} out to go on without these entries",
        common_index.saturating_add(1),
        freshest.last.index,
        freshest.damage.join("; ")
    )
}

/// Why a state is known to be wrong, if it is.
fn quarantine(member_directory: &Path) -> Option<String> {
    match Quarantine::open(member_directory) {
        Ok(quarantine) => quarantine.divergence().map(|divergence| {
            format!(
                "in quarantine: its state differed from that of the others from entry {} on; its \
                 log counts, its state is not used",
                divergence.differed_index
            )
        }),
        Err(error) => Some(error_chain(&error)),
    }
}

/// States at one place of one log have to be the same.
fn compare_states(survivors: &mut [Survivor]) {
    let states = survivors.iter().map(|survivor| &survivor.report);
    let states = states.filter(|report| !report.digest.is_empty());
    let states: Vec<Report> = states.cloned().collect();
    for report in survivors.iter_mut().map(|survivor| &mut survivor.report) {
        let base = |report: &Report| report.digest.split('@').nth(1).map(str::to_owned);
        let differs = |other: &&Report| {
            other.last == report.last
                && base(other) == base(report)
                && other.digest != report.digest
        };
        if let Some(other) = states.iter().find(differs) {
            report.damage.push(format!(
                "its state at entry {} differs from that of {}: one of them went wrong",
                report.last.index,
                other.directory.display()
            ));
        }
    }
}

/// The memberships that the log of an unusable state shows.
fn of_log(survivor: &Survivor) -> Memberships {
    let mut memberships = Memberships::default();
    let Some(log) = &survivor.log else {
        return memberships;
    };
    let before = quoin_raft::LogId {
        term: 0,
        index: log.first_index().saturating_sub(1),
    };
    let from = quoin_raft::Applied {
        log_id: (before.index > 0).then_some(before),
        membership: None,
    };
    let entries = log.entries_after(&from).into_iter().flatten();
    entries
        .map_while(Result::ok)
        .for_each(|entry| memberships.note_entry(&entry));
    memberships
}

/// The sets of voters that may have been in force at the end.
fn electorates(
    survivors: &[Survivor],
    memberships: &Memberships,
    committed_index: u64,
) -> Vec<Electorate> {
    let reports = survivors.iter().map(|survivor| &survivor.report);
    let sound = reports.filter(|report| report.is_log_sound);
    let sound: BTreeSet<u64> = sound.map(|report| report.member_id).collect();
    let is_open = memberships.newest_index > committed_index;
    let before = memberships.before.iter().filter(|_| is_open);
    let mut electorates: Vec<Electorate> = memberships
        .newest
        .iter()
        .chain(before)
        .flat_map(|quorums| &quorums.voters)
        .map(|voters| Electorate::new(voters, &sound))
        .collect();
    electorates.sort_by(|one, other| one.voters.cmp(&other.voters));
    electorates.dedup();
    electorates
}

/// Up to where the log that is used, which ends at `last`, agrees with the
/// freshest one.
fn common_index(freshest: Option<&Survivor>, used: Option<&Survivor>, last: Position) -> u64 {
    let (Some(freshest), Some(used)) = (freshest, used) else {
        return 0;
    };
    let end = freshest.report.last;
    // Entries of one term come from one leader, in one order.
    if end.term == last.term {
        return last.index.min(end.index);
    }
    let agree = |index: &u64| {
        let term = used.term_at(*index);
        term.is_some() && term == freshest.term_at(*index)
    };
    let least = used.report.applied_index.min(last.index);
    let tail = least.saturating_add(1)..=last.index.min(end.index);
    tail.rev().find(agree).unwrap_or(least)
}
