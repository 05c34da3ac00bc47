//! Everything an operator can set, resolved once at start.
//!
//! Command line (Go flag syntax, etcd's names), `ETCD_*` environment or one
//! YAML file become a [`ServerConfig`] of plain values without `Option`; the
//! rest of the server receives it as an argument and reads no environment.
//! A flag whose feature Quoin does not have is known by name and refused when
//! it asks for anything, never silently ignored.

mod describe;
mod environment;
mod feature_gates;
mod file;
mod first_boot;
mod flags;
mod go_values;
mod help;
mod identity;
mod load;
mod resolve;
mod resolved;
mod table;
mod url;
mod verify;

pub use describe::start_line;
pub use feature_gates::{FeatureGate, FeatureGates, Stage};
pub use first_boot::BootstrapMember;
pub use go_values::format_duration;
pub use help::{help_text, usage_text, version_text};
pub use identity::{cluster_id, member_id};
pub use load::{LoadError, Loaded, Notice, NoticeLevel, load};
pub use resolved::{
    AutoCompaction, BackendConfig, ClusterState, CorsOrigins, Engine, InitialMember, Keepalive,
    LogFormat, LogLevel, LogOutput, LogsConfig, Quota, ServerConfig,
};
pub use url::{Scheme, Url, UrlError};
pub use verify::ADVERTISE_CLIENT_URLS_UNSET;

/// The etcd release whose API, flags and texts are spoken.
pub const API_VERSION: &str = crate::base::version::ETCD;
