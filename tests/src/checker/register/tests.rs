//! Histories that are linearizable and histories that are not.

use super::*;
use crate::checker::operation::Answer;

/// A history under construction: one line per operation.
#[derive(Default)]
struct History(Vec<Operation>);

impl History {
    fn add(
        &mut self,
        times: (u64, Option<u64>),
        change: Option<Option<Value>>,
        answer: Option<Answer>,
    ) -> &mut Operation {
        self.0.push(Operation {
            client: u32::try_from(self.0.len()).unwrap(),
            called: times.0,
            answered: times.1,
            changes: change.into_iter().map(|value| (1, value)).collect(),
            answer,
            ..Operation::default()
        });
        self.0.last_mut().unwrap()
    }

    fn put(&mut self, called: u64, answered: u64, value: Value, revision: i64) -> &mut Operation {
        let answer = answer(revision, BTreeMap::new());
        self.add((called, Some(answered)), Some(Some(value)), Some(answer))
    }

    fn lost_put(&mut self, called: u64, value: Value) -> &mut Operation {
        self.add((called, None), Some(Some(value)), None)
    }

    fn delete(&mut self, called: u64, answered: u64, revision: i64) -> &mut Operation {
        let answer = answer(revision, BTreeMap::new());
        self.add((called, Some(answered)), Some(None), Some(answer))
    }

    fn get(&mut self, called: u64, answered: u64, revision: i64, pair: Option<(Value, i64, i64)>) {
        let pair = pair.map(|(value, mod_revision, version)| Pair {
            value,
            mod_revision,
            version,
        });
        let answer = answer(revision, BTreeMap::from([(1, pair)]));
        self.add((called, Some(answered)), None, Some(answer));
    }

    fn is_good(&self) -> bool {
        check_keys(&self.0).is_ok()
    }
}

fn answer(revision: i64, read: BTreeMap<Key, Option<Pair>>) -> Answer {
    Answer {
        revision,
        succeeded: true,
        read,
        is_serializable: false,
    }
}

#[test]
fn reads_see_what_was_written_before_them() {
    let mut good = History::default();
    good.get(0, 1, 1, None);
    good.put(2, 5, 10, 2);
    good.get(3, 4, 1, None);
    good.get(3, 6, 2, Some((10, 2, 1)));
    good.get(6, 7, 2, Some((10, 2, 1)));
    assert!(good.is_good());

    let mut stale = History::default();
    stale.put(0, 1, 10, 2);
    stale.get(2, 3, 1, None);
    assert!(!stale.is_good());
}

#[test]
fn a_read_does_not_go_back_behind_another() {
    let mut history = History::default();
    history.put(0, 1, 10, 2);
    history.put(2, 9, 11, 3);
    history.get(3, 4, 3, Some((11, 3, 2)));
    assert!(history.is_good());
    history.get(5, 6, 2, Some((10, 2, 1)));
    assert!(!history.is_good());
}

#[test]
fn a_write_without_answer_may_happen_late_or_never() {
    let mut history = History::default();
    history.put(0, 1, 10, 2);
    history.lost_put(2, 11);
    history.get(3, 4, 2, Some((10, 2, 1)));
    assert!(history.is_good(), "never");
    history.get(5, 6, 7, Some((11, 7, 2)));
    assert!(history.is_good(), "late");
    history.get(7, 8, 7, Some((10, 2, 1)));
    assert!(!history.is_good(), "not undone again");
}

#[test]
fn a_value_from_nowhere_and_a_lost_write_are_found() {
    let mut invented = History::default();
    invented.get(0, 1, 2, Some((10, 2, 1)));
    assert!(!invented.is_good());

    let mut lost = History::default();
    lost.put(0, 1, 10, 2);
    lost.put(2, 3, 11, 3);
    lost.get(4, 5, 3, Some((10, 2, 1)));
    assert!(!lost.is_good());
}

#[test]
fn versions_and_revisions_are_part_of_the_state() {
    let mut good = History::default();
    good.put(0, 1, 10, 2);
    good.delete(2, 3, 3);
    good.put(4, 5, 11, 4);
    good.get(6, 7, 4, Some((11, 4, 1)));
    assert!(good.is_good());

    let mut version = History::default();
    version.put(0, 1, 10, 2);
    version.delete(2, 3, 3);
    version.put(4, 5, 11, 4);
    version.get(6, 7, 4, Some((11, 4, 3)));
    assert!(!version.is_good(), "a deletion that did not happen");

    let mut revision = History::default();
    revision.put(0, 1, 10, 5);
    revision.put(2, 3, 11, 4);
    assert!(!revision.is_good(), "revisions grow");

    let mut twice = History::default();
    twice.put(0, 1, 10, 2);
    twice.get(2, 3, 9, Some((10, 9, 2)));
    assert!(!twice.is_good(), "applied twice");
}

#[test]
fn conditions_hold_when_they_are_said_to() {
    let with = |condition: i64, succeeded: bool| {
        let mut history = History::default();
        history.put(0, 1, 10, 2);
        let conditional = history.put(2, 3, 11, if succeeded { 3 } else { 2 });
        conditional.conditions.insert(1, condition);
        conditional.answer.as_mut().unwrap().succeeded = succeeded;
        history
    };
    assert!(with(2, true).is_good());
    assert!(with(0, false).is_good());
    assert!(!with(0, true).is_good());
    assert!(!with(2, false).is_good());
    // On another key, anything may be.
    let mut other = with(2, false);
    other.0.last_mut().unwrap().conditions.insert(7, 0);
    assert!(other.is_good());
}

#[test]
fn serializable_reads_may_be_old() {
    let mut history = History::default();
    history.put(0, 1, 10, 2);
    history.get(2, 3, 1, None);
    history.0[1].answer.as_mut().unwrap().is_serializable = true;
    assert!(history.is_good());
}

#[test]
fn a_hundred_thousand_operations_on_few_keys_are_judged() {
    let mut clock = 0;
    let mut history = Vec::new();
    let mut last: BTreeMap<Key, Pair> = BTreeMap::new();
    for number in 0_i64..100_000 {
        let key = Key::try_from(number % 10).unwrap();
        clock += 10;
        let mut operation = Operation {
            called: clock,
            answered: Some(clock + 35),
            ..Operation::default()
        };
        let mut read = BTreeMap::new();
        if number % 20 < 10 {
            let value = Value::try_from(number).unwrap();
            operation.changes = vec![(key, Some(value))];
            let version = last.get(&key).map_or(1, |pair| pair.version + 1);
            let mod_revision = number + 2;
            last.insert(
                key,
                Pair {
                    value,
                    mod_revision,
                    version,
                },
            );
        } else {
            read.insert(key, last.get(&key).copied());
        }
        operation.answer = Some(answer(number + 2, read));
        history.push(operation);
    }
    assert_eq!(check_keys(&history), Ok(()));
    let wrong = history[50_015].answer.as_mut().unwrap();
    let pair = wrong.read.values_mut().next().unwrap().as_mut().unwrap();
    pair.value -= 20;
    let refused = check_keys(&history).unwrap_err();
    assert!(refused.contains("key 5"), "{refused}");
}
