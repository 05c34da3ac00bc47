//! The bounded queue of one stream, and the steps that move its watchers.
//!
//! The hub's worker puts responses in, the stream takes them out; both under
//! one short lock, which also guards mode and `next` of the stream's watchers.
//! A watcher that finds the queue full is parked here and lags; once the queue
//! is half empty, parked watchers go back to the worker, which reads what they
//! missed from ring or store. So the queue holds at most its limits (and one
//! response more), and nothing is lost or sent twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::metrics::Metrics;
use super::response::{Body, Response};
use super::watcher::{Mode, Watcher};

/// What waits to be sent on one stream.
#[derive(Debug)]
pub(super) struct StreamQueue {
    state: Mutex<State>,
    responses_max: usize,
    bytes_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    queued: VecDeque<Queued>,
    /// Event bytes in `queued`.
    bytes: usize,
    /// The stream's task, while it waits.
    waker: Option<Waker>,
    /// Lagging watchers that wait for room.
    parked: Vec<Arc<Watcher>>,
    /// A postponed progress request may be answered now.
    progress_due: bool,
    /// The stream is gone: nothing may be added.
    closed: bool,
    /// A watcher's history could not be read: the stream must end.
    failed: bool,
}

/// A response and whom it is for.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) response: Response,
    /// None for what is not about a live watcher.
    pub(super) watcher: Option<Arc<Watcher>>,
    bytes: usize,
}

/// What the stream finds when it asks for the next response.
#[derive(Debug)]
pub(super) enum Next {
    /// A response, and watchers that have room to catch up again.
    Response(Queued, Vec<Arc<Watcher>>),
    /// A postponed progress request is due; it counts as taken.
    ProgressDue,
    /// The stream must end.
    Failed,
}

/// What became of events offered to a lagging watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// Queued, or there was nothing to queue; `next` moved on.
    Advanced,
    /// No room; the watcher is parked and will come back.
    Parked,
    /// The watcher no longer lags: cancelled meanwhile.
    Gone,
}

