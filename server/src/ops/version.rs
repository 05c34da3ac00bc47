//! `/version`: what this member and its cluster speak.

use serde_json::json;

use super::http::HttpResponse;
use super::probe::Probe;
use super::respond;

/// Answers `/version`.
pub(super) fn answer(probe: &dyn Probe) -> HttpResponse {
    let versions = probe.versions();
    let body = json!({
        "etcdserver": versions.server,
        "etcdcluster": versions.cluster.as_deref().unwrap_or("not_decided"),
        "storage": versions.storage.as_deref().unwrap_or("unknown"),
    });
    respond::json(body.to_string())
}
