//! One client's watch stream: its watchers, its requests, its responses.
//!
//! Requests are plain calls, each answered by a response in the queue, in the
//! order of the calls. Dropping the stream ends all its watchers.
//!
//! The caller must not make further requests while [`WatchStream::has_room`]
//! says no: that is what bounds the queue against a client that only asks.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::fragment;
use super::hub::Shared;
use super::progress;
use super::queue::{Next, Queued, StreamQueue};
use super::response::{Body, Refusal, Response};
use super::watcher::{Create, Mode, Watcher};

/// A stream of one client.
#[derive(Debug)]
pub struct WatchStream {
    shared: Arc<Shared>,
    queue: Arc<StreamQueue>,
    /// Watchers by id, those overtaken by compaction included.
    watchers: HashMap<i64, Arc<Watcher>>,
    /// Next id to assign; ids of cancelled watchers are not reused.
    next_id: i64,
    /// Rest of a response that was split.
    fragments: VecDeque<Response>,
    /// A progress request waits for the worker.
    is_progress_postponed: bool,
    /// Watchers that asked for signs of life.
    notified_count: usize,
}

/// The store could not read what a watcher needs: the stream must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("history of a watcher cannot be read")]
pub struct HistoryUnreadable;

/// Watch id of a response that concerns no watcher.
const NO_WATCHER_ID: i64 = -1;

impl WatchStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.metrics.streams.fetch_add(1, Ordering::Relaxed);
        let config = &shared.config;
        let metrics = Arc::clone(&shared.metrics);
        let queue = StreamQueue::new(
            config.stream_responses_max,
            config.stream_bytes_max,
            metrics,
        );
        Self {
            queue: Arc::new(queue),
            shared,
            watchers: HashMap::new(),
            next_id: 0,
            fragments: VecDeque::new(),
            is_progress_postponed: false,
            notified_count: 0,
        }
    }

    /// Creates a watcher, or says why not.
    pub fn create(&mut self, wish: Create) {
        let id = match self.check(&wish) {
            Ok(id) => id,
            Err(refusal) => return self.refuse(refusal),
        };
        self.shared.expect_watcher();
        let revision = self.shared.history.revision();
        let next = if wish.start_revision == 0 {
            revision + 1
        } else {
            wish.start_revision
        };
        self.notified_count += usize::from(wish.progress_notify);
        let watcher = Arc::new(Watcher::new(id, wish, Arc::clone(&self.queue), next));
        self.queue.reply(Response {
            watch_id: id,
            revision,
            body: Body::Created,
        });
        self.shared.register(&watcher);
        self.watchers.insert(id, watcher);
    }

    /// Answers a creation that was refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        let revision = self.shared.history.revision();
        let body = Body::Refused(refusal);
        self.queue.reply(Response {
            watch_id: NO_WATCHER_ID,
            revision,
            body,
        });
    }

    /// Cancels a watcher; an unknown id is ignored.
    pub fn cancel(&mut self, watch_id: i64) {
        let Some(watcher) = self.watchers.remove(&watch_id) else {
            return;
        };
        self.notified_count -= usize::from(watcher.wish.progress_notify);
        self.close_watcher(&watcher);
        let revision = self.shared.history.revision();
        self.queue.reply(Response {
            watch_id,
            revision,
            body: Body::Canceled,
        });
    }

    /// Answers with a progress mark of the whole stream, if it is caught up.
    pub fn request_progress(&mut self) {
        if !self.is_progress_postponed {
            let watchers: Vec<&Watcher> = self.watchers.values().map(Arc::as_ref).collect();
            self.is_progress_postponed = progress::request(&self.shared, &self.queue, &watchers);
        }
    }

    /// The progress interval has passed.
    pub fn tick(&mut self) {
        let watchers: Vec<&Watcher> = self.watchers.values().map(Arc::as_ref).collect();
        progress::tick(&self.shared, &self.queue, &watchers);
    }

    /// The next response; `waker` is woken when there is one after `Pending`.
    pub fn poll_next(&mut self, waker: &Waker) -> Poll<Result<Response, HistoryUnreadable>> {
        loop {
            if let Some(response) = self.fragments.pop_front() {
                return Poll::Ready(Ok(response));
            }
            match std::task::ready!(self.queue.poll_next(waker)) {
                Next::Response(queued, unparked) => {
                    self.shared.make_ready(unparked);
                    return Poll::Ready(Ok(self.unpack(queued)));
                }
                Next::ProgressDue => {
                    self.is_progress_postponed = false;
                    let watchers: Vec<&Watcher> = self.watchers.values().map(Arc::as_ref).collect();
                    progress::answer(&self.shared, &self.queue, &watchers);
                }
                Next::Failed => return Poll::Ready(Err(HistoryUnreadable)),
            }
        }
    }

    /// The next response.
    ///
    /// # Errors
    ///
    /// The stream must end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self) -> Result<Response, HistoryUnreadable> {
        poll_fn(|context| self.poll_next(context.waker())).await
    }

    /// Whether a request may be made.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.queue.is_full()
    }

    /// Whether [`WatchStream::tick`] is of use.
    #[must_use]
    pub fn wants_ticks(&self) -> bool {
        self.notified_count > 0
    }

    /// The id for a new watcher, or why there cannot be one.
    fn check(&mut self, wish: &Create) -> Result<i64, Refusal> {
        // In the order in which etcd checks them.
        if wish.start_revision < 0 {
            return Err(Refusal::StartCompacted);
        }
        if wish.range.is_empty() {
            return Err(Refusal::EmptyRange);
        }
        if wish.watch_id != 0 {
            return match self.watchers.contains_key(&wish.watch_id) {
                true => Err(Refusal::DuplicateId),
                false => Ok(wish.watch_id),
            };
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    fn unpack(&mut self, queued: Queued) -> Response {
        let Queued {
            mut response,
            watcher,
            ..
        } = queued;
        let (Some(watcher), Body::Events { events, .. }) = (watcher, &mut response.body) else {
            return response;
        };
        watcher.was_busy.store(true, Ordering::Relaxed);
        self.shared
            .metrics
            .events_sent
            .fetch_add(events.len() as u64, Ordering::Relaxed);
        if !watcher.wish.fragment {
            return response;
        }
        let mut runs = fragment::split(std::mem::take(events), self.shared.config.fragment_bytes);
        let first = runs.pop_front().unwrap_or_default();
        let rest_count = runs.len();
        for (index, events) in runs.into_iter().enumerate() {
            let body = Body::Events {
                events,
                fragment: index + 1 < rest_count,
            };
            self.fragments.push_back(Response { body, ..response });
        }
        let body = Body::Events {
            events: first,
            fragment: rest_count > 0,
        };
        Response { body, ..response }
    }

    fn close_watcher(&self, watcher: &Watcher) {
        // One overtaken by compaction is out of the group already.
        if self.queue.close_watcher(watcher) != Mode::Compacted {
            self.shared.forget(watcher);
        }
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        for watcher in self.watchers.values() {
            self.close_watcher(watcher);
        }
        self.queue.close();
        self.shared.metrics.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
