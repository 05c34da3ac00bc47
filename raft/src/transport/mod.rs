//! Connections between members: who talks to whom over what bytes.
//!
//! `Transport` gives ordered byte streams (TCP, or memory with faults); all
//! framing, checksums, handshakes, reconnecting and timeouts are above it, so
//! every implementation exercises the same code. A member dials one
//! connection per peer and `Class`, lazily; answers come back on the
//! connection the request went out on.

mod early;
pub(crate) mod frame;
mod handshake;
mod link;
mod listener;
pub mod memory;
mod peers;
mod roster;
mod silence;
mod tcp;
pub(crate) mod vectored;

use std::fmt;
use std::io;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub use early::answer_during;
pub(crate) use handshake::Identity;
pub(crate) use link::{Link, LinkError, Stream};
pub(crate) use listener::{Outbox, Service, Session, accept_loop};
pub(crate) use peers::{Peers, Shared as PeersShared, Timing};
pub use roster::{Roster, RosterError, ask_roster};
pub use tcp::TcpTransport;

/// A source of ordered, reliable byte streams between members.
///
/// Obligations: bytes arrive in order and unchanged or the connection breaks;
/// a connection may stall for any time; `connect` and `accept` may be called
/// at the same time and are cancel safe.
pub trait Transport: Send + Sync + 'static {
    /// Opens a connection to `address` (`host:port`).
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>>;

    /// The next connection somebody else opened.
    fn accept(&self) -> BoxFuture<'_, io::Result<Connection>>;
}

/// The two directions of a connection.
pub struct Connection {
    /// Bytes from the other side.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Bytes to the other side.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The other side's address, for logs.
    pub address: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection with {}", self.address)
    }
}

/// What a connection carries. Separate connections keep heartbeats and votes
/// from waiting behind bulk data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Class {
    /// Heartbeats, votes, read indexes: small and urgent.
    Control = 1,
    /// Log entries and forwarded proposals.
    Bulk = 2,
    /// Snapshots.
    Snapshot = 3,
}

impl Class {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Control),
            2 => Some(Self::Bulk),
            3 => Some(Self::Snapshot),
            _ => None,
        }
    }
}

/// `host:port` of a peer url; the scheme and a path are ignored.
pub(crate) fn address_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod contract;
