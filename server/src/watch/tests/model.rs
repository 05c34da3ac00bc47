//! Random histories, watchers, readers and interruptions against a model.
//!
//! The model knows every revision ever written. Each response is compared with
//! exactly what its watcher lacks at that moment, so a lost, doubled, reordered
//! or torn revision fails at once, as does a progress mark that promises too
//! much.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::super::testing::Committed;
use super::*;
use crate::mvcc::EventKind;
use crate::watch::History;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const RANGES: [(&str, &str); 7] = [
    ("a", ""),
    ("b", ""),
    ("a", "c"),
    ("b", "d"),
    ("c", "\0"),
    ("", "\0"),
    ("c", "a"),
];
const STREAMS_COUNT: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Puts and deletes these keys in one revision.
    Write(Vec<(usize, bool)>),
    Publish,
    /// What was not published never is: a snapshot brought it.
    Restore,
    Compact(u8),
    Create {
        stream: usize,
        range: usize,
        start: Option<u8>,
        previous: bool,
        fragment: bool,
        filter: u8,
    },
    Cancel {
        stream: usize,
        id: i64,
    },
    Progress {
        stream: usize,
    },
    Tick {
        stream: usize,
    },
    Read {
        stream: usize,
        count: usize,
    },
    Drop {
        stream: usize,
    },
    Work,
    FinishJob,
}

fn any_step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS_COUNT;
    let write = prop::collection::vec((0..KEYS.len(), any::<bool>()), 1..4);
    let create = (
        stream.clone(),
        0..RANGES.len(),
        prop::option::of(any::<u8>()),
        any::<bool>(),
        any::<bool>(),
        0u8..4,
    );
    prop_oneof![
        12 => write.prop_map(Step::Write),
        6 => Just(Step::Publish),
        1 => Just(Step::Restore),
        1 => any::<u8>().prop_map(Step::Compact),
        6 => create.prop_map(|(stream, range, start, previous, fragment, filter)| {
            Step::Create { stream, range, start, previous, fragment, filter }
        }),
        1 => (stream.clone(), 0i64..4).prop_map(|(stream, id)| Step::Cancel { stream, id }),
        3 => stream.clone().prop_map(|stream| Step::Progress { stream }),
        2 => stream.clone().prop_map(|stream| Step::Tick { stream }),
        6 => (stream.clone(), 1..4usize).prop_map(|(stream, count)| Step::Read { stream, count }),
        1 => stream.prop_map(|stream| Step::Drop { stream }),
        6 => Just(Step::Work),
        4 => Just(Step::FinishJob),
    ]
}

/// Bounds so small that every one of them is met.
fn tiny() -> Config {
    Config {
        stream_responses_max: 3,
        stream_bytes_max: 200,
        catch_up_revisions_max: 3,
        catch_up_bytes_max: 120,
        catch_up_watchers_max: 2,
        ring_revisions_max: 6,
        ring_bytes_max: 400,
        inbox_revisions_max: 8,
        inbox_bytes_max: 800,
        fragment_bytes: 130,
    }
}

struct Model {
    bench: Bench,
    /// Written and not yet published.
    unpublished: Vec<Committed>,
    job: Option<Job>,
    streams: Vec<Client>,
}

/// A stream and what its client knows.
struct Client {
    stream: WatchStream,
    /// Wishes not answered yet.
    asked: VecDeque<Create>,
    watchers: HashMap<i64, Known>,
}

struct Known {
    wish: Create,
    /// Everything wanted below this was told.
    next: i64,
    /// Fragments of a response not complete yet.
    partial: Vec<mvccpb::Event>,
    is_overtaken: bool,
}

impl Model {
    fn new() -> Self {
        let bench = Bench::with(tiny());
        let streams = (0..STREAMS_COUNT)
            .map(|_| Client::new(&bench.hub))
            .collect();
        Self {
            bench,
            unpublished: Vec::new(),
            job: None,
            streams,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Write(changes) => self.write(&changes),
            Step::Publish => self
                .bench
                .hub
                .publish(std::mem::take(&mut self.unpublished)),
            Step::Restore => {
                self.unpublished.clear();
                self.bench.hub.restored();
            }
            Step::Compact(part) => {
                let history = &self.bench.history;
                let revision = 1 + history.revision() * i64::from(part) / 256;
                history.compact(history.compact_revision().max(revision));
            }
            Step::Create {
                stream,
                range,
                start,
                previous,
                fragment,
                filter,
            } => {
                let (key, range_end) = RANGES[range];
                // From the first revision to a little after the last one.
                let last = self.bench.history.revision() + 4;
                let start_revision = start.map_or(0, |part| 1 + last * i64::from(part) / 256);
                let (no_put, no_delete) = (filter == 1, filter == 2);
                let wish = wish(key, range_end);
                let progress_notify = fragment;
                let wish = Create {
                    start_revision,
                    previous,
                    fragment,
                    no_put,
                    no_delete,
                    progress_notify,
                    ..wish
                };
                self.streams[stream].create(wish);
            }
            Step::Cancel { stream, id } => self.streams[stream].stream.cancel(id),
            Step::Progress { stream } => self.streams[stream].stream.request_progress(),
            Step::Tick { stream } => self.streams[stream].stream.tick(),
            Step::Read { stream, count } => {
                for _ in 0..count {
                    self.streams[stream].read_one(&self.bench.history);
                }
            }
            Step::Drop { stream } => self.streams[stream] = Client::new(&self.bench.hub),
            Step::Work => {
                let job = self.bench.step();
                assert!(job.is_none() || self.job.is_none(), "one read at a time");
                self.job = self.job.take().or(job);
            }
            Step::FinishJob => {
                if let Some(job) = self.job.take() {
                    self.bench.finish(job);
                }
            }
        }
    }

