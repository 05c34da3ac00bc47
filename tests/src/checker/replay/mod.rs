//! Strict serializability, by the store's own order.
//!
//! Every change has a revision, and a watch tells all changes: the log. If the log
//! is the truth, replaying it must explain every answer at the revision that the
//! answer names, and revisions must agree with real time (Herlihy and Wing, 1990;
//! over several keys at once, which a search per key cannot see). Linear in the
//! length of the history.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use super::operation::{Answer, Change, Key, Operation, Pair, Value};

/// All changes of a history, by revision; within one in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    revisions: BTreeMap<i64, BTreeMap<Key, Option<Value>>>,
    /// What each key was from a revision on.
    timelines: HashMap<Key, Vec<(i64, Option<Pair>)>>,
    /// Every value that was ever written.
    values: HashSet<Value>,
}

impl Log {
    /// A log of `changes`, each with its revision, in the order of revisions.
    ///
    /// # Errors
    /// Revisions go back, or one key changes twice in one.
    pub fn new(changes: impl IntoIterator<Item = (i64, Change)>) -> Result<Self, String> {
        let mut log = Self::default();
        let mut newest = 0;
        for (revision, (key, value)) in changes {
            if revision < newest {
                return Err(format!("revision {revision} comes after {newest}"));
            }
            newest = revision;
            let timeline = log.timelines.entry(key).or_default();
            let version = timeline
                .last()
                .and_then(|(_, pair)| *pair)
                .map_or(0, |pair| pair.version);
            let pair = value.map(|value| Pair {
                value,
                mod_revision: revision,
                version: version + 1,
            });
            timeline.push((revision, pair));
            log.values.extend(value);
            let changed = log.revisions.entry(revision).or_default();
            if changed.insert(key, value).is_some() {
                return Err(format!("revision {revision} changes key {key} twice"));
            }
        }
        Ok(log)
    }

    /// Somebody wrote this value.
    #[must_use]
    pub fn has(&self, value: Value) -> bool {
        self.values.contains(&value)
    }

    /// The pair of `key` at `revision`.
    #[must_use]
    pub fn at(&self, key: Key, revision: i64) -> Option<Pair> {
        let timeline = self.timelines.get(&key)?;
        let known = timeline.partition_point(|(from, _)| *from <= revision);
        let (_, pair) = timeline.get(known.checked_sub(1)?)?;
        *pair
    }

    /// What changed at `revision`.
    pub fn changed(&self, revision: i64) -> impl Iterator<Item = Change> {
        let changes = self.revisions.get(&revision).into_iter().flatten();
        changes.map(|(key, value)| (*key, *value))
    }

    /// All changes from `from` to `to`, both included, with their revisions.
    pub fn between(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, Change)> {
        // A range that ends before it begins would panic.
        let revisions = self.revisions.range(from..=to.max(from));
        let revisions = revisions.filter(move |(revision, _)| **revision <= to);
        revisions.flat_map(|(revision, changes)| {
            changes
                .iter()
                .map(|(key, value)| (*revision, (*key, *value)))
        })
    }
}

/// Judges a history by the log of its store.
///
/// # Errors
/// The first broken promises, each in a line.
pub fn check(history: &[Operation], log: &Log) -> Result<(), Vec<String>> {
    let mut replay = Replay::new(history, log);
    replay.attribute();
    replay.answers();
    replay.real_time();
    if replay.broken.is_empty() {
        Ok(())
    } else {
        Err(replay.broken)
    }
}

/// Broken promises that are told; one cause has many effects.
const BROKEN_MAX: usize = 20;

struct Replay<'a> {
    history: &'a [Operation],
    log: &'a Log,
    /// The revision at which each operation made its changes, where it made some.
    revisions: Vec<Option<i64>>,
    broken: Vec<String>,
}

impl<'a> Replay<'a> {
    fn new(history: &'a [Operation], log: &'a Log) -> Self {
        Self {
            history,
            log,
            revisions: vec![None; history.len()],
            broken: Vec::new(),
        }
    }

