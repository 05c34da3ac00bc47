//! Proposals batched, answered, refused and lost, over a node that is a stub.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use quoin_proto::etcdserverpb::PutRequest;

use super::*;
use crate::proposal::{Passage, frame::FrameReader};

fn put(bytes: usize) -> Request {
    let value = vec![0; bytes].into();
    Request::Put(PutRequest {
        key: Bytes::from_static(b"k"),
        value,
        ..Default::default()
    })
}

fn limits() -> Limits {
    Limits {
        request_bytes_max: 1 << 20,
        timeout: Duration::from_secs(7),
        election_timeout: Duration::from_secs(1),
    }
}

struct Bed {
    proposer: Proposer,
    registry: Registry,
    leader: watch::Sender<LeaderView>,
    sizes: Arc<Mutex<Vec<usize>>>,
}

/// A proposer whose entries are committed and applied at once, or refused as
/// `verdict` says for the n-th offer.
fn bed(verdict: impl Fn(usize) -> Result<(), Refusal> + Send + Sync + 'static) -> Bed {
    let registry = Registry::new(1, 10, Duration::MAX);
    let (leader, view) = watch::channel(LeaderView {
        leader: Some(1),
        ..LeaderView::default()
    });
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let offers = AtomicUsize::new(0);
    let (log, completing) = (Arc::clone(&sizes), registry.clone());
    let propose: ProposeFn = Arc::new(move |frame| {
        let result = verdict(offers.fetch_add(1, Ordering::Relaxed));
        if result.is_ok() {
            let reader = FrameReader::open(frame).unwrap();
            let id = reader.id();
            let count = reader.count();
            log.lock().push(count);
            let passage = Passage::begin(quoin_raft::Stages::default());
            completing.complete(id, vec![Ok(Outcome::Done); count], passage);
        }
        Box::pin(async move { result })
    });
    let pool = EntryPool::new(quoin_raft::Metrics::shared());
    let (proposer, task) = Proposer::new(registry.clone(), pool, propose, view, limits());
    tokio::spawn(task);
    tokio::spawn(registry.clone().fan_out());
    Bed {
        proposer,
        registry,
        leader,
        sizes,
    }
}

#[tokio::test]
async fn requests_that_wait_share_an_entry() {
    let bed = bed(|_| Ok(()));
    let requests = (0..300).map(|_| bed.proposer.propose(put(10)));
    for result in futures_util::future::join_all(requests).await {
        assert!(matches!(result.unwrap(), Outcome::Done));
    }
    assert_eq!(*bed.sizes.lock(), vec![300]);
    assert_eq!(bed.registry.pending_count(), 0);
    // Once per entry, not per request.
    let stages = bed.registry.stages();
    for stage in [&stages.queue, &stages.apply, &stages.reply] {
        assert_eq!(stage.count(), 1);
    }
}

#[tokio::test]
async fn an_entry_stays_below_its_byte_bound() {
    let bed = bed(|_| Ok(()));
    let requests = (0..4).map(|_| bed.proposer.propose(put(300 * 1024)));
    futures_util::future::join_all(requests).await;
    assert_eq!(*bed.sizes.lock(), vec![1, 1, 1, 1]);
}

#[tokio::test]
async fn a_request_above_the_limit_is_refused_before_the_log() {
    let bed = bed(|_| Ok(()));
    let error = bed.proposer.propose(put(1 << 20)).await.unwrap_err();
    assert!(matches!(error, ProposalError::TooLarge { .. }));
    assert!(bed.sizes.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_no_leader_took_is_offered_again() {
    let bed = bed(|offer| {
        if offer < 3 {
            Err(Refusal::NotAppended)
        } else {
            Ok(())
        }
    });
    bed.proposer.propose(put(1)).await.unwrap();
    assert_eq!(*bed.sizes.lock(), vec![1]);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_the_request_fails_as_never_handed_over() {
    let bed = bed(|_| Err(Refusal::NotAppended));
    bed.leader.send_replace(LeaderView::default());
    assert_eq!(
        bed.proposer.propose(put(1)).await.unwrap_err(),
        ProposalError::NoLeader
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_times_out_and_leaves_nothing_behind() {
    let bed = bed(|_| Err(Refusal::Unknown));
    let error = bed.proposer.propose(put(1)).await.unwrap_err();
    assert_eq!(
        error,
        ProposalError::TimedOut {
            leader_changed: false
        }
    );
    bed.registry.sweep();
    assert_eq!(bed.registry.pending_count(), 0);
}

#[tokio::test]
async fn a_stopping_member_fails_its_requests() {
    let bed = bed(|_| Err(Refusal::Stopped));
    assert_eq!(
        bed.proposer.propose(put(1)).await.unwrap_err(),
        ProposalError::Stopped
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_nobody_waits_for_is_no_longer_proposed() {
    let (offered, mut offers) = mpsc::channel(16);
    let propose: ProposeFn = Arc::new(move |_frame| {
        let (guard, dropped) = oneshot::channel::<()>();
        offered.try_send(dropped).unwrap();
        // As without a leader: no answer, ever.
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok(())
        })
    });
    let view = watch::channel(LeaderView::default()).1;
    let registry = Registry::new(1, 10, Duration::MAX);
    let pool = EntryPool::new(quoin_raft::Metrics::shared());
    let (proposer, task) = Proposer::new(registry.clone(), pool, propose, view, limits());
    tokio::spawn(task);
    let request = || {
        let proposer = proposer.clone();
        tokio::spawn(async move { proposer.propose(put(7)).await })
    };
    let (mut requests, mut proposals) = (Vec::new(), Vec::new());
    for _ in 0..IN_FLIGHT_COUNT_MAX {
        requests.push(request());
        proposals.push(offers.recv().await.unwrap());
    }
    // It finds no place in flight and waits in the queue.
    requests.push(request());
    for result in futures_util::future::join_all(requests).await {
        assert_eq!(result.unwrap().unwrap_err(), ProposalError::NoLeader);
    }
    for proposal in proposals {
        // Resolves once the proposal is dropped.
        proposal.await.unwrap_err();
    }
    let last = request();
    let next = offers.recv().await.unwrap();
    assert!(
        offers.try_recv().is_err(),
        "those that gave up are not offered"
    );
    last.await.unwrap().unwrap_err();
    next.await.unwrap_err();
    assert_eq!(registry.pending_count(), 0);
}
