//! Backend: the entry point, and what all its parts share.
//!
//! A `Backend` is a counted handle; the last one dropped stops the checkpoint
//! thread without a checkpoint, as a crash would, so that everything is tested
//! against that. `close` is the orderly end. `Shared` is what the writer, the
//! readers and the checkpoint thread have in common; its lock order is in the
//! header of the module.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use super::batch_transaction::{BatchTransaction, Changes};
use super::checkpoint::Checkpointer;
use super::checkpoint_thread::{Orders, Stop};
use super::cold::ColdStore;
use super::collect::Collector;
use super::config::{Config, Durability};
use super::digest::Digest;
use super::engine::OpenEngine;
use super::error::Error;
use super::export::Snapshot;
use super::page::PageMap;
use super::read_transaction::ReadTransaction;
use super::read_view::View;
use super::record::RecordInfo;
use super::recovery;
use super::segment::{Arena, SEGMENT_BYTES, Segment};
use super::space::{Sizes, Space};
use super::stage::Staging;
use super::state_directory::{Current, StateDirectory};
use super::table::Table;
use crate::base::revision::Revision;

/// A Raft log position that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// Log index.
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
}

impl From<(u64, u64)> for Applied {
    fn from((index, term): (u64, u64)) -> Self {
        Self { index, term }
    }
}

/// How far a version of the state goes: at start, or after a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Last Raft entry in it; `None` when nothing was ever applied.
    pub applied: Option<Applied>,
    /// Raft membership as of `applied`, opaque.
    pub membership: Option<Bytes>,
    /// Main revision of the store.
    pub revision: i64,
    /// Digest of everything applied.
    pub digest: Digest,
}

/// Storage of one member; cheap to clone.
#[derive(Debug, Clone)]
pub struct Backend {
    owner: Arc<Owner>,
}

