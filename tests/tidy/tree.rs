//! The files of the repository, as git knows them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A tracked file with its text; binary files are left out.
pub(crate) struct File {
    /// Path from the root of the repository.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl File {
    /// True for Rust source that people write.
    pub(crate) fn is_source(&self) -> bool {
        self.path.ends_with(".rs") && !self.path.contains("/generated/")
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file that is tracked, or would be after `git add`.
pub(crate) fn files() -> Vec<File> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8(output.stdout).unwrap();
    let files = names.lines().filter_map(|path| {
        let text = fs::read_to_string(root().join(path)).ok()?;
        Some(File {
            path: path.to_owned(),
            text,
        })
    });
    let files: Vec<_> = files.collect();
    assert!(files.len() > 50, "found only {} files", files.len());
    files
}

/// Fails with all complaints at once.
pub(crate) fn none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n{}", complaints.join("\n"));
}
