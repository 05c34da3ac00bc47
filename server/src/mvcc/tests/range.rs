//! The rules of range reads, one by one.

use crate::base::key_range::KeyRange;
use crate::mvcc::{
    Error, RangeQuery, RangeResult, ReadTransaction, RevisionFilter, SortOrder, SortTarget,
};

use super::harness::{Harness, decode, range};

fn keys(result: &RangeResult) -> Vec<String> {
    result
        .kvs
        .iter()
        .map(|kv| String::from_utf8(decode(kv).key.to_vec()).unwrap())
        .collect()
}

fn all() -> RangeQuery {
    RangeQuery::new(KeyRange::all())
}

/// a, b, c, d created in the order d c b a at 2, 3, 4, 5; b put again at 6.
fn sample() -> (Harness, ReadTransaction) {
    let mut harness = Harness::new();
    for key in ["d", "c", "b", "a"] {
        harness.put(key, &format!("value of {key}"));
    }
    harness.put("b", "zzz");
    let view = harness.store.read();
    (harness, view)
}

#[test]
fn a_fresh_store_has_revision_1_and_was_never_compacted() {
    let harness = Harness::new();
    assert_eq!(
        (harness.store.revision(), harness.store.compact_revision()),
        (1, -1)
    );
    let result = harness.store.read().range(&all()).unwrap();
    assert_eq!(
        result,
        RangeResult {
            revision: 1,
            ..RangeResult::default()
        }
    );
}

#[test]
fn a_range_ends_as_the_api_says() {
    let (_harness, view) = sample();
    let cases: [(&str, &str, &[&str]); 7] = [
        ("b", "", &["b"]),
        ("b", "d", &["b", "c"]),
        ("b", "\0", &["b", "c", "d"]),
        ("\0", "\0", &["a", "b", "c", "d"]),
        ("c", "b", &[]),
        ("c", "c", &[]),
        ("\0", "", &[]),
    ];
    for (key, end, expected) in cases {
        let result = view.range(&RangeQuery::new(range(key, end))).unwrap();
        assert_eq!(keys(&result), expected, "{key:?} {end:?}");
        assert_eq!(result.count as usize, expected.len());
    }
}

#[test]
fn old_revisions_are_read_and_wrong_ones_refused() {
    let (mut harness, _) = sample();
    harness.compact_fully(4);
    let view = harness.store.read();
    let at = |revision| view.range(&RangeQuery { revision, ..all() });
    assert_eq!(keys(&at(4).unwrap()), ["b", "c", "d"]);
    assert_eq!(at(4).unwrap().revision, 6);
    assert_eq!(keys(&at(-3).unwrap()).len(), 4);
    assert!(matches!(
        at(3),
        Err(Error::Compacted {
            requested: 3,
            compact_revision: 4
        })
    ));
    assert!(matches!(
        at(7),
        Err(Error::FutureRevision {
            requested: 7,
            current: 6
        })
    ));
}

#[test]
fn a_limit_cuts_but_does_not_count() {
    let (_harness, view) = sample();
    let result = view.range(&RangeQuery { limit: 2, ..all() }).unwrap();
    assert_eq!(
        (keys(&result).len(), result.more, result.count),
        (2, true, 4)
    );
    let result = view.range(&RangeQuery { limit: 4, ..all() }).unwrap();
    assert_eq!((keys(&result).len(), result.more), (4, false));
    let result = view.range(&RangeQuery { limit: -1, ..all() }).unwrap();
    assert_eq!((keys(&result).len(), result.more), (4, false));
}

#[test]
fn count_only_ignores_limit_and_filters() {
    let (_harness, view) = sample();
    let mod_revision = RevisionFilter { min: 6, max: 0 };
    let query = RangeQuery {
        count_only: true,
        limit: 1,
        mod_revision,
        ..all()
    };
    let result = view.range(&query).unwrap();
    assert_eq!((result.kvs.len(), result.more, result.count), (0, false, 4));
}

