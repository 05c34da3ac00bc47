//! True and false histories of a small store.

use super::*;

/// A put of key 1 that was answered.
fn put(times: (u64, u64), value: Value, revision: i64) -> Operation {
    change(times, vec![(1, Some(value))], revision)
}

fn change(times: (u64, u64), changes: Vec<Change>, revision: i64) -> Operation {
    Operation {
        called: times.0,
        answered: Some(times.1),
        changes,
        answer: Some(Answer {
            revision,
            succeeded: true,
            ..Answer::default()
        }),
        ..Operation::default()
    }
}

fn read(times: (u64, u64), revision: i64, pairs: &[(Key, Option<Pair>)]) -> Operation {
    let mut operation = change(times, Vec::new(), revision);
    operation.answer.as_mut().unwrap().read = pairs.iter().copied().collect();
    operation
}

fn pair(value: Value, mod_revision: i64, version: i64) -> Option<Pair> {
    Some(Pair {
        value,
        mod_revision,
        version,
    })
}

fn log(changes: &[(i64, Change)]) -> Log {
    Log::new(changes.iter().copied()).unwrap()
}

/// What is found broken in `history`, in words.
fn broken(history: &[Operation], changes: &[(i64, Change)]) -> String {
    check(history, &log(changes))
        .err()
        .unwrap_or_default()
        .join("\n")
}

const TWO_PUTS: [(i64, Change); 2] = [(2, (1, Some(10))), (3, (1, Some(11)))];

#[test]
fn a_true_history_is_accepted() {
    let history = [
        put((0, 1), 10, 2),
        put((2, 8), 11, 3),
        read((3, 4), 2, &[(1, pair(10, 2, 1))]),
        read((9, 10), 3, &[(1, pair(11, 3, 2)), (2, None)]),
        change((11, 12), vec![(2, None)], 3),
    ];
    assert_eq!(broken(&history, &TWO_PUTS), "");
}

#[test]
fn an_acknowledged_write_that_is_not_in_the_log_is_lost() {
    let history = [put((0, 1), 10, 2), put((2, 3), 11, 3)];
    assert!(broken(&history, &TWO_PUTS[..1]).contains("lost"));
}

#[test]
fn what_nobody_wrote_and_what_happened_twice_is_found() {
    let history = [put((0, 1), 10, 2)];
    assert!(broken(&history, &TWO_PUTS).contains("nobody asked"));
    let twice = [(2, (1, Some(10))), (3, (1, Some(10)))];
    assert!(broken(&history, &twice).contains("twice"));
}

#[test]
fn a_write_without_answer_may_be_in_the_log_or_not() {
    let mut open = put((2, 3), 11, 3);
    open.answered = None;
    open.answer = None;
    let history = [put((0, 1), 10, 2), open];
    assert_eq!(broken(&history, &TWO_PUTS), "");
    assert_eq!(broken(&history, &TWO_PUTS[..1]), "");
    let early = [(2, (1, Some(11))), (3, (1, Some(10)))];
    let told = [put((0, 1), 10, 3), history[1].clone()];
    assert!(broken(&told, &early).contains("after 3 was answered"));
}

#[test]
fn a_stale_read_is_found_across_keys_and_allowed_where_it_is_asked_for() {
    let mut stale = read((4, 5), 2, &[(2, None)]);
    let history = |read: Operation| [put((0, 1), 10, 2), put((2, 3), 11, 3), read];
    assert!(broken(&history(stale.clone()), &TWO_PUTS).contains("older than 3"));
    stale.answer.as_mut().unwrap().is_serializable = true;
    assert_eq!(broken(&history(stale.clone()), &TWO_PUTS), "");
    stale
        .answer
        .as_mut()
        .unwrap()
        .read
        .insert(1, pair(11, 3, 2));
    assert!(broken(&history(stale), &TWO_PUTS).contains("at 2"));
}

#[test]
fn half_a_transaction_is_found() {
    let both = vec![(1, Some(10)), (2, Some(20))];
    let history = [change((0, 1), both, 2)];
    let half = [(2, (1, Some(10)))];
    assert!(broken(&history, &half).contains("asked for was"));
    let split = [(2, (1, Some(10))), (3, (2, Some(20)))];
    assert!(!broken(&history, &split).is_empty());
    let whole = [(2, (1, Some(10))), (2, (2, Some(20)))];
    assert_eq!(broken(&history, &whole), "");
}

#[test]
fn conditions_are_checked_against_the_log() {
    let mut conditional = put((2, 3), 11, 3);
    conditional.conditions.insert(1, 2);
    let history = |second: &Operation| [put((0, 1), 10, 2), second.clone()];
    assert_eq!(broken(&history(&conditional), &TWO_PUTS), "");
    conditional.conditions.insert(1, 0);
    assert!(broken(&history(&conditional), &TWO_PUTS).contains("conditions"));
    let answer = conditional.answer.as_mut().unwrap();
    (answer.succeeded, answer.revision) = (false, 2);
    assert_eq!(broken(&history(&conditional), &TWO_PUTS[..1]), "");
    assert!(broken(&history(&conditional), &TWO_PUTS).contains("change nothing"));
}

#[test]
fn a_deletion_belongs_to_whoever_was_told_so() {
    let gone = [(2, (1, Some(10))), (3, (1, None))];
    let told = [put((0, 1), 10, 2), change((2, 3), vec![(1, None)], 3)];
    assert_eq!(broken(&told, &gone), "");
    assert!(broken(&told[..1], &gone).contains("nobody asked"));
    assert!(broken(&told, &gone[..1]).contains("lost"));
    // Of two at a time, it is not the one that found nothing.
    let mut late = told[1].clone();
    late.answer.as_mut().unwrap().read.insert(1, None);
    let mut first = told[1].clone();
    let read = &mut first.answer.as_mut().unwrap().read;
    read.insert(1, pair(10, 2, 1));
    let all = [told[0].clone(), told[1].clone(), late, first];
    assert_eq!(broken(&all, &gone), "");
    let again = change((4, 5), vec![(1, None)], 3);
    assert_eq!(
        broken(&[told[0].clone(), again, told[1].clone()], &gone),
        ""
    );
}

#[test]
fn a_log_that_goes_back_is_refused() {
    assert!(Log::new([(3, (1, None)), (2, (1, None))]).is_err());
    assert!(Log::new([(3, (1, None)), (3, (1, None))]).is_err());
}
