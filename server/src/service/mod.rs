//! The gRPC services: decode, check, hand down, shape the reply.
//!
//! One file per service of the API. `Router` finds the service of a
//! request; `status` has every error a client can see, `validate` what is
//! wrong with a request before anything is done, `Context` what services
//! stand on.

mod beside;
mod cluster;
mod context;
mod downgrade;
mod header;
mod health;
mod kv;
mod leader_calls;
mod lease;
mod lease_id;
mod maintenance;
mod quota;
mod range_stream;
mod reconfigure_call;
mod reconfigurer;
mod repair;
mod reply;
mod router;
mod slow;
mod snapshot;
pub(crate) mod status;
mod streaming;
mod unary;
mod validate;
mod watch;

pub(crate) use context::{Context, RequestLimits};
pub(crate) use header::HeaderSource;
pub(crate) use leader_calls::LeaderCalls;
pub(crate) use lease_id::LeaseIds;
pub(crate) use reconfigurer::Reconfigurer;
pub(crate) use router::Router;
pub(crate) use slow::SlowLog;
pub(crate) use watch::{LeaderLoss, WatchService};
