//! Compaction: what it refuses, what it keeps, whom it waits for.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::key_range::KeyRange;
use crate::mvcc::{ChangesQuery, CompactionProgress, Error, EventKind};

use super::harness::{Harness, Request, all_at, put};

#[test]
fn a_compaction_outside_of_history_is_refused() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let mut writer = harness.store.write();
    assert!(matches!(writer.compact(-1), Err(Error::Compacted { .. })));
    assert!(matches!(
        writer.compact(3),
        Err(Error::FutureRevision {
            requested: 3,
            current: 2
        })
    ));
    writer.compact(0).unwrap();
    assert!(matches!(writer.compact(0), Err(Error::Compacted { .. })));
    writer.compact(2).unwrap();
    writer.commit((2, 1));
    assert_eq!(harness.store.compact_revision(), 2);
}

#[test]
fn reads_below_fail_at_once_and_history_goes_in_steps() {
    let mut harness = Harness::new();
    for round in 0..10 {
        for key in ["a", "b", "c"] {
            harness.put(key, &round.to_string());
        }
    }
    let current = harness.store.revision();
    harness.compact(current);
    assert_eq!(
        harness
            .store
            .read()
            .key_value(b"a", current - 1)
            .unwrap_err()
            .to_string(),
        "revision 30 is compacted (compact revision 31)"
    );
    let working = CompactionProgress::Working { removed_count: 9 };
    assert_eq!(harness.store.compaction_step(1), working);
    assert_eq!(harness.store.compaction_step(1), working);
    assert_eq!(harness.store.finished_compact_revision(), -1);
    assert_eq!(harness.store.compaction_step(1), working);
    let done = CompactionProgress::Finished {
        compact_revision: current,
        removed_count: 0,
    };
    assert_eq!(harness.store.compaction_step(1), done);
    assert_eq!(harness.store.compaction_step(1), CompactionProgress::Idle);
    assert_eq!(harness.store.finished_compact_revision(), current);
    assert_eq!(all_at(&harness.store.read(), 0).len(), 3);
}

#[test]
fn a_tombstone_stays_only_at_the_compact_revision() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.delete("a", "");
    harness.put("b", "1");
    harness.compact_fully(3);
    assert_eq!(harness.store.indexed_keys_count(), 2);
    harness.compact_fully(4);
    assert_eq!(harness.store.indexed_keys_count(), 1);
    assert_eq!(harness.put("a", "2").events[0].version, 1);
}

#[test]
fn an_older_view_reads_on_and_removal_waits_for_it() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    let view = harness.store.read();
    harness.delete("a", "");
    harness.compact(4);
    assert_eq!(
        harness.store.compaction_step(100),
        CompactionProgress::Waiting
    );
    assert_eq!(all_at(&view, 2)[0].value, "1");
    assert_eq!(all_at(&view, 0)[0].value, "2");
    let newer = harness.store.read();
    drop(view);
    assert!(matches!(
        harness.store.compaction_step(100),
        CompactionProgress::Finished {
            compact_revision: 4,
            removed_count: 2
        }
    ));
    assert!(all_at(&newer, 0).is_empty());
}

#[tokio::test]
async fn the_end_of_the_last_older_view_is_told() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    let views = [harness.store.read(), harness.store.read()];
    harness.compact(3);
    // Nothing is under way before the first step.
    harness.store.views_gone().await;
    assert_eq!(
        harness.store.compaction_step(100),
        CompactionProgress::Waiting
    );
    let newer = harness.store.read();
    let store = harness.store.clone();
    let waiter = tokio::spawn(async move { store.views_gone().await });
    for view in views {
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        std::thread::spawn(move || drop(view)).join().unwrap();
    }
    // Were the waiter not woken, this would never end.
    waiter.await.unwrap();
    assert!(matches!(
        harness.store.compaction_step(100),
        CompactionProgress::Finished { .. }
    ));
    drop(newer);
}

