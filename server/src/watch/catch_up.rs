//! Reading what lagging watchers missed, for many of them at once.
//!
//! A job serves all watchers that lack about the same revisions with one read
//! of the store (or of the ring, where only previous pairs must be looked up).
//! It runs on a blocking thread and touches neither queues nor modes: the
//! worker hands the portions out when it is done, so that only the worker
//! decides what counts as delivered.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::key_range::KeyRangeUnion;

use super::event::RevisionEvents;
use super::history::{ChangesLimits, History, HistoryError};
use super::watcher::Watcher;

/// One read on behalf of several lagging watchers.
#[derive(Debug)]
pub(super) struct Job {
    /// First revision read; no watcher of the job lacks an earlier one.
    pub(super) from: i64,
    /// Last dispatched revision when the job was made.
    pub(super) to: i64,
    pub(super) watchers: Vec<Arc<Watcher>>,
    /// The revisions, where the ring still holds them.
    pub(super) held: Option<Vec<Arc<RevisionEvents>>>,
    pub(super) limits: ChangesLimits,
}

/// What a [`Job`] found.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) from: i64,
    /// Revision of the store at the time of the read.
    pub(super) revision: i64,
    /// Everything below this revision was read.
    pub(super) next: i64,
    /// Each watcher with the events it wants; none for those the read did not
    /// reach.
    pub(super) portions: Vec<(Arc<Watcher>, Vec<Bytes>)>,
    pub(super) outcome: Result<(), HistoryError>,
}

impl Job {
    /// Reads and sorts out. Blocks.
    pub(super) fn run(self, history: &dyn History) -> Findings {
        let revision = history.revision();
        let read = match self.held {
            Some(ref held) => Ok(self.cut(held)),
            None => self.read(history),
        };
        let (next, revisions, outcome) = match read {
            Ok((next, revisions)) => (next, revisions, Ok(())),
            Err(error) => (self.from, Vec::new(), Err(error)),
        };
        let portions = self
            .watchers
            .into_iter()
            .map(|watcher| {
                let events = portion(&watcher, &revisions, history);
                (watcher, events)
            })
            .collect();
        Findings {
            from: self.from,
            revision,
            next,
            portions,
            outcome,
        }
    }

    fn read(&self, history: &dyn History) -> Result<(i64, Vec<Arc<RevisionEvents>>), HistoryError> {
        let union = KeyRangeUnion::new(self.watchers.iter().map(|watcher| &watcher.wish.range));
        let changes = history.changes(self.from, self.to, &union, self.limits)?;
        let shared = |(revision, events): (i64, Vec<_>)| {
            Arc::new(RevisionEvents::new(revision, events.into()))
        };
        Ok((
            changes.next,
            changes.revisions.into_iter().map(shared).collect(),
        ))
    }

    /// The part of `held` within the limits.
    fn cut(&self, held: &[Arc<RevisionEvents>]) -> (i64, Vec<Arc<RevisionEvents>>) {
        let mut bytes = 0;
        let fits = |events: &&Arc<RevisionEvents>| {
            let has_room = bytes < self.limits.bytes_max;
            bytes += events.bytes;
            has_room
        };
        let cut: Vec<_> = held
            .iter()
            .take(self.limits.revisions_max)
            .take_while(fits)
            .cloned()
            .collect();
        (
            cut.last().map_or(self.to, |events| events.revision) + 1,
            cut,
        )
    }
}

/// What `watcher` wants of `revisions`.
fn portion(
    watcher: &Watcher,
    revisions: &[Arc<RevisionEvents>],
    history: &dyn History,
) -> Vec<Bytes> {
    let next = watcher.next();
    let first = revisions.partition_point(|events| events.revision < next);
    let mut portion = Vec::new();
    for events in &revisions[first..] {
        for (index, event) in events.events().iter().enumerate() {
            if watcher.wants(event) {
                portion.push(match watcher.wish.previous {
                    true => events.resolve_previous(index, history),
                    false => events.plain(index),
                });
            }
        }
    }
    portion
}
