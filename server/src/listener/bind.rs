//! Binding of every listen URL, all or nothing.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use crate::config::{ServerConfig, Url};

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// gRPC and HTTP/1.1 told apart by the first bytes.
    GrpcAndHttp,
    /// Only gRPC.
    Grpc,
    /// Only HTTP/1.1.
    Http,
}

impl Traffic {
    /// The word in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GrpcAndHttp => "grpc+http",
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// A bound socket that nobody accepts from yet.
#[derive(Debug)]
pub struct Bound {
    /// The URL it was bound for.
    pub url: Url,
    /// What it is for.
    pub traffic: Traffic,
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    /// The file is removed when the listener goes.
    Unix(UnixListener, SocketFile),
}

/// All sockets of a member.
#[derive(Debug)]
pub struct BoundListeners {
    /// For other members; non-blocking.
    pub peer: Vec<TcpListener>,
    /// For clients.
    pub client: Vec<Bound>,
    /// For metrics and health only.
    pub metrics: Vec<Bound>,
}

/// A socket that cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system refuses.
    #[error("listen tcp {address}: bind: {}", short_text(source))]
    Io {
        /// The address asked for.
        address: String,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// Peers speak TCP only.
    #[error("listen peer url {0}: unix sockets are not supported between quoin members")]
    PeerOverUnix(String),
}

/// Binds every listen URL of the configuration.
///
/// # Errors
/// The first that cannot be bound; those before it are closed again.
pub fn bind_all(config: &ServerConfig) -> Result<BoundListeners, BindError> {
    let mut peer = Vec::new();
    for url in &config.listen_peer_urls {
        if url.socket_path().is_some() {
            return Err(BindError::PeerOverUnix(url.to_string()));
        }
        peer.push(bind_tcp(url)?);
    }
    let shared = config.listen_client_http_urls.is_empty();
    let grpc = if shared {
        Traffic::GrpcAndHttp
    } else {
        Traffic::Grpc
    };
    let mut client = bind_urls(&config.listen_client_urls, grpc)?;
    client.extend(bind_urls(&config.listen_client_http_urls, Traffic::Http)?);
    let metrics = bind_urls(&config.listen_metrics_urls, Traffic::Http)?;
    Ok(BoundListeners {
        peer,
        client,
        metrics,
    })
}

impl Bound {
    /// Binds one URL.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn bind(url: &Url, traffic: Traffic) -> Result<Self, BindError> {
        let socket = match url.socket_path() {
            Some(path) => bind_unix(url, path)?,
            None => Socket::Tcp(bind_tcp(url)?),
        };
        Ok(Self {
            url: url.clone(),
            traffic,
            socket,
        })
    }

    /// The address as bound (the port is real when 0 was asked for), or the
    /// socket file.
    pub fn address(&self) -> String {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map_or_else(
                |_| self.url.address().to_owned(),
                |address| address.to_string(),
            ),
            Socket::Unix(_, file) => file.0.display().to_string(),
        }
    }
}

/// A socket file, removed on drop.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Best effort: a file left behind is removed by the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_urls(urls: &[Url], traffic: Traffic) -> Result<Vec<Bound>, BindError> {
    urls.iter().map(|url| Bound::bind(url, traffic)).collect()
}

fn bind_tcp(url: &Url) -> Result<TcpListener, BindError> {
    // std sets SO_REUSEADDR before binding, as etcd's listeners have it.
    let refused = |source| BindError::Io {
        address: url.address().to_owned(),
        source,
    };
    let address = url.socket_address().map_err(refused)?;
    let listener = TcpListener::bind(address).map_err(|source| BindError::Io {
        address: address.to_string(),
        source,
    })?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

fn bind_unix(url: &Url, path: PathBuf) -> Result<Socket, BindError> {
    let refused = |source| BindError::Io {
        address: url.address().to_owned(),
        source,
    };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(Socket::Unix(listener, SocketFile(path)))
}

/// The operating system's reason in the words log readers know.
fn short_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        _ => error.to_string(),
    }
}
