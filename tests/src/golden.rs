//! Files that hold what was once seen.
//!
//! A golden file is compared as text and rewritten with `UPDATE=1`, so that a
//! change of behaviour is read as a diff in review.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The folder of stored test data of this package.
#[must_use]
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// True if golden files are to be rewritten (`UPDATE=1`).
#[must_use]
pub fn updating() -> bool {
    env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// Compares `found` with the file, or writes it when updating.
///
/// # Errors
/// They differ (the first differing line is named), or the file cannot be
/// used.
pub fn check(path: &Path, found: &str) -> Result<()> {
    if updating() {
        return write(path, found);
    }
    let expected = fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
    if expected == found {
        return Ok(());
    }
    let line = expected
        .lines()
        .zip(found.lines())
        .position(|(one, other)| one != other);
    let line = line.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    Err(Error::malformed(
        path,
        format!(
            "line {}: expected {:?}, found {:?}; rewrite with UPDATE=1",
            line + 1,
            expected.lines().nth(line).unwrap_or("end of file"),
            found.lines().nth(line).unwrap_or("end of output"),
        ),
    ))
}

/// Writes a golden file and the folders above it.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::io(folder.display().to_string()))?;
    }
    fs::write(path, text).map_err(Error::io(path.display().to_string()))
}
