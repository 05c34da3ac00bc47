//! TCP: no delay, one socket per connection, host names resolved at connect.

use std::fmt;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::OnceLock;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select_all};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, Transport};

/// Byte streams over TCP.
pub struct TcpTransport {
    bound: Mutex<Vec<StdListener>>,
    listeners: OnceLock<Vec<TcpListener>>,
}

impl TcpTransport {
    /// Accepts on already bound listeners.
    pub fn new(listeners: Vec<StdListener>) -> Self {
        Self {
            bound: Mutex::new(listeners),
            listeners: OnceLock::new(),
        }
    }

    /// Registers the listeners with the runtime that accepts on them.
    fn listeners(&self) -> io::Result<&[TcpListener]> {
        if let Some(listeners) = self.listeners.get() {
            return Ok(listeners);
        }
        let bound = std::mem::take(&mut *self.bound.lock());
        let register = |listener: StdListener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let registered = bound
            .into_iter()
            .map(register)
            .collect::<io::Result<Vec<_>>>()?;
        Ok(self.listeners.get_or_init(|| registered))
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TcpTransport")
    }
}

impl Transport for TcpTransport {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let address = address.to_owned();
        async move {
            let stream = TcpStream::connect(&address).await?;
            connection(stream, address)
        }
        .boxed()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Connection>> {
        async move {
            let listeners = self.listeners()?;
            if listeners.is_empty() {
                return std::future::pending().await;
            }
            let accepts = listeners.iter().map(|listener| listener.accept().boxed());
            let (stream, address) = select_all(accepts).await.0?;
            connection(stream, address.to_string())
        }
        .boxed()
    }
}

fn connection(stream: TcpStream, address: String) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok(Connection {
        reader: Box::new(reader),
        writer: Box::new(writer),
        address,
    })
}
