//! gRPC calls by method name, with messages as bytes.
//!
//! tonic's own generic client over a codec that passes bytes through: what a
//! script says is what is sent. Streams are opened by a task of their own,
//! because a server may send the response headers only with the first message.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{MetadataKey, MetadataValue},
    transport::Channel,
};

use crate::{Error, Result};

/// How long one call or one awaited message may take: longer than the
/// server's own request timeout, so that its answer is seen.
pub const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// Messages that may wait in one direction of a stream; scripts stay far
/// below, and a full queue only makes the sender wait.
const QUEUE_MESSAGES_MAX: usize = 1024;

/// Descriptors of the API, compiled from the definitions in the tree.
///
/// # Errors
/// A definition does not compile.
pub fn descriptors() -> Result<DescriptorPool> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/definitions");
    let files = ["rpc.proto", "lock.proto", "election.proto", "health.proto"];
    let set = protox::compile(files, [&folder])
        .map_err(|error| Error::malformed(&folder, error.to_string()))?;
    DescriptorPool::from_file_descriptor_set(set)
        .map_err(|error| Error::malformed(&folder, error.to_string()))
}

/// Finds a method by its short name, for example `KV.Range`.
///
/// # Errors
/// There is none.
pub fn method(pool: &DescriptorPool, name: &str) -> Result<MethodDescriptor> {
    let (service, rpc) = name.split_once('.').unwrap_or((name, ""));
    pool.services()
        .find(|candidate| candidate.name() == service)
        .and_then(|service| service.methods().find(|candidate| candidate.name() == rpc))
        .ok_or_else(|| Error::malformed(name, "no such method"))
}

/// Metadata of a call.
pub type Metadata = BTreeMap<String, String>;

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

/// What a finished call gave: its messages, and its status if not OK.
#[derive(Debug)]
pub struct Finished {
    /// Reply messages in order; one for a unary call.
    pub messages: Vec<Bytes>,
    /// The status, where it is an error.
    pub error: Option<Status>,
}

/// An open bidirectional stream. Dropping it cancels the call.
#[derive(Debug)]
pub struct Stream {
    sender: Option<mpsc::Sender<Bytes>>,
    receiver: mpsc::Receiver<std::result::Result<Bytes, Status>>,
    task: JoinHandle<()>,
}

impl Client {
    /// A client that connects at its first call.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Makes a unary or server-streaming call and takes all that comes.
    ///
    /// # Errors
    /// The request cannot be formed, or no end comes in time.
    pub async fn call(
        &self,
        method: &MethodDescriptor,
        request: Bytes,
        metadata: &Metadata,
    ) -> Result<Finished> {
        let request = with_metadata(Request::new(request), metadata)?;
        let call = self.run(method, request);
        timeout(CALL_DEADLINE, call)
            .await
            .map_err(|_| timed_out(method.full_name()))?
    }

    /// Opens a bidirectional stream.
    ///
    /// # Errors
    /// The metadata is not valid.
    pub fn open(&self, method: &MethodDescriptor, metadata: &Metadata) -> Result<Stream> {
        let (sender, requests) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let (replies, receiver) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let request = with_metadata(Request::new(ReceiverStream::new(requests)), metadata)?;
        let path = path(method)?;
        let mut grpc = self.grpc();
        let task = tokio::spawn(async move {
            if let Err(status) = forward(&mut grpc, request, path, &replies).await {
                // The player may have dropped the stream already.
                let _sent = replies.send(Err(status)).await;
            }
        });
        Ok(Stream {
            sender: Some(sender),
            receiver,
            task,
        })
    }

    async fn run(&self, method: &MethodDescriptor, request: Request<Bytes>) -> Result<Finished> {
        let path = path(method)?;
        let mut grpc = self.grpc();
        let mut finished = Finished {
            messages: Vec::new(),
            error: None,
        };
        if let Err(error) = grpc.ready().await {
            finished.error = Some(Status::unavailable(format!("not reachable: {error}")));
            return Ok(finished);
        }
        if !method.is_server_streaming() {
            match grpc.unary(request, path, BytesCodec).await {
                Ok(reply) => finished.messages.push(reply.into_inner()),
                Err(status) => finished.error = Some(status),
            }
            return Ok(finished);
        }
        match grpc.server_streaming(request, path, BytesCodec).await {
            Err(status) => finished.error = Some(status),
            Ok(reply) => {
                let mut stream = reply.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => finished.messages.push(message),
                        Ok(None) => break,
                        Err(status) => {
                            finished.error = Some(status);
                            break;
                        }
                    }
                }
            }
        }
        Ok(finished)
    }

    fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }
}

impl Stream {
    /// Sends one message.
    ///
    /// # Errors
    /// The stream has ended or was half-closed.
    pub async fn send(&self, message: Bytes) -> Result<()> {
        let closed = || Error::malformed("stream", "closed for sending");
        let sender = self.sender.as_ref().ok_or_else(closed)?;
        sender.send(message).await.map_err(|_| closed())
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&mut self) {
        self.sender = None;
    }

    /// The next message; `None` at the regular end of the stream.
    ///
    /// # Errors
    /// Nothing comes in time.
    pub async fn receive(&mut self) -> Result<Option<std::result::Result<Bytes, Status>>> {
        let next = timeout(CALL_DEADLINE, self.receiver.recv()).await;
        next.map_err(|_| timed_out("a message of the stream"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    grpc: &mut Grpc<Channel>,
    request: Request<ReceiverStream<Bytes>>,
    path: http::uri::PathAndQuery,
    replies: &mpsc::Sender<std::result::Result<Bytes, Status>>,
) -> std::result::Result<(), Status> {
    let unreachable = |error| Status::unavailable(format!("not reachable: {error}"));
    grpc.ready().await.map_err(unreachable)?;
    let mut stream = grpc
        .streaming(request, path, BytesCodec)
        .await?
        .into_inner();
    while let Some(message) = stream.message().await? {
        if replies.send(Ok(message)).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn path(method: &MethodDescriptor) -> Result<http::uri::PathAndQuery> {
    let text = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let invalid = |error: http::uri::InvalidUri| Error::malformed(&text, error.to_string());
    text.parse().map_err(invalid)
}

fn with_metadata<T>(mut request: Request<T>, metadata: &Metadata) -> Result<Request<T>> {
    for (key, value) in metadata {
        let invalid = || Error::malformed(key, "not valid as metadata");
        let name = MetadataKey::from_bytes(key.as_bytes()).map_err(|_| invalid())?;
        let bytes = super::message::unescape(value).map_err(|_| invalid())?;
        let value = MetadataValue::try_from(bytes.as_slice()).map_err(|_| invalid())?;
        request.metadata_mut().insert(name, value);
    }
    Ok(request)
}

fn timed_out(what: &str) -> Error {
    Error::Timeout {
        what: what.to_owned(),
        waited: CALL_DEADLINE,
        seen: "nothing".to_owned(),
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
