//! gRPC over HTTP/2 with as little as possible in between.
//!
//! A call is one HEADERS and one DATA frame out, and the answer's frames in;
//! the message was framed by the caller. A general client stack costs about as
//! much CPU per call as the server under test, which on a shared machine would
//! measure the client. There is no reconnecting and no retrying: a lost
//! connection is a result. Must run inside a `LocalSet`, which drives the
//! connection.

use std::{future::poll_fn, net::SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use prost::Message;
use tokio::net::TcpStream;

/// Flow-control window of a stream: more than the largest reply asked for.
const STREAM_WINDOW_BYTES: u32 = 64 << 20;

/// Flow-control window of a connection: replies of all its streams.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;

/// Bytes before a gRPC message: compression flag and length.
const PREFIX_BYTES: usize = 5;

/// Bytes taken from the allocator at once for outgoing messages.
const CHUNK_BYTES: usize = 64 << 10;

/// The methods that the workloads call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// KV.Put.
    Put,
    /// KV.Range.
    Range,
    /// KV.Txn.
    Txn,
    /// Watch.Watch.
    Watch,
    /// Lease.LeaseGrant.
    LeaseGrant,
    /// Lease.LeaseKeepAlive.
    LeaseKeepAlive,
}

impl Call {
    const ALL: [Self; 6] = [
        Self::Put,
        Self::Range,
        Self::Txn,
        Self::Watch,
        Self::LeaseGrant,
        Self::LeaseKeepAlive,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Put => "/etcdserverpb.KV/Put",
            Self::Range => "/etcdserverpb.KV/Range",
            Self::Txn => "/etcdserverpb.KV/Txn",
            Self::Watch => "/etcdserverpb.Watch/Watch",
            Self::LeaseGrant => "/etcdserverpb.Lease/LeaseGrant",
            Self::LeaseKeepAlive => "/etcdserverpb.Lease/LeaseKeepAlive",
        }
    }
}

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The connection failed.
    #[error("transport: {0}")]
    Transport(String),
    /// The server refused.
    #[error("status {code}: {message}")]
    Refused {
        /// The gRPC code.
        code: String,
        /// The gRPC message.
        message: String,
    },
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

/// Frames outgoing messages in large chunks of memory.
#[derive(Debug, Default)]
pub struct Frames {
    chunk: BytesMut,
}

impl Frames {
    /// `message` behind its gRPC prefix.
    pub fn frame(&mut self, message: &impl Message) -> Bytes {
        let length = message.encoded_len();
        self.reserve(PREFIX_BYTES + length);
        self.chunk.put_u8(0);
        self.chunk
            .put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        message
            .encode(&mut self.chunk)
            .expect("encoding fails only without room, and a BytesMut grows");
        self.chunk.split().freeze()
    }

    /// Plain bytes out of the same chunks.
    pub fn bytes(&mut self, content: &[u8]) -> Bytes {
        self.reserve(content.len());
        self.chunk.put_slice(content);
        self.chunk.split().freeze()
    }

    fn reserve(&mut self, bytes: usize) {
        if self.chunk.capacity() < bytes {
            self.chunk.reserve(bytes.max(CHUNK_BYTES));
        }
    }
}

/// One HTTP/2 connection; clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    sender: SendRequest<Bytes>,
    /// One per [`Call::ALL`], cloned by reference count.
    uris: Vec<Uri>,
    headers: HeaderMap,
}

impl Connection {
    /// Connects to `address` (host and port).
    ///
    /// # Errors
    /// There is no server, or it does not speak HTTP/2.
    pub async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await;
        let socket = socket.map_err(|error| Failure::Transport(format!("{address}: {error}")))?;
        let no_delay = socket.set_nodelay(true);
        no_delay.map_err(|error| Failure::Transport(error.to_string()))?;
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(1 << 20)
            .enable_push(false);
        let (sender, driver) = builder.handshake(socket).await?;
        // Ends with the connection, whose failure every call on it reports.
        tokio::task::spawn_local(async move {
            let _ended = driver.await;
        });
        let uris = Call::ALL.map(|call| {
            let uri = format!("http://{address}{}", call.path()).parse::<Uri>();
            uri.map_err(|error| Failure::Transport(error.to_string()))
        });
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        Ok(Self {
            sender,
            uris: uris.into_iter().collect::<Result<_, _>>()?,
            headers,
        })
    }

    /// Sends one framed message and returns the reply's message.
    ///
    /// # Errors
    /// The connection is lost or the server refuses.
    pub async fn unary(&mut self, call: Call, frame: Bytes) -> Result<Bytes, Failure> {
        let (response, mut body) = self.start(call).await?;
        body.send_data(frame, true)?;
        let mut body = accept(response).await?;
        let mut reply = Bytes::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            if reply.is_empty() {
                reply = chunk;
            } else {
                let mut joined = BytesMut::from(reply);
                joined.extend_from_slice(&chunk);
                reply = joined.freeze();
            }
        }
        if let Some(trailers) = body.trailers().await? {
            check(&trailers)?;
        }
        if reply.len() >= PREFIX_BYTES {
            reply.advance(PREFIX_BYTES);
        }
        Ok(reply)
    }

    /// Opens a stream of messages in both directions.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn stream(&mut self, call: Call) -> Result<Stream, Failure> {
        let (response, sender) = self.start(call).await?;
        Ok(Stream {
            sender,
            receiver: Receiver::Asked(response),
            buffer: BytesMut::new(),
        })
    }

    async fn start(&mut self, call: Call) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        if let Some(uri) = self.uris.get(call as usize) {
            *request.uri_mut() = uri.clone();
        }
        *request.headers_mut() = self.headers.clone();
        Ok(self.sender.send_request(request, false)?)
    }
}

