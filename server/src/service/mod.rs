//! The gRPC services: decode, check, hand down, shape the reply.

pub(crate) mod status;
pub(crate) mod watch;
