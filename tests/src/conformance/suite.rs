//! Areas on disk, and playing a whole area on a fresh server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    client::{Client, descriptors},
    player::Player,
    script,
    trace::{Step, Trace},
};
use crate::{
    Error, Result,
    cluster::{self, Cluster, Options},
    golden,
};

/// A step whose outcome is not the recorded one.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The area.
    pub area: String,
    /// The step, with the recorded outcome.
    pub step: Step,
    /// Its position in the area.
    pub position: usize,
    /// What came instead.
    pub found: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "{} step {}: {}",
            self.area, self.position, self.step.rule
        )?;
        writeln!(out, "  action   {}", serde_json::json!(self.step.action))?;
        writeln!(out, "  expected {}", self.step.outcome)?;
        writeln!(out, "  found    {}", self.found)
    }
}

/// The folder of traces; scripts are in `scripts` below it.
#[must_use]
pub fn folder() -> PathBuf {
    golden::testdata().join("conformance")
}

/// Names of all areas that have a script.
///
/// # Errors
/// The folder cannot be read.
pub fn areas() -> Result<Vec<String>> {
    let folder = folder().join("scripts");
    let entries = fs::read_dir(&folder).map_err(Error::io(folder.display().to_string()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let stems = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut areas: Vec<_> = stems.collect();
    areas.sort();
    Ok(areas)
}

/// The script of an area, without outcomes.
///
/// # Errors
/// It cannot be read or parsed.
pub fn load_script(area: &str) -> Result<Trace> {
    let path = folder().join("scripts").join(format!("{area}.txt"));
    let text = fs::read_to_string(&path).map_err(Error::io(path.display().to_string()))?;
    script::parse(area, &path, &text)
}

/// The recorded trace of an area.
///
/// # Errors
/// It cannot be read.
pub fn load_trace(area: &str) -> Result<Trace> {
    Trace::load(&folder().join(format!("{area}.json")))
}

/// Plays an area on a fresh server; returns it with the outcomes found.
///
/// # Errors
/// The server does not start, or a step makes no sense.
pub async fn play_fresh(trace: &Trace, binary: Option<&Path>) -> Result<Trace> {
    let options = Options::new(1)
        .binary(binary.map(Path::to_owned))
        .flags(&trace.server);
    let cluster = Cluster::start(options).await?;
    play(trace, &cluster.url(0)).await
}

/// Plays an area on the server at `url`, which must hold a fresh store.
///
/// # Errors
/// A step makes no sense.
pub async fn play(trace: &Trace, url: &str) -> Result<Trace> {
    let client = Client::new(cluster::channel(url)?);
    let mut player = Player::new(client, descriptors()?);
    let mut found = trace.clone();
    for step in &mut found.steps {
        step.outcome = match player.play(&step.action).await {
            Ok(outcome) => outcome,
            Err(error) => serde_json::json!({"failed": error.to_string()}),
        };
    }
    Ok(found)
}

/// Compares the outcomes of two plays of the same area.
#[must_use]
pub fn differences(expected: &Trace, found: &Trace) -> Vec<Difference> {
    let area = &expected.area;
    let pairs = expected.steps.iter().zip(&found.steps).enumerate();
    let differing = pairs.filter(|(_, (expected, found))| expected.outcome != found.outcome);
    differing
        .map(|(position, (expected, found))| Difference {
            area: area.clone(),
            step: expected.clone(),
            position,
            found: found.outcome.clone(),
        })
        .collect()
}