/// Ends the checkpoint thread with the last handle.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Backend {
    /// Opens or creates the state in `config.directory`.
    ///
    /// An empty directory costs no engine: the first checkpoint creates it.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, is corrupt, or is not ours.
    pub fn open(config: Config, durability: Arc<dyn Durability>) -> Result<Self, Error> {
        let opener = config.engine.opener(config.engine_cache_bytes_max);
        Self::open_with(config, durability, opener)
    }

    /// As `open`, with engines from `opener`.
    pub(super) fn open_with(
        config: Config,
        durability: Arc<dyn Durability>,
        opener: Arc<dyn OpenEngine>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(config, durability, opener));
        let checkpointer = shared.recover()?;
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || checkpointer.run())
            .map_err(Error::io(
                "start the checkpoint thread for",
                shared.state.root(),
            ))?;
        Ok(Self {
            owner: Arc::new(Owner {
                shared,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// How far the state goes that is durable in the engine: after `open` what was
    /// recovered, later the last checkpoint or the last installed snapshot.
    pub fn recovered(&self) -> Recovered {
        self.shared().durable.lock().clone()
    }

    /// Calls `f` for every record in revision order, without values. Records that
    /// were discarded are left out, also those discarded before a restart.
    ///
    /// # Errors
    ///
    /// A key row could not be read or is corrupt.
    pub fn for_each_record_info(&self, f: &mut dyn FnMut(RecordInfo)) -> Result<(), Error> {
        let (view, dead) = {
            let mut collector = self.shared().collector.lock();
            (self.shared().view.load_full(), collector.dead_revisions())
        };
        view.for_each_record_info(&mut |info| {
            if !dead.contains(&info.revision) {
                f(info);
            }
        })
    }

    /// Begins the batch of one Raft entry; waits while another one is open.
    pub fn batch(&self) -> BatchTransaction {
        self.shared().batch()
    }

    /// Pins the current version for reading.
    pub fn read(&self) -> ReadTransaction {
        ReadTransaction::new(self.shared().view.load_full())
    }

    /// Pins the current version for sending it out.
    pub fn snapshot(&self) -> Snapshot {
        let mut collector = self.shared().collector.lock();
        let marks = collector.marks();
        let mut view = View::clone(&self.shared().view.load());
        view.tables = Arc::new(view.tables.with_marks(marks));
        Snapshot::new(Arc::new(view))
    }

    /// Begins to receive a state from another member.
    ///
    /// # Errors
    ///
    /// The engine for it cannot be created.
    pub fn stage(&self) -> Result<Staging, Error> {
        Staging::new(Arc::clone(self.shared()))
    }

    /// Switches to a received state in one step; the old one is dropped. No batch
    /// may be open. Blocks; read transactions made before keep the old state.
    ///
    /// # Errors
    ///
    /// The staging is incomplete or corrupt (nothing has changed), or the switch
    /// itself failed (see `failed`).
    pub fn install(&self, staging: Staging) -> Result<Recovered, Error> {
        let staged = staging.finish()?;
        self.shared().order_install(Box::new(staged))
    }

    /// Says that these records are dead: compaction superseded them.
    ///
    /// The decision (a compact revision row) must have been committed before.
    /// Repeating it is harmless; after a restart it must be repeated. The marks of
    /// one call become durable in one commit, and before anything they made
    /// droppable is gone.
    pub fn discard(&self, dead: &[Revision]) {
        let shared = self.shared();
        {
            let mut collector = shared.collector.lock();
            dead.iter()
                .for_each(|revision| collector.discard(*revision));
            shared.space.note_collector(&collector);
        }
        shared.note_garbage();
    }

    /// Whether records waiting for a checkpoint exceed `hot_bytes_max`.
    pub fn over_hot_limit(&self) -> bool {
        let shared = self.shared();
        shared.unwritten_bytes.load(Ordering::Acquire) > shared.config.hot_bytes_max
    }

    /// Waits until records waiting for a checkpoint are within `hot_bytes_max`.
    /// For the proposal path; apply never waits. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The checkpoint thread failed or was closed, so that they never will be.
    pub async fn wait_below_hot_limit(&self) -> Result<(), Error> {
        let shared = self.shared();
        loop {
            let changed = shared.below_hot_limit.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.over_hot_limit() {
                return Ok(());
            }
            shared.running()?;
            changed.await;
        }
    }

    /// Makes everything committed so far durable; resolves with what is. The
    /// order is given at once, whether or not the future is polled.
    ///
    /// # Errors
    ///
    /// The engine or the log failed, or the backend is closed.
    pub fn checkpoint(&self) -> impl Future<Output = Result<Recovered, Error>> + Send + use<> {
        let answer = self.shared().order_checkpoint();
        async { answer.await.unwrap_or(Err(Error::Closed)) }
    }

    /// Resolves when the backend can no longer make anything durable: the
    /// process must stop.
    pub async fn failed(&self) -> Error {
        let mut failure = self.shared().failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or(Error::Closed),
            Err(_) => Error::Closed,
        }
    }

    /// The failure `failed` would resolve with, if it happened.
    pub fn failure(&self) -> Option<Error> {
        self.shared().failure.borrow().clone()
    }

    /// Space taken and space needed, from counters and without a lock: asked for
    /// with every put.
    pub fn sizes(&self) -> Sizes {
        let shared = self.shared();
        let hot_bytes = shared.unwritten_bytes.load(Ordering::Relaxed) as u64;
        shared.space.sizes(hot_bytes)
    }

    /// Gives all reclaimable space back; reads and writes go on, but the engine
    /// may stall reads of cold records while it shrinks its files.
    ///
    /// # Errors
    ///
    /// As `checkpoint`.
    pub fn defragment(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let answer = self.shared().order_defragment();
        async { answer.await.unwrap_or(Err(Error::Closed)) }
    }

    /// Checkpoints what is committed and stops the checkpoint thread. Blocks.
    /// Reads still work; the engine closes with the last view.
    ///
    /// # Errors
    ///
    /// The last checkpoint failed, or an earlier one.
    pub fn close(&self) -> Result<(), Error> {
        self.owner.stop(Stop::AfterCheckpoint);
        self.failure().map_or(Ok(()), Err)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

impl Owner {
    fn stop(&self, stop: Stop) {
        self.shared.order_stop(stop);
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread was reported by its own hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop(Stop::AsIs);
    }
}

/// What the parts of one backend share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) durability: DurabilityHandle,
    pub(super) opener: Arc<dyn OpenEngine>,
    pub(super) state: StateDirectory,
    /// Number of the next state directory.
    next_generation: AtomicU64,
    /// The current version.
    pub(super) view: ArcSwap<View>,
    /// The writer's arena while no batch is open.
    writer: Mutex<Option<Arena>>,
    writer_returned: Condvar,
    pub(super) collector: Mutex<Collector>,
    /// Serialises publishers: the writer and the checkpoint thread.
    pub(super) publish: Mutex<Unwritten>,
    /// Memory of committed records that no checkpoint has written yet.
    pub(super) unwritten_bytes: AtomicUsize,
    /// Whether anything was committed since the last checkpoint began.
    pub(super) is_dirty: AtomicBool,
    /// Whether there may be space to give back.
    pub(super) has_garbage: AtomicBool,
    pub(super) orders: Mutex<Orders>,
    pub(super) ordered: Condvar,
    /// Set once, by the checkpoint thread.
    pub(super) failure: watch::Sender<Option<Error>>,
    pub(super) below_hot_limit: Notify,
    /// What the last commit of the engine made durable.
    pub(super) durable: Mutex<Recovered>,
    pub(super) space: Space,
}

/// The log's durability; opaque to `Debug`.
pub(super) struct DurabilityHandle(Arc<dyn Durability>);

impl std::fmt::Debug for DurabilityHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Durability")
    }
}

impl std::ops::Deref for DurabilityHandle {
    type Target = dyn Durability;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

/// What was published since the last checkpoint began.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    pub(super) changed_rows: BTreeSet<(Table, Bytes)>,
}

impl Shared {
    fn new(config: Config, durability: Arc<dyn Durability>, opener: Arc<dyn OpenEngine>) -> Self {
        let view = Arc::new(View::default());
        let collector = Collector::recovered(
            vec![],
            vec![],
            Revision::ZERO,
            &view.directory,
            Default::default(),
        );
        Self {
            state: StateDirectory::new(&config.directory),
            config,
            durability: DurabilityHandle(durability),
            opener,
            next_generation: AtomicU64::new(1),
            view: ArcSwap::new(view),
            writer: Mutex::new(Some(Arena::default())),
            writer_returned: Condvar::new(),
            collector: Mutex::new(collector),
            publish: Mutex::default(),
            unwritten_bytes: AtomicUsize::new(0),
            is_dirty: AtomicBool::new(false),
            // What an earlier run left is looked at like what this one makes.
            has_garbage: AtomicBool::new(true),
            orders: Mutex::default(),
            ordered: Condvar::new(),
            failure: watch::channel(None).0,
            below_hot_limit: Notify::new(),
            durable: Mutex::default(),
            space: Space::default(),
        }
    }

    /// Reads what `CURRENT` names, if there is one, and then removes everything else.
    fn recover(self: &Arc<Self>) -> Result<Checkpointer, Error> {
        let mut checkpointer = Checkpointer {
            shared: Arc::clone(self),
            cold: None,
            is_current: false,
            pages: PageMap::default(),
            next_id: 0,
            recycling: None,
            defragmentation: None,
            recycled_percent: 0,
            recycle_not_before: None,
        };
        if self.opener.is_volatile() {
            return Ok(checkpointer);
        }
        let Some(current) = self.state.read_current()? else {
            self.state.remove_all()?;
            return Ok(checkpointer);
        };
        let cold = Arc::new(self.open_cold_store(&current)?);
        let loaded = recovery::load(&cold)?;
        let found = loaded.meta.identity;
        if found != self.config.identity {
            return Err(Error::WrongDirectory {
                path: self.state.root().to_owned(),
                expected: self.config.identity,
                found,
            });
        }
        // Not before it is known that the state is whole.
        self.state.remove_others(current.generation)?;
        checkpointer.next_id = loaded.meta.next_id;
        checkpointer.is_current = true;
        checkpointer.pages = self.adopt(&cold, loaded);
        checkpointer.cold = Some(cold);
        Ok(checkpointer)
    }

    fn open_cold_store(&self, current: &Current) -> Result<ColdStore, Error> {
        if current.engine != self.opener.name() {
            return Err(Error::WrongEngine {
                path: self.state.root().to_owned(),
                expected: self.opener.name(),
                found: current.engine.clone(),
            });
        }
        self.next_generation
            .store(current.generation + 1, Ordering::Relaxed);
        let path = self.state.path(current.generation);
        let engine = self.opener.open(&path)?;
        let cache = self.config.block_cache_bytes_max;
        Ok(ColdStore::new(engine, path, current.generation, cache))
    }

    /// An empty engine in a new state directory, which goes with the last use of
    /// it unless it becomes the current one.
    pub(super) fn create_cold_store(&self) -> Result<ColdStore, Error> {
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        let path = self.state.path(generation);
        let engine = self.opener.create(&path)?;
        let cache = self.config.block_cache_bytes_max;
        let cold = ColdStore::new(engine, path, generation, cache);
        cold.set_obsolete(!self.opener.is_volatile());
        Ok(cold)
    }

    /// As `create_cold_store`, for the blocks of `other` under the same ids.
    pub(super) fn create_cold_store_beside(&self, other: &ColdStore) -> Result<ColdStore, Error> {
        Ok(self.create_cold_store()?.with_cache_of(other))
    }

    /// Fails when the checkpoint thread has ended.
    pub(super) fn running(&self) -> Result<(), Error> {
        self.orders.lock().ended().map_or(Ok(()), Err)
    }

    fn batch(self: &Arc<Self>) -> BatchTransaction {
        let mut writer = self.writer.lock();
        let arena = loop {
            match writer.take() {
                Some(arena) => break arena,
                None => self.writer_returned.wait(&mut writer),
            }
        };
        drop(writer);
        BatchTransaction::new(Arc::clone(self), arena, self.view.load_full())
    }

    /// Takes the writer's arena back from a batch that ended.
    pub(super) fn return_writer(&self, arena: Arena) {
        *self.writer.lock() = Some(arena);
        self.writer_returned.notify_one();
    }

    /// Makes the changes of one batch visible.
    pub(super) fn publish_changes(&self, changes: Changes) {
        let bytes: usize = changes
            .records
            .iter()
            .map(|record| record.memory_bytes())
            .sum();
        {
            let mut unwritten = self.publish.lock();
            let mut view = View::clone(&self.view.load());
            if let Some(first) = changes.records.first().map(|record| record.revision) {
                let is_room = |segment: &&Arc<Segment>| segment.bytes() < SEGMENT_BYTES;
                match view.segments.last().filter(is_room) {
                    Some(segment) => segment.append(changes.records.into_iter()),
                    None => {
                        let segment = Arc::new(Segment::new(first));
                        segment.append(changes.records.into_iter());
                        view.segments = view.segments.with(segment);
                    }
                }
            }
            view.revision = changes.revision;
            view.digest = changes.digest;
            view.applied = Some(changes.applied);
            view.membership = changes.membership.or(view.membership);
            view.tables = changes.tables;
            unwritten.changed_rows.extend(changes.changed_rows);
            self.unwritten_bytes.fetch_add(bytes, Ordering::AcqRel);
            self.view.store(Arc::new(view));
        }
        self.note_commit();
    }
}
