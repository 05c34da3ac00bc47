//! The applier over stores in memory: what an entry does and what it announces.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use quoin_proto::{
    etcdserverpb::{
        AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, LeaseCheckpoint,
        LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        alarm_request::AlarmAction, request_op,
    },
    quoinpb::{
        Command, DigestBegin, LeaseCheckpoints, LeaseExpiry, Quarantine, StateHashBegin,
        command::Request,
    },
};
use quoin_raft::{Committed, EntryPool, LogId, Payload, StateMachine};
use tempfile::TempDir;

use super::*;
use crate::{
    agreement::{self, Agreement, Finding, Subject, Vote},
    alarm::Alarms,
    backend::{Backend, Config, Digest, Durability, EngineKind, Identity},
    cluster::Cluster,
    lease::{self, Lessor},
    mvcc::Store,
    proposal::{
        Applied, Registry,
        frame::{BatchId, FrameBuilder},
    },
    telemetry::metrics::Metrics,
    watch::{self, Hub},
};

struct AlwaysDurable;

impl Durability for AlwaysDurable {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A member that applies what the test says.
struct Bed {
    applier: Applier,
    store: Store,
    agreement: Agreement,
    lessor: Lessor,
    compaction: CompactionWatch,
    index: u64,
    _directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let identity = Identity {
            cluster_id: 1,
            member_id: 2,
        };
        let config = Config::new(directory.path(), EngineKind::Memory, identity);
        let backend = Backend::open(config, Arc::new(AlwaysDurable)).unwrap();
        let store = Store::open(backend.clone()).unwrap();
        let lessor = Lessor::new(lease::Config::new(Duration::from_secs(1)));
        let compaction = CompactionWatch::new(store.compact_revision());
        let agreement = Agreement::new(0, Digest::default());
        let applier = Applier::new(Parts {
            warn_apply_above: Duration::from_secs(1),
            cluster_id: 1,
            member_id: 2,
            hub: Hub::new(Arc::new(store.clone()), watch::Config::new(1 << 20)),
            backend,
            store: store.clone(),
            lessor: lessor.clone(),
            cluster: Cluster::default(),
            alarms: Alarms::default(),
            agreement: agreement.clone(),
            registry: Registry::new(2, 100, Duration::MAX),
            applied: Applied::new(0, 0),
            compaction: compaction.clone(),
            quota_bytes: None,
            metrics: Arc::new(Metrics::new(false).unwrap()),
        });
        Self {
            applier,
            store,
            agreement,
            lessor,
            compaction,
            index: 0,
            _directory: directory,
        }
    }

    fn apply_frame(
        &mut self,
        frame: Bytes,
        term: u64,
    ) -> Result<(), quoin_raft::StateMachineError> {
        self.index += 1;
        let log_id = LogId {
            index: self.index,
            term,
        };
        let payload = Payload::Normal(frame);
        let stages = quoin_raft::Stages::default();
        let mut entries = [Committed {
            log_id,
            payload,
            stages,
        }]
        .into_iter();
        self.applier.apply(&mut entries)
    }

    fn apply(&mut self, requests: Vec<Request>, term: u64) {
        self.apply_frame(frame(requests), term).unwrap();
    }
}

/// A batch of another member.
fn frame(requests: Vec<Request>) -> Bytes {
    let pool = EntryPool::new(quoin_raft::Metrics::shared());
    let id = BatchId {
        origin: 1,
        number: 1,
    };
    let mut frame = FrameBuilder::new(&pool, id, 64);
    for request in requests {
        let command = Command {
            request: Some(request),
        };
        frame.push(&command, command.encoded_len());
    }
    frame.finish()
}

fn put(key: &'static str, lease: i64) -> Request {
    Request::Put(PutRequest {
        key: Bytes::from_static(key.as_bytes()),
        lease,
        ..Default::default()
    })
}

