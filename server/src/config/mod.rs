//! Everything an operator can set, resolved once at start.
//!
//! Command line (Go flag syntax, etcd's names), `ETCD_*` environment or one
//! YAML file become a [`ServerConfig`] of plain values without `Option`; the
//! rest of the server receives it as an argument and reads no environment.
//! A flag whose feature Quoin does not have is known by name and refused when
//! it asks for anything, never silently ignored.

mod feature_gates;
mod go_values;
mod identity;
mod resolved;
mod url;

pub use feature_gates::{FeatureGate, FeatureGates, Stage};
pub use identity::{cluster_id, member_id};
pub use resolved::{
    AutoCompaction, BackendConfig, ClusterState, CorsOrigins, Engine, InitialMember, Keepalive,
    LogFormat, LogLevel, LogOutput, LogsConfig, Quota, ServerConfig,
};
pub use url::{Scheme, Url, UrlError};
