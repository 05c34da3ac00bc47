//! Every error a client can see: its gRPC code and its exact text.
//!
//! Clients of etcd recognise errors by their message alone, so the texts are
//! part of the wire format.

use tonic::Status;

/// No leader is known, and the request insists on one.
pub(crate) fn no_leader() -> Status {
    Status::unavailable("etcdserver: no leader")
}

/// The member is shutting down.
pub(crate) fn stopped() -> Status {
    Status::unavailable("etcdserver: server stopped")
}

/// The watch stream was cancelled.
pub(crate) fn watch_canceled() -> Status {
    Status::cancelled("etcdserver: watch canceled")
}

/// A message larger than the transport takes, in grpc-go's words.
pub(crate) fn message_too_large(found_bytes: usize, max_bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "grpc: received message larger than max ({found_bytes} vs. {max_bytes})"
    ))
}

/// A failure inside the member that the client can do nothing about.
pub(crate) fn internal(error: &dyn std::error::Error) -> Status {
    Status::internal(format!("quoin: {error}"))
}
