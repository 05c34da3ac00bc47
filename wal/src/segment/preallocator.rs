//! Prepares the next segment ahead of the writer, and takes purged ones back.
//!
//! One background thread, so that the writer never creates, zeroes or renames.
//! A new file is zeroed at a pace (volumes slow every sync after a burst); a
//! purged segment is renamed to a spare and reused without zeroing. A segment
//! has its final name, a synced header and a synced directory entry before the
//! writer gets it. Any I/O failure here poisons the log.
//!
//! Order that recovery relies on: segments are retired oldest first, each
//! rename synced before the next and before the file is written again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{HEADER_BYTES, Name, Segment, encode_header};
use crate::config::Config;
use crate::error::Error;
use crate::metrics::{Metrics, add};
use crate::storage::{Storage, StorageFile};

/// Shared by the writer, which asks, and the thread, which delivers.
#[derive(Debug)]
pub(crate) struct Preallocator {
    storage: Arc<dyn Storage>,
    config: Config,
    metrics: Arc<Metrics>,
    plan: Mutex<Plan>,
    changed: Condvar,
    /// There is no thread: who needs a segment calls [`Self::work_off`].
    is_pumped: bool,
}

#[derive(Debug)]
struct Plan {
    /// Sequence of the next segment to prepare.
    next_sequence: u64,
    /// Prepared and not yet taken, in order.
    ready: VecDeque<Arc<Segment>>,
    /// The writer will soon need one.
    wanted: bool,
    /// The writer waits for one.
    urgent: bool,
    /// Numbers of spare files, at most `spare_segments_count`.
    spares: Vec<u64>,
    /// Purged segments to take back, oldest first.
    retired: VecDeque<Arc<Segment>>,
    failure: Option<Error>,
    stopping: bool,
}

impl Plan {
    fn next(&mut self) -> Option<Work> {
        if self.stopping {
            return Some(Work::Stop);
        }
        if self.wanted && self.ready.is_empty() {
            return Some(Work::Prepare {
                sequence: self.next_sequence,
                spare: self.spares.pop(),
            });
        }
        // A reader may still hold the oldest one; then it waits for the
        // next occasion, because order matters and nothing is urgent.
        let oldest = self.retired.front()?;
        if Arc::strong_count(oldest) > 1 {
            return None;
        }
        self.retired.pop_front().map(Work::Recycle)
    }
}

enum Work {
    Prepare { sequence: u64, spare: Option<u64> },
    Recycle(Arc<Segment>),
    Stop,
}

