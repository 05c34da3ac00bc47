//! A seed in a process of its own, because some generators are seeded once per
//! process and count on.

use std::path::Path;
use std::process::Command;

use super::{Outcome, Settings};
use crate::{Error, Result};

/// Runs a seed by the binary `faults`; a process that does not end as it should
/// is a violation.
///
/// # Errors
/// The process could not be started.
pub fn run_apart(binary: &Path, seed: u64, settings: &Settings) -> Result<Outcome> {
    let mut command = Command::new(binary);
    command.args(["one", &seed.to_string()]);
    command.args(["--trouble-seconds", &settings.trouble_seconds.to_string()]);
    if let Some(plant) = settings.plant {
        let name = clap::ValueEnum::to_possible_value(&plant);
        command.args(["--plant", name.as_ref().map_or("", |name| name.get_name())]);
    }
    if settings.is_calm {
        command.arg("--calm");
    }
    if settings.is_told {
        command.arg("--told");
    }
    let output = command.output().map_err(Error::io("run a seed apart"))?;
    let parsed = serde_json::from_slice(&output.stdout);
    Ok(parsed.unwrap_or_else(|_| Outcome {
        seed,
        violation: Some(format!(
            "the process ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
        ..Outcome::default()
    }))
}
