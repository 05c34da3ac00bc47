//! Client for the etcd v3 API: works with Quoin and with etcd.
//!
//! # Embedding guide
//!
//! A [`Client`] is a handle: build one per cluster, clone it freely. It opens
//! connections when they are needed, stays with one member while that works and
//! moves on when it does not.
//!
//! ```no_run
//! # async fn example() -> Result<(), quoin_client::Error> {
//! use quoin_client::{Client, Config, Get, Put};
//!
//! let client = Client::new(Config::new(["10.0.0.1:2379", "10.0.0.2:2379"]))?;
//! client.put(Put::new("config/size", "3")).await?;
//! let reply = client.get(Get::prefix("config/")).await?;
//! for pair in reply.kvs {
//!     assert_eq!(&pair.value[..], b"3");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Requests** are values with named options ([`Get`], [`Put`], [`Delete`],
//! [`Txn`], [`Watch`]); rarer calls take the API's own message. Replies are the
//! API's messages, in [`proto`].
//!
//! **Errors** ([`Error`]) say whether a call may have been executed.
//! Reads are repeated on other members by themselves; a write only where it
//! certainly was not executed ([`Error::certainly_not_executed`]). After any
//! other failure of a write, read before writing again, or make the write
//! conditional with a [`Txn`]. Refusals are matched by
//! [`Error::server_kind`]:
//!
//! ```no_run
//! # async fn example(client: quoin_client::Client) -> Result<(), quoin_client::Error> {
//! use quoin_client::{Get, ServerErrorKind};
//!
//! match client.get(Get::key("a").revision(5)).await {
//!     Err(error) if error.server_kind() == Some(ServerErrorKind::Compacted) => {}
//!     other => drop(other?),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Watchers** survive members and connections: each is one stream that is
//! opened again after the last revision delivered, so nothing is lost and
//! nothing comes twice. Only compaction can overtake one; it then ends with
//! [`Error::Compacted`], and its user reads the current state and watches from
//! the revision of that read plus one.
//!
//! **Leases** are kept alive in the background by a [`LeaseKeeper`], which also
//! tells when the lease is lost. Act on it: the keys are gone.
//! [`recipe::Mutex`] is a lock made of the two.
//!
//! **Runtime**: any tokio runtime with time and net enabled. Watchers and
//! keepers own one task each, which ends when they are dropped.
//!
//! Turn the default feature `cli` off when embedding. TLS is not there yet: an
//! `https` endpoint is refused with [`EndpointError::SchemeUnsupported`].

mod channel;
mod config;
mod endpoint;
mod error;
mod retry;
mod token;

pub mod api;
pub mod recipe;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::retry::Core;

pub use crate::api::kv::{Delete, Get, Put, RangeStream};
pub use crate::api::lease::LeaseKeeper;
pub use crate::api::maintenance::Snapshot;
pub use crate::api::prefix_end;
pub use crate::api::txn::{Compare, Operation, Txn};
pub use crate::api::watch::{Watch, Watcher};
pub use crate::config::{Config, Credentials};
pub use crate::error::{EndpointError, Error, ServerError, ServerErrorKind};
/// The API's own messages.
pub use quoin_proto as proto;

/// A cluster, as seen by this process.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) core: Arc<Core>,
}

impl Client {
    /// Checks the configuration; connections are opened by the first calls. Must
    /// be called within a tokio runtime.
    ///
    /// # Errors
    /// No endpoint, or one that cannot be used.
    pub fn new(config: Config) -> Result<Self, EndpointError> {
        Ok(Self {
            core: Core::new(config)?,
        })
    }

    /// A client with the same configuration for other endpoints, for example
    /// to ask one member about itself.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn with_endpoints<I>(&self, endpoints: I) -> Result<Self, EndpointError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Self::new(Config {
            endpoints,
            ..self.core.config.clone()
        })
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    /// The endpoints in the order of the configuration.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.core
            .balancer
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.name.as_str())
    }
}
