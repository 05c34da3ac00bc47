//! What every workload with watchers does: create one, read its stream.
//!
//! Events stay encoded until somebody looks into them.

use bytes::Bytes;
use prost::Message;
use quoin_proto::{
    etcdserverpb::{WatchCreateRequest, WatchRequest, watch_request::RequestUnion},
    raw::WatchResponse,
};

use crate::{
    connection::{Failure, Stream},
    load::Client,
};

/// Creates a watcher and waits until the server has it.
pub(super) async fn create(
    client: &Client,
    stream: &mut Stream,
    request: WatchCreateRequest,
) -> Result<(), Failure> {
    send(client, stream, request)?;
    let response = response(stream.next().await?)?;
    if response.created {
        Ok(())
    } else {
        Err(Failure::Transport("the watch was not created".to_owned()))
    }
}

/// Asks for a watcher; its first message says that it was created.
pub(super) fn send(
    client: &Client,
    stream: &mut Stream,
    request: WatchCreateRequest,
) -> Result<(), Failure> {
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(request)),
    };
    let frame = client.frames.borrow_mut().frame(&request);
    stream.send(frame)
}

/// A message of a watch stream that must not end.
pub(super) fn response(message: Option<Bytes>) -> Result<WatchResponse, Failure> {
    let Some(message) = message else {
        return Err(Failure::Transport("the watch stream ended".to_owned()));
    };
    let response = WatchResponse::decode(message);
    let response = response.map_err(|error| Failure::Transport(error.to_string()))?;
    if response.canceled {
        let reason = response.cancel_reason;
        let text = format!("the watch was cancelled: {reason}");
        return Err(Failure::Transport(text));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_and_a_cancelled_watch_are_failures() {
        assert!(response(None).is_err());
        assert!(response(Some(Bytes::from_static(b"\xff"))).is_err());
        let cancelled = WatchResponse {
            canceled: true,
            cancel_reason: "compacted".to_owned(),
            ..WatchResponse::default()
        };
        let failure = response(Some(cancelled.encode_to_vec().into())).unwrap_err();
        assert!(failure.to_string().contains("compacted"));
        let events = WatchResponse {
            events: vec![Bytes::from_static(b"one")],
            ..WatchResponse::default()
        };
        let read = response(Some(events.encode_to_vec().into())).unwrap();
        assert_eq!(read.events.len(), 1);
    }
}
