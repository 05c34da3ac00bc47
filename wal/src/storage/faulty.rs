//! `Storage` that fails on schedule and loses power: the hostile disk for tests.
//!
//! Every operation is counted; one can be made to fail, alone or with all that
//! follow (the process or the machine dies in the middle of it, a write then
//! lands in part). The disk may be small, and full, and it may hang: no answer to
//! anything until it is told to go on. `after_crash` gives the disk
//! as found after power loss: what was synced, plus what the loss mode leaves of
//! the rest, in 512 byte sectors. Names are an ordered journal of which a prefix
//! survives, as on ext4.
//! Chances come from a seed, so a failing run can be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::memory::{copy_in, copy_out};
use super::{LockGuard, Storage, StorageFile, names_in};

/// A disk in memory that misbehaves. Clones share it.
#[derive(Clone, Debug)]
pub struct FaultyStorage(Arc<Device>);

#[derive(Debug, Default)]
struct Device {
    disk: Mutex<Disk>,
    /// The disk answers again.
    answers: Condvar,
}

/// What power loss does to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They are gone.
    Drop,
    /// They are all there (only the process died).
    Keep,
    /// Each sector is there or not, at random.
    Mix,
}

#[derive(Debug, Default)]
struct Disk {
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// Name changes since the last directory sync: a path and its new file.
    journal: Vec<Vec<(PathBuf, Option<usize>)>>,
    files: Vec<Image>,
    locked: BTreeSet<PathBuf>,
    /// Bytes of all files together; `None` is endless.
    bytes_max: Option<usize>,
    /// Nothing is answered.
    hangs: bool,
    operations_count: u64,
    fail_at: Option<u64>,
    dead_from: Option<u64>,
    random: u64,
}

#[derive(Clone, Debug, Default)]
struct Image {
    content: Vec<u8>,
    synced: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
struct Handle {
    storage: FaultyStorage,
    file: usize,
}

#[derive(Debug)]
struct Lock {
    storage: FaultyStorage,
    path: PathBuf,
}

impl FaultyStorage {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        Self::of(Disk {
            random: seed,
            ..Disk::default()
        })
    }

    fn of(disk: Disk) -> Self {
        Self(Arc::new(Device {
            disk: Mutex::new(disk),
            answers: Condvar::new(),
        }))
    }

    /// Answers nothing from now on, or goes on.
    pub fn hang(&self, hangs: bool) {
        self.0.disk.lock().hangs = hangs;
        self.0.answers.notify_all();
    }

    /// Operations so far: every call on the storage or its files but `lock`.
    pub fn operations_count(&self) -> u64 {
        self.0.disk.lock().operations_count
    }

    /// Makes the operation with this ordinal (from 0) fail, once.
    pub fn fail_at(&self, operation: u64) {
        self.0.disk.lock().fail_at = Some(operation);
    }

    /// Makes the operation with this ordinal (from 0) and all later ones fail.
    pub fn die_at(&self, operation: u64) {
        self.0.disk.lock().dead_from = Some(operation);
    }

    /// Bounds the bytes of all files together; `None` takes the bound away. A
    /// write for which there is no room lands in part and fails.
    pub fn limit_bytes(&self, bytes_max: Option<usize>) {
        self.0.disk.lock().bytes_max = bytes_max;
    }

    /// Bytes of all files together.
    pub fn used_bytes(&self) -> usize {
        self.0.disk.lock().used_bytes()
    }

    /// Makes every operation from now on fail.
    pub fn die(&self) {
        let mut disk = self.0.disk.lock();
        disk.dead_from = Some(disk.operations_count);
    }

    /// The disk after power loss, without faults. The old one is dead.
    pub fn after_crash(&self, loss: Loss) -> Self {
        self.die();
        let mut disk = self.0.disk.lock();
        let changes_count = disk.journal.len();
        let kept_count = match loss {
            Loss::Drop => 0,
            Loss::Keep => changes_count,
            Loss::Mix => disk.chance(changes_count as u64 + 1),
        };
        let mut names = disk.synced_names.clone();
        for (path, file) in disk.journal.iter().take(kept_count).flatten() {
            set_name(&mut names, path, *file);
        }
        let mut files = Vec::new();
        for mut image in disk.files.clone() {
            image.lose(loss, &mut disk);
            files.push(image);
        }
        let random = disk.next_random();
        let synced_names = names.clone();
        Self::of(Disk {
            names,
            synced_names,
            files,
            random,
            ..Disk::default()
        })
    }

    /// All files with their content, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let disk = self.0.disk.lock();
        let content = |file: &usize| disk.files.get(*file).map(|image| image.content.clone());
        disk.names
            .iter()
            .filter_map(|(path, file)| Some((path.clone(), content(file)?)))
            .collect()
    }

    /// Replaces a file's content, durably, or creates the file.
    pub fn overwrite(&self, path: &Path, content: &[u8]) {
        let mut disk = self.0.disk.lock();
        let image = Image {
            content: content.to_vec(),
            synced: content.to_vec(),
            dirty: BTreeSet::new(),
        };
        let file = disk.files.len();
        disk.files.push(image);
        disk.names.insert(path.to_path_buf(), file);
        disk.synced_names.insert(path.to_path_buf(), file);
    }

    /// Counts an operation; `Err` if it is scheduled to fail.
    fn begin(&self) -> io::Result<parking_lot::MutexGuard<'_, Disk>> {
        let mut disk = self.0.disk.lock();
        while disk.hangs {
            self.0.answers.wait(&mut disk);
        }
        let ordinal = disk.operations_count;
        disk.operations_count += 1;
        let is_dead = disk.dead_from.is_some_and(|from| ordinal >= from);
        if is_dead || disk.fail_at == Some(ordinal) {
            return Err(io::Error::other(format!(
                "scheduled failure of operation {ordinal}"
            )));
        }
        Ok(disk)
    }
}

