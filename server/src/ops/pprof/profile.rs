//! A CPU profile taken while the client waits.
//!
//! All of it runs on a blocking thread: beginning and ending touch many
//! megabytes, and names are looked up at both. A client that goes away ends
//! the sampling with its request.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use crate::ops::http::{HttpResponse, full_body};
use crate::ops::respond;
use crate::telemetry::profile::{CpuProfile, CpuSampling, SamplingError};

/// Answers `/debug/pprof/profile`, as folded stacks if `as_text`.
pub(super) async fn answer(seconds: Option<u64>, as_text: bool) -> HttpResponse {
    let seconds = seconds.unwrap_or(SECONDS).clamp(1, SECONDS_MAX);
    match sample(Duration::from_secs(seconds)).await {
        Ok(profile) if as_text => respond::text_as_is(StatusCode::OK, profile.folded()),
        Ok(profile) => file(profile.encode().into()),
        Err(error) => {
            let text = format!("Could not enable CPU profiling: {error}\n");
            respond::text_as_is(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

async fn sample(duration: Duration) -> Result<CpuProfile, SamplingError> {
    // Dropped with the request.
    let (_request, ended) = mpsc::channel::<()>();
    let work = move || {
        let sampling = CpuSampling::start()?;
        tracing::info!(seconds = duration.as_secs(), "sampling CPU time");
        match ended.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => sampling.finish(),
            _ => Err(SamplingError::Failed("the client went away".to_owned())),
        }
    };
    let finished = tokio::task::spawn_blocking(work).await;
    finished.map_err(|error| SamplingError::Failed(error.to_string()))?
}

fn file(bytes: Bytes) -> HttpResponse {
    let mut response = HttpResponse::new(full_body(bytes));
    for (name, value) in [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_DISPOSITION, "attachment; filename=\"profile\""),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        respond::set(&mut response, name, HeaderValue::from_static(value));
    }
    response
}

/// Go's default.
const SECONDS: u64 = 30;
/// Longest sampling.
const SECONDS_MAX: u64 = 300;