impl StreamQueue {
    pub(super) fn new(responses_max: usize, bytes_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            state: Mutex::default(),
            responses_max,
            bytes_max,
            metrics,
        }
    }

    /// Queues a reply to the client itself. Never refused: the stream reads
    /// requests only while its queue has room.
    pub(super) fn reply(&self, response: Response) {
        let mut state = self.state.lock();
        state.queued.push_back(Queued {
            response,
            watcher: None,
            bytes: 0,
        });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Queues a progress mark of one watcher or, with id -1, of the stream.
    pub(super) fn mark_progress(&self, watch_id: i64, revision: i64) {
        self.reply(Response {
            watch_id,
            revision,
            body: Body::Progress,
        });
    }

    /// Gives a live watcher its events of `revision`; without room it lags.
    pub(super) fn offer_live(
        &self,
        watcher: Arc<Watcher>,
        revision: i64,
        events: Vec<Bytes>,
        wakers: &mut Vec<Waker>,
    ) {
        let mut state = self.state.lock();
        if watcher.mode() != Mode::Live || revision < watcher.next() {
            return;
        }
        if self.is_full_locked(&state) {
            self.fall_behind_locked(&watcher, revision);
            state.parked.push(watcher);
            return;
        }
        self.push_locked(&mut state, watcher, revision, events);
        wakers.extend(state.waker.take());
    }

    /// Takes a live watcher out of the live group: it lacks everything from
    /// `next` on. False if it was not live.
    pub(super) fn fall_behind(&self, watcher: &Watcher, next: i64) -> bool {
        let _state = self.state.lock();
        if watcher.mode() != Mode::Live {
            return false;
        }
        self.fall_behind_locked(watcher, next.max(watcher.next()));
        true
    }

    /// Gives a lagging watcher events it missed; afterwards it lacks
    /// everything from `next` on.
    pub(super) fn offer_missed(
        &self,
        watcher: &Arc<Watcher>,
        revision: i64,
        events: Vec<Bytes>,
        next: i64,
        wakers: &mut Vec<Waker>,
    ) -> Offered {
        let mut state = self.state.lock();
        if watcher.mode() != Mode::Lagging {
            return Offered::Gone;
        }
        if !events.is_empty() {
            if self.is_full_locked(&state) {
                state.parked.push(Arc::clone(watcher));
                return Offered::Parked;
            }
            self.push_locked(&mut state, Arc::clone(watcher), revision, events);
            wakers.extend(state.waker.take());
        }
        debug_assert!(next > watcher.next());
        watcher.set_next(next);
        Offered::Advanced
    }

    /// Puts a lagging watcher that misses nothing into the live group.
    pub(super) fn go_live(&self, watcher: &Watcher) {
        let _state = self.state.lock();
        if watcher.mode() == Mode::Lagging {
            watcher.set_mode(Mode::Live);
            self.metrics.slow_watchers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends a lagging watcher that compaction has overtaken.
    pub(super) fn overtake(
        &self,
        watcher: &Arc<Watcher>,
        compact_revision: i64,
        wakers: &mut Vec<Waker>,
    ) -> Offered {
        let mut state = self.state.lock();
        if watcher.mode() != Mode::Lagging {
            return Offered::Gone;
        }
        if self.is_full_locked(&state) {
            state.parked.push(Arc::clone(watcher));
            return Offered::Parked;
        }
        watcher.set_mode(Mode::Compacted);
        self.metrics.slow_watchers.fetch_sub(1, Ordering::Relaxed);
        let body = Body::Compacted { compact_revision };
        // Source: etcd 3.7 sends this response with header revision 0.
        let response = Response {
            watch_id: watcher.id,
            revision: 0,
            body,
        };
        state.queued.push_back(Queued {
            response,
            watcher: None,
            bytes: 0,
        });
        wakers.extend(state.waker.take());
        Offered::Advanced
    }

    /// Ends a watcher for good; returns what it was before.
    pub(super) fn close_watcher(&self, watcher: &Watcher) -> Mode {
        let mut state = self.state.lock();
        let mode = watcher.mode();
        if mode == Mode::Lagging {
            self.metrics.slow_watchers.fetch_sub(1, Ordering::Relaxed);
            state
                .parked
                .retain(|other| !std::ptr::eq(Arc::as_ptr(other), watcher));
        }
        watcher.set_mode(Mode::Closed);
        mode
    }

    /// Asks the stream to look at its postponed progress request.
    pub(super) fn make_progress_due(&self, wakers: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        state.progress_due = true;
        wakers.extend(state.waker.take());
    }

    /// Ends the stream after what is queued already.
    pub(super) fn fail(&self, wakers: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        state.failed = true;
        wakers.extend(state.waker.take());
    }

    /// The stream is gone: forgets everything and takes nothing more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        let events: usize = state.queued.iter().map(Queued::events_count).sum();
        self.count_pending(events, false);
        *state = State {
            closed: true,
            ..State::default()
        };
    }

    /// Takes the next response; remembers `waker` if there is none.
    pub(super) fn poll_next(&self, waker: &Waker) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.progress_due {
            state.progress_due = false;
            return Poll::Ready(Next::ProgressDue);
        }
        let Some(queued) = state.queued.pop_front() else {
            if state.failed {
                return Poll::Ready(Next::Failed);
            }
            if state
                .waker
                .as_ref()
                .is_none_or(|known| !known.will_wake(waker))
            {
                state.waker = Some(waker.clone());
            }
            return Poll::Pending;
        };
        state.bytes -= queued.bytes;
        self.count_pending(queued.events_count(), false);
        let has_room =
            state.queued.len() <= self.responses_max / 2 && state.bytes <= self.bytes_max / 2;
        let unparked = if has_room {
            std::mem::take(&mut state.parked)
        } else {
            Vec::new()
        };
        Poll::Ready(Next::Response(queued, unparked))
    }

    /// Whether the stream should send before it reads further requests.
    pub(super) fn is_full(&self) -> bool {
        self.is_full_locked(&self.state.lock())
    }

    fn is_full_locked(&self, state: &State) -> bool {
        state.queued.len() >= self.responses_max || state.bytes >= self.bytes_max
    }

    fn fall_behind_locked(&self, watcher: &Watcher, next: i64) {
        watcher.set_mode(Mode::Lagging);
        watcher.set_next(next);
        self.metrics.slow_watchers.fetch_add(1, Ordering::Relaxed);
    }

    fn push_locked(
        &self,
        state: &mut State,
        watcher: Arc<Watcher>,
        revision: i64,
        events: Vec<Bytes>,
    ) {
        debug_assert!(!state.closed && !events.is_empty());
        let bytes = events.iter().map(Bytes::len).sum();
        self.count_pending(events.len(), true);
        let body = Body::Events {
            events,
            fragment: false,
        };
        let response = Response {
            watch_id: watcher.id,
            revision,
            body,
        };
        state.bytes += bytes;
        state.queued.push_back(Queued {
            response,
            watcher: Some(watcher),
            bytes,
        });
    }

    fn count_pending(&self, events_count: usize, added: bool) {
        let count = i64::try_from(events_count).unwrap_or(i64::MAX);
        let change = if added { count } else { -count };
        self.metrics
            .pending_events
            .fetch_add(change, Ordering::Relaxed);
    }
}

impl Queued {
    pub(super) fn events_count(&self) -> usize {
        match &self.response.body {
            Body::Events { events, .. } => events.len(),
            _ => 0,
        }
    }
}
