//! One key as a register that is read, written, deleted, and changed on condition.
//!
//! The state knows the revision of its pair as soon as somebody was told it: the
//! write itself may have stayed without an answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    linearizable::{Model, STEPS_MAX, Timed, Verdict, check},
    operation::{Key, Operation, Pair, Value},
};

/// One key's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// Value and version, if the key exists.
    pair: Option<(Value, i64)>,
    /// Revision of the pair, if it is known.
    mod_revision: Option<i64>,
    /// Highest revision that an answer has named: later ones name no lower one.
    revision: i64,
}

/// An operation as one key sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnKey {
    /// The modification revision that the key must be at for a change.
    condition: Option<i64>,
    /// There are conditions on other keys, which this one knows nothing of.
    has_other_conditions: bool,
    /// The new value, or `Some(None)` for a deletion.
    change: Option<Option<Value>>,
    /// What was read before the change.
    read: Option<Option<Pair>>,
    /// What was answered: the revision, and whether the conditions held.
    answer: Option<(i64, bool)>,
}

impl OnKey {
    /// What `operation` is to `key`.
    #[must_use]
    pub fn of(operation: &Operation, key: Key) -> Self {
        let answer = operation.answer.as_ref();
        let changes = operation.changes.iter().rev();
        Self {
            condition: operation.conditions.get(&key).copied(),
            has_other_conditions: operation.conditions.keys().any(|other| *other != key),
            change: changes
                .filter(|(changed, _)| *changed == key)
                .map(|(_, value)| *value)
                .next(),
            read: answer.and_then(|answer| answer.read.get(&key).copied()),
            answer: answer.map(|answer| (answer.revision, answer.succeeded)),
        }
    }
}

/// The model of one key of an etcd.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

impl Model for Register {
    type State = State;
    type Operation = OnKey;

    fn initial(&self) -> State {
        State {
            revision: 1,
            ..State::default()
        }
    }

    fn step(&self, state: &State, operation: &OnKey) -> Option<State> {
        let mut state = state.clone();
        if let Some(read) = operation.read {
            state = reading(state, read)?;
        }
        let held = operation.condition.is_none_or(|at| is_at(&state, at));
        match operation.answer {
            Some((revision, true)) => {
                let state = if held { state } else { return None };
                let before = state.revision;
                let (changed, has_changed) = changing(state, operation.change, Some(revision));
                // A change has a revision of its own.
                let revision_min = before + i64::from(has_changed);
                (revision >= revision_min).then_some(State {
                    revision,
                    ..changed
                })
            }
            Some((revision, false)) => {
                let may_fail = operation.has_other_conditions || !held;
                (may_fail && revision >= state.revision).then_some(State { revision, ..state })
            }
            // Never answered: whoever takes it says that it happened.
            None => held.then(|| changing(state, operation.change, None).0),
        }
    }
}

/// The state as a read shows it, if it can be that.
fn reading(state: State, read: Option<Pair>) -> Option<State> {
    match (state.pair, read) {
        (None, None) => Some(state),
        (Some((value, version)), Some(pair)) => {
            let is_same = value == pair.value
                && version == pair.version
                && state.mod_revision.is_none_or(|at| at == pair.mod_revision);
            is_same.then_some(State {
                mod_revision: Some(pair.mod_revision),
                ..state
            })
        }
        _ => None,
    }
}

/// The key is at this modification revision, or may be.
fn is_at(state: &State, revision: i64) -> bool {
    match state.pair {
        None => revision == 0,
        Some(_) => state.mod_revision.is_none_or(|at| at == revision) && revision != 0,
    }
}

/// The state after a change, and whether there was one.
fn changing(state: State, change: Option<Option<Value>>, revision: Option<i64>) -> (State, bool) {
    let (pair, mod_revision) = match (change, state.pair) {
        (None, _) | (Some(None), None) => return (state, false),
        (Some(None), Some(_)) => (None, None),
        (Some(Some(value)), None) => (Some((value, 1)), revision),
        (Some(Some(value)), Some((_, version))) => (Some((value, version + 1)), revision),
    };
    let changed = State {
        pair,
        mod_revision,
        ..state
    };
    (changed, true)
}

/// Judges every key of a history by itself. Serializable reads are left out: they
/// may be of any age.
///
/// # Errors
/// The key that no order explains, and the operation that it fails at.
pub fn check_keys(history: &[Operation]) -> Result<(), String> {
    let linearizable = |operation: &&Operation| {
        let answer = operation.answer.as_ref();
        answer.is_none_or(|answer| !answer.is_serializable)
    };
    let mut by_key: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(linearizable) {
        for key in keys_of(operation) {
            by_key.entry(key).or_default().push(operation);
        }
    }
    for (key, operations) in by_key {
        let timed = |operation: &&Operation| Timed {
            operation: OnKey::of(operation, key),
            called: operation.called,
            answered: operation.answered,
        };
        let timed: Vec<_> = operations.iter().map(timed).collect();
        match check(&Register, &timed, STEPS_MAX) {
            Verdict::Linearizable => {}
            Verdict::Violated {
                position,
                explained_count,
            } => {
                return Err(format!(
                    "key {key}: no order explains all of its {} operations; the longest has \
                     {explained_count} and ends before {:?}",
                    operations.len(),
                    operations.get(position),
                ));
            }
            Verdict::Undecided => {
                return Err(format!(
                    "key {key}: undecided after {STEPS_MAX} steps over {} operations",
                    operations.len()
                ));
            }
        }
    }
    Ok(())
}

fn keys_of(operation: &Operation) -> BTreeSet<Key> {
    let read = operation
        .answer
        .iter()
        .flat_map(|answer| answer.read.keys());
    let changed = operation.changes.iter().map(|(key, _)| key);
    let keys = read.chain(operation.conditions.keys()).chain(changed);
    keys.copied().collect()
}

#[cfg(test)]
mod tests;
