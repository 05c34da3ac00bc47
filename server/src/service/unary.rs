//! One message in, one message out: the calls that make up the load.
//!
//! Generated services treat a unary call as a stream of one message, which
//! costs buffers and copies of both. Here a message that arrives whole is
//! decoded where it lies, so that keys and values are slices of what was read
//! from the socket, and the reply is encoded once, at its exact size.
//! Refusals have grpc-go's codes and texts. Source: gRPC over HTTP/2.

use std::{pin::pin, sync::LazyLock};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::poll_fn;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Body;
use prost::Message;
use quoin_proto::raw::RangeResponse;
use tonic::Status;

use super::{
    reply::{Pairs, ReplyBody},
    status,
};

/// Compression flag and length in front of a message.
const PREFIX_BYTES: usize = 5;

/// Headers of a reply that succeeds.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let name = header::CONTENT_TYPE;
    HeaderMap::from_iter([(name, HeaderValue::from_static("application/grpc"))])
});

/// Trailers of a reply that succeeds.
static TRAILERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let name = HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from_static("0"))])
});

/// The one message of a request, of at most `bytes_max` bytes.
///
/// # Errors
/// There is no message, it is too large, compressed or malformed, or the
/// client went away.
pub(super) async fn receive<M, B>(
    headers: &HeaderMap,
    body: B,
    bytes_max: usize,
) -> Result<M, Status>
where
    M: Message + Default,
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut framed = Framed::default();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_reset| status::client_gone())?;
        if let Ok(chunk) = frame.into_data() {
            framed.push(chunk);
            framed.check(headers, bytes_max)?;
        }
    }
    M::decode(framed.message()?).map_err(|_error| status::message_malformed())
}

/// A reply of one message.
pub(super) fn reply(message: &impl Message) -> Response<ReplyBody> {
    succeeded(ReplyBody::Whole {
        message: Some(framed(message)),
        trailers: Some(trailers()),
    })
}

/// A message behind its prefix.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = prefix(length, length);
    message
        .encode(&mut framed)
        .expect("encoding fails only without room, and there is exactly enough");
    framed.freeze()
}

/// What stands behind the messages of a reply that succeeds.
pub(super) fn trailers() -> HeaderMap {
    TRAILERS.clone()
}

/// A reply of as many pairs as it may be.
pub(super) fn range_reply(message: RangeResponse) -> Response<ReplyBody> {
    let prefix = prefix(message.encoded_len(), 0);
    succeeded(ReplyBody::Pairs(Pairs::new(prefix, message, trailers())))
}

/// What stands in front of a message of `length` bytes, with room for `room`.
fn prefix(length: usize, room: usize) -> BytesMut {
    let mut prefix = BytesMut::with_capacity(PREFIX_BYTES + room);
    prefix.put_u8(0);
    // etcd has no larger replies either: the prefix has four bytes.
    prefix.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    prefix
}

/// The headers of a reply that succeeds, and its body.
pub(super) fn succeeded(body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    response.headers_mut().clone_from(&HEADERS);
    response
}

/// A refusal: headers alone.
pub(super) fn refusal(status: Status) -> Response<ReplyBody> {
    status.into_http::<()>().map(|()| ReplyBody::empty())
}

/// What has arrived of a message, its prefix in front.
#[derive(Default)]
struct Framed {
    /// All of it, while it came in one piece.
    whole: Bytes,
    /// All of it, once it did not.
    joined: BytesMut,
}

