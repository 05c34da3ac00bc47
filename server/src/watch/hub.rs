//! The hub: where apply hands changes in and clients open streams.
//!
//! Apply publishes each Raft entry's changes in one call that never waits. One
//! worker task takes everything published since its last turn, hands it to the
//! live watchers and wakes each stream at most once. What may block (reads for
//! laggards, lookups of previous pairs) runs on blocking threads, one read at a
//! time, while live events go on.
//!
//! Task ownership: [`Hub::run`] is the worker; it is spawned by whoever made
//! the hub and ends after [`Hub::close`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::mvcc::Event;

use super::catch_up::{Findings, Job};
use super::config::Config;
use super::group::Group;
use super::history::History;
use super::inbox::Inbox;
use super::metrics::{Metrics, MetricsSnapshot};
use super::queue::StreamQueue;
use super::stream::WatchStream;
use super::watcher::{Mode, Watcher};
use super::worker::Worker;

/// Fan-out of changes to watch streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// What the worker, the streams and apply share.
pub(super) struct Shared {
    pub(super) history: Arc<dyn History>,
    pub(super) config: Config,
    pub(super) group: Group,
    /// Last revision handed out. Written by the worker, for the time of one
    /// revision; while it is read-locked nobody becomes live or lags.
    pub(super) processed: RwLock<i64>,
    pub(super) inbox: Mutex<Inbox>,
    /// Lagging watchers that can go on; taken by the worker.
    pub(super) ready: Mutex<VecDeque<Arc<Watcher>>>,
    /// Streams whose progress request waits for a revision to be handed out.
    pub(super) progress_waiting: Mutex<Vec<(i64, Arc<StreamQueue>)>>,
    pub(super) metrics: Arc<Metrics>,
    /// Wakes the worker.
    wake: Notify,
    closed: CancellationToken,
}

impl Hub {
    /// A hub over `history`, current as of its revision now.
    #[must_use]
    pub fn new(history: Arc<dyn History>, config: Config) -> Self {
        let revision = history.revision();
        let inbox = Inbox::new(revision, config.inbox_revisions_max, config.inbox_bytes_max);
        let shared = Shared {
            history,
            config,
            group: Group::default(),
            processed: RwLock::new(revision),
            inbox: Mutex::new(inbox),
            ready: Mutex::default(),
            progress_waiting: Mutex::default(),
            metrics: Arc::default(),
            wake: Notify::new(),
            closed: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Announces changes that are visible to readers by now: each revision with
    /// its events, in order. Called by apply once per Raft entry; never waits.
    pub fn publish(&self, commits: Vec<(i64, Arc<[Event]>)>) {
        let is_awaited = self.shared.inbox.lock().publish(commits);
        if is_awaited {
            self.shared.wake.notify_one();
        }
    }

    /// Whether there are watchers.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.shared.inbox.lock().has_listeners()
    }

    /// Announces that everything up to `revision` is visible to readers by now
    /// and will not be published. Watchers read what they lack from the store.
    pub fn skip_to(&self, revision: i64) {
        let is_awaited = self.shared.inbox.lock().skip_to(revision);
        if is_awaited {
            self.shared.wake.notify_one();
        }
    }

    /// Announces that the store was replaced, by a snapshot, and now is at a
    /// revision that was never published.
    pub fn restored(&self) {
        self.skip_to(self.shared.history.revision());
    }

    /// Opens a stream without watchers.
    #[must_use]
    pub fn stream(&self) -> WatchStream {
        WatchStream::new(Arc::clone(&self.shared))
    }

    /// Hands published changes out until [`Hub::close`]. Run it exactly once.
    pub async fn run(&self) {
        let mut worker = Worker::new(Arc::clone(&self.shared));
        let mut reading: Option<JoinHandle<Findings>> = None;
        loop {
            tokio::select! {
                biased;
                () = self.shared.closed.cancelled() => break,
                findings = finished(&mut reading) => worker.finish_job(findings),
                () = self.shared.wake.notified() => {}
            }
            loop {
                self.step(&mut worker).await;
                if let Some(job) = worker.next_job() {
                    reading = Some(self.spawn_read(job));
                }
                if !worker.has_work() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        if let Some(reading) = reading {
            // Not cancellable; its findings are of no use any more.
            drop(reading.await);
        }
    }

    /// Stops the worker; streams learn of it through [`Hub::closed`].
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    /// Is cancelled by [`Hub::close`].
    #[must_use]
    pub fn closed(&self) -> CancellationToken {
        self.shared.closed.clone()
    }

    /// Counts as of now.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.shared.metrics.snapshot()
    }

    /// Hands out what was published, then lets laggards catch up.
    async fn step(&self, worker: &mut Worker) {
        let batch = worker.take_batch();
        if let Some(lookups) = worker.lookups(&batch) {
            let history = Arc::clone(&self.shared.history);
            joined(tokio::task::spawn_blocking(move || lookups.run(&*history))).await;
        }
        worker.dispatch(batch);
        worker.catch_up();
    }

    fn spawn_read(&self, job: Job) -> JoinHandle<Findings> {
        let history = Arc::clone(&self.shared.history);
        tokio::task::spawn_blocking(move || job.run(&*history))
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// Counts a watcher to come. Only then may the revision be read after
    /// which it starts: changes published from now on are kept for it.
    pub(super) fn expect_watcher(&self) {
        self.inbox.lock().add_listener();
        self.metrics.watchers.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a new, expected watcher into the group.
    pub(super) fn register(&self, watcher: &Arc<Watcher>) {
        let processed = self.processed.read();
        let start = watcher.wish.start_revision;
        let is_overtaken = start > 0 && start < self.history.compact_revision();
        let is_live = !is_overtaken && watcher.next() > *processed;
        let is_behind = self.history.revision() > *processed;
        if is_live {
            watcher.set_mode(Mode::Live);
        } else {
            self.metrics.slow_watchers.fetch_add(1, Ordering::Relaxed);
        }
        self.group.insert(watcher);
        drop(processed);
        if !is_live {
            self.ready.lock().push_back(Arc::clone(watcher));
        }
        if !is_live || is_behind {
            self.wake.notify_one();
        }
    }

    /// Takes a watcher out of the group. Once per registered watcher.
    pub(super) fn forget(&self, watcher: &Watcher) {
        self.group.remove(watcher);
        self.inbox.lock().remove_listener();
        self.metrics.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives lagging watchers back to the worker.
    pub(super) fn make_ready(&self, watchers: Vec<Arc<Watcher>>) {
        if !watchers.is_empty() {
            self.ready.lock().extend(watchers);
            self.wake.notify_one();
        }
    }

    /// Wakes the worker.
    pub(super) fn wake_worker(&self) {
        self.wake.notify_one();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

/// The findings of the read that is out; pending while none is. Cancel safe.
async fn finished(reading: &mut Option<JoinHandle<Findings>>) -> Findings {
    match reading {
        Some(handle) => {
            let findings = joined(handle).await;
            *reading = None;
            findings
        }
        None => std::future::pending().await,
    }
}

/// The result of a blocking task; a panic in it goes on here.
async fn joined<T>(task: impl Future<Output = Result<T, tokio::task::JoinError>>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Blocking tasks are cancelled only when the runtime goes away, which
        // ends this task too.
        Err(_) => std::future::pending().await,
    }
}
