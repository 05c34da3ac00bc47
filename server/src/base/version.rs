//! What this build calls itself.

/// The etcd release whose API this server speaks, as clients see it.
pub(crate) const ETCD: &str = "3.7.3";
/// The feature level members agree on, once they have.
pub(crate) const CLUSTER: &str = "3.7.0";
/// The storage level reported to clients.
pub(crate) const STORAGE: &str = "3.7.0";
/// This build's own version.
pub(crate) const QUOIN: &str = env!("CARGO_PKG_VERSION");
