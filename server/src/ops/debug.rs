//! `/debug/vars`: the process in a few words of JSON.

use serde_json::json;

use super::http::HttpResponse;
use super::respond;
use crate::telemetry::metrics::process;

/// Answers `/debug/vars`.
pub(super) fn answer() -> HttpResponse {
    let command_line: Vec<String> = std::env::args().collect();
    let body = json!({
        "cmdline": command_line,
        "file_descriptor_limit": process::descriptors_max(),
        "memstats": { "Sys": process::resident_bytes().unwrap_or(0.0) },
    });
    respond::typed(
        http::StatusCode::OK,
        "application/json; charset=utf-8",
        format!("{body:#}\n"),
    )
}
