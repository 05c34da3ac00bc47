//! Random histories on the store and on the model must read the same, whatever
//! is compacted, pinned, dropped, crashed and replayed on the way.

use proptest::collection::vec;
use proptest::prelude::*;
use quoin_proto::mvccpb::KeyValue;

use crate::base::key_range::KeyRange;
use crate::mvcc::{
    ChangesQuery, EventKind, RangeQuery, ReadTransaction, RevisionFilter, SortOrder, SortTarget,
};

use super::harness::{Harness, Request, Write, decode, run};
use super::model::{Model, Refusal};

#[derive(Clone, Debug)]
enum Step {
    /// One Raft entry.
    Apply(Vec<Request>),
    /// Requests that are written and dropped without a commit.
    Abandon(Vec<Request>),
    Compact {
        below_current: i64,
    },
    CompactionSteps {
        count: usize,
        keys_max: usize,
    },
    Pin,
    Unpin,
    Checkpoint,
    Crash,
    Restart,
    Range(RangeQuery),
    Changes {
        from_compact: i64,
        range: KeyRange,
        revisions_max: usize,
        bytes_max: usize,
    },
    Hash {
        below_current: i64,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"a".to_vec()),
        Just(b"ab".to_vec()),
        Just(b"b".to_vec()),
        Just(b"c\xff".to_vec()),
        Just(b"d".to_vec()),
    ]
}

fn range_end() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => Just(Vec::new()), 1 => Just(vec![0]), 2 => key()]
}

fn key_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        1 => Just(KeyRange::all()),
        3 => (key(), range_end()).prop_map(|(key, end)| KeyRange::new(key.into(), end.into())),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let lease = prop_oneof![3 => Just(0), 1 => Just(7), 1 => Just(-8)];
    prop_oneof![
        3 => (key(), vec(0_u8..4, 0..4), lease)
            .prop_map(|(key, value, lease)| Write::Put { key, value, lease }),
        1 => (key(), range_end()).prop_map(|(key, range_end)| Write::Delete { key, range_end }),
    ]
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    vec(vec(write(), 1..4).prop_map(Request::Write), 1..4)
}

fn filter() -> impl Strategy<Value = RevisionFilter> {
    prop_oneof![
        3 => Just(RevisionFilter::default()),
        1 => (0_i64..20, 0_i64..20).prop_map(|(min, max)| RevisionFilter { min, max }),
    ]
}

prop_compose! {
    fn query()(
        range in key_range(), revision in -2_i64..25, limit in -1_i64..4,
        count_only in prop::bool::weighted(0.1), keys_only in any::<bool>(),
        order in 0..3, target in 0..5, mod_revision in filter(), create_revision in filter(),
    ) -> RangeQuery {
        let sort_order = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend][order as usize];
        let sort_target = [
            SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod,
            SortTarget::Value,
        ][target as usize];
        RangeQuery {
            range, revision, limit, count_only, counts: true, keys_only, sort_order,
            sort_target, mod_revision, create_revision,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => requests().prop_map(Step::Apply),
        1 => requests().prop_map(Step::Abandon),
        2 => (-1_i64..8).prop_map(|below_current| Step::Compact { below_current }),
        4 => (1_usize..4, 1_usize..4)
            .prop_map(|(count, keys_max)| Step::CompactionSteps { count, keys_max }),
        1 => Just(Step::Pin),
        1 => Just(Step::Unpin),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        6 => query().prop_map(Step::Range),
        3 => (-1_i64..6, key_range(), 1_usize..4, 1_usize..60).prop_map(
            |(from_compact, range, revisions_max, bytes_max)| Step::Changes {
                from_compact, range, revisions_max, bytes_max,
            }
        ),
        2 => (-1_i64..8).prop_map(|below_current| Step::Hash { below_current }),
    ]
}

fn check_range(view: &ReadTransaction, model: &Model, query: &RangeQuery) {
    let expected = model.range(query);
    let found = view
        .range(query)
        .map_err(|error| Refusal::of(&error))
        .map(|result| {
            assert_eq!(result.revision, model.revision);
            let pairs: Vec<KeyValue> = result.kvs.iter().map(|kv| decode(kv)).collect();
            (pairs, result.more, result.count)
        });
    assert_eq!(found, expected, "{query:?}");
}

/// Everything that is readable reads as the model says.
fn check_view(view: &ReadTransaction, model: &Model) {
    assert_eq!(view.revision(), model.revision);
    assert_eq!(view.compact_revision(), model.compact_revision);
    for revision in model.compact_revision.max(1)..=model.revision {
        let query = RangeQuery {
            revision,
            ..RangeQuery::new(KeyRange::all())
        };
        check_range(view, model, &query);
        let alive = model.alive_at(revision);
        for key in [&b"a"[..], b"ab", b"nothing"] {
            let found = view.key_value(key, revision).unwrap().map(|kv| decode(&kv));
            assert_eq!(found.as_ref(), alive.get(key));
            let info = view.key_info(key, revision).unwrap();
            let fields = info.map(|info| {
                (
                    info.create_revision,
                    info.mod_revision,
                    info.version,
                    info.lease,
                )
            });
            let expected = alive.get(key).map(|pair| {
                (
                    pair.create_revision,
                    pair.mod_revision,
                    pair.version,
                    pair.lease,
                )
            });
            assert_eq!(fields, expected);
        }
    }
}

