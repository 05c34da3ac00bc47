//! What a watch promises: every change in its range from its start on, in order,
//! once, whole revisions at a time; marks of progress that are true; earlier pairs
//! that are true. Source: etcd's documented guarantees (ordered, unique, atomic,
//! reliable, resumable, bookmarkable).

use std::ops::RangeInclusive;

use super::{
    operation::{Change, Key, Pair},
    replay::Log,
};

/// One event as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its revision.
    pub revision: i64,
    /// The key that changed.
    pub key: Key,
    /// The pair after the change, `None` for a deletion.
    pub pair: Option<Pair>,
    /// The pair before the change, if that was asked for.
    pub previous: Option<Option<Pair>>,
}

/// One response of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The revision in its header.
    pub revision: i64,
    /// Events; none means progress: everything up to `revision` was delivered.
    pub events: Vec<Event>,
    /// More of the same revisions follows in the next response.
    pub is_fragment: bool,
}

/// Everything that one watch has delivered; one that was broken off and taken up
/// again behind its last event is one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Keys that are watched.
    pub keys: RangeInclusive<Key>,
    /// First revision that is to be delivered.
    pub from: i64,
    /// Puts are left out.
    pub no_put: bool,
    /// Deletions are left out.
    pub no_delete: bool,
    /// The responses, in the order of arrival.
    pub responses: Vec<Response>,
}

impl Delivered {
    fn wants(&self, (key, value): &Change) -> bool {
        let is_left_out = match value {
            Some(_) => self.no_put,
            None => self.no_delete,
        };
        self.keys.contains(key) && !is_left_out
    }

    /// Highest revision up to which everything must have been delivered.
    fn complete_to(&self) -> i64 {
        let progress = self.responses.iter().rev().find_map(|response| {
            let is_progress = response.events.is_empty();
            is_progress.then_some(response.revision)
        });
        let last = self
            .responses
            .iter()
            .rev()
            .find(|response| !response.events.is_empty());
        let event = last.map(|response| {
            let revision = response.events.last().map_or(0, |event| event.revision);
            // What is cut off in the middle is not complete.
            revision - i64::from(response.is_fragment)
        });
        progress.unwrap_or(0).max(event.unwrap_or(0))
    }
}

/// Judges what a watch has delivered by the log of its store.
///
/// # Errors
/// The first promise that was broken.
pub fn check(delivered: &Delivered, log: &Log) -> Result<(), String> {
    in_order(delivered)?;
    let mut expected = log
        .between(delivered.from, delivered.complete_to())
        .filter(|(_, change)| delivered.wants(change));
    let events = delivered
        .responses
        .iter()
        .flat_map(|response| &response.events);
    for event in events.filter(|event| event.revision <= delivered.complete_to()) {
        let Some((revision, (key, value))) = expected.next() else {
            return Err(format!("{event:?} never happened"));
        };
        if (revision, key) != (event.revision, event.key) {
            return Err(format!(
                "revision {revision} of key {key} should come, came {event:?}"
            ));
        }
        let truth = log.at(key, revision);
        if event.pair != truth || value.is_some() != event.pair.is_some() {
            return Err(format!("{event:?} is {truth:?} in truth"));
        }
        let before = log.at(key, revision - 1);
        if event.previous.is_some_and(|previous| previous != before) {
            return Err(format!("{event:?} was {before:?} before in truth"));
        }
    }
    match expected.next() {
        Some((revision, change)) => Err(format!(
            "revision {revision}, {change:?}, was left out although the watch was at {}",
            delivered.complete_to()
        )),
        None => Ok(()),
    }
}

/// Order, and marks of progress, which need no log.
fn in_order(delivered: &Delivered) -> Result<(), String> {
    let mut marked = delivered.from - 1;
    let mut last = (0, None);
    let mut open_revision = None;
    for response in &delivered.responses {
        for event in &response.events {
            let here = (event.revision, Some(event.key));
            if here <= last {
                return Err(format!("{event:?} comes after {last:?}"));
            }
            if event.revision <= marked && open_revision != Some(event.revision) {
                return Err(format!("{event:?} comes after the mark {marked}"));
            }
            if event.revision > response.revision {
                return Err(format!(
                    "{event:?} is ahead of its header {}",
                    response.revision
                ));
            }
            last = here;
        }
        let ended = response.events.last().map(|event| event.revision);
        open_revision = ended.filter(|_| response.is_fragment);
        // A revision is not split, and progress is told of what is complete.
        marked = marked.max(ended.unwrap_or(response.revision));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
