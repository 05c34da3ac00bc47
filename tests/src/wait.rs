//! Conditions with deadlines, in place of sleeping.
//!
//! A condition is asked again every few milliseconds until it yields a value
//! or the deadline passes; the error then says what was last seen. Deadlines
//! are generous, because a machine under load is slow and a passing test never
//! waits for one.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// How long one condition may take: an election under load, times ten.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two looks: short against anything awaited, long against the
/// cost of a look.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `condition` until it yields `Ok`.
///
/// # Errors
/// The deadline passed; the error shows what the last `Err` said.
pub async fn until<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> std::result::Result<T, E>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        let seen = match tokio::time::timeout(left, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => seen.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if started.elapsed() >= deadline {
            return Err(Error::Timeout {
                what: what.to_owned(),
                waited: deadline,
                seen,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Asks a plain `condition` until it is true.
///
/// # Errors
/// The deadline passed.
pub async fn until_true(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    until(what, deadline, async || {
        condition().then_some(()).ok_or("false")
    })
    .await
}
