//! A watch of all keys, taken up again behind what it has delivered whenever it
//! breaks off.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use quoin_proto::{
    etcdserverpb::{
        WatchCreateRequest, WatchRequest, WatchResponse, watch_client::WatchClient,
        watch_request::RequestUnion,
    },
    mvccpb::{self, event::EventType},
};
use tokio_stream::StreamExt;

use super::{addresses::Addresses, told::Told, wire};
use crate::{
    Result,
    checker::{
        operation::{Key, Pair},
        watch::{Delivered, Event, Response},
    },
    cluster,
};

/// Silence after which another member is asked: a member that was cut off may
/// never say so.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// What a watch has delivered so far, and why it cannot go on if it cannot.
#[derive(Debug)]
pub struct Watched {
    /// For the judge.
    pub delivered: Delivered,
    /// Something that must not happen.
    pub problem: Option<String>,
    /// How often it was taken up again.
    pub resumed_count: usize,
}

/// The end of a round: nothing changes after this revision. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct End(Arc<OnceLock<i64>>);

impl End {
    /// The last revision is known.
    pub fn set(&self, revision: i64) {
        // Once only: a round has one end.
        let _ = self.0.set(revision);
    }

    fn is_reached(&self, told: i64) -> bool {
        self.0.get().is_some_and(|last| told >= *last)
    }
}

/// Watches until the end has been delivered; tells `told` how far it is, as the
/// watch of this number.
///
/// # Errors
/// A URL is not one.
pub async fn run(watch: usize, addresses: Addresses, told: Told, end: End) -> Result<Watched> {
    let mut watched = Watched {
        delivered: Delivered {
            keys: Key::MIN..=Key::MAX,
            from: 1,
            no_put: false,
            no_delete: false,
            responses: Vec::new(),
        },
        problem: None,
        resumed_count: 0,
    };
    let mut member = watch;
    loop {
        let client = WatchClient::new(cluster::channel(&addresses.url(member))?);
        let is_end = |revision| {
            told.set(watch, revision);
            end.is_reached(revision)
        };
        let is_over = follow(&mut watched, client, &is_end).await;
        if is_over || watched.problem.is_some() {
            return Ok(watched);
        }
        watched.resumed_count += 1;
        member += 1;
    }
}

/// True once everything has been delivered.
async fn follow(
    watched: &mut Watched,
    client: WatchClient<tonic::transport::Channel>,
    is_end: &impl Fn(i64) -> bool,
) -> bool {
    let mut client = client.max_decoding_message_size(usize::MAX);
    let create = WatchCreateRequest {
        key: wire::PREFIX.into(),
        range_end: wire::PREFIX_END.into(),
        start_revision: newest(watched) + 1,
        prev_kv: true,
        progress_notify: true,
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    let requests = tokio_stream::once(request).chain(tokio_stream::pending());
    let opening = tokio::time::timeout(SILENCE_MAX, client.watch(requests));
    let Ok(Ok(stream)) = opening.await else {
        // Not in a tight loop while nobody can be reached.
        tokio::time::sleep(Duration::from_millis(20)).await;
        return is_end(newest(watched));
    };
    let mut stream = stream.into_inner();
    loop {
        match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
            Ok(Some(Ok(response))) => {
                if response.canceled {
                    if response.compact_revision != 0 {
                        let at = response.compact_revision;
                        watched.problem = Some(format!("compacted at {at} before it was told"));
                    }
                    return false;
                }
                note(watched, response);
            }
            _ => return is_end(newest(watched)),
        }
        if is_end(newest(watched)) {
            return true;
        }
    }
}

/// Revision of the last event told.
fn newest(watched: &Watched) -> i64 {
    let responses = watched.delivered.responses.iter().rev();
    let last = responses.flat_map(|response| response.events.last()).next();
    last.map_or(0, |event| event.revision)
}

fn note(watched: &mut Watched, response: WatchResponse) {
    if response.created {
        return;
    }
    let events: Option<Vec<Event>> = response.events.iter().map(event).collect();
    let Some(events) = events else {
        watched.problem = Some(format!(
            "an event that nobody can have caused: {response:?}"
        ));
        return;
    };
    watched.delivered.responses.push(Response {
        revision: response.header.map_or(0, |header| header.revision),
        events,
        is_fragment: response.fragment,
    });
}

fn event(event: &mvccpb::Event) -> Option<Event> {
    let stored = event.kv.as_ref()?;
    let is_deletion = event.r#type == EventType::Delete as i32;
    let pair: Option<Pair> = if is_deletion {
        None
    } else {
        Some(wire::pair(stored)?)
    };
    let previous = match &event.prev_kv {
        Some(previous) => Some(wire::pair(previous)?),
        None => None,
    };
    Some(Event {
        revision: stored.mod_revision,
        key: wire::key(&stored.key)?,
        pair,
        previous: Some(previous),
    })
}