fn compact(revision: i64) -> Request {
    Request::Compaction(CompactionRequest {
        revision,
        physical: false,
    })
}

#[test]
fn a_compaction_is_announced_once_it_is_visible() {
    let mut bed = Bed::new();
    bed.apply(vec![put("a", 0), put("a", 0)], 1);
    bed.apply(vec![compact(2)], 1);
    assert_eq!(bed.store.compact_revision(), 2);
    assert_eq!(bed.compaction.scheduled(), 2);
    // The entry breaks off behind the compaction: nothing of it happened.
    let mut broken = frame(vec![compact(3), put("a", 0)]).to_vec();
    broken.truncate(broken.len() - 1);
    bed.apply_frame(broken.into(), 1).unwrap_err();
    assert_eq!(bed.store.compact_revision(), 2);
    assert_eq!(bed.compaction.scheduled(), 2);
}

/// etcd issue 15247: a leader that had been replaced went on revoking leases.
#[test]
fn a_lease_runs_out_by_the_word_of_the_leader_of_the_term_alone() {
    let mut bed = Bed::new();
    let grant = LeaseGrantRequest { id: 9, ttl: 100 };
    bed.apply(vec![Request::LeaseGrant(grant), put("a", 9)], 1);
    let expiry = Request::LeaseExpiry(LeaseExpiry { id: 9, term: 1 });
    let checkpoint = Request::LeaseCheckpoint(LeaseCheckpoints {
        checkpoints: vec![LeaseCheckpoint {
            id: 9,
            remaining_ttl: 40,
        }],
        term: 1,
    });
    // Proposed by the leader of term 1, forwarded to that of term 2.
    bed.apply(vec![expiry.clone(), checkpoint.clone()], 2);
    assert_eq!(bed.lessor.info(9).map(|lease| lease.remaining_ttl), Some(0));
    assert_eq!((bed.store.keys_count(), bed.store.revision()), (1, 2));
    bed.apply(vec![checkpoint], 1);
    assert_eq!(
        bed.lessor.info(9).map(|lease| lease.remaining_ttl),
        Some(40)
    );
    bed.apply(vec![expiry], 1);
    assert!(!bed.lessor.contains(9));
    assert_eq!((bed.store.keys_count(), bed.store.revision()), (0, 3));
}

#[test]
fn what_walks_over_very_many_keys_is_long() {
    let mut bed = Bed::new();
    let grants = [1, 2].map(|id| Request::LeaseGrant(LeaseGrantRequest { id, ttl: 100 }));
    bed.apply(grants.to_vec(), 1);
    let key = |number: i32| Bytes::from(format!("many/{number:05}"));
    let puts = (0..10_000).map(|number| {
        Request::Put(PutRequest {
            key: key(number),
            lease: 1,
            ..Default::default()
        })
    });
    bed.apply(puts.collect(), 1);
    let delete = |start: Bytes, end: &'static str| DeleteRangeRequest {
        key: start,
        range_end: Bytes::from_static(end.as_bytes()),
        ..Default::default()
    };
    let in_txn = |delete: DeleteRangeRequest| TxnRequest {
        failure: vec![RequestOp {
            request: Some(request_op::Request::RequestDeleteRange(delete)),
        }],
        ..Default::default()
    };
    let revoke = |id| Request::LeaseRevoke(LeaseRevokeRequest { id });
    let all = delete(key(0), "many0");
    let some = delete(key(1), "many0");
    let is_long = |request: Request| {
        let log_id = LogId { index: 9, term: 1 };
        let payload = Payload::Normal(frame(vec![put("a", 0), request]));
        let stages = quoin_raft::Stages::default();
        bed.applier.is_long(&Committed {
            log_id,
            payload,
            stages,
        })
    };
    assert!(is_long(Request::DeleteRange(all.clone())));
    assert!(is_long(Request::Txn(in_txn(all))));
    assert!(is_long(revoke(1)));
    assert!(is_long(Request::LeaseExpiry(LeaseExpiry {
        id: 1,
        term: 1
    })));
    assert!(!is_long(Request::DeleteRange(some.clone())));
    assert!(!is_long(Request::Txn(in_txn(some))));
    assert!(!is_long(revoke(2)));
    assert!(!is_long(put("b", 0)));
}

