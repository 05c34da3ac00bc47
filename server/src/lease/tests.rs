//! The rules of leases, one by one. Time is made up.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::base::revision::Revision;
use crate::mvcc::{Event, EventKind};

use super::*;

const MINIMUM: i64 = 2;
const EXTEND: Duration = Duration::from_secs(1);

fn lessor() -> Lessor {
    Lessor::new(Config::new(Duration::from_secs(1)))
}

fn checkpointing() -> Lessor {
    let config = Config {
        has_checkpoints: true,
        ..Config::new(Duration::from_secs(1))
    };
    Lessor::new(config)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn event(kind: EventKind, key: &'static [u8], lease: i64, previous_lease: i64) -> Event {
    Event {
        kind,
        key: Bytes::from_static(key),
        record: Bytes::new(),
        revision: Revision::new(2, 0),
        create_revision: 2,
        version: 1,
        lease,
        previous_lease,
    }
}

#[test]
fn the_minimum_ttl_follows_from_the_election_timeout() {
    assert_eq!(Config::new(Duration::from_millis(1000)).ttl_seconds_min, 2);
    assert_eq!(Config::new(Duration::from_millis(2000)).ttl_seconds_min, 3);
    assert_eq!(Config::new(Duration::from_millis(100)).ttl_seconds_min, 1);
}

#[test]
fn short_ttls_are_raised_before_they_are_proposed() {
    let lessor = lessor();
    for (asked, proposed) in [(0, MINIMUM), (-7, MINIMUM), (60, 60), (2, 2)] {
        assert_eq!(lessor.proposed_ttl(asked), proposed);
    }
}

#[test]
fn members_with_different_minimums_grant_and_recover_the_same() {
    let patient = Lessor::new(Config::new(Duration::from_secs(30)));
    let hasty = Lessor::new(Config::new(Duration::from_millis(100)));
    for (id, proposed) in [(1, hasty.proposed_ttl(0)), (2, patient.proposed_ttl(0))] {
        let granted = patient.grant(id, proposed).unwrap();
        assert_eq!(hasty.grant(id, proposed).unwrap(), granted);
        let again = Lessor::new(Config::new(Duration::from_secs(7)));
        again
            .recover([(granted.row.key, granted.row.value.unwrap())])
            .unwrap();
        assert_eq!(again.info(id), hasty.info(id));
    }
    assert_eq!(
        (patient.ids(), patient.info(1)),
        (hasty.ids(), hasty.info(1))
    );
}

#[test]
fn a_grant_refuses_long_ttls_and_ids_in_use() {
    let lessor = lessor();
    for (id, ttl, granted) in [(1, 0, 1), (2, -7, 1), (3, 60, 60), (-4, 2, 2)] {
        assert_eq!(lessor.grant(id, ttl).unwrap().ttl, granted);
    }
    assert_eq!(
        lessor.grant(5, TTL_SECONDS_MAX).unwrap().ttl,
        TTL_SECONDS_MAX
    );
    assert_eq!(
        lessor.grant(6, TTL_SECONDS_MAX + 1),
        Err(GrantError::TtlTooLarge)
    );
    assert_eq!(lessor.grant(3, 5), Err(GrantError::Exists));
    assert_eq!(lessor.grant(0, 5), Err(GrantError::NoId));
    assert_eq!(lessor.ids(), [-4, 1, 2, 3, 5]);
}

#[test]
fn a_revoke_returns_the_keys_in_order_once() {
    let lessor = lessor();
    lessor.grant(7, 10).unwrap();
    for key in [&b"b"[..], b"a", b"c", b"b"] {
        lessor.attach(key, 7).unwrap();
    }
    lessor.detach(b"c", 7);
    assert_eq!(lessor.revoke(7).unwrap().keys, [&b"a"[..], b"b"]);
    assert_eq!(lessor.revoke(7), Err(LeaseNotFound));
    assert_eq!(lessor.attach(b"a", 7), Err(LeaseNotFound));
}

#[test]
fn keys_follow_the_puts_and_deletes_that_name_leases() {
    let lessor = lessor();
    lessor.grant(1, 10).unwrap();
    lessor.grant(2, 10).unwrap();
    lessor.track(&[
        event(EventKind::Put, b"k", 1, 0),
        event(EventKind::Put, b"j", 1, 0),
    ]);
    assert_eq!(lessor.keys(1), [&b"j"[..], b"k"]);
    lessor.track(&[event(EventKind::Put, b"k", 1, 1)]);
    assert_eq!(lessor.keys(1), [&b"j"[..], b"k"]);
    lessor.track(&[event(EventKind::Put, b"k", 2, 1)]);
    assert_eq!(
        (lessor.keys(1), lessor.keys(2)),
        (vec!["j".into()], vec!["k".into()])
    );
    lessor.track(&[event(EventKind::Put, b"k", 0, 2)]);
    assert!(lessor.keys(2).is_empty());
    lessor.track(&[event(EventKind::Delete, b"j", 0, 1)]);
    assert!(lessor.keys(1).is_empty());
    lessor.track(&[event(EventKind::Put, b"k", 99, 0)]);
    assert!(!lessor.contains(99));
}

#[test]
fn leases_survive_as_rows() {
    let first = checkpointing();
    let mut rows = vec![
        first.grant(-5, 600).unwrap().row,
        first.grant(6, 20).unwrap().row,
    ];
    rows.push(first.checkpoint(-5, 400).unwrap());
    let stored = rows.into_iter().map(|row| (row.key, row.value.unwrap()));
    let second = lessor();
    second.recover(stored).unwrap();
    let info = second.info(-5).unwrap();
    assert_eq!((info.ttl, info.remaining_ttl), (600, 400));
    assert_eq!(second.info(6).unwrap().remaining_ttl, 0);
    let damaged = [(Bytes::from_static(b"12345678"), Bytes::from_static(b"\xff"))];
    assert_eq!(second.recover(damaged), Err(RecoverError));
    assert_eq!(second.leases_count(), 2);
}

#[test]
fn followers_keep_no_time() {
    let lessor = lessor();
    lessor.grant(1, 2).unwrap();
    let now = Instant::now();
    assert!(lessor.expired(now + seconds(100), 500).is_empty());
    assert_eq!(lessor.renew(1, now), Err(RenewError::NotLeader));
    assert_eq!(lessor.remaining(1, now), Err(RenewError::NotLeader));
}

#[test]
fn a_lease_expires_on_the_leader_and_is_named_again_until_revoked() {
    let lessor = lessor();
    let now = Instant::now();
    lessor.promote(now, EXTEND);
    lessor.grant(1, 10).unwrap();
    assert!(lessor.expired(now, 500).is_empty());
    assert!(lessor.expired(now + seconds(9), 500).is_empty());
    assert_eq!(lessor.expired(now + seconds(10), 500), [1]);
    assert!(lessor.expired(now + seconds(11), 500).is_empty());
    assert_eq!(lessor.expired(now + seconds(13), 500), [1]);
    lessor.revoke(1).unwrap();
    assert!(lessor.expired(now + seconds(99), 500).is_empty());
}

#[test]
fn a_renewal_starts_the_time_afresh_but_comes_too_late_after_it() {
    let lessor = lessor();
    let now = Instant::now();
    lessor.promote(now, EXTEND);
    lessor.grant(1, 10).unwrap();
    assert_eq!(
        lessor.remaining(1, now),
        Ok(Remaining {
            ttl: 10,
            seconds: 10
        })
    );
    let half = Duration::from_millis(8500);
    assert_eq!(lessor.remaining(1, now + half).unwrap().seconds, 1);
    let renewal = lessor.renew(1, now + half).unwrap();
    assert_eq!(
        renewal,
        Renewal {
            ttl: 10,
            clears_checkpoint: false
        }
    );
    assert!(lessor.expired(now + seconds(18), 500).is_empty());
    assert_eq!(lessor.expired(now + seconds(19), 500), [1]);
    assert_eq!(lessor.renew(1, now + seconds(19)), Err(RenewError::Expired));
    assert_eq!(lessor.remaining(1, now + seconds(19)).unwrap().seconds, 0);
    assert_eq!(lessor.renew(2, now), Err(RenewError::NotFound));
}

#[test]
fn a_look_names_a_bounded_number_in_order_of_expiry() {
    let lessor = lessor();
    let now = Instant::now();
    lessor.promote(now, EXTEND);
    for id in 1..=1200 {
        lessor.grant(id, 3000 - id).unwrap();
    }
    assert!(lessor.expired(now, 500).is_empty());
    let later = now + seconds(5000);
    let looks: Vec<Vec<i64>> = (0..4).map(|_| lessor.expired(later, 500)).collect();
    assert_eq!(
        looks.iter().map(Vec::len).collect::<Vec<_>>(),
        [500, 500, 200, 0]
    );
    assert_eq!(looks[0][0], 1200);
    assert_eq!(looks[2][199], 1);
}

#[test]
fn a_new_leader_extends_every_lease() {
    let lessor = lessor();
    lessor.grant(1, 10).unwrap();
    lessor.grant(2, 600).unwrap();
    lessor.checkpoint(2, 30).unwrap();
    let now = Instant::now();
    lessor.promote(now, EXTEND);
    assert_eq!(lessor.remaining(1, now).unwrap().seconds, 11);
    assert_eq!(lessor.remaining(2, now).unwrap().seconds, 31);
    assert_eq!(lessor.ids(), [1, 2]);
    lessor.demote();
    assert!(lessor.expired(now + seconds(9999), 500).is_empty());
    lessor.promote(now + seconds(9999), EXTEND);
    assert!(lessor.expired(now + seconds(9999), 500).is_empty());
    assert_eq!(lessor.expired(now + seconds(9999 + 31), 500), [1, 2]);
}

#[test]
fn long_leases_are_checkpointed_and_a_renewal_clears_it() {
    let lessor = checkpointing();
    let now = Instant::now();
    lessor.promote(now, EXTEND);
    lessor.grant(1, 1000).unwrap();
    lessor.grant(2, 300).unwrap();
    assert!(lessor.due_checkpoints(now, 1000).is_empty());
    let due = lessor.due_checkpoints(now + seconds(300), 1000);
    assert_eq!(
        due,
        [DueCheckpoint {
            id: 1,
            remaining_ttl: 700
        }]
    );
    lessor.checkpoint(1, 700).unwrap();
    assert!(lessor.due_checkpoints(now + seconds(301), 1000).is_empty());
    assert!(
        lessor
            .renew(1, now + seconds(400))
            .unwrap()
            .clears_checkpoint
    );
    lessor.checkpoint(1, 0).unwrap();
    assert!(
        !lessor
            .renew(1, now + seconds(401))
            .unwrap()
            .clears_checkpoint
    );
    assert!(lessor.due_checkpoints(now + seconds(600), 1000).is_empty());
    let due = lessor.due_checkpoints(now + seconds(701), 1000);
    assert_eq!(
        due,
        [DueCheckpoint {
            id: 1,
            remaining_ttl: 700
        }]
    );
}

#[test]
fn an_id_granted_again_does_not_inherit_old_deadlines() {
    let lessor = lessor();
    let now = Instant::now();
    lessor.promote(now, EXTEND);
    lessor.grant(1, 10).unwrap();
    lessor.expired(now, 500);
    lessor.revoke(1).unwrap();
    lessor.grant(1, 100).unwrap();
    lessor.expired(now, 500);
    assert!(lessor.expired(now + seconds(99), 500).is_empty());
    assert_eq!(lessor.expired(now + seconds(100), 500), [1]);
}
