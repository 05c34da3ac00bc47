//! Reads a log that nobody writes to, as far as it goes, and changes nothing.
//!
//! Opening refuses a damaged log; this says where the damage is and keeps what
//! was read before it. That is a prefix of the stream: a truncation or a vote may
//! have followed, so such a log is worth what it shows and proves nothing about
//! what its member had promised.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::config::LogIdentity;
use crate::entry::Entry;
use crate::error::Error;
use crate::fetch::Plan;
use crate::log::Recovery;
use crate::metrics::Metrics;
use crate::recovery::{Files, Scan, open_file};
use crate::segment::{LOCK_FILE_NAME, Segment, read_header};
use crate::storage::{LockGuard, ReadOnlyStorage, Storage};
use crate::table::Table;

/// What could be read of a log. While it lives no member can open the log.
#[derive(Debug)]
pub struct Examination {
    identity: Option<LogIdentity>,
    recovery: Recovery,
    damage: Option<Error>,
    segments: BTreeMap<u64, Arc<Segment>>,
    table: Table,
    _lock: Box<dyn LockGuard>,
}

impl Examination {
    /// Reads the log in `directory`. A directory without segments is an empty log.
    ///
    /// # Errors
    /// The directory cannot be read, or a member has it open.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::open_on(&ReadOnlyStorage, directory)
    }

    /// The same on any storage.
    ///
    /// # Errors
    /// As [`Examination::open`].
    pub fn open_on(storage: &dyn Storage, directory: &Path) -> Result<Self, Error> {
        let path = directory.join(LOCK_FILE_NAME);
        let lock = storage.lock(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked { path },
            _ => Error::io("lock", &path, source),
        })?;
        let files = Files::list(storage, directory)?;
        let (sequences, mut damage) = files.contiguous(directory);
        let (mut identity, mut scan) = (None, Scan::default());
        let mut segments = BTreeMap::new();
        for sequence in sequences {
            let read = open(storage, directory, *sequence, identity).and_then(|(id, segment)| {
                identity = Some(id);
                scan.read_segment(&segment)?;
                Ok(segment)
            });
            match read {
                Ok(segment) => segments.insert(*sequence, segment),
                Err(error) => {
                    // What the scan took of it before the damage stays readable.
                    if let Ok((segment, _)) = open_file(storage, directory, *sequence) {
                        segments.insert(*sequence, Arc::new(segment));
                    }
                    damage = Some(error);
                    break;
                }
            };
        }
        let oldest = segments.values().next().map(|segment| &segment.path);
        let checked = oldest.map_or(Ok(()), |oldest| scan.check_first(oldest));
        let torn_tail = checked.and_then(|()| scan.torn_tail());
        let torn_tail = match torn_tail {
            Ok(torn_tail) => torn_tail.filter(|_| damage.is_none()),
            Err(error) => {
                damage.get_or_insert(error);
                None
            }
        };
        Ok(Self {
            identity,
            recovery: scan.recovery(torn_tail),
            damage,
            segments,
            table: scan.table,
            _lock: lock,
        })
    }

    /// Whose log it is; `None` if no segment says so.
    pub fn identity(&self) -> Option<LogIdentity> {
        self.identity
    }

    /// What opening it would find, up to the damage.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The first damage, with file and offset; `None` for a sound log.
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// Term of the entry `index`, if it is held.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.table.location(index).map(|location| location.term)
    }

    /// Reads entries from the start of `range`, as [`crate::Log::read`] does.
    ///
    /// # Errors
    /// As [`crate::Log::read`].
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let plan = Plan::of_segments(&self.table, &self.segments, &range, bytes_max)?;
        plan.execute(&Metrics::default())
    }
}

/// A segment of the log that `expected` owns, if that is known.
fn open(
    storage: &dyn Storage,
    directory: &Path,
    sequence: u64,
    expected: Option<LogIdentity>,
) -> Result<(LogIdentity, Arc<Segment>), Error> {
    let (segment, page) = open_file(storage, directory, sequence)?;
    let found = read_header(&segment.path, &page, sequence)?;
    match expected.filter(|expected| *expected != found) {
        None => Ok((found, Arc::new(segment))),
        Some(expected) => Err(Error::Identity {
            path: segment.path,
            expected,
            found,
        }),
    }
}
