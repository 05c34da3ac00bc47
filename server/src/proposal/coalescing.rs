//! The door for the benchmark of coalescing; nothing else goes through it.
//!
//! The proposer is private to the server, and a benchmark is another crate. Over
//! a node that commits and applies at once what remains is the way of a request
//! itself: queue, packing into an entry, registry, hand-over of the outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use quoin_proto::{etcdserverpb::PutRequest, quoinpb::command::Request};
use quoin_raft::EntryPool;
use tokio::{runtime::Runtime, sync::watch};

use super::{
    LeaderView, Limits, Outcome, Passage, ProposeFn, Proposer, Refusal, Registry,
    frame::FrameReader,
};

/// A proposer over a node that commits and applies at once.
#[derive(Debug)]
pub struct Coalescing {
    runtime: Runtime,
    proposer: Proposer,
    entries: Arc<AtomicU64>,
    _leader: watch::Sender<LeaderView>,
}

impl Coalescing {
    /// With its tasks on a runtime of its own.
    ///
    /// # Errors
    /// The runtime cannot be made.
    pub fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let registry = Registry::new(1, 1, Duration::MAX);
        let (leader, view) = watch::channel(LeaderView {
            leader: Some(1),
            ..LeaderView::default()
        });
        let entries = Arc::new(AtomicU64::new(0));
        let (counting, completing) = (Arc::clone(&entries), registry.clone());
        let propose: ProposeFn = Arc::new(move |frame| {
            counting.fetch_add(1, Ordering::Relaxed);
            let applied = FrameReader::open(frame).map(|reader| {
                let (id, count) = (reader.id(), reader.encoded().count());
                let passage = Passage::begin(quoin_raft::Stages::default());
                completing.complete(id, vec![Ok(Outcome::Done); count], passage);
            });
            let result = applied.map_err(|_unreadable| Refusal::Unknown);
            Box::pin(async move { result })
        });
        let limits = Limits {
            request_bytes_max: 1 << 20,
            timeout: Duration::from_secs(7),
            election_timeout: Duration::from_secs(1),
        };
        let pool = EntryPool::new(quoin_raft::Metrics::shared());
        let (proposer, coalescer) = Proposer::new(registry.clone(), pool, propose, view, limits);
        runtime.spawn(coalescer);
        runtime.spawn(registry.fan_out());
        Ok(Self {
            runtime,
            proposer,
            entries,
            _leader: leader,
        })
    }

    /// Proposes as many puts of 256 bytes at once; answers how many were applied.
    pub fn put(&self, count: usize) -> usize {
        let put = || {
            self.proposer.propose(Request::Put(PutRequest {
                key: Bytes::from_static(b"/registry/things/000001"),
                value: Bytes::from_static(&[7; 256]),
                ..PutRequest::default()
            }))
        };
        let outcomes = self.runtime.block_on(join_all((0..count).map(|_| put())));
        outcomes.iter().filter(|outcome| outcome.is_ok()).count()
    }

    /// Entries proposed so far.
    pub fn entries_count(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }
}