#[test]
fn reads_that_walk_over_very_many_keys_are_long() {
    let mut bed = Bed::new();
    let key = |number: i32| Bytes::from(format!("many/{number:05}"));
    let puts = (0..16 * 1024).map(|number| {
        Request::Put(PutRequest {
            key: key(number),
            ..Default::default()
        })
    });
    bed.apply(puts.collect(), 1);
    let range = |start: Bytes, limit| RangeRequest {
        key: start,
        range_end: Bytes::from_static(b"many0"),
        limit,
        ..Default::default()
    };
    let operation = |range: RangeRequest| RequestOp {
        request: Some(request_op::Request::RequestRange(range)),
    };
    let in_txn = |ranges: &[RangeRequest]| TxnRequest {
        success: ranges.iter().cloned().map(operation).collect(),
        ..Default::default()
    };
    let (store, lessor) = (&bed.store, &bed.lessor);
    // A limit does not shorten the walk: everything is counted.
    assert!(is_long_range(&range(key(0), 5), store));
    assert!(!is_long_range(&range(key(1), 0), store));
    let is_long = |ranges: &[RangeRequest]| is_long_txn(&in_txn(ranges), store, lessor);
    assert!(is_long(&[range(key(0), 0)]));
    assert!(!is_long(&[range(key(1), 0)]));
    // What counts is the sum.
    let half = range(key(8 * 1024), 0);
    assert!(!is_long(std::slice::from_ref(&half)));
    assert!(is_long(&[half.clone(), half]));
}

/// What the member says its digest is.
fn own(bed: &Bed) -> Option<(u64, Option<u64>, u128)> {
    let own = bed.agreement.own(2)?;
    Some((own.index, Some(own.base), own.value))
}

#[test]
fn members_that_apply_the_same_have_equal_digests_and_others_have_not() {
    let grant = Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 60 });
    let mut beds = [Bed::new(), Bed::new(), Bed::new()];
    for bed in &mut beds {
        bed.apply(vec![put("a", 0), grant.clone()], 1);
        bed.apply(vec![put("b", 0)], 1);
    }
    assert_eq!(own(&beds[0]), own(&beds[1]));
    assert_eq!(own(&beds[0]).map(|own| (own.0, own.1)), Some((2, Some(0))));
    beds[1].apply(vec![put("c", 0)], 1);
    beds[2].apply(vec![put("d", 0)], 1);
    assert_ne!(own(&beds[1]), own(&beds[2]));
    // All begin anew at the same entry: what was before is not in it.
    for bed in &mut beds[1..] {
        bed.apply(vec![put("e", 0), Request::DigestBegin(DigestBegin {})], 1);
        assert_eq!(own(bed), Some((4, Some(4), 0)));
        bed.apply(vec![], 1);
    }
    assert_eq!(own(&beds[1]), own(&beds[2]));
}

#[test]
fn digests_in_the_log_are_compared_and_change_nothing_but_the_place_in_it() {
    let mut bed = Bed::new();
    bed.apply(vec![put("a", 0)], 1);
    let vote = bed.agreement.own(9).unwrap();
    let other = Vote {
        value: 5,
        member_id: 8,
        ..vote
    };
    bed.apply(vec![vote.to_request(Subject::Digest)], 1);
    assert_eq!(bed.agreement.tally().equal_index, 1);
    bed.apply(vec![other.to_request(Subject::Digest)], 1);
    assert_eq!(bed.agreement.tally().differences_count, 1);
    assert_eq!(bed.store.revision(), 2);
    assert_eq!(own(&bed).map(|own| own.0), Some(3));
    // This member's digest is what the first one said: it has nothing to reproach
    // itself with, and says so.
    let voters = [2, 8, 9].into();
    let found = bed.agreement.review(2, &voters, false);
    let said = Vote {
        member_id: 2,
        ..vote
    };
    assert_eq!(found, vec![(Subject::Digest, Finding::Say(said))]);
}