    fn note(&mut self, problem: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(problem);
        }
    }

    /// Every change in the log was asked for, once, and whole.
    fn attribute(&mut self) {
        let mut writers: HashMap<(Key, Value), usize> = HashMap::new();
        let mut deleters: HashMap<Key, Vec<usize>> = HashMap::new();
        for (position, operation) in self.history.iter().enumerate() {
            for (key, value) in &operation.changes {
                value.map(|value| writers.insert((*key, value), position));
                if operation.deletes_only() {
                    deleters.entry(*key).or_default().push(position);
                }
            }
        }
        let log = self.log;
        for (revision, changes) in &log.revisions {
            let put = changes
                .iter()
                .find_map(|(key, value)| Some((*key, (*value)?)));
            let writer = match put {
                Some(put) => writers.get(&put).copied(),
                None => self.deleter(&deleters, *revision, changes),
            };
            let Some(writer) = writer else {
                self.note(format!("revision {revision}: nobody asked for {changes:?}"));
                continue;
            };
            if let Some(before) = self.revisions.get(writer).copied().flatten() {
                let operation = &self.history[writer];
                self.note(format!(
                    "{operation:?} took effect twice, at {before} and {revision}"
                ));
            }
            self.revisions[writer] = Some(*revision);
            self.is_whole(writer, *revision, changes);
        }
    }

    /// Who may have made a revision of deletions only, of those who asked for no
    /// more: best one that has seen a key there and was told this revision, then one
    /// that was told it, then one that was told nothing.
    fn deleter(
        &self,
        deleters: &HashMap<Key, Vec<usize>>,
        revision: i64,
        changes: &BTreeMap<Key, Option<Value>>,
    ) -> Option<usize> {
        let (first, _) = changes.first_key_value()?;
        let claims = deleters.get(first).into_iter().flatten().copied();
        let free = |position: &usize| self.revisions.get(*position).copied().flatten().is_none();
        let claim = |position: usize| {
            let operation = &self.history[position];
            // Who asked later may have found nothing any more.
            let earlier = Reverse(operation.called);
            let asked = |key| operation.changes.iter().any(|(asked, _)| asked == key);
            let Some(answer) = &operation.answer else {
                return changes.keys().all(asked).then_some((0, earlier, position));
            };
            let saw = |there: bool| {
                let seen = changes.keys().filter_map(|key| answer.read.get(key));
                seen.filter(|pair| pair.is_some() == there).count() > 0
            };
            let may = answer.succeeded && answer.revision == revision && !saw(false);
            let rank = if saw(true) { 2 } else { 1 };
            (may && changes.keys().all(asked)).then_some((rank, earlier, position))
        };
        let best = claims.filter(free).filter_map(claim).max();
        best.map(|(.., position)| position)
    }

    fn is_whole(&mut self, writer: usize, revision: i64, changes: &BTreeMap<Key, Option<Value>>) {
        let operation = &self.history[writer];
        let expected: BTreeMap<Key, Option<Value>> = operation
            .changes
            .iter()
            .filter(|(key, value)| value.is_some() || self.log.at(*key, revision - 1).is_some())
            .copied()
            .collect();
        if expected != *changes {
            self.note(format!(
                "revision {revision} is {changes:?}, asked for was {expected:?} by {operation:?}"
            ));
        }
        if !operation.may_change() {
            self.note(format!(
                "revision {revision}: {operation:?} was said to change nothing"
            ));
        }
    }

    /// Every answer is true at the revision that it names.
    fn answers(&mut self) {
        for (position, operation) in self.history.iter().enumerate() {
            let Some(answer) = &operation.answer else {
                continue;
            };
            let at = self.revisions.get(position).copied().flatten();
            let before = at.map_or(answer.revision, |revision| revision - 1);
            for problem in self.wrong(operation, answer, at, before) {
                self.note(format!("{problem}: {operation:?}"));
            }
        }
    }

    fn wrong(
        &self,
        operation: &Operation,
        answer: &Answer,
        at: Option<i64>,
        before: i64,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        if at.is_some_and(|at| at != answer.revision) {
            problems.push(format!("took effect at {at:?}, not where the answer says"));
        }
        let must_change = operation
            .changes
            .iter()
            .any(|(key, value)| value.is_some() || self.log.at(*key, before).is_some());
        if answer.succeeded && must_change && at.is_none() {
            problems.push("was acknowledged and is lost".to_owned());
        }
        for (key, read) in &answer.read {
            let truth = self.log.at(*key, before);
            if *read != truth {
                problems.push(format!("key {key} was {truth:?} at {before}, not {read:?}"));
            }
        }
        let held = operation.conditions.iter().all(|(key, revision)| {
            let pair = self.log.at(*key, before);
            pair.map_or(0, |pair| pair.mod_revision) == *revision
        });
        if held != answer.succeeded {
            problems.push(format!("its conditions held at {before}: {held}"));
        }
        problems
    }

    /// What was answered before a call is part of what the call sees.
    fn real_time(&mut self) {
        let history = self.history;
        let mut by_call: Vec<usize> = (0..history.len()).collect();
        by_call.sort_unstable_by_key(|position| history[*position].called);
        let mut answered: Vec<(u64, i64)> = history
            .iter()
            .filter_map(|operation| {
                Some((operation.answered?, operation.answer.as_ref()?.revision))
            })
            .collect();
        answered.sort_unstable();
        let mut answered = answered.into_iter().peekable();
        let mut floor = 0;
        for position in by_call {
            let operation = &history[position];
            while let Some((_, revision)) = answered.next_if(|(at, _)| *at < operation.called) {
                floor = floor.max(revision);
            }
            let changed = self.revisions.get(position).copied().flatten();
            let told = operation.answer.as_ref();
            let told = told.filter(|answer| !answer.is_serializable);
            if changed.is_some_and(|revision| revision <= floor) {
                self.note(format!(
                    "took effect at {changed:?} after {floor} was answered: {operation:?}"
                ));
            } else if told.is_some_and(|answer| answer.revision < floor) {
                self.note(format!(
                    "is older than {floor}, answered before: {operation:?}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