#[test]
fn filters_are_inclusive_come_before_the_limit_and_do_not_count() {
    let (_harness, view) = sample();
    let mod_revision = RevisionFilter { min: 3, max: 5 };
    let query = RangeQuery {
        mod_revision,
        limit: 1,
        ..all()
    };
    let result = view.range(&query).unwrap();
    assert_eq!(
        (keys(&result), result.more, result.count),
        (vec!["a".to_owned()], true, 4)
    );
    let create_revision = RevisionFilter { min: 0, max: 4 };
    let result = view
        .range(&RangeQuery {
            create_revision,
            ..all()
        })
        .unwrap();
    assert_eq!(keys(&result), ["b", "c", "d"]);
}

#[test]
fn every_target_sorts_both_ways() {
    let (_harness, view) = sample();
    let sorted = |sort_order, sort_target| {
        keys(
            &view
                .range(&RangeQuery {
                    sort_order,
                    sort_target,
                    ..all()
                })
                .unwrap(),
        )
        .concat()
    };
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Key), "dcba");
    assert_eq!(sorted(SortOrder::Ascend, SortTarget::Create), "dcba");
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Create), "abcd");
    assert_eq!(sorted(SortOrder::Ascend, SortTarget::Mod), "dcab");
    assert_eq!(sorted(SortOrder::None, SortTarget::Mod), "dcab");
    assert_eq!(
        sorted(SortOrder::Descend, SortTarget::Version).get(..1),
        Some("b")
    );
    assert_eq!(sorted(SortOrder::Ascend, SortTarget::Value), "acdb");
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Value), "bdca");
}

#[test]
fn without_an_order_the_limit_cuts_before_the_sort() {
    let (_harness, view) = sample();
    let limited = |sort_order, sort_target| {
        let query = RangeQuery {
            sort_order,
            sort_target,
            limit: 1,
            ..all()
        };
        let result = view.range(&query).unwrap();
        assert!(result.more);
        keys(&result).concat()
    };
    // The first two keys are a (created 5) and b (created 4).
    assert_eq!(limited(SortOrder::None, SortTarget::Create), "b");
    assert_eq!(limited(SortOrder::Ascend, SortTarget::Create), "d");
    assert_eq!(limited(SortOrder::None, SortTarget::Value), "a");
}

#[test]
fn keys_only_comes_without_value_and_mostly_without_lease() {
    let mut harness = Harness::new();
    harness.put_leased("a", "value", 77);
    let view = harness.store.read();
    let lease = |keys_only, sort_target| {
        let query = RangeQuery {
            keys_only,
            sort_target,
            ..RangeQuery::new(range("a", ""))
        };
        let kv = decode(&view.range(&query).unwrap().kvs[0]);
        assert_eq!(kv.value.is_empty(), keys_only);
        assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 2, 1));
        kv.lease
    };
    assert_eq!(lease(false, SortTarget::Key), 77);
    assert_eq!(lease(true, SortTarget::Key), 0);
    assert_eq!(lease(true, SortTarget::Version), 0);
    assert_eq!(lease(true, SortTarget::Value), 77);
}

#[test]
fn long_ranges_are_walked_in_chunks_without_loss() {
    let mut harness = Harness::new();
    let writes = (0..1000)
        .map(|number| super::harness::put(&format!("k{number:04}"), "v", 0))
        .collect();
    harness.apply(vec![super::harness::Request::Write(writes)]);
    let view = harness.store.read();
    let result = view.range(&all()).unwrap();
    assert_eq!((result.kvs.len(), result.count), (1000, 1000));
    assert!(result.kvs.is_sorted_by_key(|kv| decode(kv).key));
    let query = RangeQuery {
        limit: 300,
        ..RangeQuery::new(range("k0100", "l"))
    };
    let result = view.range(&query).unwrap();
    assert_eq!(
        (keys(&result)[299].as_str(), result.more, result.count),
        ("k0399", true, 900)
    );
}
