//! Requests, entries, and what others see of them.

use crate::backend::Table;
use crate::base::key_range::KeyRange;
use crate::base::revision::Revision;
use crate::mvcc::{EventKind, Previous, RangeQuery};

use super::harness::{Harness, Request, all_at, decode, delete, put, range};

#[test]
fn one_request_is_one_revision_with_numbered_changes() {
    let mut harness = Harness::new();
    let request = vec![
        put("b", "1", 0),
        put("a", "1", 0),
        delete("a", "\0"),
        put("b", "2", 0),
    ];
    let commit = harness.apply(vec![Request::Write(request)]).remove(0);
    assert_eq!(commit.revision, 2);
    let seen: Vec<_> = commit
        .events
        .iter()
        .map(|event| {
            (
                event.kind,
                event.key.to_vec(),
                event.revision.sub,
                event.version,
            )
        })
        .collect();
    let expected = [
        (EventKind::Put, b"b".to_vec(), 0, 1),
        (EventKind::Put, b"a".to_vec(), 1, 1),
        (EventKind::Delete, b"a".to_vec(), 2, 0),
        (EventKind::Delete, b"b".to_vec(), 3, 0),
        (EventKind::Put, b"b".to_vec(), 4, 1),
    ];
    assert_eq!(seen, expected);
    assert!(commit.events.iter().all(|event| event.revision.main == 2));
    assert!(commit.events[4].is_creation());
}

#[test]
fn a_request_without_effect_takes_no_revision() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let commit = harness.delete("b", "\0");
    assert_eq!((commit.revision, commit.events.len()), (2, 0));
    assert_eq!(harness.store.applied().unwrap().index, 2);
    assert_eq!(harness.delete("a", "").revision, 3);
    assert_eq!(harness.delete("a", "").revision, 3);
    assert_eq!(harness.put("a", "2").events[0].create_revision, 4);
}

#[test]
fn the_events_of_a_delete_show_key_and_revision_alone() {
    let mut harness = Harness::new();
    harness.put_leased("a", "1", 9);
    let commit = harness.delete("a", "");
    let event = &commit.events[0];
    let shown = decode(&event.record);
    assert_eq!((&shown.key[..], shown.mod_revision), (&b"a"[..], 3));
    assert_eq!(
        (shown.create_revision, shown.version, shown.lease),
        (0, 0, 0)
    );
    assert_eq!((event.lease, event.previous_lease), (0, 9));
}

#[test]
fn writes_return_what_they_replace_if_asked() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("b", "2");
    let mut writer = harness.store.write();
    writer.begin();
    let previous = writer.put("a".into(), b"3", 0, Previous::Return).unwrap();
    assert_eq!(decode(&previous.unwrap()).value, "1");
    assert_eq!(
        writer.put("a".into(), b"4", 0, Previous::Skip).unwrap(),
        None
    );
    assert_eq!(
        writer.put("new".into(), b"5", 0, Previous::Return).unwrap(),
        None
    );
    let deleted = writer
        .delete_range(&KeyRange::all(), Previous::Return)
        .unwrap();
    let values: Vec<_> = deleted.previous.iter().map(|kv| decode(kv).value).collect();
    assert_eq!(
        (deleted.count, values),
        (3, vec!["4".into(), "2".into(), "5".into()])
    );
    assert_eq!(writer.end().events.len(), 6);
    writer.commit((9, 1));
}

#[test]
fn a_writer_sees_its_own_changes_and_nobody_else_does() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let before = harness.store.read();
    let mut writer = harness.store.write();
    writer.begin();
    assert_eq!(writer.current(), 2);
    writer.put("a".into(), b"2", 5, Previous::Skip).unwrap();
    writer.put("b".into(), b"3", 0, Previous::Skip).unwrap();
    assert_eq!(writer.current(), 3);
    let result = writer.range(&RangeQuery::new(KeyRange::all())).unwrap();
    assert_eq!((result.count, result.revision), (2, 3));
    assert_eq!(decode(&result.kvs[0]).value, "2");
    let old = RangeQuery {
        revision: 2,
        ..RangeQuery::new(KeyRange::all())
    };
    assert_eq!(decode(&writer.range(&old).unwrap().kvs[0]).value, "1");
    let info = writer.key_info(b"a").unwrap().unwrap();
    assert_eq!(
        (
            info.create_revision,
            info.mod_revision,
            info.version,
            info.lease
        ),
        (2, 3, 2, 5)
    );
    assert_eq!(decode(&writer.key_value(b"b").unwrap().unwrap()).value, "3");
    for view in [&before, &harness.store.read()] {
        assert_eq!((view.revision(), all_at(view, 0).len()), (2, 1));
        assert_eq!(all_at(view, 0)[0].value, "1");
    }
    writer.end();
    writer.commit((2, 1));
    assert_eq!(all_at(&before, 0).len(), 1);
    assert_eq!(all_at(&harness.store.read(), 0).len(), 2);
}