    fn write(&mut self, wanted: &[(usize, bool)]) {
        let mut changes: Vec<Change<'_>> = Vec::new();
        for (key, is_put) in wanted {
            let key = KEYS[*key];
            let is_new = changes.iter().all(|(other, _)| *other != key);
            if is_new && (*is_put || self.bench.history.is_alive(key)) {
                changes.push((key, is_put.then_some("0123456789")));
            }
        }
        if !changes.is_empty() {
            self.unpublished.push(self.bench.history.write(&changes));
        }
    }

    /// Lets everything come to rest: everyone knows everything then.
    fn finish(mut self) {
        self.run(Step::Publish);
        self.run(Step::FinishJob);
        let last = self.bench.history.revision();
        for client in &mut self.streams {
            loop {
                self.bench.settle();
                if !client.read_one(&self.bench.history) {
                    break;
                }
            }
            assert!(client.asked.is_empty());
            for known in client.watchers.values().filter(|known| !known.is_overtaken) {
                assert_eq!(expected(&self.bench.history, known, last), vec![]);
            }
        }
        let metrics = self.bench.hub.metrics();
        assert_eq!(
            (metrics.slow_watchers_count, metrics.pending_events_count),
            (0, 0)
        );
        self.streams.clear();
        self.bench.assert_empty();
    }
}

impl Client {
    fn new(hub: &Hub) -> Self {
        Self {
            stream: hub.stream(),
            asked: VecDeque::new(),
            watchers: HashMap::new(),
        }
    }

    fn create(&mut self, wish: Create) {
        self.asked.push_back(wish.clone());
        self.stream.create(wish);
    }

    /// Reads one response, if there is one, and judges it.
    fn read_one(&mut self, history: &MemoryHistory) -> bool {
        let Some(response) = read_one(&mut self.stream) else {
            return false;
        };
        let id = response.watch_id;
        match &response.body {
            Body::Created => {
                let wish = self.asked.pop_front().unwrap();
                let next = match wish.start_revision {
                    0 => response.revision + 1,
                    start => start,
                };
                let known = Known {
                    wish,
                    next,
                    partial: Vec::new(),
                    is_overtaken: false,
                };
                assert!(self.watchers.insert(id, known).is_none());
            }
            Body::Refused(_) => assert!(self.asked.pop_front().unwrap().range.is_empty()),
            Body::Canceled => assert!(self.watchers.remove(&id).is_some()),
            Body::Compacted { compact_revision } => {
                let known = self.watchers.get_mut(&id).unwrap();
                assert!(!known.is_overtaken && known.next < *compact_revision);
                assert_eq!(response.revision, 0);
                known.is_overtaken = true;
            }
            Body::Progress => {
                for (_, known) in self
                    .watchers
                    .iter()
                    .filter(|(of, _)| id == -1 || **of == id)
                {
                    assert!(!known.is_overtaken);
                    assert_eq!(expected(history, known, response.revision), vec![]);
                }
            }
            Body::Events { fragment, .. } => {
                let known = self.watchers.get_mut(&id).unwrap();
                known.learn(history, events(&response), *fragment);
            }
        }
        true
    }
}

impl Known {
    fn learn(&mut self, history: &MemoryHistory, events: Vec<mvccpb::Event>, fragment: bool) {
        assert!(!self.is_overtaken && !events.is_empty());
        assert!(self.wish.fragment || !fragment);
        self.partial.extend(events);
        if fragment {
            return;
        }
        let mut told = std::mem::take(&mut self.partial);
        let last = told.last().unwrap().kv.as_ref().unwrap().mod_revision;
        let compact_revision = history.compact_revision();
        let mut expected = expected(history, self, last);
        // A previous pair below the compact revision may be there or not.
        for (told, expected) in told.iter_mut().zip(&mut expected) {
            let revision = expected.kv.as_ref().unwrap().mod_revision;
            if revision - 1 < compact_revision && told.prev_kv.is_none() {
                expected.prev_kv = None;
            }
        }
        assert_eq!(told, expected);
        self.next = last + 1;
    }
}

/// What a watcher lacks up to and including revision `to`.
fn expected(history: &MemoryHistory, known: &Known, to: i64) -> Vec<mvccpb::Event> {
    let wish = &known.wish;
    let mut expected = Vec::new();
    for (revision, events) in history.since(known.next) {
        for event in events.iter().filter(|_| revision <= to) {
            let is_filtered = match event.kind {
                EventKind::Put => wish.no_put,
                EventKind::Delete => wish.no_delete,
            };
            if is_filtered || !wish.range.contains(&event.key) {
                continue;
            }
            let decode = |record: &Bytes| mvccpb::KeyValue::decode(record.clone()).unwrap();
            let previous = history.value_before(&event.key, revision);
            expected.push(mvccpb::Event {
                r#type: i32::from(event.kind == EventKind::Delete),
                kv: Some(decode(&event.record)),
                prev_kv: previous.filter(|_| wish.previous).as_ref().map(decode),
            });
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_watcher_sees_exactly_its_events(
        steps in prop::collection::vec(any_step(), 1..160),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.finish();
    }
}
