//! The body of a gRPC reply: whole, encoded while it is sent, message by
//! message, or streamed by tonic.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use prost::Message;
use quoin_proto::raw::RangeResponse;
use tonic::Status;

use super::streaming::Messages;

/// Bytes of pairs encoded at once: several frames, and small beside what a
/// member holds anyway.
const CHUNK_BYTES: usize = 64 << 10;

/// What a reply consists of behind its headers.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// One framed message, then the trailers that say it succeeded.
    Whole {
        /// Behind its prefix; `None` once it is sent.
        message: Option<Bytes>,
        /// `None` once they are sent.
        trailers: Option<HeaderMap>,
    },
    /// One message of many pairs, then the same trailers.
    Pairs(Pairs),
    /// Messages that come one by one.
    Messages(Messages),
    /// Whatever a generated service answers.
    Streamed(tonic::body::Body),
}

impl ReplyBody {
    /// A reply of headers alone.
    pub(crate) const fn empty() -> Self {
        Self::Whole {
            message: None,
            trailers: None,
        }
    }
}

/// A Range reply that is encoded piece by piece, as the client's window takes
/// it: until then it holds references to the stored pairs, no copy of them.
///
/// Encodings of a message that are put behind each other are the encoding of
/// one message with all their fields. Source: protobuf encoding, "Last One
/// Wins".
#[derive(Debug)]
pub(crate) struct Pairs {
    /// Prefix and header; empty once they are sent.
    head: BytesMut,
    left: std::vec::IntoIter<Bytes>,
    /// What comes behind the pairs; `None` once it is sent.
    tail: Option<RangeResponse>,
    /// `None` once they are sent.
    trailers: Option<HeaderMap>,
}

impl Pairs {
    /// The reply `response`; `prefix` goes in front, `trailers` behind.
    pub(crate) fn new(prefix: BytesMut, response: RangeResponse, trailers: HeaderMap) -> Self {
        let mut head = prefix;
        let first = RangeResponse {
            header: response.header,
            ..RangeResponse::default()
        };
        encode(&first, &mut head);
        Self {
            head,
            left: response.kvs.into_iter(),
            tail: Some(RangeResponse {
                more: response.more,
                count: response.count,
                ..RangeResponse::default()
            }),
            trailers: Some(trailers),
        }
    }

    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if self.tail.is_none() {
            return self.trailers.take().map(Frame::trailers);
        }
        let mut kvs = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES {
            let Some(pair) = self.left.next() else { break };
            bytes += pair.len();
            kvs.push(pair);
        }
        let mut message = match self.left.as_slice() {
            [] => self.tail.take().unwrap_or_default(),
            _ => RangeResponse::default(),
        };
        message.kvs = kvs;
        let mut chunk = std::mem::take(&mut self.head);
        chunk.reserve(message.encoded_len());
        encode(&message, &mut chunk);
        Some(Frame::data(chunk.freeze()))
    }
}

fn encode(message: &RangeResponse, out: &mut BytesMut) {
    message
        .encode(out)
        .expect("encoding fails only without room, and a BytesMut grows");
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            Self::Whole { message, trailers } => {
                let data = message.take().map(Frame::data);
                let frame = data.or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Self::Pairs(pairs) => Poll::Ready(pairs.next_frame().map(Ok)),
            Self::Messages(messages) => messages.poll_frame(context).map(|frame| frame.map(Ok)),
            Self::Streamed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { message, trailers } => message.is_none() && trailers.is_none(),
            Self::Pairs(pairs) => pairs.trailers.is_none(),
            Self::Messages(messages) => messages.is_sent(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    /// Inexact for a whole reply on purpose: gRPC sends no content-length.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { .. } | Self::Pairs(_) | Self::Messages(_) => SizeHint::default(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use quoin_proto::{etcdserverpb, etcdserverpb::ResponseHeader, mvccpb::KeyValue};

    use super::*;

    #[tokio::test]
    async fn many_pairs_leave_in_pieces_and_arrive_as_one_message() {
        for pairs_count in [0, 1, 100, 1000] {
            let pair = |number: usize| KeyValue {
                key: format!("key {number}").into(),
                value: vec![7; 1000].into(),
                ..KeyValue::default()
            };
            let pairs: Vec<KeyValue> = (0..pairs_count).map(pair).collect();
            let encoded = pairs.iter().map(|pair| pair.encode_to_vec().into());
            let response = RangeResponse {
                header: Some(ResponseHeader {
                    revision: 5,
                    ..ResponseHeader::default()
                }),
                kvs: encoded.collect(),
                more: true,
                count: 2000,
            };
            let whole = response.encode_to_vec();
            let pairs_body = Pairs::new(BytesMut::from(&b"front"[..]), response, HeaderMap::new());
            let mut body = ReplyBody::Pairs(pairs_body);
            let mut message = Vec::new();
            let mut frames_count = 0;
            while let Some(frame) = body.frame().await {
                let frame = frame.unwrap();
                if let Some(data) = frame.data_ref() {
                    assert!(data.len() < 2 * CHUNK_BYTES);
                    message.extend_from_slice(data);
                    frames_count += 1;
                }
            }
            assert!(body.is_end_stream());
            assert_eq!(frames_count, pairs_count * 1020 / CHUNK_BYTES + 1);
            let message = message.strip_prefix(b"front").unwrap();
            assert_eq!(message.len(), whole.len());
            let read = etcdserverpb::RangeResponse::decode(message).unwrap();
            assert_eq!((read.kvs, read.more, read.count), (pairs, true, 2000));
            assert_eq!(read.header.unwrap().revision, 5);
        }
    }
}