fn check_changes(
    view: &ReadTransaction,
    model: &Model,
    from: i64,
    range: &KeyRange,
    limits: (usize, usize),
) {
    let mut found = Vec::new();
    let mut next = from;
    while next <= model.revision {
        let query = ChangesQuery {
            from: next,
            to: model.revision,
            range,
            wanted: &|key| key != b"d",
            revisions_max: limits.0,
            bytes_max: limits.1,
        };
        let changes = view.changes(&query).unwrap();
        assert!(changes.next > next && changes.revisions.len() <= limits.0);
        next = changes.next;
        for (main, events) in changes.revisions {
            assert!(main < next);
            found.extend(events);
        }
    }
    let expected: Vec<_> = model
        .history
        .iter()
        .filter(|change| change.revision.main >= from)
        .filter(|change| range.contains(&change.key) && change.key != b"d")
        .collect();
    // At the compact revision itself, what one request did to a key before its
    // last change of it may be gone.
    let at_compact = |main: i64| main == model.compact_revision;
    let retained = model.retained();
    let must = expected.iter().filter(|change| {
        !at_compact(change.revision.main)
            || retained.iter().any(|kept| kept.revision == change.revision)
    });
    for change in must {
        assert!(found.iter().any(|event| event.revision == change.revision));
    }
    assert!(found.is_sorted_by_key(|event| event.revision));
    for event in &found {
        let change = expected
            .iter()
            .find(|change| change.revision == event.revision)
            .unwrap();
        let shown = decode(&event.record);
        assert_eq!(
            (&event.key[..], &shown.key[..]),
            (&change.key[..], &change.key[..])
        );
        match &change.pair {
            Some(pair) => assert_eq!((&shown, event.kind), (pair, EventKind::Put)),
            None => {
                assert_eq!(event.kind, EventKind::Delete);
                assert_eq!(shown.mod_revision, event.revision.main);
            }
        }
    }
}

#[derive(Default)]
struct Pins(Vec<(ReadTransaction, Model)>);

fn take(step: &Step, harness: &mut Harness, model: &mut Model, pins: &mut Pins) {
    match step {
        Step::Apply(requests) => apply(requests, harness, model),
        Step::Abandon(requests) => {
            let mut writer = harness.store.write();
            for request in requests {
                run(&mut writer, request);
            }
        }
        Step::Compact { below_current } => {
            apply(
                &[Request::Compact(model.revision - below_current)],
                harness,
                model,
            );
        }
        Step::CompactionSteps { count, keys_max } => {
            for _ in 0..*count {
                harness.store.compaction_step(*keys_max);
            }
        }
        Step::Pin => pins.0.push((harness.store.read(), model.clone())),
        Step::Unpin => {
            if let Some((view, model)) = pins.0.pop() {
                check_view(&view, &model);
            }
        }
        Step::Checkpoint => harness.checkpoint(),
        Step::Crash | Step::Restart => {
            pins.0.clear();
            if matches!(step, Step::Crash) {
                harness.crash()
            } else {
                harness.restart()
            };
            check_view(&harness.store.read(), model);
        }
        Step::Range(query) => check_range(&harness.store.read(), model, query),
        Step::Changes {
            from_compact,
            range,
            revisions_max,
            bytes_max,
        } => {
            let from = model.compact_revision + from_compact;
            if *from_compact >= 0 && from <= model.revision {
                let limits = (*revisions_max, *bytes_max);
                check_changes(&harness.store.read(), model, from, range, limits);
            }
        }
        Step::Hash { below_current } => {
            let revision = model.revision - below_current;
            let is_readable = revision >= model.compact_revision.max(1);
            if is_readable && revision <= model.revision {
                let hash = harness.store.hash_kv(revision).unwrap();
                assert_eq!(hash.hash, model.hash_kv(revision), "at {revision}");
            }
        }
    }
}

fn apply(requests: &[Request], harness: &mut Harness, model: &mut Model) {
    let commits = harness.apply(requests.to_vec());
    for (request, commit) in requests.iter().zip(commits) {
        let before = (model.history.len(), model.clone());
        model.apply(request);
        assert_eq!(commit.revision, model.revision);
        let made = &model.history[before.0..];
        assert_eq!(commit.events.len(), made.len());
        let mut leases = before.1;
        for (event, change) in commit.events.iter().zip(made) {
            assert_eq!(
                (event.revision, &event.key[..]),
                (change.revision, &change.key[..])
            );
            let previous = leases.alive_at(i64::MAX).remove(&change.key);
            assert_eq!(event.previous_lease, previous.map_or(0, |pair| pair.lease));
            assert_eq!(
                event.lease,
                change.pair.as_ref().map_or(0, |pair| pair.lease)
            );
            leases.history.push(change.clone());
        }
    }
    assert_eq!(harness.store.keys_count(), model.alive_at(i64::MAX).len());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_reads_as_the_model(steps in vec(step(), 1..60)) {
        let mut harness = Harness::new();
        let mut model = Model::new();
        let mut pins = Pins::default();
        for step in &steps {
            take(step, &mut harness, &mut model, &mut pins);
        }
        check_view(&harness.store.read(), &model);
        for (view, model) in &pins.0 {
            check_view(view, model);
        }
    }
}
