//! Packing a data directory: what is preallocated is not stored.
//!
//! GNU tar finds the zeros and leaves holes in their place, so that a log whose
//! segments are made ahead packs into the bytes that were written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Result};

/// Packs `folder` (its content, not its name) into a `.tar.gz` file.
///
/// # Errors
/// tar is not there or fails.
pub fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args(["--sparse", "--hole-detection=raw", "--sort=name"]);
    command.args(["--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    command.arg("--use-compress-program=gzip -9n");
    command
        .arg("-cf")
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg(".");
    run(&mut command)
}

/// Unpacks an archive into `folder`, which is made.
///
/// # Errors
/// tar is not there or fails.
pub fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder.display().to_string()))?;
    let mut command = Command::new("tar");
    command.arg("-xzf").arg(archive).arg("-C").arg(folder);
    run(&mut command)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(Error::io("tar"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::malformed(PathBuf::from("tar"), text))
}
