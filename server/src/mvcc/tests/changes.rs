//! Catching up from stored changes: bounds, both ways of finding them, limits.

use crate::base::key_range::KeyRange;
use crate::mvcc::{ChangesQuery, Error, EventKind};

/// A main revision with kind and key of its changes.
type Seen<'a> = (i64, Vec<(EventKind, &'a [u8])>);

use super::harness::{Harness, Request, put, range};

fn query(from: i64, to: i64, range: &KeyRange) -> ChangesQuery<'_> {
    ChangesQuery {
        from,
        to,
        range,
        wanted: &|_| true,
        revisions_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

#[test]
fn changes_are_grouped_by_revision_in_execution_order() {
    let mut harness = Harness::new();
    harness.apply(vec![Request::Write(vec![
        put("b", "1", 0),
        put("a", "1", 0),
    ])]);
    harness.delete("b", "");
    let all = KeyRange::all();
    let changes = harness.store.read().changes(&query(2, 3, &all)).unwrap();
    assert_eq!(changes.next, 4);
    let seen: Vec<Seen<'_>> = changes
        .revisions
        .iter()
        .map(|(main, events)| {
            (
                *main,
                events
                    .iter()
                    .map(|event| (event.kind, &event.key[..]))
                    .collect(),
            )
        })
        .collect();
    let expected: [Seen<'_>; 2] = [
        (2, vec![(EventKind::Put, b"b"), (EventKind::Put, b"a")]),
        (3, vec![(EventKind::Delete, b"b")]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_answer_is_bounded_and_says_where_to_go_on() {
    let mut harness = Harness::new();
    for number in 0..10 {
        harness.put("a", &number.to_string());
    }
    let view = harness.store.read();
    let all = KeyRange::all();
    let changes = view
        .changes(&ChangesQuery {
            revisions_max: 3,
            ..query(2, 11, &all)
        })
        .unwrap();
    assert_eq!((changes.revisions.len(), changes.next), (3, 5));
    let changes = view
        .changes(&ChangesQuery {
            bytes_max: 1,
            ..query(5, 11, &all)
        })
        .unwrap();
    assert_eq!((changes.revisions.len(), changes.next), (1, 6));
    let changes = view.changes(&query(6, 8, &all)).unwrap();
    assert_eq!((changes.revisions.len(), changes.next), (3, 9));
    assert_eq!(view.changes(&query(9, 8, &all)).unwrap().next, 9);
}

#[test]
fn a_scan_and_the_index_find_the_same_changes() {
    let mut harness = Harness::new();
    // More keys than an answer from the index may look at.
    for start in (0..1200).step_by(100) {
        let writes = (start..start + 100)
            .map(|number| {
                put(
                    &format!("{}{number}", if number % 3 == 0 { "x" } else { "y" }),
                    "v",
                    0,
                )
            })
            .collect();
        harness.apply(vec![Request::Write(writes)]);
    }
    harness.delete("x3", "");
    let view = harness.store.read();
    let (wide, narrow) = (KeyRange::all(), range("x", "y"));
    let only_x = |key: &[u8]| key.starts_with(b"x");
    let scanned = view
        .changes(&ChangesQuery {
            wanted: &only_x,
            ..query(2, 14, &wide)
        })
        .unwrap();
    let indexed = view.changes(&query(2, 14, &narrow)).unwrap();
    assert_eq!(scanned, indexed);
    assert_eq!(
        indexed
            .revisions
            .iter()
            .map(|(_, events)| events.len())
            .sum::<usize>(),
        401
    );
    let limited = ChangesQuery {
        wanted: &only_x,
        revisions_max: 2,
        ..query(2, 14, &wide)
    };
    assert_eq!(view.changes(&limited).unwrap().next, 4);
}

#[test]
fn what_is_compacted_or_not_yet_there_is_refused() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    harness.delete("a", "");
    harness.compact_fully(4);
    let view = harness.store.read();
    let all = KeyRange::all();
    assert!(matches!(
        view.changes(&query(3, 4, &all)),
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(
        view.changes(&query(4, 5, &all)),
        Err(Error::FutureRevision { .. })
    ));
    let changes = view.changes(&query(4, 4, &all)).unwrap();
    assert_eq!(changes.revisions[0].1[0].kind, EventKind::Delete);
}
