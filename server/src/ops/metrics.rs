//! `/metrics`: the Prometheus text format.

use http::StatusCode;

use super::http::HttpResponse;
use super::respond;
use crate::telemetry::metrics::Metrics;

/// Answers `/metrics`.
pub(super) fn answer(metrics: &Metrics) -> HttpResponse {
    match metrics.render() {
        Ok(text) => respond::typed(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            text,
        ),
        Err(error) => {
            tracing::error!(%error, "failed to render metrics");
            respond::text_as_is(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}
