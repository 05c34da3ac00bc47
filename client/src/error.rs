//! What can go wrong, by what the caller can do about it.
//!
//! [`Error`] says where a call failed: before anything was sent, on the
//! connection, or at the server. A server's refusal is a [`ServerError`] whose
//! [`ServerErrorKind`] names the known texts of the API, so that callers match
//! on a variant and never on a text. Sources are kept: [`Error::server_kind`]
//! finds the refusal wherever it sits in the chain.
//!
//! Invariant: [`Error::certainly_not_executed`] is true only where no member
//! can have executed the request; it is what decides about sending again.

use std::time::Duration;

use quoin_proto::etcdserverpb::ResponseHeader;
use thiserror::Error;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint in the configuration cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No connection could be opened: nothing was sent.
    #[error("cannot connect to {endpoint}")]
    Unreachable {
        /// The endpoint that was tried last.
        endpoint: String,
        /// What the connection attempt said.
        source: Status,
    },
    /// The connection failed during the call: it may have been executed.
    #[error("connection to {endpoint} failed during the call")]
    Connection {
        /// The endpoint that was asked.
        endpoint: String,
        /// What the transport said.
        source: Status,
    },
    /// The time for the call ran out. If `source` is
    /// [`Error::Unreachable`] nothing was sent; otherwise the call may have
    /// been executed.
    #[error("no answer within {limit:?}")]
    Timeout {
        /// The limit of the call.
        limit: Duration,
        /// The last failure before the limit, if there was one.
        source: Option<Box<Self>>,
    },
    /// A member refused.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// History needed by a watcher has been compacted away.
    #[error("required revision has been compacted, history starts at {compact_revision}")]
    Compacted {
        /// The oldest revision that can still be watched from.
        compact_revision: i64,
        /// Header of the response that said so.
        header: ResponseHeader,
    },
    /// The server ended or refused a watcher.
    #[error("watch was canceled: {reason}")]
    WatchCanceled {
        /// The server's words.
        reason: String,
        /// Header of the response that said so.
        header: ResponseHeader,
    },
    /// The lease is gone: it expired or was revoked.
    #[error("lease {id:016x} expired or was revoked")]
    LeaseExpired {
        /// The lease.
        id: i64,
    },
    /// The reply does not follow the API.
    #[error("malformed reply: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The task behind a watcher or a lease keeper has ended.
    #[error("already closed")]
    Closed,
}

/// Why an endpoint of the configuration cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// The list is empty.
    #[error("no endpoint given")]
    None,
    /// Not an address.
    #[error("endpoint {endpoint:?} is not an address: {reason}")]
    Malformed {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The scheme is one that this client does not speak.
    #[error("endpoint {endpoint:?} has scheme {scheme:?}: plain http only, there is no TLS yet")]
    SchemeUnsupported {
        /// As given.
        endpoint: String,
        /// Its scheme.
        scheme: String,
    },
}

/// A refusal by a member.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct ServerError {
    /// Which of the known refusals it is.
    pub kind: ServerErrorKind,
    /// The gRPC code it came with.
    pub code: Code,
    /// The server's words.
    pub message: String,
}

impl Error {
    /// The server's refusal in this error or its sources, if there is one.
    pub fn server_kind(&self) -> Option<ServerErrorKind> {
        match self {
            Self::Server(error) => Some(error.kind),
            Self::Timeout {
                source: Some(source),
                ..
            } => source.server_kind(),
            _ => None,
        }
    }

    /// Whether it is certain that no member executed the request, so that
    /// sending it again cannot execute it twice.
    pub fn certainly_not_executed(&self) -> bool {
        match self {
            Self::Endpoint(_) | Self::Unreachable { .. } => true,
            Self::Server(error) => error.kind.certainly_not_executed(),
            Self::Timeout {
                source: Some(source),
                ..
            } => {
                matches!(**source, Self::Unreachable { .. })
            }
            _ => false,
        }
    }

    /// Whether another member, or the same one later, may answer better.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Connection { .. } => true,
            Self::Server(error) => error.code == Code::Unavailable,
            _ => false,
        }
    }

    /// Sorts what tonic reported for a call to `endpoint`.
    pub(crate) fn from_status(endpoint: &str, status: Status) -> Self {
        let mut source = std::error::Error::source(&status);
        if source.is_none() && !status.message().starts_with(NOT_READY) {
            return Self::Server(ServerError::new(status.code(), status.message()));
        }
        while let Some(error) = source {
            if error.is::<tonic::ConnectError>() {
                return Self::Unreachable {
                    endpoint: endpoint.to_owned(),
                    source: status,
                };
            }
            source = error.source();
        }
        Self::Connection {
            endpoint: endpoint.to_owned(),
            source: status,
        }
    }
}

