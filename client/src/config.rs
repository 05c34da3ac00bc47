//! What a [`crate::Client`] is built from.
//!
//! Plain data, resolved once by the caller: the library reads no environment
//! and no file. Every bound that the client keeps is a field here, with its
//! default and the reason for it.

use std::time::Duration;

/// How to reach a cluster and how long to wait for it.
///
/// Start from [`Config::new`] and change the fields that matter.
#[derive(Clone, Debug)]
pub struct Config {
    /// Members to ask, as `host:port` or `http://host:port`. The client moves
    /// on to another one when the one in use fails. At least one.
    pub endpoints: Vec<String>,
    /// Limit of one attempt to open a connection. Default 3 s.
    pub dial_timeout: Duration,
    /// Limit of one call, with all its attempts. Default 10 s: longer than the
    /// 7 s after which a server without a leader gives up by itself, so that
    /// its answer is seen rather than a local timeout. `None` waits for ever.
    pub request_timeout: Option<Duration>,
    /// Idle time on a connection in use before it is pinged. Default 10 s;
    /// servers refuse more than one ping in 5 s.
    pub keepalive_interval: Duration,
    /// Silence after a ping that counts as a broken connection. Default 6 s.
    pub keepalive_timeout: Duration,
    /// Largest reply accepted, in bytes. Default 100 MiB.
    pub receive_bytes_max: usize,
    /// Largest request sent, in bytes. Default 100 MiB; servers have their own,
    /// smaller limit for writes.
    pub send_bytes_max: usize,
    /// Ask members that have no leader to refuse at once instead of waiting for
    /// one; a call fails once every endpoint was asked. Watchers then end with
    /// an error when the leader is lost. Default off.
    pub require_leader: bool,
    /// A token to sign in with, made elsewhere. Takes the place of
    /// `credentials`.
    pub token: Option<String>,
    /// Name and password, where the cluster asks for them.
    pub credentials: Option<Credentials>,
}

/// Who is calling.
#[derive(Clone)]
pub struct Credentials {
    /// User name.
    pub name: String,
    /// Password of the user.
    pub password: String,
}

impl Config {
    /// The defaults, for these endpoints.
    pub fn new<I>(endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            dial_timeout: Duration::from_secs(3),
            request_timeout: Some(Duration::from_secs(10)),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(6),
            receive_bytes_max: MESSAGE_BYTES_MAX,
            send_bytes_max: MESSAGE_BYTES_MAX,
            require_leader: false,
            token: None,
            credentials: None,
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Default of both message limits: large enough for a reply of 100 MB.
const MESSAGE_BYTES_MAX: usize = 100 * 1024 * 1024;