#[test]
fn a_dropped_writer_leaves_no_trace() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("b", "1");
    {
        let mut writer = harness.store.write();
        writer.begin();
        writer.put("a".into(), b"2", 0, Previous::Skip).unwrap();
        writer.put("a".into(), b"3", 0, Previous::Skip).unwrap();
        writer
            .delete_range(&range("a", "\0"), Previous::Skip)
            .unwrap();
        writer.put("c".into(), b"2", 0, Previous::Skip).unwrap();
        writer.compact(2).unwrap();
        writer.end();
    }
    assert_eq!(
        (harness.store.revision(), harness.store.compact_revision()),
        (3, -1)
    );
    assert_eq!(
        (
            harness.store.keys_count(),
            harness.store.indexed_keys_count()
        ),
        (2, 2)
    );
    let commit = harness.put("a", "4");
    assert_eq!((commit.revision, commit.events[0].version), (4, 2));
}

#[test]
fn rows_and_changes_of_an_entry_appear_together() {
    let harness = Harness::new();
    let mut writer = harness.store.write();
    writer.put_row(Table::Lease, b"id", b"lease");
    writer.begin();
    writer.put("a".into(), b"1", 3, Previous::Skip).unwrap();
    writer.end();
    assert_eq!(writer.row(Table::Lease, b"id").unwrap(), "lease");
    assert_eq!(
        harness.store.read().backend().row(Table::Lease, b"id"),
        None
    );
    writer.commit((1, 1));
    let view = harness.store.read();
    assert_eq!(view.backend().row(Table::Lease, b"id").unwrap(), "lease");
    assert_eq!(view.revision(), 2);
}

#[test]
fn leased_keys_are_listed_with_their_leases() {
    let mut harness = Harness::new();
    harness.put_leased("a", "1", 7);
    harness.put_leased("b", "1", 8);
    harness.put_leased("c", "1", -9);
    harness.put("b", "2");
    harness.put_leased("d", "1", 7);
    harness.delete("d", "");
    let mut seen = Vec::new();
    harness
        .store
        .read()
        .for_each_leased_key(|key, lease| seen.push((key.to_vec(), lease)))
        .unwrap();
    assert_eq!(seen, [(b"a".to_vec(), 7), (b"c".to_vec(), -9)]);
}

#[test]
fn several_requests_of_an_entry_get_their_own_revisions() {
    let mut harness = Harness::new();
    let requests = vec![
        Request::Write(vec![put("a", "1", 0)]),
        Request::Write(vec![delete("x", "")]),
        Request::Write(vec![put("a", "2", 0)]),
    ];
    let commits = harness.apply(requests);
    let revisions: Vec<i64> = commits.iter().map(|commit| commit.revision).collect();
    assert_eq!(revisions, [2, 2, 3]);
    assert_eq!(commits[2].events[0].revision, Revision::new(3, 0));
}

#[test]
fn a_store_opened_again_replays_only_what_is_missing() {
    for checkpoint_after in 0..=4 {
        let mut harness = Harness::new();
        let steps: [fn(&mut Harness); 4] = [
            |harness| drop(harness.put("a", "1")),
            |harness| drop(harness.put_leased("b", "1", 4)),
            |harness| drop(harness.delete("a", "")),
            |harness| harness.compact(3),
        ];
        for (done, step) in steps.iter().enumerate() {
            if done == checkpoint_after {
                harness.checkpoint();
            }
            step(&mut harness);
        }
        if checkpoint_after == steps.len() {
            harness.checkpoint();
        }
        assert_eq!(harness.crash(), steps.len() - checkpoint_after);
        let store = &harness.store;
        assert_eq!((store.revision(), store.compact_revision()), (4, 3));
        assert_eq!((store.keys_count(), store.indexed_keys_count()), (1, 2));
        assert_eq!(all_at(&store.read(), 3).len(), 2);
        assert_eq!(all_at(&store.read(), 0)[0].version, 1);
        assert_eq!(harness.restart(), 0);
        assert_eq!(all_at(&harness.store.read(), 3).len(), 2);
    }
}
