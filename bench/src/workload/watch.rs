//! Fan-out: some clients hold streams with watchers, others write what they
//! watch.
//!
//! The first `streams_count` clients hold one stream each, the rest write.
//! Watchers are dealt out to the streams, and the watched keys to the watchers.
//! The value starts with the time of sending, and the latency of an event
//! counts from there to its arrival. Writers follow the run's arrivals: with a
//! fixed rate, systems are compared under the same load. What is counted are
//! events.

use std::{
    pin::pin,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use quoin_proto::{etcdserverpb::WatchCreateRequest, mvccpb::Event};
use tokio::time::sleep;

use crate::{
    connection::{Call, Failure, Stream},
    load::Client,
    random::Values,
    workload::{
        keys::{Keys, Prefix},
        put::put,
        watcher,
    },
};

/// Start of the values' randomness: the same in every run.
const VALUES_SEED: u64 = 0x7761;

/// Bytes of the time in front of every value.
const STAMP_BYTES: usize = 8;

/// How often a stream without events looks whether the run has ended.
const IDLE_LOOK: Duration = Duration::from_millis(100);

/// Watchers and what they watch.
#[derive(Clone, Copy, Debug)]
pub struct Fan {
    /// Watchers of all streams together.
    pub watchers_count: usize,
    /// Streams, each held by one client; at least one, at most one per watcher.
    pub streams_count: usize,
    /// Different keys; every watcher watches one.
    pub keys_count: u64,
}

impl Fan {
    /// The keys watched by the watchers of stream number `stream`.
    fn watched(self, stream: usize) -> impl Iterator<Item = u64> {
        let mine = (stream..self.watchers_count).step_by(self.streams_count.max(1));
        mine.map(move |watcher| watcher as u64 % self.keys_count.max(1))
    }
}

/// Watchers of keys and the keys' writers.
#[derive(Clone, Debug)]
pub struct Watches {
    fan: Fan,
    values: Values,
}

impl Watches {
    /// A fan of watchers, and clients beyond its streams that write.
    #[must_use]
    pub fn new(fan: Fan, value_bytes: usize) -> Self {
        Self {
            fan,
            values: Values::new(value_bytes.max(STAMP_BYTES), VALUES_SEED),
        }
    }

    /// One client's life.
    pub(super) async fn drive(self, client: Client) -> Result<(), Failure> {
        if client.index < self.fan.streams_count {
            watch(client, self.fan).await
        } else {
            self.write(client).await
        }
    }

    async fn write(self, mut client: Client) -> Result<(), Failure> {
        let keys = Keys::new(Prefix::Watched, self.fan.keys_count);
        client.begin().await;
        while client.arrivals.next().await.is_some() {
            let key = keys.random(&mut client.random);
            let mut value = BytesMut::from(&self.values.value(&mut client.random)[..]);
            let mut stamp = &mut value[..];
            stamp.put_u64(nanos_now());
            let frame = put(&mut client.frames.borrow_mut(), &key, value.freeze());
            if let Err(failure) = client.connection.unary(Call::Put, frame).await {
                client.refused(failure).await?;
            }
        }
        Ok(())
    }
}

async fn watch(mut client: Client, fan: Fan) -> Result<(), Failure> {
    let mut stream = client.connection.stream(Call::Watch).await?;
    for number in fan.watched(client.index) {
        let create = WatchCreateRequest {
            key: Bytes::copy_from_slice(&Prefix::Watched.name(number)),
            ..WatchCreateRequest::default()
        };
        watcher::create(&client, &mut stream, create).await?;
    }
    client.begin().await;
    deliver(&client, &mut stream, |event| {
        let now = nanos_now();
        let sent = stamp(event).unwrap_or(now);
        let mut recorder = client.recorder.borrow_mut();
        recorder.record(Duration::from_nanos(now.saturating_sub(sent)));
    })
    .await
}

/// Hands events that arrive in the measured time to `each`, until the run ends.
pub(super) async fn deliver(
    client: &Client,
    stream: &mut Stream,
    mut each: impl FnMut(Bytes),
) -> Result<(), Failure> {
    let mut look = pin!(sleep(IDLE_LOOK));
    while !client.control.is_stopped() {
        let message = tokio::select! {
            biased;
            message = stream.next() => message?,
            () = &mut look => {
                look.set(sleep(IDLE_LOOK));
                continue;
            }
        };
        let response = watcher::response(message)?;
        if client.control.is_measuring() {
            response.events.into_iter().for_each(&mut each);
        }
    }
    Ok(())
}

/// The time in front of an event's value.
fn stamp(event: Bytes) -> Option<u64> {
    let pair = Event::decode(event).ok()?.kv?;
    let mut value = pair.value;
    value.try_get_u64().ok()
}

/// Nanoseconds since this program first asked: one clock for both ends.
fn nanos_now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let nanos = START.get_or_init(Instant::now).elapsed().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use quoin_proto::mvccpb::KeyValue;

    use super::*;

    #[test]
    fn every_watcher_is_on_one_stream_and_keys_are_shared_out() {
        let fan = Fan {
            watchers_count: 10,
            streams_count: 4,
            keys_count: 5,
        };
        let streams: Vec<Vec<u64>> = (0..4).map(|stream| fan.watched(stream).collect()).collect();
        assert_eq!(streams[0], [0, 4, 3]);
        assert_eq!(streams.concat().len(), 10);
        assert!(
            (0..5).all(|key| streams.concat().iter().filter(|seen| **seen == key).count() == 2)
        );
    }

    #[test]
    fn the_time_of_sending_is_in_front_of_the_value() {
        let mut value = BytesMut::new();
        value.put_u64(77);
        value.extend_from_slice(b"the rest");
        let event = Event {
            kv: Some(KeyValue {
                value: value.freeze(),
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        assert_eq!(stamp(event.encode_to_vec().into()), Some(77));
        assert_eq!(stamp(Bytes::from_static(b"?")), None);
    }
}
