//! Opening connections.
//!
//! Connections are lazy: built here without I/O, dialled by the first call and
//! redialled by the transport after a failure. A dial that fails is reported to
//! the call that needed it, as [`crate::Error::Unreachable`].

use tonic::transport::{Channel, Endpoint as Target};

use crate::config::Config;
use crate::endpoint::{self, Endpoint};
use crate::error::EndpointError;

/// A lazy connection to each endpoint of the configuration.
///
/// # Errors
/// No endpoint, or one that cannot be used.
pub(crate) fn connect(config: &Config) -> Result<Vec<Endpoint>, EndpointError> {
    if config.endpoints.is_empty() {
        return Err(EndpointError::None);
    }
    config
        .endpoints
        .iter()
        .map(|name| connect_one(config, name))
        .collect()
}

fn connect_one(config: &Config, name: &str) -> Result<Endpoint, EndpointError> {
    let uri = endpoint::parse(name)?;
    let channel: Channel = Target::from(uri)
        .connect_timeout(config.dial_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        // Servers punish pings on idle connections.
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_lazy();
    Ok(Endpoint {
        name: name.trim().to_owned(),
        channel,
    })
}

/// Bytes in flight on one stream: one large reply at 1 ms round trip fills
/// 1 GB/s.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes in flight on one connection: many streams share it, and a watcher that
/// nobody reads must not use up all of it.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