impl Framed {
    fn push(&mut self, chunk: Bytes) {
        if self.bytes().is_empty() {
            self.whole = chunk;
            return;
        }
        if !self.whole.is_empty() {
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.whole));
        }
        self.joined.extend_from_slice(&chunk);
    }

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.whole
        } else {
            &self.joined
        }
    }

    /// Flag and length, once they are here.
    fn prefix(&self) -> Option<(u8, usize)> {
        let prefix = self.bytes().first_chunk::<PREFIX_BYTES>()?;
        let [flag, length @ ..] = *prefix;
        Some((flag, usize::try_from(u32::from_be_bytes(length)).ok()?))
    }

    fn check(&self, headers: &HeaderMap, bytes_max: usize) -> Result<(), Status> {
        let Some((flag, length)) = self.prefix() else {
            return Ok(());
        };
        if flag != 0 {
            return Err(status::message_encoding(flag, headers.get("grpc-encoding")));
        }
        if length > bytes_max {
            return Err(status::message_too_large(length, bytes_max));
        }
        Ok(())
    }

    /// The message; what comes behind it is ignored, as etcd 3.7 does.
    fn message(self) -> Result<Bytes, Status> {
        let (_, length) = self.prefix().ok_or_else(status::message_missing)?;
        let mut bytes = if self.joined.is_empty() {
            self.whole
        } else {
            self.joined.freeze()
        };
        if bytes.len() < PREFIX_BYTES + length {
            return Err(status::message_cut_off());
        }
        bytes.advance(PREFIX_BYTES);
        bytes.truncate(length);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use quoin_proto::etcdserverpb::RangeRequest;
    use tonic::Code;

    use super::*;

    /// Receives a request whose frames have these bytes.
    async fn received(chunks: &[&[u8]], headers: &HeaderMap) -> Result<RangeRequest, Status> {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(chunk))))
            .collect();
        receive(headers, StreamBody::new(stream::iter(frames)), 100).await
    }

    /// Code and text of a refusal.
    async fn refused(chunks: &[&[u8]], headers: &HeaderMap) -> (Code, String) {
        let status = received(chunks, headers).await.unwrap_err();
        (status.code(), status.message().to_owned())
    }

    #[tokio::test]
    async fn a_message_is_read_in_whatever_pieces_it_comes() {
        let framed = b"\0\0\0\0\x03\x0a\x01a";
        for cut in 0..framed.len() {
            let (head, tail) = framed.split_at(cut);
            let request = received(&[head, tail], &HeaderMap::new()).await.unwrap();
            assert_eq!(request.key, "a");
        }
        let repeated = [&framed[..], &framed[..]];
        assert_eq!(
            received(&repeated, &HeaderMap::new()).await.unwrap().key,
            "a"
        );
    }

    /// Source: etcd 3.7.3, asked with the same bytes.
    #[tokio::test]
    async fn what_is_no_message_is_refused_as_etcd_does() {
        let none = HeaderMap::new();
        let unknown = |text: &str| (Code::Unknown, text.to_owned());
        assert_eq!(refused(&[], &none).await, unknown("EOF"));
        assert_eq!(refused(&[b"\0\0\0"], &none).await, unknown("EOF"));
        let cut_off = refused(&[b"\0\0\0\0\x05\x0a"], &none).await;
        assert_eq!(cut_off, unknown("unexpected EOF"));
        let garbage = refused(&[b"\0\0\0\0\x03\xff\xff\xff"], &none).await;
        assert_eq!(garbage.0, Code::Internal);
        let flag = refused(&[b"\x07\0\0\0\0"], &none).await;
        assert_eq!(flag.1, "grpc: received unexpected payload format 7");
        let large = refused(&[b"\0\0\0\0\x65"], &none).await;
        let text = "grpc: received message larger than max (101 vs. 100)";
        assert_eq!(large, (Code::ResourceExhausted, text.to_owned()));
    }

    #[tokio::test]
    async fn compression_is_refused_by_its_name() {
        let bare = refused(&[b"\x01\0\0\0\0"], &HeaderMap::new()).await;
        assert_eq!(bare.0, Code::Internal);
        let name = HeaderName::from_static("grpc-encoding");
        let named = HeaderMap::from_iter([(name, HeaderValue::from_static("foo"))]);
        let (code, text) = refused(&[b"\x01\0\0\0\0"], &named).await;
        assert_eq!(code, Code::Unimplemented);
        assert_eq!(
            text,
            "grpc: Decompressor is not installed for grpc-encoding \"foo\""
        );
    }

    #[tokio::test]
    async fn a_reply_is_headers_one_message_and_trailers() {
        let request = RangeRequest {
            key: "a".into(),
            ..RangeRequest::default()
        };
        let reply = reply(&request);
        assert_eq!(reply.headers()["content-type"], "application/grpc");
        let body = reply.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(body.to_bytes(), &b"\0\0\0\0\x03\x0a\x01a"[..]);
    }
}