impl ServerError {
    /// Names the refusal that `message` stands for.
    pub fn new(code: Code, message: &str) -> Self {
        let kind = KNOWN
            .iter()
            .find(|(text, _)| *text == message)
            .map_or(ServerErrorKind::Other, |(_, kind)| *kind);
        Self {
            kind,
            code,
            message: message.to_owned(),
        }
    }
}

/// The refusals that the API defines, by their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each variant is explained by its text in KNOWN"
)]
pub enum ServerErrorKind {
    AuthFailed,
    AuthNotEnabled,
    AuthRevisionOld,
    BadLeaderTransferee,
    Compacted,
    CorruptCluster,
    DeadlineExceeded,
    DowngradeInProcess,
    DuplicateKey,
    FutureRevision,
    InvalidAuthManagement,
    InvalidAuthToken,
    InvalidDowngradeVersion,
    InvalidSortOption,
    InvalidVersionFormat,
    KeyNotFound,
    KeyNotProvided,
    LeaderChanged,
    LeaseExists,
    LeaseNotFound,
    LeaseProvided,
    LeaseTtlTooLarge,
    LearnerNotReady,
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    MemberUrlsInvalid,
    NoLeader,
    NoSpace,
    NotEnoughStartedMembers,
    NotLeader,
    NotSupportedForLearner,
    /// A text that the API does not define.
    Other,
    PeerUrlsExist,
    PermissionDenied,
    PermissionNotGranted,
    RequestTooLarge,
    RoleEmpty,
    RoleExists,
    RoleNotFound,
    RoleNotGranted,
    RootRoleMissing,
    RootUserMissing,
    Stopped,
    Timeout,
    TooManyLearners,
    TooManyOperations,
    TooManyRequests,
    UnhealthyCluster,
    UserEmpty,
    UserExists,
    UserNotFound,
    ValueProvided,
    WatchCanceled,
}

impl ServerErrorKind {
    /// Refusals given before the request is handed to anybody: another member
    /// may be asked even for a write.
    fn certainly_not_executed(self) -> bool {
        matches!(
            self,
            Self::NoLeader | Self::NotSupportedForLearner | Self::InvalidAuthToken
        )
    }
}

/// How tonic words a connection task that is gone.
const NOT_READY: &str = "Service was not ready";

