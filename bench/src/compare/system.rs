//! The two systems and where their binaries are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Result, flags::CompareFlags};

/// Where the reference server's build puts it, under the user's cache folder.
const CACHED_ETCD: &str = "quoin-peer/bin/etcd";

/// One of the systems compared.
#[derive(Clone, Debug)]
pub struct System {
    /// Its name in the report.
    pub name: &'static str,
    /// The first two lines it prints about its version.
    pub version: String,
    /// Its server binary.
    pub binary: PathBuf,
}

impl System {
    /// etcd and Quoin, in this order.
    ///
    /// # Errors
    /// A binary is not there or does not run.
    pub fn both(flags: &CompareFlags) -> Result<[Self; 2]> {
        let etcd = match &flags.etcd {
            Some(path) => path.clone(),
            None => find_etcd()?,
        };
        Ok([Self::new("etcd", etcd)?, Self::quoin(flags.quoin.clone())?])
    }

    /// Quoin: this binary, or the one that is built here.
    ///
    /// # Errors
    /// The binary is not there or does not run.
    pub fn quoin(binary: Option<PathBuf>) -> Result<Self> {
        let binary = binary.map_or_else(quoin_tests::binaries::quoin, Ok)?;
        Self::new("Quoin", binary)
    }

    fn new(name: &'static str, binary: PathBuf) -> Result<Self> {
        let what = format!("{} --version", binary.display());
        let output = Command::new(&binary).arg("--version").output();
        let output = output.map_err(Error::io(what))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(Self {
            name,
            version: text.lines().take(2).collect::<Vec<_>>().join(", "),
            binary,
        })
    }
}

/// The etcd in PATH, or else the cached build.
fn find_etcd() -> Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&folders).map(|folder| folder.join("etcd"));
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    let cached = cache.map(|cache| cache.join(CACHED_ETCD));
    let found = installed.chain(cached).find(|path| path.is_file());
    found.ok_or_else(|| Error::Flags("no etcd found; name one with --etcd PATH".to_owned()))
}