impl Disk {
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    fn chance(&mut self, bound: u64) -> usize {
        usize::try_from(self.next_random() % bound.max(1)).unwrap_or(0)
    }

    fn used_bytes(&self) -> usize {
        let files = self.names.values().filter_map(|file| self.files.get(*file));
        files.map(|image| image.content.len()).sum()
    }

    /// How many bytes of a write at `offset` of this file find room.
    fn room(&self, file: usize, offset: u64, length: usize) -> usize {
        let Some(bytes_max) = self.bytes_max else {
            return length;
        };
        let held = self.files.get(file).map_or(0, |image| image.content.len());
        let free = bytes_max.saturating_sub(self.used_bytes());
        let end_max = held.saturating_add(free);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        length.min(end_max.saturating_sub(start))
    }

    fn change_names(&mut self, changes: Vec<(PathBuf, Option<usize>)>) {
        for (path, file) in &changes {
            set_name(&mut self.names, path, *file);
        }
        self.journal.push(changes);
    }
}

impl Image {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        copy_in(&mut self.content, offset, bytes);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.dirty
            .extend(start / SECTOR_BYTES..(start + bytes.len()).div_ceil(SECTOR_BYTES));
    }

    fn sync(&mut self) {
        self.synced.resize(self.content.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            copy_sector(&self.content, &mut self.synced, sector);
        }
    }

    /// Leaves what survives power loss, now as synced content.
    fn lose(&mut self, loss: Loss, disk: &mut Disk) {
        let mut dirty = std::mem::take(&mut self.dirty);
        match loss {
            Loss::Drop => dirty.clear(),
            Loss::Keep => {}
            Loss::Mix => dirty.retain(|_| disk.chance(2) == 1),
        }
        let keeps_length = loss == Loss::Keep || loss == Loss::Mix && disk.chance(2) == 1;
        if keeps_length {
            self.synced.resize(self.content.len(), 0);
        }
        for sector in dirty {
            copy_sector(&self.content, &mut self.synced, sector);
        }
        self.content = self.synced.clone();
    }
}

impl Storage for FaultyStorage {
    fn create_directory(&self, _directory: &Path) -> io::Result<()> {
        self.begin().map(drop)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        if !self.0.disk.lock().locked.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock {
            storage: self.clone(),
            path: path.to_path_buf(),
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        Ok(names_in(self.begin()?.names.keys(), directory))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.begin()?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = disk.files.len();
        disk.files.push(Image::default());
        disk.change_names(vec![(path.to_path_buf(), Some(file))]);
        Ok(Arc::new(Handle {
            storage: self.clone(),
            file,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = *self
            .begin()?
            .names
            .get(path)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Handle {
            storage: self.clone(),
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.begin()?;
        let file = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.change_names(vec![
            (from.to_path_buf(), None),
            (to.to_path_buf(), Some(file)),
        ]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.begin()?;
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change_names(vec![(path.to_path_buf(), None)]);
        Ok(())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        let mut disk = self.begin()?;
        disk.journal.clear();
        disk.synced_names = disk.names.clone();
        Ok(())
    }
}

impl StorageFile for Handle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = self.storage.begin()?;
        let content = disk
            .files
            .get(self.file)
            .map(|image| image.content.as_slice());
        Ok(copy_out(content.unwrap_or_default(), offset, buffer))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let begun = self.storage.begin().map(drop);
        let mut disk = self.storage.0.disk.lock();
        let is_last = disk
            .dead_from
            .is_some_and(|from| from + 1 == disk.operations_count);
        let room = disk.room(self.file, offset, bytes.len());
        let count = match &begun {
            Ok(()) => room,
            // The operation the machine dies in lands in part; later ones, and
            // one that merely fails, not at all.
            Err(_) if is_last => disk.chance(bytes.len() as u64 + 1),
            Err(_) => 0,
        };
        if let Some(image) = disk.files.get_mut(self.file) {
            image.write(offset, bytes.get(..count).unwrap_or_default());
        }
        if room < bytes.len() {
            return begun.and(Err(io::ErrorKind::StorageFull.into()));
        }
        begun
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.storage.begin()?;
        if let Some(image) = disk.files.get_mut(self.file) {
            image.sync();
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let disk = self.storage.begin()?;
        Ok(disk
            .files
            .get(self.file)
            .map_or(0, |image| image.content.len() as u64))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.storage.0.disk.lock().locked.remove(&self.path);
    }
}

impl LockGuard for Lock {}

fn set_name(names: &mut BTreeMap<PathBuf, usize>, path: &Path, file: Option<usize>) {
    match file {
        Some(file) => names.insert(path.to_path_buf(), file),
        None => names.remove(path),
    };
}

fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR_BYTES;
    let end = (start + SECTOR_BYTES).min(from.len()).min(to.len());
    if let (Some(source), Some(target)) = (from.get(start..end), to.get_mut(start..end)) {
        target.copy_from_slice(source);
    }
}

/// Unit in which a write survives or not: smaller than the page that file
/// systems write, so the tests are harsher than the disk.
const SECTOR_BYTES: usize = 512;
