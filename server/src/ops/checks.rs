//! `/livez` and `/readyz`: named checks, each also alone.
//!
//! Live means this member can read its own data; ready means it can take part.
//! A full disk makes neither false: restarting does not free space.

use std::fmt::Write as _;

use http::StatusCode;

use super::http::HttpResponse;
use super::probe::{Alarm, Probe};
use super::respond;
use crate::telemetry::metrics::Metrics;

/// One of the two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Livez,
    Readyz,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

/// Answers an endpoint or, with a sub path, one of its checks.
pub(super) async fn answer(
    endpoint: Endpoint,
    sub_path: Option<&str>,
    probe: &dyn Probe,
    metrics: &Metrics,
    query: &[(String, String)],
) -> HttpResponse {
    let checks = match sub_path {
        None => endpoint.checks(),
        Some(name) => match endpoint
            .checks()
            .iter()
            .position(|check| check.name() == name)
        {
            Some(at) => endpoint.checks().get(at..=at).unwrap_or_default(),
            None => return respond::not_found(),
        },
    };
    let verbose = query.iter().any(|(name, _)| name == "verbose");
    let excluded = |check: &Check| {
        query
            .iter()
            .any(|(name, value)| name == "exclude" && value == check.name())
    };
    let (mut lines, mut failed) = (String::new(), false);
    for check in checks.iter().filter(|check| !excluded(check)) {
        let result = check.run(probe).await;
        count(metrics, endpoint, *check, result.is_ok());
        match result {
            Ok(()) => {
                let _ = writeln!(lines, "[+]{} ok", check.name());
            }
            Err(reason) => {
                failed = true;
                let _ = writeln!(lines, "[-]{} failed: {reason}", check.name());
            }
        }
    }
    if failed {
        let path = endpoint.path();
        tracing::warn!(
            path,
            output = lines,
            "status-code" = 503_u64,
            "Health check error"
        );
        return respond::text_as_is(StatusCode::SERVICE_UNAVAILABLE, format!("{lines}\n"));
    }
    let listed = if verbose { lines.as_str() } else { "" };
    respond::text_as_is(StatusCode::OK, format!("{listed}ok\n"))
}

impl Endpoint {
    fn path(self) -> &'static str {
        match self {
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
        }
    }

    fn checks(self) -> &'static [Check] {
        match self {
            Self::Livez => &[Check::SerializableRead],
            Self::Readyz => &[
                Check::DataCorruption,
                Check::SerializableRead,
                Check::LinearizableRead,
                Check::NonLearner,
            ],
        }
    }
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn run(self, probe: &dyn Probe) -> Result<(), String> {
        match self {
            Self::DataCorruption if probe.alarms().contains(&Alarm::Corrupt) => {
                Err("alarm activated: CORRUPT".to_owned())
            }
            Self::NonLearner if probe.is_learner() => Err("not supported for learner".to_owned()),
            Self::DataCorruption | Self::NonLearner => Ok(()),
            Self::SerializableRead => probe.serializable_read().await,
            Self::LinearizableRead => probe.linearizable_read().await,
        }
    }
}

fn count(metrics: &Metrics, endpoint: Endpoint, check: Check, ok: bool) {
    let labels = [endpoint.path().trim_start_matches('/'), check.name()];
    metrics
        .server
        .healthcheck
        .with_label_values(&labels)
        .set(i64::from(ok));
    let [kind, name] = labels;
    let status = if ok { "success" } else { "error" };
    metrics
        .server
        .healthchecks_total
        .with_label_values(&[kind, name, status])
        .inc();
}
