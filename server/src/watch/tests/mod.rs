//! Tests of the watch rules, over a store in memory.
//!
//! The worker is driven by hand ([`Bench::settle`]), so every test decides what
//! has been handed out and what has not; `running` has those that need the hub
//! on a runtime.

mod catch_up;
mod create;
mod delivery;
mod limits;
mod model;
mod progress;
mod running;

use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use prost::Message;
use quoin_proto::mvccpb;

use crate::base::key_range::KeyRange;

use super::catch_up::Job;
use super::testing::{Change, MemoryHistory};
use super::worker::Worker;
use super::{Body, Config, Create, Hub, Response, WatchStream};

/// A hub whose worker runs when the test says so.
struct Bench {
    history: Arc<MemoryHistory>,
    hub: Hub,
    worker: Worker,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self::over(MemoryHistory::new(), config)
    }

    fn over(history: Arc<MemoryHistory>, config: Config) -> Self {
        let hub = Hub::new(history.clone(), config);
        let worker = Worker::new(Arc::clone(hub.shared()));
        Self {
            history,
            hub,
            worker,
        }
    }

    /// Writes and publishes one revision; returns it.
    fn write(&self, changes: &[Change<'_>]) -> i64 {
        let (revision, events) = self.history.write(changes);
        self.hub.publish(vec![(revision, events)]);
        revision
    }

    fn put(&self, key: &str, value: &str) -> i64 {
        self.write(&[(key, Some(value))])
    }

    fn delete(&self, key: &str) -> i64 {
        self.write(&[(key, None)])
    }

    /// Hands out what was published and lets laggards go one step.
    fn step(&mut self) -> Option<Job> {
        let batch = self.worker.take_batch();
        if let Some(lookups) = self.worker.lookups(&batch) {
            lookups.run(&*self.history);
        }
        self.worker.dispatch(batch);
        self.worker.catch_up();
        self.worker.next_job()
    }

    fn finish(&mut self, job: Job) {
        self.worker.finish_job(job.run(&*self.history));
    }

    /// Runs the worker until it has nothing more to do.
    fn settle(&mut self) {
        loop {
            if let Some(job) = self.step() {
                self.finish(job);
            }
            if !self.worker.has_work() {
                break;
            }
        }
    }

    /// Settles, and reads the stream empty.
    fn drain(&mut self, stream: &mut WatchStream) -> Vec<Response> {
        let mut responses = Vec::new();
        loop {
            self.settle();
            let before = responses.len();
            responses.extend(read(stream));
            if responses.len() == before {
                return responses;
            }
        }
    }

    /// The hub holds nothing of any stream.
    fn assert_empty(&mut self) {
        self.settle();
        let metrics = self.hub.metrics();
        assert_eq!(metrics.streams_count, 0);
        assert_eq!(metrics.watchers_count, 0);
        assert_eq!(metrics.slow_watchers_count, 0);
        assert_eq!(metrics.pending_events_count, 0);
        let shared = self.hub.shared();
        assert!(shared.group.is_empty());
        assert!(shared.ready.lock().is_empty());
        assert!(shared.progress_waiting.lock().is_empty());
    }
}

/// What is queued on a stream right now.
fn read(stream: &mut WatchStream) -> Vec<Response> {
    std::iter::from_fn(|| read_one(stream)).collect()
}

fn read_one(stream: &mut WatchStream) -> Option<Response> {
    match stream.poll_next(Waker::noop()) {
        Poll::Ready(response) => Some(response.unwrap()),
        Poll::Pending => None,
    }
}

/// A wish for one key or, with a range end, a range.
fn wish(key: &str, range_end: &str) -> Create {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Create {
        range: KeyRange::new(bytes(key), bytes(range_end)),
        start_revision: 0,
        progress_notify: false,
        no_put: false,
        no_delete: false,
        previous: false,
        watch_id: 0,
        fragment: false,
    }
}

fn from(key: &str, range_end: &str, start_revision: i64) -> Create {
    Create {
        start_revision,
        ..wish(key, range_end)
    }
}

fn response(watch_id: i64, revision: i64, body: Body) -> Response {
    Response {
        watch_id,
        revision,
        body,
    }
}

/// The events of a response, decoded.
fn events(response: &Response) -> Vec<mvccpb::Event> {
    match &response.body {
        Body::Events { events, .. } => events
            .iter()
            .map(|event| mvccpb::Event::decode(event.clone()).unwrap())
            .collect(),
        _ => Vec::new(),
    }
}

/// Watch id, header revision and "key@revision" of each event ("-key" for a
/// deletion) of every response with events.
fn told(responses: &[Response]) -> Vec<(i64, i64, Vec<String>)> {
    responses
        .iter()
        .filter(|response| matches!(response.body, Body::Events { .. }))
        .map(|response| {
            let words = events(response).iter().map(word).collect();
            (response.watch_id, response.revision, words)
        })
        .collect()
}

fn word(event: &mvccpb::Event) -> String {
    let kv = event.kv.as_ref().unwrap();
    let sign = if event.r#type == 1 { "-" } else { "" };
    format!(
        "{sign}{}@{}",
        String::from_utf8_lossy(&kv.key),
        kv.mod_revision
    )
}

/// Bodies of responses, for those whose id and revision do not matter.
fn bodies(responses: &[Response]) -> Vec<Body> {
    responses
        .iter()
        .map(|response| response.body.clone())
        .collect()
}
