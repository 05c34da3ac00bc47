//! The hub's one worker: hands new revisions out, and lets laggards catch up.
//!
//! Everything here is synchronous and decides alone; [`super::hub`] runs it in
//! a loop and takes what may block ([`Lookups`], [`Job`]) to other threads in
//! between. Because one worker does both, the hand-over from catching up to
//! live has no gap: a watcher goes live exactly when it lacks nothing up to the
//! last dispatched revision, and no revision is dispatched at that moment.
//!
//! Lock order: `processed`, then the group, then a stream's queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use bytes::Bytes;

use super::catch_up::{Findings, Job};
use super::event::RevisionEvents;
use super::event_ring::EventRing;
use super::history::{ChangesLimits, History, HistoryError};
use super::hub::Shared;
use super::queue::Offered;
use super::watcher::{Mode, Watcher};

/// State of the worker; exists once per hub.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    ring: EventRing,
    /// Last dispatched revision: a copy of `shared.processed`.
    processed: i64,
    /// Lagging watchers that can go on now.
    backlog: VecDeque<Arc<Watcher>>,
    /// Lagging watchers that need a read which may block.
    readers: VecDeque<Arc<Watcher>>,
    /// A job is out.
    is_reading: bool,
    /// Watchers of the revision being dispatched.
    touched: Vec<Touched>,
    /// Streams with something new; woken once per step.
    wakers: Vec<Waker>,
}

/// Previous pairs to look up before a batch can be dispatched.
#[derive(Debug)]
pub(super) struct Lookups(Vec<(Arc<RevisionEvents>, usize)>);

/// A watcher and its events of one revision.
#[derive(Debug)]
struct Touched {
    watcher: Arc<Watcher>,
    events: Vec<Bytes>,
    /// An event could not be encoded for it yet.
    is_incomplete: bool,
}

