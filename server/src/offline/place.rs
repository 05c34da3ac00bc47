//! Where a new directory is written until it is complete.
//!
//! The data directory itself may be a mount point and so cannot be renamed; what
//! is renamed is `member.partial` in it, to `member`. A log on a disk of its own is
//! written in place, beside a file `PARTIAL` that says so until it is complete.
//! What an interrupted run left is removed by the next one. Two at a time are
//! kept apart by a lock on `member.partial`.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::error::OfflineError;

/// The member directory under its temporary name.
#[derive(Debug)]
pub(super) struct MemberPlace {
    data: PathBuf,
    path: PathBuf,
    /// Whether the data directory was made here.
    is_ours: bool,
    /// Held until it is complete.
    lock: Option<File>,
}

impl MemberPlace {
    /// Claims a data directory that is empty or absent.
    pub(super) fn claim(data: &Path) -> Result<Self, OfflineError> {
        let taken = || OfflineError::NotEmpty {
            flag: "data-dir",
            path: data.to_owned(),
        };
        let found = names(data).map_err(|_| taken())?;
        if found.iter().flatten().any(|name| name != PARTIAL_MEMBER) {
            return Err(taken());
        }
        let path = data.join(PARTIAL_MEMBER);
        make_directory(&path)?;
        let lock = File::open(&path).map_err(OfflineError::io("open", &path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let path = data.to_owned();
            return Err(OfflineError::Busy { path });
        }
        empty(&path).map_err(OfflineError::io("empty", &path))?;
        Ok(Self {
            data: data.to_owned(),
            path,
            is_ours: found.is_none(),
            lock: Some(lock),
        })
    }

    /// Where to write for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything durable, then gives it its name.
    pub(super) fn publish(mut self) -> Result<(), OfflineError> {
        sync_tree(&self.path).map_err(OfflineError::io("sync", &self.path))?;
        let renamed = fs::rename(&self.path, self.data.join("member"));
        renamed.map_err(OfflineError::io("rename", &self.path))?;
        // From here on there is nothing to remove.
        self.lock = None;
        sync(&self.data)?;
        sync(parent(&self.data))
    }
}

impl Drop for MemberPlace {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // What stays is removed by the next run.
        let _ = fs::remove_dir_all(&self.path);
        if self.is_ours {
            let _ = fs::remove_dir(&self.data);
        }
    }
}

/// A directory of the log outside the data directory.
#[derive(Debug)]
pub(super) struct LogPlace {
    path: PathBuf,
    is_complete: bool,
}

impl LogPlace {
    /// Claims a log directory that is empty or absent.
    pub(super) fn claim(path: &Path) -> Result<Self, OfflineError> {
        let taken = || OfflineError::NotEmpty {
            flag: "wal-dir",
            path: path.to_owned(),
        };
        let found = names(path).map_err(|_| taken())?.unwrap_or_default();
        if !found.is_empty() && !found.iter().any(|name| name == PARTIAL_LOG) {
            return Err(taken());
        }
        make_directory(path)?;
        let mark = path.join(PARTIAL_LOG);
        let marked = File::create(&mark).and_then(|file| file.sync_all());
        marked.map_err(OfflineError::io("write", &mark))?;
        sync(path)?;
        // The mark goes last and comes first.
        for name in found.iter().filter(|name| *name != PARTIAL_LOG) {
            let path = path.join(name);
            fs::remove_file(&path).map_err(OfflineError::io("remove", path))?;
        }
        Ok(Self {
            path: path.to_owned(),
            is_complete: false,
        })
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything durable, then takes the mark away.
    pub(super) fn publish(mut self) -> Result<(), OfflineError> {
        sync_tree(&self.path).map_err(OfflineError::io("sync", &self.path))?;
        let mark = self.path.join(PARTIAL_LOG);
        fs::remove_file(&mark).map_err(OfflineError::io("remove", mark))?;
        self.is_complete = true;
        sync(&self.path)?;
        sync(parent(&self.path))
    }
}

impl Drop for LogPlace {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = empty(&self.path);
        }
    }
}

/// As the server makes its own: for its user alone.
pub(super) fn make_directory(path: &Path) -> Result<(), OfflineError> {
    let mut builder = fs::DirBuilder::new();
    let created = builder.recursive(true).mode(0o700).create(path);
    created.map_err(OfflineError::io("create", path))
}

/// What is in a directory; `None` when there is none.
fn names(directory: &Path) -> io::Result<Option<Vec<String>>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect::<io::Result<_>>().map(Some)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes what is in a directory.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the names in a directory durable.
fn sync(directory: &Path) -> Result<(), OfflineError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(OfflineError::io("sync", directory))
}

/// Syncs every file and directory below and including `path`.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(path)?.sync_all()
}

/// Name of a member directory in the making.
const PARTIAL_MEMBER: &str = "member.partial";
/// File that says that a log is not complete.
const PARTIAL_LOG: &str = "PARTIAL";
