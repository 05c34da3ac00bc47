//! Why a command ends without success: what it says and its exit status.
//!
//! The statuses and texts are etcdctl's, because scripts test for them. Source:
//! observed, etcdctl 3.7.

use quoin_client::{Error, ServerErrorKind};
use tonic::Code;

/// A text for stderr and an exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit status.
    pub(crate) status: u8,
    /// Printed after `Error: `; nothing is printed if it is empty.
    pub(crate) text: String,
}

/// A general error, and what servers refuse.
pub(crate) const STATUS_ERROR: u8 = 1;
/// No connection, or signing in failed.
pub(crate) const STATUS_CONNECTION: u8 = 2;
/// Unreadable input to txn or watch.
pub(crate) const STATUS_INPUT: u8 = 3;
/// A value that the flag does not know.
pub(crate) const STATUS_FEATURE: u8 = 4;
/// Ended by the other side.
pub(crate) const STATUS_INTERRUPTED: u8 = 5;
/// Wrong arguments.
pub(crate) const STATUS_ARGUMENTS: u8 = 128;

impl Failure {
    pub(crate) fn new(status: u8, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// Wrong arguments.
    pub(crate) fn arguments(text: impl Into<String>) -> Self {
        Self::new(STATUS_ARGUMENTS, text)
    }

    /// A verb of etcdctl that this program does not have.
    pub(crate) fn unavailable(what: &str) -> Self {
        Self::new(STATUS_ERROR, format!("{what} is not available yet"))
    }

    /// Wraps the server's words: `context (words)`.
    pub(crate) fn within(context: &str, error: &Error) -> Self {
        Self::new(STATUS_ERROR, format!("{context} ({})", describe(error)))
    }

    /// With another status, where the command has its own.
    pub(crate) fn with_status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.server_kind() {
            Some(ServerErrorKind::AuthFailed) => STATUS_CONNECTION,
            _ => STATUS_ERROR,
        };
        Self::new(status, describe(&error))
    }
}

impl From<quoin_client::EndpointError> for Failure {
    fn from(error: quoin_client::EndpointError) -> Self {
        Self::arguments(error.to_string())
    }
}

/// The words for an error: the bare text of a known refusal, code and text of
/// any other.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::Server(server) if server.kind == ServerErrorKind::Other => {
            status_text(server.code, &server.message)
        }
        Error::Server(server) => server.message.clone(),
        Error::Timeout { .. } => "context deadline exceeded".to_owned(),
        Error::LeaseExpired { .. } => "etcdserver: requested lease not found".to_owned(),
        Error::Compacted { .. } => {
            "etcdserver: mvcc: required revision has been compacted".to_owned()
        }
        Error::WatchCanceled { reason, .. } => {
            let known = quoin_client::ServerError::new(Code::FailedPrecondition, reason);
            describe(&Error::Server(known))
        }
        Error::Unreachable { source, .. } | Error::Connection { source, .. } => {
            status_text(Code::Unavailable, &chain(source))
        }
        other => other.to_string(),
    }
}

/// A status as gRPC libraries print it.
pub(crate) fn status_text(code: Code, message: &str) -> String {
    // The variants of tonic are named as the protocol names the codes, except
    // for one spelling.
    let name = match code {
        Code::Cancelled => "Canceled".to_owned(),
        other => format!("{other:?}"),
    };
    format!("rpc error: code = {name} desc = {message}")
}

/// The texts of an error and its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(source) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