/// Texts of the API and the refusals they stand for. Source: observed texts of
/// etcd 3.7.
const KNOWN: &[(&str, ServerErrorKind)] = {
    use ServerErrorKind as Kind;
    &[
        (
            "etcdserver: authentication failed, invalid user ID or password",
            Kind::AuthFailed,
        ),
        (
            "etcdserver: authentication is not enabled",
            Kind::AuthNotEnabled,
        ),
        (
            "etcdserver: revision of auth store is old",
            Kind::AuthRevisionOld,
        ),
        (
            "etcdserver: bad leader transferee",
            Kind::BadLeaderTransferee,
        ),
        (
            "etcdserver: mvcc: required revision has been compacted",
            Kind::Compacted,
        ),
        ("etcdserver: corrupt cluster", Kind::CorruptCluster),
        ("context deadline exceeded", Kind::DeadlineExceeded),
        (
            "etcdserver: context deadline exceeded",
            Kind::DeadlineExceeded,
        ),
        (
            "etcdserver: cluster has a downgrade job in progress",
            Kind::DowngradeInProcess,
        ),
        (
            "etcdserver: duplicate key given in txn request",
            Kind::DuplicateKey,
        ),
        (
            "etcdserver: mvcc: required revision is a future revision",
            Kind::FutureRevision,
        ),
        (
            "etcdserver: invalid auth management",
            Kind::InvalidAuthManagement,
        ),
        ("etcdserver: invalid auth token", Kind::InvalidAuthToken),
        (
            "etcdserver: invalid downgrade target version",
            Kind::InvalidDowngradeVersion,
        ),
        ("etcdserver: invalid sort option", Kind::InvalidSortOption),
        (
            "etcdserver: wrong downgrade target version format",
            Kind::InvalidVersionFormat,
        ),
        ("etcdserver: key not found", Kind::KeyNotFound),
        ("etcdserver: key is not provided", Kind::KeyNotProvided),
        ("etcdserver: leader changed", Kind::LeaderChanged),
        ("etcdserver: lease already exists", Kind::LeaseExists),
        ("etcdserver: requested lease not found", Kind::LeaseNotFound),
        ("etcdserver: lease is provided", Kind::LeaseProvided),
        ("etcdserver: too large lease TTL", Kind::LeaseTtlTooLarge),
        (
            "etcdserver: can only promote a learner member which is in sync with leader",
            Kind::LearnerNotReady,
        ),
        ("etcdserver: member ID already exist", Kind::MemberExists),
        ("etcdserver: member not found", Kind::MemberNotFound),
        (
            "etcdserver: can only promote a learner member",
            Kind::MemberNotLearner,
        ),
        (
            "etcdserver: given member URLs are invalid",
            Kind::MemberUrlsInvalid,
        ),
        ("etcdserver: no leader", Kind::NoLeader),
        ("etcdserver: mvcc: database space exceeded", Kind::NoSpace),
        (
            "etcdserver: re-configuration failed due to not enough started members",
            Kind::NotEnoughStartedMembers,
        ),
        ("etcdserver: not leader", Kind::NotLeader),
        (
            "etcdserver: rpc not supported for learner",
            Kind::NotSupportedForLearner,
        ),
        ("etcdserver: Peer URLs already exists", Kind::PeerUrlsExist),
        ("etcdserver: permission denied", Kind::PermissionDenied),
        (
            "etcdserver: permission is not granted to the role",
            Kind::PermissionNotGranted,
        ),
        ("etcdserver: request is too large", Kind::RequestTooLarge),
        ("etcdserver: role name is empty", Kind::RoleEmpty),
        ("etcdserver: role name already exists", Kind::RoleExists),
        ("etcdserver: role name not found", Kind::RoleNotFound),
        (
            "etcdserver: role is not granted to the user",
            Kind::RoleNotGranted,
        ),
        (
            "etcdserver: root user does not have root role",
            Kind::RootRoleMissing,
        ),
        (
            "etcdserver: root user does not exist",
            Kind::RootUserMissing,
        ),
        ("etcdserver: server stopped", Kind::Stopped),
        ("etcdserver: request timed out", Kind::Timeout),
        (
            "etcdserver: request timed out, possibly due to previous leader failure",
            Kind::Timeout,
        ),
        (
            "etcdserver: request timed out, possibly due to connection lost",
            Kind::Timeout,
        ),
        (
            "etcdserver: request timed out, waiting for the applied index took too long",
            Kind::Timeout,
        ),
        (
            "etcdserver: too many learner members in cluster",
            Kind::TooManyLearners,
        ),
        (
            "etcdserver: too many operations in txn request",
            Kind::TooManyOperations,
        ),
        ("etcdserver: too many requests", Kind::TooManyRequests),
        ("etcdserver: unhealthy cluster", Kind::UnhealthyCluster),
        ("etcdserver: user name is empty", Kind::UserEmpty),
        ("etcdserver: user name already exists", Kind::UserExists),
        ("etcdserver: user name not found", Kind::UserNotFound),
        ("etcdserver: value is provided", Kind::ValueProvided),
        ("etcdserver: watch canceled", Kind::WatchCanceled),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_become_variants_and_keep_their_words() {
        let text = "etcdserver: mvcc: required revision has been compacted";
        let error = Error::from_status("a", Status::out_of_range(text));
        assert_eq!(error.server_kind(), Some(ServerErrorKind::Compacted));
        assert_eq!(error.to_string(), text);
        let error = ServerError::new(Code::Unknown, "something new");
        assert_eq!(error.kind, ServerErrorKind::Other);
    }

    #[test]
    fn a_refused_connection_is_certainly_not_executed() {
        let refused = tonic::ConnectError("refused".into());
        let error = Error::from_status("a", Status::from_error(Box::new(refused)));
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.certainly_not_executed() && error.is_transient());
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = Error::from_status("a", Status::from_error(Box::new(lost)));
        assert!(matches!(error, Error::Connection { .. }), "{error:?}");
        assert!(!error.certainly_not_executed() && error.is_transient());
    }

    #[test]
    fn a_timeout_reports_the_refusal_in_its_chain() {
        let refusal = ServerError::new(Code::Unavailable, "etcdserver: no leader");
        let error = Error::Timeout {
            limit: Duration::from_secs(1),
            source: Some(Box::new(Error::Server(refusal))),
        };
        assert_eq!(error.server_kind(), Some(ServerErrorKind::NoLeader));
        assert!(!error.certainly_not_executed());
    }
}
