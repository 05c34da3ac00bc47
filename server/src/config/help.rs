//! The texts of `--help` and `--version` and after a syntax error.

use std::fmt::Write as _;

use super::API_VERSION;
use super::table::{SECTIONS, Support};

/// The short text after a syntax error and before the help.
pub fn usage_text() -> &'static str {
    "Usage:

  quoin [flags]
    Start a quoin server. Flags and ETCD_* variables are those of etcd.

  quoin --version
    Show the version.

  quoin -h | --help
    Show every flag.

  quoin --config-file
    Read the settings from a YAML file; other flags and variables are then ignored. Durations in
    the file are integers of nanoseconds.

  quoin local
    Start a cluster of several members on this machine to try things out.
"
}

/// The list of all flags.
pub fn help_text() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let _ = write!(text, "\n{}:\n", section.title);
        for flag in section.flags {
            let note = match flag.support {
                Support::Absent => " (not supported by quoin yet)",
                Support::Ineffective => " (accepted without effect)",
                Support::Honoured | Support::Silent => "",
            };
            let (name, default, help) = (flag.name, flag.default, flag.help);
            let _ = write!(text, "  --{name} '{default}'\n    {help}{note}\n");
        }
    }
    text
}

/// The lines of `--version`; tools parse the first as the API's version.
pub fn version_text() -> String {
    let own = crate::base::version::QUOIN;
    let (os, arch) = (std::env::consts::OS, go_arch());
    format!(
        "etcd Version: {API_VERSION}\nGit SHA: quoin {own}\nGo Version: none, this is quoin {own}\n\
         Go OS/Arch: {os}/{arch}\n"
    )
}

/// The machine's architecture in the words etcd's users know.
pub(super) fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
