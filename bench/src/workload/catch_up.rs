//! Catch-up: each client opens a stream with a watcher from an old revision,
//! reads what happened since, closes it, and begins again.
//!
//! An operation is one watcher caught up, its latency the time from opening the
//! stream to the last event of the past; its rows are the events.

use bytes::Bytes;
use prost::Message;
use quoin_proto::etcdserverpb::{
    RangeRequest, RangeResponse, WatchCreateRequest,
    range_request::{SortOrder, SortTarget},
};

use crate::{
    connection::{Call, Failure},
    load::Client,
    workload::{keys::Prefix, watcher},
};

/// Watchers from the first write of a space that was filled before.
#[derive(Clone, Copy, Debug)]
pub struct CatchUps {
    /// Watched prefix.
    pub prefix: Prefix,
}

/// The past of a prefix whose keys were written once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Past {
    first_revision: i64,
    events_count: u64,
}

impl CatchUps {
    /// One client's life.
    pub(super) async fn drive(self, mut client: Client) -> Result<(), Failure> {
        let past = self.past(&mut client).await?;
        client.begin().await;
        while let Some(start) = client.arrivals.next().await {
            match self.catch_up(&mut client, past).await {
                Ok(events_count) => client.complete_rows(start, events_count),
                Err(failure) => client.refused(failure).await?,
            }
        }
        Ok(())
    }

    /// One watcher, from its creation to the last event of the past.
    async fn catch_up(self, client: &mut Client, past: Past) -> Result<u64, Failure> {
        let (key, range_end) = self.prefix.range();
        let request = WatchCreateRequest {
            key,
            range_end,
            start_revision: past.first_revision,
            ..WatchCreateRequest::default()
        };
        let mut stream = client.connection.stream(Call::Watch).await?;
        watcher::send(client, &mut stream, request)?;
        let mut events_count = 0;
        while events_count < past.events_count {
            let response = watcher::response(stream.next().await?)?;
            events_count += response.events.len() as u64;
        }
        Ok(events_count)
    }

    /// Asks for the key that was created first, and the number of all.
    async fn past(self, client: &mut Client) -> Result<Past, Failure> {
        let (key, range_end) = self.prefix.range();
        let request = RangeRequest {
            key,
            range_end,
            limit: 1,
            sort_order: SortOrder::Ascend as i32,
            sort_target: SortTarget::Create as i32,
            ..RangeRequest::default()
        };
        let frame = client.frames.borrow_mut().frame(&request);
        let reply = client.connection.unary(Call::Range, frame).await?;
        past(reply).ok_or_else(|| Failure::Transport("there is no past to watch".to_owned()))
    }
}

fn past(reply: Bytes) -> Option<Past> {
    let reply = RangeResponse::decode(reply).ok()?;
    Some(Past {
        first_revision: reply.kvs.first()?.create_revision,
        events_count: u64::try_from(reply.count).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use quoin_proto::mvccpb::KeyValue;

    use super::*;

    #[test]
    fn the_past_begins_with_the_key_created_first() {
        let pair = KeyValue {
            create_revision: 7,
            ..KeyValue::default()
        };
        let reply = RangeResponse {
            kvs: vec![pair],
            count: 1000,
            ..RangeResponse::default()
        };
        let found = past(reply.encode_to_vec().into());
        let expected = Past {
            first_revision: 7,
            events_count: 1000,
        };
        assert_eq!(found, Some(expected));
        assert_eq!(past(Bytes::new()), None);
    }
}