/// An open stream of messages.
#[derive(Debug)]
pub struct Stream {
    sender: SendStream<Bytes>,
    receiver: Receiver,
    /// Received bytes that are not yet a whole message.
    buffer: BytesMut,
}

/// A server may answer only after the first message was sent to it.
#[derive(Debug)]
enum Receiver {
    Asked(ResponseFuture),
    Open(RecvStream),
    Ended,
}

impl Stream {
    /// Sends one framed message.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn send(&mut self, frame: Bytes) -> Result<(), Failure> {
        Ok(self.sender.send_data(frame, false)?)
    }

    /// The next message; `None` after the last.
    ///
    /// # Errors
    /// The connection is lost or the server ends the stream with a refusal.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(message) = self.buffered() {
                return Ok(Some(message));
            }
            let body = match &mut self.receiver {
                Receiver::Asked(response) => {
                    self.receiver = Receiver::Open(accept(response).await?);
                    continue;
                }
                Receiver::Open(body) => body,
                Receiver::Ended => return Ok(None),
            };
            if let Some(chunk) = body.data().await {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                self.buffer.extend_from_slice(&chunk);
                continue;
            }
            let trailers = body.trailers().await?;
            self.receiver = Receiver::Ended;
            trailers.as_ref().map_or(Ok(()), check)?;
        }
    }

    fn buffered(&mut self) -> Option<Bytes> {
        let prefix: [u8; 4] = self.buffer.get(1..PREFIX_BYTES)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(prefix)).ok()?;
        if self.buffer.len() < PREFIX_BYTES + length {
            return None;
        }
        let mut message = self.buffer.split_to(PREFIX_BYTES + length).freeze();
        message.advance(PREFIX_BYTES);
        Some(message)
    }
}

/// Waits for the reply's headers and judges them.
async fn accept(
    response: impl Future<Output = Result<http::Response<RecvStream>, h2::Error>>,
) -> Result<RecvStream, Failure> {
    let response = response.await?;
    if !response.status().is_success() {
        return Err(Failure::Refused {
            code: response.status().to_string(),
            message: String::new(),
        });
    }
    check(response.headers())?;
    Ok(response.into_body())
}

/// Judges headers or trailers by their `grpc-status`, if they have one.
fn check(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("grpc-status") {
        Some(code) if code.as_bytes() != b"0" => {
            let text = |value: Option<&HeaderValue>| {
                let bytes = value.map_or(&b""[..], HeaderValue::as_bytes);
                String::from_utf8_lossy(bytes).into_owned()
            };
            Err(Failure::Refused {
                code: text(Some(code)),
                message: text(headers.get("grpc-message")),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use quoin_proto::etcdserverpb::PutRequest;

    use super::*;

    #[test]
    fn frames_carry_their_length_and_do_not_mix() {
        let mut frames = Frames::default();
        let request = PutRequest {
            key: "k".into(),
            value: "v".into(),
            ..PutRequest::default()
        };
        let (one, two) = (frames.frame(&request), frames.frame(&request));
        assert_eq!(one, two);
        assert_eq!(&one[..PREFIX_BYTES], &[0, 0, 0, 0, 6]);
        assert_eq!(PutRequest::decode(&one[PREFIX_BYTES..]).unwrap(), request);
    }

    #[test]
    fn only_a_status_other_than_zero_is_a_refusal() {
        let mut headers = HeaderMap::new();
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        headers.insert("grpc-message", HeaderValue::from_static("no leader"));
        let text = check(&headers).unwrap_err().to_string();
        assert_eq!(text, "status 14: no leader");
    }
}