impl Preallocator {
    /// `ready` are empty segments found at open; `spares` spare files.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        config: Config,
        metrics: Arc<Metrics>,
        next_sequence: u64,
        ready: VecDeque<Arc<Segment>>,
        spares: Vec<u64>,
        is_pumped: bool,
    ) -> Self {
        let plan = Plan {
            next_sequence,
            ready,
            wanted: false,
            urgent: false,
            spares,
            retired: VecDeque::new(),
            failure: None,
            stopping: false,
        };
        Self {
            storage,
            config,
            metrics,
            plan: Mutex::new(plan),
            changed: Condvar::new(),
            is_pumped,
        }
    }

    /// Asks for a segment to be prepared unless one is ready.
    pub(crate) fn request(&self) {
        let mut plan = self.plan.lock();
        if plan.ready.is_empty() {
            plan.wanted = true;
            self.changed.notify_all();
        }
    }

    /// The next segment if it is ready.
    pub(crate) fn try_take(&self) -> Option<Arc<Segment>> {
        self.plan.lock().ready.pop_front()
    }

    /// The next segment, waiting for it.
    ///
    /// # Errors
    /// The failure of the background thread.
    pub(crate) fn take(&self) -> Result<Arc<Segment>, Error> {
        let mut plan = self.plan.lock();
        if plan.ready.is_empty() {
            add(&self.metrics.segment_waits, 1);
        }
        loop {
            if let Some(segment) = plan.ready.pop_front() {
                plan.urgent = false;
                return Ok(segment);
            }
            if let Some(failure) = &plan.failure {
                return Err(failure.clone());
            }
            if plan.stopping {
                return Err(Error::Closed);
            }
            plan.wanted = true;
            plan.urgent = true;
            if self.is_pumped {
                MutexGuard::unlocked(&mut plan, || self.work_off())?;
                continue;
            }
            self.changed.notify_all();
            self.changed.wait(&mut plan);
        }
    }

    /// Does on the calling thread what there is to do.
    ///
    /// # Errors
    /// I/O; it stays.
    pub(crate) fn work_off(&self) -> Result<(), Error> {
        loop {
            let next = self.plan.lock().next();
            let Some(work) = next else {
                return Ok(());
            };
            if let Some(done) = self.carry_out(work) {
                done?;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes back purged segments, oldest first.
    pub(crate) fn retire(&self, segments: Vec<Arc<Segment>>) {
        if segments.is_empty() {
            return;
        }
        self.plan.lock().retired.extend(segments);
        self.changed.notify_all();
    }

    /// Ends the thread; what it has not begun is done after the next open.
    pub(crate) fn stop(&self) {
        self.plan.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Body of the thread. Returns the failure that ended it, if any.
    pub(crate) fn run(&self) -> Option<Error> {
        loop {
            if let Err(error) = self.carry_out(self.next_work())? {
                return Some(error);
            }
        }
    }

    /// `None`: to stop.
    fn carry_out(&self, work: Work) -> Option<Result<(), Error>> {
        let done = match work {
            Work::Prepare { sequence, spare } => self.prepare(sequence, spare),
            Work::Recycle(segment) => self.recycle(segment),
            Work::Stop => return None,
        };
        if let Err(error) = &done {
            self.plan.lock().failure = Some(error.clone());
            self.changed.notify_all();
        }
        Some(done)
    }

    fn next_work(&self) -> Work {
        let mut plan = self.plan.lock();
        loop {
            if let Some(work) = plan.next() {
                return work;
            }
            self.changed.wait(&mut plan);
        }
    }

    fn prepare(&self, sequence: u64, spare: Option<u64>) -> Result<(), Error> {
        let segment = match spare {
            Some(number) => self.prepare_from_spare(sequence, number)?,
            None => {
                let length = self.config.segment_bytes;
                add(&self.metrics.segments_created, 1);
                create_segment(&*self.storage, &self.config, sequence, length, || {
                    self.pause()
                })?
            }
        };
        let mut plan = self.plan.lock();
        plan.next_sequence = sequence + 1;
        plan.wanted = false;
        plan.ready.push_back(Arc::new(segment));
        self.changed.notify_all();
        Ok(())
    }

    fn prepare_from_spare(&self, sequence: u64, number: u64) -> Result<Segment, Error> {
        let from = self
            .config
            .directory
            .join(Name::Spare(number).to_file_name());
        let opened = self.storage.open(&from);
        let file = opened.map_err(|source| Error::io("open", &from, source))?;
        write_header(&*file, &self.config, sequence, &from)?;
        sync(&*file, &self.config, &from)?;
        let extent = file
            .length()
            .map_err(|source| Error::io("size", &from, source))?;
        let path = rename(
            &*self.storage,
            &self.config,
            Name::Spare(number),
            Name::Segment(sequence),
        )?;
        add(&self.metrics.segments_recycled, 1);
        Ok(Segment::new(sequence, path, file, extent))
    }

    /// Waits between two chunks of zeros. False: stop zeroing, use it as it is.
    fn pause(&self) -> bool {
        if self.is_pumped {
            return true;
        }
        let mut plan = self.plan.lock();
        if !plan.urgent && !plan.stopping {
            self.changed.wait_for(&mut plan, self.config.zeroing_pause);
        }
        !plan.urgent && !plan.stopping
    }

    fn recycle(&self, segment: Arc<Segment>) -> Result<(), Error> {
        let sequence = segment.sequence;
        let reusable = segment.extent() == self.config.segment_bytes;
        let path = segment.path.clone();
        drop(segment);
        let has_room = self.plan.lock().spares.len() < self.config.spare_segments_count;
        if reusable && has_room {
            rename(
                &*self.storage,
                &self.config,
                Name::Segment(sequence),
                Name::Spare(sequence),
            )?;
            self.plan.lock().spares.push(sequence);
            return Ok(());
        }
        self.storage
            .remove(&path)
            .map_err(|source| Error::io("remove", &path, source))?;
        sync_directory(&*self.storage, &self.config)?;
        add(&self.metrics.segments_removed, 1);
        Ok(())
    }
}

/// Creates a segment of zeros. `keep_zeroing` is asked after every chunk but
/// the last; when it says no, the segment is used at the length it has.
///
/// # Errors
/// I/O.
pub(crate) fn create_segment(
    storage: &dyn Storage,
    config: &Config,
    sequence: u64,
    length: u64,
    keep_zeroing: impl Fn() -> bool,
) -> Result<Segment, Error> {
    let path = config
        .directory
        .join(Name::Unfinished(sequence).to_file_name());
    let created = storage.create(&path);
    let file = created.map_err(|source| Error::io("create", &path, source))?;
    write_header(&*file, config, sequence, &path)?;
    let zeros = vec![0; ZERO_CHUNK_BYTES];
    let mut extent = HEADER_BYTES;
    loop {
        let chunk = usize::try_from(length.saturating_sub(extent)).unwrap_or(usize::MAX);
        let bytes = zeros.get(..chunk.min(ZERO_CHUNK_BYTES)).unwrap_or_default();
        file.write_at(extent, bytes)
            .map_err(|source| Error::io("zero", &path, source))?;
        extent += bytes.len() as u64;
        sync(&*file, config, &path)?;
        if extent >= length || !keep_zeroing() {
            break;
        }
    }
    let path = rename(
        storage,
        config,
        Name::Unfinished(sequence),
        Name::Segment(sequence),
    )?;
    Ok(Segment::new(sequence, path, file, extent))
}

fn write_header(
    file: &dyn StorageFile,
    config: &Config,
    sequence: u64,
    path: &Path,
) -> Result<(), Error> {
    let header = encode_header(config.log_id, sequence);
    file.write_at(0, &header)
        .map_err(|source| Error::io("write the header of", path, source))
}

fn sync(file: &dyn StorageFile, config: &Config, path: &Path) -> Result<(), Error> {
    if config.unsafe_no_fsync {
        return Ok(());
    }
    file.sync_data()
        .map_err(|source| Error::io("sync", path, source))
}

fn rename(storage: &dyn Storage, config: &Config, from: Name, to: Name) -> Result<PathBuf, Error> {
    let from = config.directory.join(from.to_file_name());
    let to = config.directory.join(to.to_file_name());
    storage
        .rename(&from, &to)
        .map_err(|source| Error::io("rename", &from, source))?;
    sync_directory(storage, config)?;
    Ok(to)
}

fn sync_directory(storage: &dyn Storage, config: &Config) -> Result<(), Error> {
    if config.unsafe_no_fsync {
        return Ok(());
    }
    let synced = storage.sync_directory(&config.directory);
    synced.map_err(|source| Error::io("sync directory", &config.directory, source))
}

/// Zeros written at once; one pause per chunk.
const ZERO_CHUNK_BYTES: usize = 1 << 20;
