//! Which state directory is the current one.
//!
//! An engine lives in `state-<n>` below the backend's directory; the file
//! `CURRENT` names it together with the engine's kind. It is written beside and
//! renamed, after the engine's first commit: creation and the installation of a
//! snapshot both become true in that one rename, and a `state-<n>` it does not
//! name is rubbish of an interrupted one. Bytes: docs/formats/backend.md.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::engine::EngineKind;
use super::error::Error;

/// The backend's directory.
#[derive(Debug)]
pub(super) struct StateDirectory {
    root: PathBuf,
}

/// What `CURRENT` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    /// Kind of the engine.
    pub(super) engine: String,
    /// Number of the state directory.
    pub(super) generation: u64,
}

impl StateDirectory {
    /// Names the directory; touches nothing.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where state number `generation` lives.
    pub(super) fn path(&self, generation: u64) -> PathBuf {
        self.root.join(format!("{STATE_PREFIX}{generation}"))
    }

    /// Creates the directory if need be and reads `CURRENT`, `None` if there is none.
    ///
    /// # Errors
    ///
    /// The directory cannot be read or made, or the file is damaged.
    pub(super) fn read_current(&self) -> Result<Option<Current>, Error> {
        fs::create_dir_all(&self.root).map_err(Error::io("create", &self.root))?;
        let path = self.root.join(CURRENT);
        match fs::read_to_string(&path) {
            Ok(text) => Current::parse(&text, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(corrupt(&path, "not text"))
            }
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Makes `current` the current state, durably and in one step.
    ///
    /// # Errors
    ///
    /// A file operation failed; either state may be the current one.
    pub(super) fn write_current(&self, current: &Current) -> Result<(), Error> {
        let beside = self.root.join(CURRENT_NEW);
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(current.to_text().as_bytes())?;
            file.sync_all()
        };
        write().map_err(Error::io("write", &beside))?;
        let path = self.root.join(CURRENT);
        fs::rename(&beside, &path).map_err(Error::io("rename", &path))?;
        sync_directory(&self.root)
    }

    /// Removes every state directory but the current one, once its name is durable:
    /// an earlier start may have failed to see to that.
    ///
    /// # Errors
    ///
    /// A directory cannot be synced, listed or removed.
    pub(super) fn remove_others(&self, current: u64) -> Result<(), Error> {
        sync_directory(&self.root)?;
        self.remove(Some(self.path(current)))
    }

    /// Removes every state directory.
    ///
    /// # Errors
    ///
    /// A directory cannot be listed or removed.
    pub(super) fn remove_all(&self) -> Result<(), Error> {
        self.remove(None)
    }

    fn remove(&self, kept: Option<PathBuf>) -> Result<(), Error> {
        for entry in fs::read_dir(&self.root).map_err(Error::io("list", &self.root))? {
            let path = entry.map_err(Error::io("list", &self.root))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with(STATE_PREFIX) && Some(&path) != kept.as_ref() {
                fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

impl Current {
    fn to_text(&self) -> String {
        let body = format!(
            "{MAGIC} {FORMAT}\nengine {}\nstate {}\n",
            self.engine, self.generation
        );
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}crc32 {checksum:08x}\n")
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut words = text
            .lines()
            .map(|line| line.split_once(' ').unwrap_or_default());
        let mut next = |name: &str| match words.next() {
            Some((found, value)) if found == name => Ok(value),
            _ => Err(corrupt(path, "a line is missing")),
        };
        let format = next(MAGIC)?
            .parse()
            .map_err(|_| corrupt(path, "no format version"))?;
        if format != FORMAT {
            return Err(Error::UnsupportedFormat {
                path: path.to_owned(),
                found: format,
                supported: FORMAT,
            });
        }
        let engine = next("engine")?.to_owned();
        let generation = next("state")?
            .parse()
            .map_err(|_| corrupt(path, "no state number"))?;
        let current = Self { engine, generation };
        if current.to_text() != text {
            return Err(corrupt(path, "checksum mismatch"));
        }
        Ok(current)
    }
}

fn corrupt(path: &Path, reason: &str) -> Error {
    Error::Corrupt {
        path: path.to_owned(),
        table: "current",
        key: CURRENT.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Which engine the state below `directory` was made with; `None` where there is
/// no state.
///
/// # Errors
///
/// `CURRENT` cannot be read, is damaged, or names an engine that is unknown.
pub(crate) fn engine_in(directory: &Path) -> Result<Option<EngineKind>, Error> {
    let Some(current) = StateDirectory::new(directory).read_current()? else {
        return Ok(None);
    };
    let kind = EngineKind::from_name(&current.engine);
    let unknown = || Error::Corrupt {
        path: directory.join(CURRENT),
        table: "current",
        key: CURRENT.to_owned(),
        reason: format!("engine {} is unknown", current.engine),
    };
    kind.ok_or_else(unknown).map(Some)
}

/// Makes the entries of a directory durable.
///
/// # Errors
///
/// The directory cannot be opened or synced.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("sync", path))
}

/// Bytes that the files below `path` take on disk; unreadable ones count nothing.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * STAT_BLOCK_BYTES,
        Err(_) => 0,
    };
    entries.flatten().map(of_entry).sum()
}

const CURRENT: &str = "CURRENT";
const CURRENT_NEW: &str = "CURRENT.new";
const STATE_PREFIX: &str = "state-";
const MAGIC: &str = "quoin-backend";
/// Version of everything below the directory.
pub(crate) const FORMAT: u32 = 1;
/// Unit of `st_blocks`, whatever the file system's block size.
const STAT_BLOCK_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_survives_writing_and_any_changed_byte_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let directory = StateDirectory::new(root.path());
        assert_eq!(directory.read_current().unwrap(), None);
        let current = Current {
            engine: "redb".to_owned(),
            generation: 7,
        };
        directory.write_current(&current).unwrap();
        assert_eq!(directory.read_current().unwrap(), Some(current));
        let path = root.path().join(CURRENT);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(directory.read_current().is_err(), "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(directory.read_current().is_err(), "cut at {at}");
        }
    }
}
