//! The applier over stores in memory: what an entry does and what it announces.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use quoin_proto::{
    etcdserverpb::{
        CompactionRequest, DeleteRangeRequest, LeaseCheckpoint, LeaseGrantRequest,
        LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op,
    },
    quoinpb::{Command, LeaseCheckpoints, LeaseExpiry, command::Request},
};
use quoin_raft::{Committed, EntryPool, LogId, Payload, StateMachine};
use tempfile::TempDir;

use super::*;
use crate::{
    alarm::Alarms,
    backend::{Backend, Config, Durability, EngineKind, Identity},
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
            registry: Registry::new(2, 100, Duration::MAX),
            applied: Applied::new(0, 0),
            compaction: compaction.clone(),
            quota_bytes: None,
            metrics: Arc::new(Metrics::new(false).unwrap()),
        });
        Self {
            applier,
            store,
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
