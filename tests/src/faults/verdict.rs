//! All judges over one round.

use super::watcher::Watched;
use crate::checker::{
    operation::{Change, Operation},
    register,
    replay::{self, Log},
    watch,
};

/// What was judged, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Every broken promise, one line each; none is what is hoped for.
    pub violations: Vec<String>,
    /// Operations that were answered.
    pub answered_count: usize,
    /// Changes whose outcome stayed open.
    pub open_count: usize,
    /// Events that a watch was told.
    pub events_count: usize,
}

/// Judges what clients and watches saw. The first watch is the log; the others, the
/// answers and the members' hashes have to agree with it.
#[must_use]
pub fn judge(history: &[Operation], watched: &[Watched], hashes: &[(String, u32)]) -> Verdict {
    let open_count = history
        .iter()
        .filter(|operation| operation.is_open())
        .count();
    let mut verdict = Verdict {
        answered_count: history.len() - open_count,
        open_count,
        ..Verdict::default()
    };
    let violations = &mut verdict.violations;
    for (number, one) in watched.iter().enumerate() {
        let problem = one.problem.iter();
        violations.extend(problem.map(|problem| format!("watch {number}: {problem}")));
    }
    let log = match watched.first().map(log) {
        Some(Ok(log)) => {
            if let Err(broken) = replay::check(history, &log) {
                violations.extend(broken.into_iter().map(|line| format!("replay: {line}")));
            }
            for (number, one) in watched.iter().enumerate() {
                if let Err(broken) = watch::check(&one.delivered, &log) {
                    violations.push(format!("watch {number}: {broken}"));
                }
            }
            log
        }
        Some(Err(broken)) => {
            violations.push(format!("watch 0: {broken}"));
            Log::default()
        }
        None => {
            violations.push("nothing was watched".to_owned());
            Log::default()
        }
    };
    // What nobody answered and no watch was told has never happened: to leave it out
    // makes the search short.
    let happened = |operation: &&Operation| {
        let mut put = operation.changes.iter().filter_map(|(_, value)| *value);
        !operation.is_open() || operation.deletes_only() || put.any(|value| log.has(value))
    };
    let searched: Vec<Operation> = history.iter().filter(happened).cloned().collect();
    if let Err(broken) = register::check_keys(&searched) {
        violations.push(format!("linearizability: {broken}"));
    }
    if hashes
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one.1 != other.1))
    {
        violations.push(format!("members differ: {hashes:?}"));
    }
    verdict.events_count = watched.first().map_or(0, events_count);
    verdict
}

/// Lines in which a member says that it panicked.
#[must_use]
pub fn panics(logs: &[(String, String)]) -> Vec<String> {
    let lines = logs
        .iter()
        .flat_map(|(name, log)| log.lines().map(move |line| (name, line)));
    let panics = lines.filter(|(_, line)| line.contains("panicked at") || line.contains("panic:"));
    panics
        .map(|(name, line)| format!("{name}: {line}"))
        .collect()
}

/// What a watch was told, as the log of the store.
fn log(watched: &Watched) -> Result<Log, String> {
    let responses = watched.delivered.responses.iter();
    let events = responses.flat_map(|response| &response.events);
    let change = |event: &watch::Event| -> (i64, Change) {
        (
            event.revision,
            (event.key, event.pair.map(|pair| pair.value)),
        )
    };
    Log::new(events.map(change))
}

fn events_count(watched: &Watched) -> usize {
    let responses = watched.delivered.responses.iter();
    responses.map(|response| response.events.len()).sum()
}