#[test]
fn a_put_that_keeps_what_its_transaction_deletes_changes_nothing() {
    let mut bed = Bed::new();
    bed.apply(vec![put("k", 0)], 1);
    let delete = request_op::Request::RequestDeleteRange(DeleteRangeRequest {
        key: Bytes::from_static(b"a"),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    });
    let keep = request_op::Request::RequestPut(PutRequest {
        key: Bytes::from_static(b"k"),
        ignore_value: true,
        ..Default::default()
    });
    let txn = |operations: [&request_op::Request; 2]| {
        let operations = operations.map(|operation| RequestOp {
            request: Some(operation.clone()),
        });
        Request::Txn(TxnRequest {
            success: operations.into(),
            ..Default::default()
        })
    };
    bed.apply(vec![txn([&delete, &keep])], 1);
    assert_eq!(bed.store.revision(), 2, "refused as a whole");
    bed.apply(vec![txn([&keep, &delete])], 1);
    assert_eq!(bed.store.revision(), 3, "kept, then deleted");
}

#[test]
fn a_quarantine_of_another_member_stops_no_writes_and_an_alarm_does() {
    let mut bed = Bed::new();
    let quarantine = Quarantine {
        member_id: 9,
        index: 3,
    };
    bed.apply(vec![Request::Quarantine(quarantine), put("a", 0)], 1);
    assert_eq!(bed.store.revision(), 2);
    let corrupt = AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: 9,
        alarm: AlarmType::Corrupt as i32,
    };
    bed.apply(vec![Request::Alarm(corrupt), put("a", 0)], 1);
    assert_eq!(bed.store.revision(), 2);
    bed.apply(vec![Request::Quarantine(quarantine), put("a", 0)], 1);
    assert_eq!(bed.store.revision(), 2, "the operator's alarm stays");
    let clear = AlarmRequest {
        action: AlarmAction::Deactivate as i32,
        ..corrupt
    };
    bed.apply(vec![Request::Alarm(clear), put("a", 0)], 1);
    assert_eq!(bed.store.revision(), 3);
}

#[test]
fn a_hash_is_of_everything_up_to_the_end_of_its_entry() {
    let mut beds = [Bed::new(), Bed::new()];
    let begin = || Request::StateHashBegin(StateHashBegin {});
    let hashes = beds.each_mut().map(|bed| {
        bed.apply(vec![put("a", 0)], 1);
        bed.apply(vec![put("b", 0), begin(), put("c", 0)], 1);
        let pinned = bed.agreement.take_pinned().unwrap();
        assert_eq!((pinned.index, pinned.view.revision()), (2, 4));
        // However late it is hashed.
        bed.apply(vec![put("d", 0)], 1);
        agreement::value_of(&pinned.view.hash_kv(0).unwrap())
    });
    assert_eq!(hashes[0], hashes[1]);
    let other = Vote {
        member_id: 9,
        index: 2,
        base: 0,
        value: 1,
    };
    beds[0].apply(vec![other.to_request(Subject::Hash)], 1);
    let voters = [2, 8, 9].into();
    assert_eq!(beds[0].agreement.review(2, &voters, false), vec![]);
    assert!(beds[0].agreement.hashed(2, 0, hashes[0]));
    let said = Vote {
        member_id: 2,
        value: hashes[0],
        ..other
    };
    let found = beds[0].agreement.review(2, &voters, false);
    assert_eq!(found, vec![(Subject::Hash, Finding::Say(said))]);
}
