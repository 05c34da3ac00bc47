//! The disk of a simulated member: when it works, and a disk that lies.
//!
//! What a crash leaves of it is `quoin_raft::storage::FaultyStorage`. Here is what
//! time it takes, and one planted fault: a sync that is answered and not done.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quoin_raft::Pump;
use quoin_raft::storage::{FaultyStorage, LockGuard, Storage, StorageFile};
use tokio::sync::Notify;

use super::random::Random;
use super::record::Record;

/// How quick a disk is. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    /// A write and its sync take from zero to so many milliseconds.
    latency_max: AtomicU64,
    /// Nothing is answered before this time.
    hangs_until: AtomicU64,
}

impl Pace {
    pub(super) fn set_latency(&self, latency_max: u64) {
        self.0.latency_max.store(latency_max, Ordering::Relaxed);
    }

    pub(super) fn hang_until(&self, until: u64) {
        self.0.hangs_until.store(until, Ordering::Relaxed);
    }

    /// How long an operation takes that begins now.
    pub(super) fn draw(&self, now: u64, random: &mut Random) -> Duration {
        let hangs = self.0.hangs_until.load(Ordering::Relaxed);
        let work = random.between(0, self.0.latency_max.load(Ordering::Relaxed));
        Duration::from_millis(hangs.saturating_sub(now) + work)
    }
}

/// Writes what waits in a log, in the time that the disk takes.
pub(super) async fn work(
    id: u64,
    pump: Pump,
    waiting: Arc<Notify>,
    pace: Pace,
    random: Arc<Mutex<Random>>,
    record: Record,
) {
    loop {
        while pump.begin() {
            let mut time = pace.draw(record.now(), &mut random.lock());
            // The disk may begin to hang while it works.
            while !time.is_zero() {
                tokio::time::sleep(time).await;
                time = match pace.0.hangs_until.load(Ordering::Relaxed) {
                    until if until > record.now() => Duration::from_millis(until - record.now()),
                    _ => Duration::ZERO,
                };
            }
            let is_done = pump.finish();
            record.note("disk", &[id, u64::from(is_done)]);
            if !is_done {
                return;
            }
        }
        waiting.notified().await;
    }
}

/// A planted fault: one sync in four is answered and not done.
#[derive(Clone, Debug)]
pub(super) struct LyingStorage {
    pub(super) storage: FaultyStorage,
    pub(super) random: Arc<Mutex<Random>>,
}

#[derive(Debug)]
struct LyingFile {
    file: Arc<dyn StorageFile>,
    random: Arc<Mutex<Random>>,
}

impl LyingStorage {
    fn lie(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let random = Arc::clone(&self.random);
        Arc::new(LyingFile { file, random })
    }
}

impl Storage for LyingStorage {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        self.storage.create_directory(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.storage.lock(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.storage.list(directory)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.lie(self.storage.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.lie(self.storage.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.storage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.storage.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.storage.sync_directory(directory)
    }
}

impl StorageFile for LyingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.random.lock().chance(250) {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}
