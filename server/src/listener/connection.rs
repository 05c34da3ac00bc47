//! One accepted connection: which protocol, then that protocol to its end.
//!
//! Streams of an HTTP/2 connection run in its task and end with it, so that the
//! connection's task is the only one to own.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::bind::Traffic;
use super::cork::cork;
use super::rewind::{Protocol, Rewind};
use super::serving::Options;
use super::streams::{StreamQueue, WithStreams};
use crate::base::task_set::TaskSet;
use crate::ops::HttpHandler;

/// What every connection of one listener shares.
#[derive(Clone)]
pub(super) struct Handlers<G> {
    pub(super) grpc: G,
    pub(super) http: Arc<dyn HttpHandler>,
    pub(super) traffic: Traffic,
    pub(super) options: Options,
}

/// A gRPC service: HTTP/2 requests in, never an error out.
pub trait GrpcService: Clone + Send + 'static {
    /// The response body.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static;

    /// Answers one request.
    fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = http::Response<Self::Body>> + Send + 'static;
}

impl<S, F, B> GrpcService for S
where
    S: Fn(http::Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = http::Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Body = B;

    fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = http::Response<B>> + Send + 'static {
        self(request)
    }
}

/// Serves one connection until it ends or `tasks` stops and it has drained.
pub(super) async fn serve<T, G>(io: T, handlers: Handlers<G>, tasks: TaskSet)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    G: GrpcService,
{
    let classified = tokio::select! {
        classified = tokio::time::timeout(FIRST_BYTES_WAIT, Rewind::classify(io)) => classified,
        () = tasks.stopping() => return,
    };
    let Ok(Ok((protocol, io))) = classified else {
        tracing::debug!("connection closed before its first request");
        return;
    };
    let result = match (protocol, handlers.traffic) {
        (Protocol::Http2, Traffic::Http) | (Protocol::Http1, Traffic::Grpc) => {
            tracing::debug!(
                ?protocol,
                "connection refused: not this listener's protocol"
            );
            return;
        }
        (Protocol::Http2, _) => serve_http2(io, handlers.grpc, &handlers.options, &tasks).await,
        (Protocol::Http1, _) => serve_http1(io, handlers.http, &tasks).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "client connection ended");
    }
}

async fn serve_http2<T, G>(
    io: Rewind<T>,
    grpc: G,
    options: &Options,
    tasks: &TaskSet,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    G: GrpcService,
{
    let streams = StreamQueue::default();
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(options.concurrent_streams_max)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        // Rapid cancellation is normal for clients that hedge; the limit only
        // stops floods.
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        // gRPC knows no use for it.
        .auto_date_header(false);
    if !options.keepalive_interval.is_zero() && !options.keepalive_timeout.is_zero() {
        builder
            .keep_alive_interval(options.keepalive_interval)
            .keep_alive_timeout(options.keepalive_timeout);
    }
    let service = service_fn(move |request| {
        let response = grpc.clone().answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let (corked, cork) = cork(io);
    let connection = pin!(builder.serve_connection(TokioIo::new(corked), service));
    let mut connection = WithStreams::new(connection, cork, streams);
    tokio::select! {
        biased;
        result = &mut connection => return result,
        () = tasks.stopping() => connection.connection().as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn serve_http1<T>(
    io: Rewind<T>,
    http: Arc<dyn HttpHandler>,
    tasks: &TaskSet,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let http = Arc::clone(&http);
        async move { Ok::<_, Infallible>(http.handle(request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = tasks.stopping() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// A connection that says nothing for this long is closed: balancers open
/// connections ahead of use, but not minutes ahead.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(120);
/// Time for the head of an HTTP/1.1 request, and of idling between two.
const HEADER_WAIT: Duration = Duration::from_secs(120);
/// Bytes one stream may send before the server reads: the largest request fits
/// without waiting for a window update.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// Bytes all streams of a connection may send before the server reads.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest HTTP/2 frame accepted; the protocol's minimum, as gRPC peers expect.
const FRAME_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of responses buffered per stream before the service is held back.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Bytes of one request's headers: tokens are long, more is an attack.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// Streams reset by the client that the server has not seen yet, past which
/// the connection is a flood.
const PENDING_RESETS_MAX: usize = 1024;
