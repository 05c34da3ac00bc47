//! The command-line tools of both, run to their end.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::fill::ROOT_PASSWORD;
use crate::{Error, Result, binaries};

/// Where the tools are.
#[derive(Debug)]
pub(super) struct Tools {
    etcdctl: PathBuf,
    etcdutl: PathBuf,
    quoinctl: PathBuf,
}

impl Tools {
    pub(super) fn new(etcdctl: &Path, etcdutl: &Path) -> Result<Self> {
        Ok(Self {
            etcdctl: etcdctl.to_owned(),
            etcdutl: etcdutl.to_owned(),
            quoinctl: binaries::quoinctl()?,
        })
    }

    /// What etcdctl prints. It signs in as root, which servers without
    /// authentication ignore.
    pub(super) fn ctl(&self, endpoints: &[String], line: &[&str]) -> Result<String> {
        let endpoints = format!("--endpoints={}", endpoints.join(","));
        let mut arguments = vec![endpoints.as_str()];
        arguments.extend(line);
        let open = run(&self.etcdctl, &arguments);
        if open.is_ok() {
            return open;
        }
        let user = format!("--user=root:{ROOT_PASSWORD}");
        arguments.insert(0, &user);
        run(&self.etcdctl, &arguments)
    }

    pub(super) fn utl(&self, line: &[&str]) -> Result<String> {
        run(&self.etcdutl, line)
    }

    pub(super) fn quoinctl(&self, line: &[&str]) -> Result<String> {
        run(&self.quoinctl, line)
    }

    /// Users with their roles, and roles with their permissions, as text.
    pub(super) fn auth(&self, endpoints: &[String]) -> Result<String> {
        let mut text = String::new();
        for (list, get) in [("user", "user"), ("role", "role")] {
            let names = self.ctl(endpoints, &[list, "list"])?;
            for name in names.lines() {
                text.push_str(&self.ctl(endpoints, &[get, "get", name])?);
            }
        }
        // Its revision, without the header, which is the cluster's.
        let status = self.ctl(endpoints, &["auth", "status"])?;
        Ok(text + &status)
    }
}

fn run(tool: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(tool).args(arguments).output();
    let output = output.map_err(Error::io(tool.display().to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let problem = format!(
        "{}: {}{}",
        arguments.join(" "),
        output.status,
        text(&output.stderr)
    );
    Err(Error::malformed(tool, problem))
}

/// Compares two texts.
pub(super) fn same(what: &str, expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let problem = format!("differs\n--- expected\n{expected}\n--- found\n{found}");
    Err(Error::malformed(what, problem))
}
