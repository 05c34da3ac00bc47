//! HashKV against values that etcd 3.7.3 gave for the same history.

use crate::mvcc::Error;

use super::harness::{Harness, Request, delete, put};

const LEASE: i64 = 0x7392_a1fc_14a3_6706;

/// a=1 b=22 a=333 c=leased del-b del-a a=again txn{t1 t2 del-c}: 2 to 9.
fn history() -> Harness {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("b", "22");
    harness.put("a", "333");
    harness.put_leased("c", "leased", LEASE);
    harness.delete("b", "");
    harness.delete("a", "");
    harness.put("a", "again");
    let txn = vec![put("t1", "one", 0), put("t2", "two", 0), delete("c", "")];
    harness.apply(vec![Request::Write(txn)]);
    harness
}

fn check(harness: &Harness, expected: &[(i64, u32)]) {
    for (revision, hash) in expected {
        let found = harness.store.hash_kv(*revision).unwrap();
        assert_eq!(
            (found.hash, found.hash_revision),
            (*hash, *revision),
            "at {revision}"
        );
        assert_eq!(found.compact_revision, harness.store.compact_revision());
    }
}

#[test]
fn an_empty_store_hashes_as_etcd_does() {
    let hash = Harness::new().store.hash_kv(0).unwrap();
    assert_eq!(
        (hash.hash, hash.compact_revision, hash.hash_revision),
        (1_084_519_789, -1, 1)
    );
}

#[test]
fn a_history_hashes_as_etcd_does() {
    let expected = [
        (2, 2_587_454_935),
        (3, 2_627_027_711),
        (4, 734_767_682),
        (5, 1_130_869_897),
        (6, 307_809_833),
        (7, 3_741_729_944),
        (8, 3_142_366_794),
        (9, 752_879_041),
    ];
    check(&history(), &expected);
}

#[test]
fn a_compacted_history_hashes_as_etcd_does_before_and_after_removal() {
    let after: [(i64, &[(i64, u32)]); 3] = [
        (4, &[(5, 656_010_743), (9, 2_877_632_602)]),
        (6, &[(7, 2_189_945_467), (9, 2_107_744_483)]),
        (7, &[(8, 543_921_116), (9, 4_081_042_015)]),
    ];
    let mut harness = history();
    for (compact_revision, expected) in after {
        harness.compact(compact_revision);
        check(&harness, expected);
        while harness.store.compaction_step(1) != crate::mvcc::CompactionProgress::Idle {}
        check(&harness, expected);
    }
    // Everything is dead at 10: etcd's filter does not apply there.
    assert_eq!(harness.delete("\0", "\0").revision, 10);
    check(&harness, &[(10, 1_378_588_023)]);
    harness.compact_fully(9);
    check(&harness, &[(10, 2_444_664_412)]);
}

#[test]
fn wrong_revisions_are_refused() {
    let mut harness = history();
    harness.compact(4);
    assert!(matches!(
        harness.store.hash_kv(3),
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(
        harness.store.hash_kv(10),
        Err(Error::FutureRevision { .. })
    ));
}
