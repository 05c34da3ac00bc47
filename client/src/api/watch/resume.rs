//! What a watcher has delivered, and where its next stream starts.
//!
//! Deciding code: responses in, steps out. Invariant: every event with a
//! revision below `next_revision` that matches the watch has been handed out
//! exactly once, and none at or above it has. That holds because all events of
//! a revision arrive in one response once fragments are put together, and
//! because a response without events promises that nothing below its header
//! revision is missing.

use quoin_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

use crate::error::Error;

/// The state that outlives a stream.
#[derive(Debug)]
pub(crate) struct Resume {
    /// As the user asked, except for the start revision.
    request: WatchCreateRequest,
    /// First revision not handed out; 0 until the server has named one.
    next_revision: i64,
    /// Some stream was confirmed before.
    created: bool,
    /// Fragments of a response whose last one is missing.
    fragments: Option<WatchResponse>,
}

/// What to do with a response.
#[derive(Debug)]
pub(crate) enum Step {
    /// The watch exists now, for the first time.
    Created,
    /// Hand it out.
    Deliver(WatchResponse),
    /// Nothing new in it.
    Skip,
    /// The watch is over.
    End(Error),
}

impl Resume {
    pub(crate) fn new(request: WatchCreateRequest) -> Self {
        let next_revision = request.start_revision;
        Self {
            request,
            next_revision,
            created: false,
            fragments: None,
        }
    }

    /// How to open the next stream. What the last one left unfinished is
    /// forgotten: it comes again.
    pub(crate) fn open(&mut self) -> WatchCreateRequest {
        self.fragments = None;
        WatchCreateRequest {
            start_revision: self.next_revision,
            ..self.request.clone()
        }
    }

    pub(crate) fn handle(&mut self, response: WatchResponse) -> Step {
        if response.canceled {
            return Step::End(cancellation(response));
        }
        let revision = response.header.map_or(0, |header| header.revision);
        if response.created {
            if self.next_revision == 0 {
                self.next_revision = revision + 1;
            }
            return match std::mem::replace(&mut self.created, true) {
                false => Step::Created,
                true => Step::Skip,
            };
        }
        let Some(response) = self.assemble(response) else {
            return Step::Skip;
        };
        if response.events.is_empty() {
            self.next_revision = self.next_revision.max(revision + 1);
            return Step::Deliver(response);
        }
        self.advance(response)
    }

    /// The whole response, once its last fragment is here.
    fn assemble(&mut self, response: WatchResponse) -> Option<WatchResponse> {
        let more = response.fragment;
        let mut whole = match self.fragments.take() {
            None => response,
            Some(mut whole) => {
                whole.events.extend(response.events);
                whole
            }
        };
        if more {
            self.fragments = Some(whole);
            return None;
        }
        whole.fragment = false;
        Some(whole)
    }

    /// Drops what was handed out before and remembers the rest as handed out.
    fn advance(&mut self, mut response: WatchResponse) -> Step {
        let revision = |event: &quoin_proto::mvccpb::Event| {
            event.kv.as_ref().map_or(0, |pair| pair.mod_revision)
        };
        let first = self.next_revision;
        response.events.retain(|event| revision(event) >= first);
        let Some(last) = response.events.last() else {
            return Step::Skip;
        };
        self.next_revision = revision(last) + 1;
        debug_assert!(self.next_revision > first, "events only move forward");
        Step::Deliver(response)
    }
}

/// Why the server ended a watch.
fn cancellation(response: WatchResponse) -> Error {
    let header = response.header.unwrap_or_default();
    if response.compact_revision > 0 || response.cancel_reason == COMPACTED {
        return Error::Compacted {
            compact_revision: response.compact_revision,
            header,
        };
    }
    Error::WatchCanceled {
        reason: response.cancel_reason,
        header,
    }
}

/// Reason given for a negative start revision. Source: observed, etcd 3.7.
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

#[cfg(test)]
mod tests {
    use quoin_proto::etcdserverpb::ResponseHeader;
    use quoin_proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn response(revision: i64, events: &[i64]) -> WatchResponse {
        let event = |&mod_revision: &i64| Event {
            kv: Some(KeyValue {
                mod_revision,
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        WatchResponse {
            header: Some(ResponseHeader {
                revision,
                ..ResponseHeader::default()
            }),
            events: events.iter().map(event).collect(),
            ..WatchResponse::default()
        }
    }

    fn created(revision: i64) -> WatchResponse {
        WatchResponse {
            created: true,
            ..response(revision, &[])
        }
    }

    fn delivered(step: Step) -> Vec<i64> {
        let Step::Deliver(response) = step else {
            panic!("not delivered: {step:?}")
        };
        response
            .events
            .iter()
            .map(|event| event.kv.as_ref().unwrap().mod_revision)
            .collect()
    }

    #[test]
    fn a_watch_from_now_resumes_after_the_revision_of_its_creation() {
        let mut resume = Resume::new(WatchCreateRequest::default());
        assert_eq!(resume.open().start_revision, 0);
        assert!(matches!(resume.handle(created(7)), Step::Created));
        assert_eq!(resume.open().start_revision, 8);
        assert!(matches!(resume.handle(created(12)), Step::Skip));
        assert_eq!(
            delivered(resume.handle(response(12, &[9, 9, 11]))),
            [9, 9, 11]
        );
        assert_eq!(resume.open().start_revision, 12);
    }

    #[test]
    fn events_seen_before_are_dropped() {
        let mut resume = Resume::new(WatchCreateRequest::default());
        resume.handle(created(1));
        assert_eq!(delivered(resume.handle(response(3, &[2, 3]))), [2, 3]);
        assert_eq!(delivered(resume.handle(response(4, &[3, 4]))), [4]);
        assert!(matches!(resume.handle(response(4, &[4])), Step::Skip));
    }

    #[test]
    fn progress_moves_the_start_but_a_batch_header_does_not() {
        let mut resume = Resume::new(WatchCreateRequest::default());
        resume.handle(created(1));
        resume.handle(response(100, &[2]));
        assert_eq!(resume.open().start_revision, 3);
        assert!(delivered(resume.handle(response(100, &[]))).is_empty());
        assert_eq!(resume.open().start_revision, 101);
    }

    #[test]
    fn half_a_fragmented_response_is_asked_for_again() {
        let mut resume = Resume::new(WatchCreateRequest::default());
        resume.handle(created(1));
        let part = |events: &[i64]| WatchResponse {
            fragment: true,
            ..response(3, events)
        };
        assert!(matches!(resume.handle(part(&[2, 3])), Step::Skip));
        assert_eq!(resume.open().start_revision, 2);
        assert!(matches!(resume.handle(part(&[2, 3])), Step::Skip));
        assert_eq!(delivered(resume.handle(response(3, &[3]))), [2, 3, 3]);
    }

    #[test]
    fn a_compacted_start_ends_the_watch_with_the_oldest_revision() {
        let mut resume = Resume::new(WatchCreateRequest {
            start_revision: 2,
            ..Default::default()
        });
        let cancel = WatchResponse {
            canceled: true,
            compact_revision: 9,
            ..response(0, &[])
        };
        let Step::End(error) = resume.handle(cancel) else {
            panic!("must end")
        };
        assert!(matches!(
            error,
            Error::Compacted {
                compact_revision: 9,
                ..
            }
        ));
    }
}
