//! Many messages out: replies that go on.
//!
//! As with single messages, each is encoded once, at its exact size, and in the
//! moment in which the client's window has room for it.
//! Source: gRPC over HTTP/2.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Response};
use http_body::Frame;
use prost::Message;
use tonic::Status;

use super::{
    reply::ReplyBody,
    unary::{framed, succeeded, trailers},
};

/// Messages, encoded and framed, that are still to come.
type Framed = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The messages of a reply, and then its status.
pub(crate) struct Messages {
    /// `None` once the status is sent.
    left: Option<Framed>,
}

/// A reply of as many messages as there will be.
pub(super) fn reply<M, S>(messages: S) -> Response<ReplyBody>
where
    M: Message,
    S: Stream<Item = Result<M, Status>> + Send + 'static,
{
    let left = messages.map(|message| message.map(|message| framed(&message)));
    succeeded(ReplyBody::Messages(Messages {
        left: Some(Box::pin(left)),
    }))
}

impl Messages {
    /// The next message, or the trailers behind the last.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let Some(left) = &mut self.left else {
            return Poll::Ready(None);
        };
        let trailers = match ready!(left.as_mut().poll_next(context)) {
            Some(Ok(message)) => return Poll::Ready(Some(Frame::data(message))),
            Some(Err(status)) => trailers_of(&status),
            None => trailers(),
        };
        self.left = None;
        Poll::Ready(Some(Frame::trailers(trailers)))
    }

    /// The status is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.left.is_none()
    }
}

fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(unfit) = status.add_header(&mut trailers) {
        tracing::error!(%status, %unfit, "a status cannot be sent");
    }
    trailers
}

impl fmt::Debug for Messages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Messages")
            .field("is_sent", &self.is_sent())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;
    use quoin_proto::etcdserverpb::RangeRequest;

    use super::*;

    fn message(key: &'static str) -> RangeRequest {
        RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        }
    }

    #[tokio::test]
    async fn messages_leave_one_by_one_and_the_status_behind_them() {
        let ends = [
            (None, "0", None),
            (Some(Status::aborted("no more")), "10", Some("no%20more")),
        ];
        for (end, code, text) in ends {
            let messages = [Ok(message("a")), Ok(message("b"))];
            let messages = messages.into_iter().chain(end.map(Err));
            let mut body = reply(stream::iter(messages.collect::<Vec<_>>())).into_body();
            for expected in [&b"\0\0\0\0\x03\x0a\x01a"[..], b"\0\0\0\0\x03\x0a\x01b"] {
                let frame = body.frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), expected);
            }
            let trailers = body.frame().await.unwrap().unwrap();
            let trailers = trailers.into_trailers().unwrap();
            assert_eq!(trailers["grpc-status"], code);
            let found = trailers
                .get("grpc-message")
                .map(|text| text.to_str().unwrap());
            assert_eq!(found, text);
            assert!(body.frame().await.is_none());
        }
    }
}
