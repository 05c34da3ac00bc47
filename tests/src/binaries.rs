//! Finds or builds the binaries under test.
//!
//! Cargo builds a package's binaries only for that package's own tests, so
//! the suites here run `cargo build` themselves, once per process and under a
//! file lock. Cargo itself decides whether anything is stale. The binaries of
//! another build are used with `QUOIN_BIN_DIR`; another server, given the
//! same flags, with `QUOIN_SERVER`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result};

/// The server binary, built first if necessary.
///
/// # Errors
/// It does not build or cannot be found.
pub fn quoin() -> Result<PathBuf> {
    match env::var_os("QUOIN_SERVER") {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(folder()?.join("quoin")),
    }
}

/// The command-line client, built first if necessary.
///
/// # Errors
/// It does not build or cannot be found.
pub fn quoinctl() -> Result<PathBuf> {
    Ok(folder()?.join("quoinctl"))
}

fn folder() -> Result<PathBuf> {
    static FOLDER: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| locate().map_err(|error| error.to_string()));
    folder.clone().map_err(Error::Build)
}

fn locate() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("QUOIN_BIN_DIR") {
        return Ok(PathBuf::from(folder));
    }
    let executable = env::current_exe().map_err(Error::io("own executable"))?;
    let mut folder = executable.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    build(folder)?;
    Ok(folder.to_owned())
}

/// Runs cargo for the profile whose output folder is `folder`.
fn build(folder: &Path) -> Result<()> {
    let lock = fs::File::create(folder.join(".quoin-tests.lock"));
    let lock = lock.map_err(Error::io("build lock"))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| Error::io("build lock")(error.into()))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    // The whole workspace, so that features unify as in a plain `cargo build`
    // and dependencies are not built a second time.
    command.args(["build", "--quiet", "--workspace", "--bins", "--target-dir"]);
    command.arg(folder.parent().unwrap_or(folder));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().map_err(Error::io("cargo build"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Build(
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}
