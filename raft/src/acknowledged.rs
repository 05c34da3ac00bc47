//! What each peer has acknowledged to this leader, to notice one that takes it back.
//!
//! Within a term a follower's log never gets shorter than what it acknowledged to
//! the leader. One that does was started on an old copy of its data directory: it has
//! forgotten entries, and perhaps votes. openraft then sends the entries again
//! (`allow_log_reversion`; without it the leader would end). Until they are there an
//! acknowledged write may be on fewer disks than a quorum, so a person is told.

use std::collections::HashMap;

use openraft::raft::StreamAppendError;
use parking_lot::Mutex;

use crate::metrics::Metrics;
use crate::rpc::AppendResult;

/// The newest entry that each peer acknowledged, and the term of who asked.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Mutex<HashMap<u64, Mark>>);

#[derive(Debug, Clone, Copy)]
struct Mark {
    term: u64,
    /// In openraft's count.
    index: u64,
}

impl Acknowledged {
    /// Notes an answer of `peer` to the leader of `term`.
    pub(crate) fn note(&self, peer: u64, term: u64, result: &AppendResult, metrics: &Metrics) {
        match result {
            Ok(Some(matched)) => self.raise(peer, term, matched.index),
            Err(StreamAppendError::Conflict(lacking)) => {
                let Some(index) = self.take_back(peer, term, lacking.index) else {
                    return;
                };
                metrics.log_reversions.add(1);
                tracing::warn!(
                    remote_peer_id = format!("{peer:x}"),
                    acknowledged_index = index + 1,
                    "a member lacks entries that it had acknowledged: an old copy of its data \
                     directory was put back; they are sent again, but while they are missing a \
                     failure of another member can lose acknowledged writes: instead of putting \
                     a copy back, remove the member and add it anew"
                );
            }
            _ => {}
        }
    }

    fn raise(&self, peer: u64, term: u64, index: u64) {
        let mut marks = self.0.lock();
        let mark = marks.entry(peer).or_insert(Mark { term, index });
        if (mark.term, mark.index) < (term, index) {
            *mark = Mark { term, index };
        }
    }

    /// What was acknowledged, if the peer lacks it now; told once.
    fn take_back(&self, peer: u64, term: u64, lacking: u64) -> Option<u64> {
        let mut marks = self.0.lock();
        let mark = marks.get(&peer).copied()?;
        if mark.term != term || lacking > mark.index {
            return None;
        }
        marks.remove(&peer);
        Some(mark.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;

    #[test]
    fn only_what_was_acknowledged_in_this_term_can_be_taken_back() {
        let (marks, metrics) = (Acknowledged::default(), Metrics::default());
        let told = |term, result| {
            let before = metrics.log_reversions.value();
            marks.note(7, term, &result, &metrics);
            metrics.log_reversions.value() - before
        };
        let conflict = |index| Err(StreamAppendError::Conflict(log_id(2, index)));
        assert_eq!(told(2, conflict(5)), 0);
        assert_eq!(told(2, Ok(Some(log_id(2, 9)))), 0);
        assert_eq!(told(2, conflict(10)), 0);
        assert_eq!(told(3, conflict(5)), 0);
        assert_eq!(told(2, conflict(9)), 1);
        assert_eq!(told(2, conflict(4)), 0);
    }
}
