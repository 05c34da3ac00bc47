//! Plain HTTP endpoints for people and probes: health, version, metrics.
//!
//! Everything is answered from a [`Probe`], so that this layer knows nothing of
//! Raft or storage. Paths, texts and status codes are those of etcd 3.7. None
//! of it is on a hot path: bodies are boxed and whole.

mod access;
mod checks;
mod debug;
mod endpoints;
mod health;
mod http;
mod metrics;
mod pprof;
mod probe;
mod respond;
mod version;

pub use self::http::{BoxError, HttpBody, HttpHandler, HttpRequest, HttpResponse, full_body};
pub use endpoints::{Endpoints, endpoints};
pub use probe::{Activity, Alarm, Probe, ProbeFuture, Versions};