#[test]
fn a_later_compaction_runs_after_the_one_under_way() {
    let mut harness = Harness::new();
    for key in ["a", "a", "b", "b"] {
        harness.put(key, "v");
    }
    harness.compact(3);
    harness.store.compaction_step(1);
    harness.compact(4);
    harness.compact(5);
    let finished = |harness: &Harness| loop {
        match harness.store.compaction_step(1) {
            CompactionProgress::Finished {
                compact_revision, ..
            } => return compact_revision,
            CompactionProgress::Working { .. } => {}
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!([finished(&harness), finished(&harness)], [3, 5]);
    assert_eq!(harness.store.compaction_step(1), CompactionProgress::Idle);
}

#[test]
fn an_unfinished_compaction_goes_on_after_a_restart() {
    let mut harness = Harness::new();
    for round in 0..5 {
        harness.put("a", &round.to_string());
        harness.put("b", &round.to_string());
    }
    harness.delete("b", "");
    harness.put("c", "");
    harness.compact(13);
    harness.store.compaction_step(1);
    harness.restart();
    assert_eq!(harness.store.compact_revision(), 13);
    while harness.store.compaction_step(1) != CompactionProgress::Idle {}
    assert_eq!(harness.store.indexed_keys_count(), 2);
    harness.restart();
    while harness.store.compaction_step(1) != CompactionProgress::Idle {}
    assert_eq!(harness.store.indexed_keys_count(), 2);
    assert_eq!(all_at(&harness.store.read(), 13).len(), 2);
}

/// A history that ends with deletes, compacted at its head.
fn compacted_at_a_delete() -> (Harness, i64) {
    let mut harness = Harness::new();
    for round in 0..4 {
        for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            harness.put(key, &round.to_string());
        }
    }
    harness.delete("a", "");
    harness.put("a", "again");
    harness.delete("b", "");
    let head = harness.store.revision();
    harness.compact(head);
    (harness, head)
}

/// etcd issues 6567, 17780 and 19179: after a crash between two steps of a
/// compaction the revision went back, or histories differed. Issue 18089: the
/// delete at the compact revision was gone for watchers.
#[test]
fn issue_17780_a_crash_at_any_step_of_a_compaction_changes_nothing() {
    let (reference, head) = compacted_at_a_delete();
    let mut steps_count = 0;
    while reference.store.compaction_step(1) != CompactionProgress::Idle {
        steps_count += 1;
    }
    assert!(steps_count > 8, "{steps_count} steps");
    let expected = (
        reference.store.hash_kv(head).unwrap().hash,
        all_at(&reference.store.read(), head),
    );
    for (steps, is_stored) in (0..=steps_count).flat_map(|steps| [(steps, false), (steps, true)]) {
        let (mut harness, _) = compacted_at_a_delete();
        for _ in 0..steps {
            harness.store.compaction_step(1);
        }
        if is_stored {
            harness.checkpoint();
        }
        harness.crash();
        let check = |harness: &Harness| {
            let store = &harness.store;
            assert_eq!((store.revision(), store.compact_revision()), (head, head));
            let found = (
                store.hash_kv(head).unwrap().hash,
                all_at(&store.read(), head),
            );
            assert_eq!(found, expected, "after {steps} steps");
            let all = KeyRange::all();
            let query = ChangesQuery {
                from: head,
                to: head,
                range: &all,
                wanted: &|_| true,
                revisions_max: usize::MAX,
                bytes_max: usize::MAX,
            };
            let told = store.read().changes(&query).unwrap();
            assert_eq!(told.revisions[0].1[0].kind, EventKind::Delete);
        };
        check(&harness);
        while harness.store.compaction_step(1) != CompactionProgress::Idle {}
        check(&harness);
        assert_eq!(harness.put("b", "new").events[0].version, 1);
        assert_eq!(harness.store.revision(), head + 1);
    }
}

#[test]
fn readers_see_whole_requests_while_writes_and_compaction_run() {
    let mut harness = Harness::new();
    let pair = |number: usize| {
        let value = number.to_string();
        vec![Request::Write(vec![
            put("a", &value, 0),
            put("z", &value, 0),
        ])]
    };
    harness.apply(pair(0));
    let store = harness.store.clone();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let view = store.read();
                    let pairs = all_at(&view, 0);
                    assert_eq!(pairs.len(), 2);
                    assert_eq!(pairs[0].value, pairs[1].value);
                    let oldest = all_at(&view, view.compact_revision().max(2));
                    assert_eq!(oldest[0].value, oldest[1].value);
                }
            });
        }
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                store.compaction_step(1);
            }
        });
        for number in 1..2000 {
            harness.apply(pair(number));
            if number % 10 == 0 {
                harness.compact(harness.store.revision() - 3);
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    while harness.store.compaction_step(100) != CompactionProgress::Idle {}
    assert_eq!(
        harness
            .store
            .read()
            .key_info(b"a", 0)
            .unwrap()
            .unwrap()
            .version,
        2000
    );
}

#[test]
fn a_deleted_key_stays_dead_when_its_tombstone_is_gone_before_its_put() {
    let mut harness = Harness::new();
    // The put is in a block full of live records, which is not rewritten.
    let mut writes: Vec<_> = (0..500)
        .map(|number| put(&format!("live{number}"), "value", 0))
        .collect();
    writes.push(put("ghost", "value", 0));
    harness.apply(vec![Request::Write(writes)]);
    harness.checkpoint();
    harness.delete("ghost", "");
    harness.put("last", "");
    harness.compact_fully(4);
    harness.checkpoint();
    for _ in 0..2 {
        harness.restart();
        let view = harness.store.read();
        assert_eq!(view.key_value(b"ghost", 0).unwrap(), None);
        assert_eq!(all_at(&view, 0).len(), 501);
        drop(view);
        while harness.store.compaction_step(1000) != CompactionProgress::Idle {}
        harness.checkpoint();
    }
}
