//! Accept loops over bound sockets, with one limit and one end.
//!
//! Every accept loop and connection is a task of one [`TaskSet`]; `shutdown`
//! stops accepting, lets requests in flight finish, and drops at the deadline
//! what has not. At the connection limit a loop waits for a connection to end:
//! the kernel's backlog then holds newcomers back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bind::{Bound, Socket, SocketFile};
use super::connection::{self, GrpcService, Handlers};
use crate::base::task_set::TaskSet;
use crate::config::ServerConfig;
use crate::ops::HttpHandler;

/// Limits of the connections of one process.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// HTTP/2 streams at a time on one connection.
    pub concurrent_streams_max: u32,
    /// Silence after which the server pings; zero for never.
    pub keepalive_interval: Duration,
    /// Wait for the answer to a ping; zero for never.
    pub keepalive_timeout: Duration,
    /// Connections at a time over all listeners.
    pub connections_max: usize,
}

impl Options {
    /// The configured limits; connections are bounded by file descriptors.
    pub fn from_config(config: &ServerConfig) -> Self {
        Self {
            concurrent_streams_max: config.max_concurrent_streams,
            keepalive_interval: config.keepalive.interval,
            keepalive_timeout: config.keepalive.timeout,
            connections_max: connections_max(),
        }
    }
}

/// The running accept loops of a process.
#[derive(Debug)]
pub struct Serving {
    tasks: TaskSet,
    connections: Arc<Semaphore>,
    options: Options,
}

impl Serving {
    /// Nothing served yet.
    pub fn new(options: Options) -> Self {
        let connections = Arc::new(Semaphore::new(options.connections_max));
        Self {
            tasks: TaskSet::new(),
            connections,
            options,
        }
    }

    /// Starts accepting: HTTP/2 goes to `grpc`, HTTP/1.1 to `http`.
    ///
    /// # Errors
    /// The runtime cannot take the socket.
    pub fn serve<G: GrpcService>(
        &self,
        bound: Bound,
        grpc: G,
        http: Arc<dyn HttpHandler>,
    ) -> io::Result<()> {
        tracing::info!(
            traffic = bound.traffic.as_str(),
            address = bound.address(),
            "serving client traffic insecurely; this is strongly discouraged!"
        );
        self.accept(bound, grpc, http)
    }

    fn accept<G: GrpcService>(
        &self,
        bound: Bound,
        grpc: G,
        http: Arc<dyn HttpHandler>,
    ) -> io::Result<()> {
        let handlers = Handlers {
            grpc,
            http,
            traffic: bound.traffic,
            options: self.options,
        };
        let accept = Accept {
            handlers,
            tasks: self.tasks.clone(),
            connections: Arc::clone(&self.connections),
        };
        match bound.socket {
            Socket::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                self.tasks
                    .spawn("accept tcp", accept.run(Acceptor::Tcp(listener)));
            }
            Socket::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                self.tasks
                    .spawn("accept unix", accept.run(Acceptor::Unix(listener, file)));
            }
        }
        Ok(())
    }

    /// Starts accepting HTTP/1.1 only, whatever the socket was bound for.
    ///
    /// # Errors
    /// The runtime cannot take the socket.
    pub fn serve_http(&self, mut bound: Bound, http: Arc<dyn HttpHandler>) -> io::Result<()> {
        bound.traffic = super::bind::Traffic::Http;
        tracing::info!(address = bound.address(), "serving metrics");
        self.accept(bound, no_grpc, http)
    }

    /// The accept loops and connections, to count them.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// Stops accepting, waits up to `patience` for requests in flight, then
    /// closes. Returns how many connections were cut off.
    pub async fn shutdown(&self, patience: Duration) -> usize {
        self.tasks.join(patience).await
    }
}

struct Accept<G> {
    handlers: Handlers<G>,
    tasks: TaskSet,
    connections: Arc<Semaphore>,
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "held for its drop")] SocketFile,
    ),
}

enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl<G: GrpcService> Accept<G> {
    async fn run(self, acceptor: Acceptor) {
        let mut pause = ACCEPT_PAUSE_MIN;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.tasks.stopping() => return,
                accepted = accept_one(&self.connections, &acceptor) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    pause = ACCEPT_PAUSE_MIN;
                    self.spawn_connection(stream, permit);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }

    fn spawn_connection(&self, stream: Accepted, permit: OwnedSemaphorePermit) {
        let (handlers, tasks) = (self.handlers.clone(), self.tasks.clone());
        self.tasks.spawn("client connection", async move {
            match stream {
                Accepted::Tcp(stream) => connection::serve(stream, handlers, tasks).await,
                Accepted::Unix(stream) => connection::serve(stream, handlers, tasks).await,
            }
            drop(permit);
        });
    }
}

/// Free of the service's type, which need not be `Sync`.
async fn accept_one(
    connections: &Arc<Semaphore>,
    acceptor: &Acceptor,
) -> io::Result<(Accepted, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
    let stream = match acceptor {
        Acceptor::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Replies are small and whole; waiting for more costs latency.
            stream.set_nodelay(true)?;
            Accepted::Tcp(stream)
        }
        Acceptor::Unix(listener, _) => Accepted::Unix(listener.accept().await?.0),
    };
    Ok((stream, permit))
}

/// The gRPC side of a listener that has none; its traffic kind keeps HTTP/2
/// away, this only gives the types a value.
async fn no_grpc(_request: http::Request<hyper::body::Incoming>) -> crate::ops::HttpResponse {
    let mut response = http::Response::new(crate::ops::full_body(""));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}

/// Connections the process can afford: its file descriptors less a reserve for
/// files and peers.
fn connections_max() -> usize {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limits
        .current
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX);
    files
        .saturating_sub(RESERVED_FILES)
        .clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

/// File descriptors kept for segments, blocks and peers.
const RESERVED_FILES: usize = 150;
/// Served even when file descriptors look too few.
const CONNECTIONS_MIN: usize = 16;
/// Past this memory is exhausted before file descriptors are.
const CONNECTIONS_MAX: usize = 100_000;
/// First wait after a failed accept (no descriptors left, for example).
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);
/// Longest such wait.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
