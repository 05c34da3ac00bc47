//! Fan-out: some clients watch one key each out of few, others write them.
//!
//! The first `watchers_count` clients watch, the rest write; every watcher
//! sees every write, so one put is `watchers_count` events. The value starts
//! with the time of sending, and the latency of an event counts from there to
//! its arrival. Writers follow the run's arrivals: with a fixed rate, systems
//! are compared under the same load. What is counted are events.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use quoin_proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};

use crate::{
    connection::{Call, Failure},
    load::Client,
    random::Values,
    workload::put::put,
};

/// The watched key.
const KEY: &[u8] = b"watched/key";

/// Start of the values' randomness: the same in every run.
const VALUES_SEED: u64 = 0x7761;

/// How often a watcher without events looks whether the run has ended.
const IDLE_LOOK: Duration = Duration::from_millis(100);

/// Watchers of one key and its writers.
#[derive(Clone, Debug)]
pub struct Watches {
    /// Clients that watch; the others write.
    watchers_count: usize,
    values: Values,
}

impl Watches {
    /// `watchers_count` of the clients watch, each on its own stream.
    #[must_use]
    pub fn new(watchers_count: usize, value_bytes: usize) -> Self {
        Self {
            watchers_count,
            values: Values::new(value_bytes.max(8), VALUES_SEED),
        }
    }

    /// One client's life.
    pub(super) async fn drive(self, client: Client) -> Result<(), Failure> {
        if client.index < self.watchers_count {
            watch(client).await
        } else {
            self.write(client).await
        }
    }

    async fn write(self, mut client: Client) -> Result<(), Failure> {
        client.begin().await;
        while client.arrivals.next().await.is_some() {
            let mut value = BytesMut::from(&self.values.value(&mut client.random)[..]);
            let mut stamp = &mut value[..];
            stamp.put_u64(nanos_now());
            let frame = put(&mut client.frames.borrow_mut(), KEY, value.freeze());
            client.connection.unary(Call::Put, frame).await?;
        }
        Ok(())
    }
}

async fn watch(mut client: Client) -> Result<(), Failure> {
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: Bytes::from_static(KEY),
            ..WatchCreateRequest::default()
        })),
    };
    let frame = client.frames.borrow_mut().frame(&create);
    let mut stream = client.connection.stream(Call::Watch).await?;
    stream.send(frame)?;
    let created = stream.next().await?.map(WatchResponse::decode);
    if !matches!(created, Some(Ok(WatchResponse { created: true, .. }))) {
        return Err(Failure::Transport("the watch was not created".to_owned()));
    }
    client.begin().await;
    while !client.control.is_stopped() {
        // Waiting for the next message loses nothing when it is given up.
        let Ok(message) = tokio::time::timeout(IDLE_LOOK, stream.next()).await else {
            continue;
        };
        let Some(message) = message? else {
            return Err(Failure::Transport("watch stream ended".to_owned()));
        };
        let response = WatchResponse::decode(message);
        let response = response.map_err(|error| Failure::Transport(error.to_string()))?;
        if !client.control.is_measuring() {
            continue;
        }
        let (now, mut recorder) = (nanos_now(), client.recorder.borrow_mut());
        for event in response.events {
            let Some(mut value) = event.kv.map(|pair| pair.value) else {
                continue;
            };
            let sent = value.try_get_u64().unwrap_or(now);
            recorder.record(Duration::from_nanos(now.saturating_sub(sent)));
        }
    }
    Ok(())
}

/// Nanoseconds since this program first asked: one clock for both ends.
fn nanos_now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let nanos = START.get_or_init(Instant::now).elapsed().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
