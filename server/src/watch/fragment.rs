//! Splitting one large response into several.
//!
//! A watcher that asked for fragments never gets a response of the limit or
//! more, unless a single event is that large. Fragments repeat header and watch
//! id; all but the last are marked. A revision may be split.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::encoding::encoded_len_varint;

/// Bytes counted for what surrounds the events of a response: header, id,
/// flags. An upper bound of their encoding.
const HEAD_BYTES: usize = 64;

/// Cuts `events` into runs whose responses stay below `limit_bytes`.
pub(super) fn split(events: Vec<Bytes>, limit_bytes: usize) -> VecDeque<Vec<Bytes>> {
    let mut runs = VecDeque::new();
    if HEAD_BYTES + events.iter().map(encoded_bytes).sum::<usize>() < limit_bytes {
        runs.push_back(events);
        return runs;
    }
    let mut run = Vec::new();
    let mut bytes = HEAD_BYTES;
    for event in events {
        let more = encoded_bytes(&event);
        if !run.is_empty() && bytes + more >= limit_bytes {
            runs.push_back(std::mem::take(&mut run));
            bytes = HEAD_BYTES;
        }
        bytes += more;
        run.push(event);
    }
    runs.push_back(run);
    runs
}

/// Bytes of one event as a field of the response.
pub(super) fn encoded_bytes(event: &Bytes) -> usize {
    1 + encoded_len_varint(event.len() as u64) + event.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(events: &[usize], limit: usize) -> Vec<Vec<usize>> {
        let events = events
            .iter()
            .map(|size| Bytes::from(vec![0; *size]))
            .collect();
        split(events, limit)
            .into_iter()
            .map(|run| run.iter().map(Bytes::len).collect())
            .collect()
    }

    #[test]
    fn a_small_response_stays_whole() {
        assert_eq!(sizes(&[10, 10], 1000), vec![vec![10, 10]]);
    }

    #[test]
    fn a_large_response_is_cut_below_the_limit() {
        assert_eq!(
            sizes(&[400, 400, 400], 1000),
            vec![vec![400, 400], vec![400]]
        );
        assert_eq!(
            sizes(&[900, 10, 10, 10], 970),
            vec![vec![900], vec![10, 10, 10]]
        );
    }

    #[test]
    fn one_event_is_never_cut() {
        assert_eq!(sizes(&[5000], 1000), vec![vec![5000]]);
        assert_eq!(
            sizes(&[10, 5000, 10], 1000),
            vec![vec![10], vec![5000], vec![10]]
        );
    }
}
