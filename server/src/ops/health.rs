//! `/health`: one word for load balancers of the older kind.
//!
//! Alarms, then a leader, then a read; the first that fails is the reason.
//! Source: observed etcd 3.7.3, the missing newline of the good answer included.

use http::StatusCode;

use super::http::HttpResponse;
use super::probe::{Alarm, Probe};
use super::respond;
use crate::telemetry::metrics::Metrics;

/// Answers `/health`.
pub(super) async fn answer(
    probe: &dyn Probe,
    metrics: &Metrics,
    query: &[(String, String)],
) -> HttpResponse {
    let excluded: Vec<&str> = query
        .iter()
        .filter(|(name, _)| name == "exclude")
        .map(|(_, value)| &**value)
        .collect();
    let serializable = query
        .iter()
        .any(|(name, value)| name == "serializable" && value == "true");
    match failure(probe, &excluded, serializable).await {
        None => {
            metrics.server.health_success_total.inc();
            respond::text(StatusCode::OK, body("true", ""))
        }
        Some(reason) => {
            metrics.server.health_failures_total.inc();
            tracing::warn!(reason, "status-code" = 503_u64, "/health error");
            let text = format!("{}\n", body("false", &reason));
            respond::text_as_is(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

async fn failure(probe: &dyn Probe, excluded: &[&str], serializable: bool) -> Option<String> {
    let raised = probe
        .alarms()
        .into_iter()
        .find(|alarm| !excluded.contains(&alarm.as_str()));
    if let Some(alarm) = raised {
        let word = match alarm {
            Alarm::NoSpace | Alarm::Corrupt | Alarm::Unknown => alarm.as_str(),
        };
        tracing::warn!(alarm = word, "serving /health false due to an alarm");
        return Some(format!("ALARM {word}"));
    }
    if !serializable && !probe.has_leader() {
        tracing::warn!("serving /health false; no leader");
        return Some("RAFT NO LEADER".to_owned());
    }
    let read = if serializable {
        probe.serializable_read()
    } else {
        probe.linearizable_read()
    }
    .await;
    read.err().map(|error| format!("RANGE ERROR:{error}"))
}

fn body(health: &str, reason: &str) -> String {
    serde_json::json!({ "health": health, "reason": reason }).to_string()
}
