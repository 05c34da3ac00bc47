//! What apply has published and the hub's worker has not yet taken.
//!
//! Apply must never wait, so this queue never refuses: past its bounds, or
//! where nobody watches, it forgets what it holds and remembers only up to
//! which revision. The worker sees the gap and lets every watcher read that
//! part from the store.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::mvcc::Event;

/// Revisions with their events, oldest first.
pub(super) type Queued = VecDeque<(i64, Arc<[Event]>)>;

/// Events of one revision that are handed out at once; watchers read larger ones
/// from the store, beside the thread that serves clients.
const REVISION_EVENTS_MAX: usize = 10_000;

/// Published revisions without a hole, ending at `last`.
#[derive(Debug)]
pub(super) struct Inbox {
    queued: Queued,
    /// Bytes of keys and records in `queued`.
    bytes: usize,
    /// Last revision published.
    last: i64,
    /// Watchers in existence. Counted here, so that a publication either sees
    /// a watcher or happens before that watcher reads the store's revision.
    listeners_count: usize,
    revisions_max: usize,
    bytes_max: usize,
}

impl Inbox {
    pub(super) fn new(last: i64, revisions_max: usize, bytes_max: usize) -> Self {
        let queued = VecDeque::new();
        Self {
            queued,
            bytes: 0,
            last,
            listeners_count: 0,
            revisions_max,
            bytes_max,
        }
    }

    /// Adds the next revisions; true if the worker should be woken.
    pub(super) fn publish(&mut self, commits: Vec<(i64, Arc<[Event]>)>) -> bool {
        for (revision, events) in commits {
            if revision <= self.last {
                // Part of a snapshot installed meanwhile.
                continue;
            }
            if revision != self.last + 1 {
                self.forget();
            }
            self.last = revision;
            if self.listeners_count == 0 || events.len() > REVISION_EVENTS_MAX {
                self.forget();
                continue;
            }
            let bytes: usize = events
                .iter()
                .map(|event| event.key.len() + event.record.len())
                .sum();
            self.bytes += bytes;
            self.queued.push_back((revision, events));
            if self.bytes > self.bytes_max || self.queued.len() > self.revisions_max {
                self.forget();
            }
        }
        self.listeners_count > 0
    }

    /// Everything up to `revision` exists without having been published; true
    /// if the worker should be woken.
    pub(super) fn skip_to(&mut self, revision: i64) -> bool {
        let is_news = revision > self.last;
        if is_news {
            self.forget();
            self.last = revision;
        }
        is_news && self.has_listeners()
    }

    pub(super) fn has_listeners(&self) -> bool {
        self.listeners_count > 0
    }

    pub(super) fn add_listener(&mut self) {
        self.listeners_count += 1;
    }

    pub(super) fn remove_listener(&mut self) {
        debug_assert!(self.listeners_count > 0);
        self.listeners_count = self.listeners_count.saturating_sub(1);
        if self.listeners_count == 0 {
            self.forget();
        }
    }

    /// Takes everything: the revisions held, and the last one published, which
    /// is later than the last one held only where none is held.
    pub(super) fn take(&mut self) -> (Queued, i64) {
        self.bytes = 0;
        (std::mem::take(&mut self.queued), self.last)
    }

    fn forget(&mut self) {
        self.queued.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{base::revision::Revision, mvcc::EventKind};

    fn commit(revision: i64) -> (i64, Arc<[Event]>) {
        (revision, Arc::from([]))
    }

    fn held(inbox: &mut Inbox) -> (Vec<i64>, i64) {
        let (queued, last) = inbox.take();
        (
            queued.into_iter().map(|(revision, _)| revision).collect(),
            last,
        )
    }

    #[test]
    fn without_listeners_only_the_revision_is_kept() {
        let mut inbox = Inbox::new(1, 10, 1000);
        assert!(!inbox.publish(vec![commit(2), commit(3)]));
        assert_eq!(held(&mut inbox), (vec![], 3));
        inbox.add_listener();
        assert!(inbox.publish(vec![commit(4)]));
        inbox.remove_listener();
        assert_eq!(held(&mut inbox), (vec![], 4));
    }

    #[test]
    fn a_revision_of_very_many_events_is_left_to_the_store() {
        let mut inbox = Inbox::new(1, 10, usize::MAX);
        inbox.add_listener();
        let event = Event {
            kind: EventKind::Delete,
            key: Bytes::new(),
            record: Bytes::new(),
            revision: Revision::new(3, 0),
            create_revision: 0,
            version: 0,
            lease: 0,
            previous_lease: 0,
        };
        let many: Arc<[Event]> = vec![event; REVISION_EVENTS_MAX + 1].into();
        assert!(inbox.publish(vec![commit(2), (3, many), commit(4)]));
        assert_eq!(held(&mut inbox), (vec![4], 4));
    }

    #[test]
    fn what_is_held_has_no_hole_and_ends_at_the_last_one() {
        let mut inbox = Inbox::new(1, 3, 1000);
        inbox.add_listener();
        inbox.publish(vec![commit(2), commit(3)]);
        assert_eq!(held(&mut inbox), (vec![2, 3], 3));
        // A gap: what came before it is of no use.
        inbox.publish(vec![commit(4), commit(7), commit(8)]);
        assert_eq!(held(&mut inbox), (vec![7, 8], 8));
        // An overflow.
        inbox.publish((9..=13).map(commit).collect());
        assert_eq!(held(&mut inbox), (vec![13], 13));
        inbox.publish((14..=17).map(commit).collect());
        assert_eq!(held(&mut inbox), (vec![], 17));
        // A snapshot, and a late publication of what it held.
        inbox.publish(vec![commit(18)]);
        inbox.skip_to(30);
        inbox.publish(vec![commit(29), commit(31)]);
        assert_eq!(held(&mut inbox), (vec![31], 31));
    }
}
