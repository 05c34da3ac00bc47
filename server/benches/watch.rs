//! The watch hub: finding who wants a change, and telling everybody.
//!
//! `matching` is one change of one key among that many watchers of single keys
//! and prefixes, of which it concerns two: nearly all of it is the search.
//! `fan_out` is one change that concerns every one of that many streams, until
//! the last has taken it, per stream. Without gRPC: what is told is encoded once
//! for all by the layer above.
//!
//! `cargo bench -p quoin-server --bench watch`

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark without a store has nothing to say"
)]

mod place;

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use quoin_server::base::key_range::KeyRange;
use quoin_server::watch::{Body, Config, Create, Hub, WatchStream};
use tokio::runtime::Runtime;

use place::{Place, key};

fn main() {
    divan::main();
}

#[divan::bench(args = [100, 10_000], max_time = 1)]
fn matching(bencher: Bencher<'_, '_>, watchers_count: u64) {
    let mut bed = Bed::new(1);
    for number in 0..watchers_count {
        bed.watch(0, KeyRange::One(key(number)));
    }
    bed.watch(0, prefix("/registry/things/"));
    let bed = RefCell::new(bed);
    bencher.bench_local(|| bed.borrow_mut().change(2));
}

#[divan::bench(args = [1, 100, 1_000], max_time = 1)]
fn fan_out(bencher: Bencher<'_, '_>, streams_count: usize) {
    let mut bed = Bed::new(streams_count);
    for stream in 0..streams_count {
        bed.watch(stream, prefix("/registry/"));
    }
    let bed = RefCell::new(bed);
    bencher
        .counter(ItemsCount::new(streams_count))
        .bench_local(|| bed.borrow_mut().change(1));
}

/// A store, a hub that runs, and clients.
struct Bed {
    place: Place,
    hub: Hub,
    streams: Vec<WatchStream>,
    runtime: Runtime,
}

impl Bed {
    fn new(streams_count: usize) -> Self {
        let place = Place::new();
        let hub = Hub::new(Arc::new(place.store.clone()), Config::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let running = hub.clone();
        runtime.spawn(async move { running.run().await });
        let streams = (0..streams_count).map(|_| hub.stream()).collect();
        Self {
            place,
            hub,
            streams,
            runtime,
        }
    }

    fn watch(&mut self, stream: usize, range: KeyRange) {
        let stream = &mut self.streams[stream];
        stream.create(Create {
            range,
            start_revision: 0,
            progress_notify: false,
            no_put: false,
            no_delete: false,
            previous: false,
            watch_id: 0,
            fragment: false,
        });
        let created = self.runtime.block_on(stream.next()).unwrap();
        assert!(matches!(created.body, Body::Created));
    }

    /// Changes a key; returns when every stream was told so many times.
    fn change(&mut self, told_count: usize) {
        let commits = self.place.put(std::iter::once(1));
        let commits = commits.into_iter();
        let events = commits.map(|commit| (commit.revision, Arc::from(commit.events)));
        self.hub.publish(events.collect());
        self.runtime.block_on(async {
            for stream in &mut self.streams {
                for _ in 0..told_count {
                    stream.next().await.unwrap();
                }
            }
        });
    }
}

fn prefix(text: &'static str) -> KeyRange {
    let mut end = text.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    KeyRange::new(Bytes::from_static(text.as_bytes()), Bytes::from(end))
}
