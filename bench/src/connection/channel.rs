//! One HTTP/2 connection and the calls on it.

use std::{future::poll_fn, net::SocketAddr};

use bytes::{Buf, Bytes};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use tokio::net::TcpStream;

use crate::connection::{
    Call, Failure, Rows, Stream, failure::check, frames::PREFIX_BYTES, stream::join,
};

/// Flow-control window of a stream: more than the largest reply asked for.
const STREAM_WINDOW_BYTES: u32 = 64 << 20;

/// Flow-control window of a connection: replies of all its streams.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;

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
        let mut reply = Bytes::new();
        let receive = |chunk| reply = join(std::mem::take(&mut reply), chunk);
        self.exchange(call, frame, receive).await?;
        if reply.len() >= PREFIX_BYTES {
            reply.advance(PREFIX_BYTES);
        }
        Ok(reply)
    }

    /// Sends one framed message and counts the rows of the reply: of one
    /// message, or of all until the server ends the call.
    ///
    /// # Errors
    /// The connection is lost or the server refuses.
    pub async fn rows(&mut self, call: Call, frame: Bytes) -> Result<Rows, Failure> {
        let mut rows = Rows::of(call);
        self.exchange(call, frame, |chunk| rows.feed(&chunk))
            .await?;
        Ok(rows)
    }

    async fn exchange(
        &mut self,
        call: Call,
        frame: Bytes,
        mut receive: impl FnMut(Bytes),
    ) -> Result<(), Failure> {
        let (response, mut body) = self.start(call).await?;
        body.send_data(frame, true)?;
        let mut body = accept(response).await?;
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            receive(chunk);
        }
        match body.trailers().await? {
            Some(trailers) => check(&trailers),
            None => Ok(()),
        }
    }

    /// Opens a stream of messages in both directions.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn stream(&mut self, call: Call) -> Result<Stream, Failure> {
        let (response, sender) = self.start(call).await?;
        Ok(Stream::new(response, sender))
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

/// Waits for the reply's headers and judges them.
pub(super) async fn accept(
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
