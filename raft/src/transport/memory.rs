//! A network in memory whose links can be cut, slowed and broken by a test.
//!
//! Bytes pass through a pump per direction: a cut pair stalls (as a dead
//! network does, nothing is reset), a broken connection ends, a delay holds
//! every chunk back. Cutting is by pair of addresses and takes effect on open
//! connections too. New connections across a cut stall as well.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};

use super::{Connection, Transport};
use crate::types::TypeConfig;

/// The network; clones share it.
#[derive(Clone)]
pub struct MemoryNetwork {
    inner: Arc<Inner>,
}

impl MemoryNetwork {
    /// A network without members.
    pub fn new() -> Self {
        let (faults, _) = watch::channel(Faults::default());
        Self {
            inner: Arc::new(Inner {
                members: Mutex::default(),
                faults,
            }),
        }
    }

    /// Joins the network under an address; a second join takes it over.
    pub fn join(&self, address: &str) -> MemoryTransport {
        let (sender, incoming) = mpsc::channel(BACKLOG_MAX);
        self.inner.members.lock().insert(address.to_owned(), sender);
        MemoryTransport {
            network: self.clone(),
            address: address.to_owned(),
            incoming: tokio::sync::Mutex::new(incoming),
        }
    }

    /// Stalls everything between two addresses, both ways.
    pub fn cut(&self, one: &str, other: &str) {
        self.inner.faults.send_modify(|faults| {
            faults.cut.insert(pair(one, other));
        });
    }

    /// Lets everything flow again.
    pub fn heal(&self) {
        self.inner.faults.send_modify(|faults| {
            faults.cut.clear();
            faults.delay = Duration::ZERO;
        });
    }

    /// Holds every chunk of bytes back by this time.
    pub fn delay(&self, delay: Duration) {
        self.inner.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Breaks every open connection of an address.
    pub fn break_connections(&self, address: &str) {
        self.inner.faults.send_modify(|faults| {
            *faults.breaks.entry(address.to_owned()).or_default() += 1;
        });
    }

    /// Flips one bit in the next chunk longer than `bytes_min` that goes to
    /// `address`.
    pub fn corrupt_next(&self, address: &str, bytes_min: usize) {
        self.inner.faults.send_modify(|faults| {
            faults.corrupt = Some((address.to_owned(), bytes_min));
        });
    }
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNetwork")
    }
}

/// One member's access to the network.
pub struct MemoryTransport {
    network: MemoryNetwork,
    address: String,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Connection>>,
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryTransport at {}", self.address)
    }
}

impl Transport for MemoryTransport {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let (network, from, to) = (
            self.network.clone(),
            self.address.clone(),
            address.to_owned(),
        );
        async move {
            network.inner.wait_open(&from, &to).await;
            let member = network.inner.members.lock().get(&to).cloned();
            let member = member.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, near_pump) = tokio::io::duplex(PIPE_BYTES);
            let (far, far_pump) = tokio::io::duplex(PIPE_BYTES);
            network.inner.spawn_pumps(&from, &to, near_pump, far_pump);
            let sent = member.send(connection(far, from)).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(connection(near, to))
        }
        .boxed()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Connection>> {
        async move {
            let next = self.incoming.lock().await.recv().await;
            next.ok_or_else(|| io::ErrorKind::NotConnected.into())
        }
        .boxed()
    }
}

struct Inner {
    members: Mutex<HashMap<String, mpsc::Sender<Connection>>>,
    faults: watch::Sender<Faults>,
}

impl Inner {
    async fn wait_open(&self, from: &str, to: &str) {
        let mut faults = self.faults.subscribe();
        let pair = pair(from, to);
        // The sender lives in `self`, so this cannot fail.
        let _ = faults.wait_for(|faults| !faults.cut.contains(&pair)).await;
    }

    fn spawn_pumps(self: &Arc<Self>, from: &str, to: &str, near: DuplexStream, far: DuplexStream) {
        let (near_reader, near_writer) = tokio::io::split(near);
        let (far_reader, far_writer) = tokio::io::split(far);
        let born = self.faults.borrow().break_count(from, to);
        let there = Pump {
            inner: Arc::clone(self),
            from: from.into(),
            to: to.into(),
            born,
        };
        let back = Pump {
            inner: Arc::clone(self),
            from: to.into(),
            to: from.into(),
            born,
        };
        tokio::spawn(async move {
            // Either direction ending ends the connection.
            tokio::select! {
                () = there.run(near_reader, far_writer) => {}
                () = back.run(far_reader, near_writer) => {}
            }
        });
    }
}

struct Pump {
    inner: Arc<Inner>,
    from: String,
    to: String,
    born: u64,
}

impl Pump {
    async fn run(
        self,
        mut reader: tokio::io::ReadHalf<DuplexStream>,
        mut writer: tokio::io::WriteHalf<DuplexStream>,
    ) {
        let mut faults = self.inner.faults.subscribe();
        let broken = |faults: &Faults| faults.break_count(&self.from, &self.to) != self.born;
        let flow = async {
            let mut chunk = vec![0; PIPE_BYTES];
            while let Ok(length @ 1..) = reader.read(&mut chunk).await {
                let delay = self.inner.faults.borrow().delay;
                if !delay.is_zero() {
                    TypeConfig::sleep(delay).await;
                }
                self.inner.wait_open(&self.from, &self.to).await;
                let Some(bytes) = chunk.get_mut(..length) else {
                    return;
                };
                self.corrupt(bytes);
                if writer.write_all(bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = flow => {}
            _ = faults.wait_for(broken) => {}
        }
    }

    fn corrupt(&self, bytes: &mut [u8]) {
        let wanted = |faults: &Faults| {
            let corrupt = faults.corrupt.as_ref();
            corrupt.is_some_and(|(to, bytes_min)| *to == self.to && bytes.len() > *bytes_min)
        };
        if !wanted(&self.inner.faults.borrow()) {
            return;
        }
        self.inner
            .faults
            .send_modify(|faults| faults.corrupt = None);
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Faults {
    cut: HashSet<(String, String)>,
    delay: Duration,
    breaks: HashMap<String, u64>,
    corrupt: Option<(String, usize)>,
}

impl Faults {
    fn break_count(&self, one: &str, other: &str) -> u64 {
        let count = |address| self.breaks.get(address).copied().unwrap_or(0);
        count(one) + count(other)
    }
}

fn pair(one: &str, other: &str) -> (String, String) {
    let (low, high) = if one <= other {
        (one, other)
    } else {
        (other, one)
    };
    (low.to_owned(), high.to_owned())
}

fn connection(stream: DuplexStream, address: String) -> Connection {
    let (reader, writer) = tokio::io::split(stream);
    Connection {
        reader: Box::new(reader),
        writer: Box::new(writer),
        address,
    }
}

/// Bytes in flight per direction, about a socket buffer.
const PIPE_BYTES: usize = 64 << 10;
/// Connections waiting to be accepted.
const BACKLOG_MAX: usize = 64;