/// Events compared with watchers' ranges in one step of catching up from the
/// ring, before other tasks of the runtime get a turn: about a millisecond.
const COMPARISONS_PER_STEP: usize = 16 << 10;

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let config = &shared.config;
        let ring = EventRing::new(config.ring_revisions_max, config.ring_bytes_max);
        let processed = *shared.processed.read();
        Self {
            ring,
            processed,
            shared,
            backlog: VecDeque::new(),
            readers: VecDeque::new(),
            is_reading: false,
            touched: Vec::new(),
            wakers: Vec::new(),
        }
    }

    /// Takes what apply has published since the last call.
    pub(super) fn take_batch(&mut self) -> Vec<Arc<RevisionEvents>> {
        let (queued, last) = self.shared.inbox.lock().take();
        let first = queued.front().map_or(last + 1, |(revision, _)| *revision);
        if first > self.processed + 1 {
            self.skip_to(first - 1);
        }
        let share = |(revision, events)| Arc::new(RevisionEvents::new(revision, events));
        queued.into_iter().map(share).collect()
    }

    /// The previous pairs that watchers of `batch` want, if any.
    pub(super) fn lookups(&self, batch: &[Arc<RevisionEvents>]) -> Option<Lookups> {
        if !self.shared.group.wants_previous() {
            return None;
        }
        let mut lookups = Vec::new();
        for revision in batch {
            for (index, event) in revision.events().iter().enumerate() {
                if revision.with_previous(index).is_some() {
                    continue;
                }
                let mut is_wanted = false;
                self.shared.group.for_each_around(&event.key, |watcher| {
                    is_wanted |= watcher.wish.previous && watcher.lets_through(event);
                });
                if is_wanted {
                    lookups.push((Arc::clone(revision), index));
                }
            }
        }
        if lookups.is_empty() {
            None
        } else {
            Some(Lookups(lookups))
        }
    }

    /// Hands a batch out to the live watchers.
    pub(super) fn dispatch(&mut self, batch: Vec<Arc<RevisionEvents>>) {
        for events in batch {
            self.dispatch_revision(&events);
            self.ring.push(events);
        }
        self.answer_progress();
        self.wake_streams();
    }

    /// Lets laggards catch up as far as that is possible without blocking.
    pub(super) fn catch_up(&mut self) {
        self.backlog.append(&mut self.shared.ready.lock());
        let mut comparisons = 0;
        for _ in 0..self.backlog.len() {
            if comparisons > COMPARISONS_PER_STEP {
                break;
            }
            let Some(watcher) = self.backlog.pop_front() else {
                break;
            };
            self.advance(watcher, &mut comparisons);
        }
        self.wake_streams();
    }

    /// The next blocking read for laggards, unless one is out.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        if self.is_reading {
            return None;
        }
        self.readers
            .retain(|watcher| watcher.mode() == Mode::Lagging);
        let first = self.readers.pop_front()?;
        let from = first.next();
        let mut watchers = vec![first];
        let watchers_max = self.shared.config.catch_up_watchers_max;
        let mut index = 0;
        while index < self.readers.len() && watchers.len() < watchers_max {
            match self.readers[index].next() >= from {
                true => watchers.extend(self.readers.swap_remove_back(index)),
                false => index += 1,
            }
        }
        self.is_reading = true;
        let config = &self.shared.config;
        let revisions_max = config.catch_up_revisions_max;
        let limits = ChangesLimits {
            revisions_max,
            bytes_max: config.catch_up_bytes_max,
        };
        let held = self
            .ring
            .since(from)
            .map(|held| held.take(revisions_max).cloned().collect());
        if held.is_none() {
            self.shared
                .metrics
                .store_reads
                .fetch_add(1, Ordering::Relaxed);
        }
        Some(Job {
            from,
            to: self.processed,
            watchers,
            held,
            limits,
        })
    }

    /// Hands out what a job has read.
    pub(super) fn finish_job(&mut self, findings: Findings) {
        self.is_reading = false;
        if let Err(error) = &findings.outcome {
            self.finish_failed_job(&findings, error);
            return;
        }
        for (watcher, events) in findings.portions {
            if watcher.next() < findings.next {
                self.offer_missed(watcher, findings.revision, events, findings.next);
            } else {
                self.backlog.push_back(watcher);
            }
        }
        self.wake_streams();
    }

    /// Whether a step would do something.
    pub(super) fn has_work(&self) -> bool {
        !self.backlog.is_empty() || (!self.is_reading && !self.readers.is_empty())
    }

    fn dispatch_revision(&mut self, events: &RevisionEvents) {
        let revision = events.revision;
        let mut processed = self.shared.processed.write();
        debug_assert_eq!(*processed + 1, revision);
        let touched = &mut self.touched;
        for (index, event) in events.events().iter().enumerate() {
            self.shared.group.for_each_around(&event.key, |watcher| {
                let is_live = watcher.mode() == Mode::Live && watcher.next() <= revision;
                if is_live && watcher.lets_through(event) {
                    touch(touched, watcher).add(events, index);
                }
            });
        }
        for Touched {
            watcher,
            events,
            is_incomplete,
        } in touched.drain(..)
        {
            let stream = Arc::clone(&watcher.stream);
            if !is_incomplete {
                stream.offer_live(watcher, revision, events, &mut self.wakers);
            } else if stream.fall_behind(&watcher, revision) {
                self.backlog.push_back(watcher);
            }
        }
        *processed = revision;
        self.processed = revision;
    }

    /// Goes on at a later revision: nobody was shown what lies between.
    fn skip_to(&mut self, revision: i64) {
        let mut processed = self.shared.processed.write();
        let missed = *processed + 1;
        let mut laggards = Vec::new();
        self.shared.group.for_each(|watcher| {
            if watcher.next() <= revision && watcher.stream.fall_behind(watcher, missed) {
                laggards.push(Arc::clone(watcher));
            }
        });
        self.backlog.extend(laggards);
        self.ring.clear();
        *processed = revision;
        self.processed = revision;
    }

    /// One step of one lagging watcher.
    fn advance(&mut self, watcher: Arc<Watcher>, comparisons: &mut usize) {
        if watcher.mode() != Mode::Lagging {
            return;
        }
        let compact_revision = self.shared.history.compact_revision();
        if watcher.next() < compact_revision {
            self.overtake(&watcher, compact_revision);
            return;
        }
        if watcher.next() > self.processed {
            watcher.stream.go_live(&watcher);
            return;
        }
        match self.missed_in_ring(&watcher, comparisons) {
            Some((events, next)) => {
                self.offer_missed(watcher, self.processed, events, next);
            }
            None => self.readers.push_back(watcher),
        }
    }

    /// What the ring has for a lagging watcher, and the revision after that.
    fn missed_in_ring(
        &self,
        watcher: &Watcher,
        comparisons: &mut usize,
    ) -> Option<(Vec<Bytes>, i64)> {
        let config = &self.shared.config;
        let (mut missed, mut bytes, mut next) = (Vec::new(), 0, watcher.next());
        let mut revisions_left = config.catch_up_revisions_max;
        for events in self.ring.since(next)? {
            if revisions_left == 0 || bytes > config.catch_up_bytes_max {
                break;
            }
            let whole = missed.len();
            *comparisons += events.events().len();
            for (index, event) in events.events().iter().enumerate() {
                if !watcher.wants(event) {
                    continue;
                }
                let Some(encoding) = watcher.encoding(events, index) else {
                    // Needs a lookup: up to here now, the rest by a job.
                    missed.truncate(whole);
                    return (next > watcher.next()).then_some((missed, next));
                };
                bytes += encoding.len();
                missed.push(encoding);
            }
            revisions_left -= usize::from(missed.len() > whole);
            next = events.revision + 1;
        }
        Some((missed, next))
    }

    /// Offers missed events, and decides how the watcher goes on.
    fn offer_missed(
        &mut self,
        watcher: Arc<Watcher>,
        revision: i64,
        events: Vec<Bytes>,
        next: i64,
    ) {
        let stream = Arc::clone(&watcher.stream);
        let offered = stream.offer_missed(&watcher, revision, events, next, &mut self.wakers);
        if offered == Offered::Advanced {
            if next > self.processed {
                stream.go_live(&watcher);
            } else {
                self.backlog.push_back(watcher);
            }
        }
    }

    fn overtake(&mut self, watcher: &Arc<Watcher>, compact_revision: i64) {
        let stream = &watcher.stream;
        if stream.overtake(watcher, compact_revision, &mut self.wakers) == Offered::Advanced {
            self.shared.forget(watcher);
        }
    }

    fn finish_failed_job(&mut self, findings: &Findings, error: &HistoryError) {
        let compact_revision = self.shared.history.compact_revision();
        for (watcher, _) in &findings.portions {
            match error {
                // Those behind are ended, the others try again.
                HistoryError::Compacted if watcher.next() > findings.from => {
                    self.backlog.push_back(Arc::clone(watcher));
                }
                HistoryError::Compacted => {
                    self.overtake(watcher, compact_revision.max(findings.from + 1));
                }
                HistoryError::Failed(_) => watcher.stream.fail(&mut self.wakers),
            }
        }
        if let HistoryError::Failed(source) = error {
            tracing::error!(from = findings.from, %source, "watch history is unreadable");
        }
        self.wake_streams();
    }

    /// Streams whose progress request waited for the revision reached now.
    fn answer_progress(&mut self) {
        let mut waiting = self.shared.progress_waiting.lock();
        if waiting.is_empty() {
            return;
        }
        for (_, stream) in waiting.extract_if(.., |(revision, _)| *revision <= self.processed) {
            stream.make_progress_due(&mut self.wakers);
        }
    }

    fn wake_streams(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Lookups {
    /// Looks the pairs up. Blocks.
    pub(super) fn run(self, history: &dyn History) {
        for (revision, index) in self.0 {
            revision.resolve_previous(index, history);
        }
    }
}

impl Touched {
    fn add(&mut self, events: &RevisionEvents, index: usize) {
        match self.watcher.encoding(events, index) {
            Some(encoding) => self.events.push(encoding),
            None => self.is_incomplete = true,
        }
    }
}

/// The entry of `watcher` among those touched by the current revision.
fn touch<'a>(touched: &'a mut Vec<Touched>, watcher: &Arc<Watcher>) -> &'a mut Touched {
    let known = watcher.touched.load(Ordering::Relaxed);
    let index = match touched.get(known) {
        Some(entry) if Arc::ptr_eq(&entry.watcher, watcher) => known,
        _ => {
            watcher.touched.store(touched.len(), Ordering::Relaxed);
            let watcher = Arc::clone(watcher);
            touched.push(Touched {
                watcher,
                events: Vec::with_capacity(1),
                is_incomplete: false,
            });
            touched.len() - 1
        }
    };
    &mut touched[index]
}
