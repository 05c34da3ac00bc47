//! One simulated member: a runtime of its own with its own clock, on a disk that a
//! crash leaves as it was synced.
//!
//! Dropping the runtime drops every task where it stands: that is the crash. The
//! clock of a member runs only when [`SimulatedMember::run`] is called, so it can
//! be stopped, and go faster or slower than that of others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quoin_raft::storage::{FaultyStorage, Loss, Storage};
use quoin_raft::{
    Blocking, Config, LeaderHandler, LogId, LogStore, Member, Node, Placement, StopReason,
    WalConfig,
};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Plant;
use super::disk::{self, LyingStorage, Pace};
use super::machine::{Cell, Machine, content};
use super::network::Network;
use super::oracle::Oracle;
use super::random::Random;
use super::record::Record;

/// What all members share.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) record: Record,
    pub(super) oracle: Oracle,
    pub(super) network: Network,
    pub(super) plant: Option<Plant>,
    /// Entries between two checkpoints, and kept below one.
    pub(super) snapshot_count: u64,
    pub(super) kept_entries_count: u64,
    pub(super) segment_bytes: u64,
    pub(super) cache_bytes_max: usize,
}

/// A member and what is its own.
pub(super) struct SimulatedMember {
    pub(super) id: u64,
    around: Surroundings,
    /// The first membership; empty for one that joins.
    founders: Vec<Member>,
    pub(super) storage: FaultyStorage,
    checkpoint: Cell,
    pub(super) pace: Pace,
    random: Random,
    dies_at: Option<u64>,
    /// Why it did not start.
    failed: Option<String>,
    /// While it runs.
    process: Option<Process>,
    /// It has been told that it is no member any more.
    pub(super) is_removed: bool,
    /// An image of the disk and the checkpoint from before, for a planted fault.
    old: Option<(FaultyStorage, super::machine::Image)>,
}

/// What a crash ends.
struct Process {
    started: Arc<Mutex<Option<Result<Node, String>>>>,
    node: Option<Node>,
    log: LogStore,
    live: Cell,
    runtime: Runtime,
    /// Where its clock is.
    clock: Instant,
    /// The last entry of its log that was compared.
    compared: Option<LogId>,
    led: u64,
}

struct Echo;

impl LeaderHandler for Echo {
    fn handle(&self, payload: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        async move { Ok(payload) }.boxed()
    }
}

/// How the cluster knows a member.
pub(super) fn identity(id: u64) -> Member {
    Member {
        id,
        name: format!("m{id}"),
        peer_urls: vec![format!("http://{}", Network::address(id))],
        is_learner: false,
    }
}

impl SimulatedMember {
    pub(super) fn new(
        id: u64,
        founders: Vec<Member>,
        around: Surroundings,
        mut random: Random,
    ) -> Self {
        Self {
            id,
            around,
            founders,
            storage: FaultyStorage::new(random.number()),
            checkpoint: Cell::default(),
            pace: Pace::default(),
            random,
            dies_at: None,
            failed: None,
            process: None,
            is_removed: false,
            old: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    fn config(&mut self) -> Config {
        let around = &self.around;
        let mut wal = WalConfig::new(PathBuf::from("/wal"));
        wal.segment_bytes = around.segment_bytes;
        let mut config = Config::new(self.id, 7, self.founders.clone(), wal);
        config.snapshot_count = around.snapshot_count;
        config.kept_entries_count = around.kept_entries_count;
        config.cache_bytes_max = around.cache_bytes_max;
        config.placement = Placement::CallersRuntime;
        let (pace, record) = (self.pace.clone(), around.record.clone());
        let random = Mutex::new(self.random.fork());
        let draw = move || pace.draw(record.now(), &mut random.lock());
        config.blocking = Blocking::InPlace(Arc::new(draw));
        config
    }

    /// Starts it on what its disk holds.
    pub(super) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        let (id, around) = (self.id, self.around.clone());
        around.record.note("start", &[id]);
        let config = self.config();
        match self.open(config) {
            Ok(process) => self.process = Some(process),
            Err(error) => around
                .record
                .violated(|| format!("member {id} does not start on its own disk: {error}")),
        }
    }

    fn open(&mut self, config: Config) -> Result<Process, String> {
        let (id, around) = (self.id, self.around.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        let mut storage: Arc<dyn Storage> = Arc::new(self.storage.clone());
        if around.plant == Some(Plant::LyingDisk) {
            storage = Arc::new(LyingStorage {
                storage: self.storage.clone(),
                random: Arc::new(Mutex::new(self.random.fork())),
            });
        }
        let waiting = Arc::new(tokio::sync::Notify::new());
        let wake = Arc::clone(&waiting);
        let opened = LogStore::open_pumped(storage, &config, move || wake.notify_one());
        let (log, pump) = opened.map_err(|error| error.to_string())?;
        let live = Cell::default();
        let machine = Machine {
            member: id,
            live: Arc::clone(&live),
            checkpoint: Arc::clone(&self.checkpoint),
            durable: log.durable(),
            oracle: around.oracle.clone(),
            plant: around.plant,
        };
        let machine = machine.open();
        let random = Arc::new(Mutex::new(self.random.fork()));
        let (pace, record) = (self.pace.clone(), around.record.clone());
        runtime.spawn(disk::work(id, pump, waiting, pace, random, record));
        let started = Arc::new(Mutex::new(None));
        let (result, store) = (Arc::clone(&started), log.clone());
        let access = Arc::new(around.network.join(id));
        runtime.spawn(async move {
            let node = Node::start_on(config, store, machine, access, Arc::new(Echo)).await;
            *result.lock() = Some(node.map_err(|error| error.to_string()));
        });
        let clock = runtime.block_on(async { Instant::now() });
        Ok(Process {
            started,
            node: None,
            log,
            live,
            runtime,
            clock,
            compared: None,
            led: 0,
        })
    }

    /// Ends it where it stands, and leaves its disk as `loss` says.
    pub(super) fn crash(&mut self, loss: Loss, is_silent: bool) {
        let Some(process) = self.process.take() else {
            return;
        };
        let fields = [self.id, loss as u64, u64::from(is_silent)];
        self.around.record.note("crash", &fields);
        self.around.network.leave(self.id, is_silent);
        let mut left = self.storage.after_crash(loss);
        (self.dies_at, self.failed) = (None, None);
        drop(process);
        if self.around.plant == Some(Plant::OldDisk) {
            let image = self.checkpoint.lock().clone();
            if let Some((disk, image)) = self.old.replace((left.clone(), image)) {
                left = disk;
                *self.checkpoint.lock() = image;
            }
            // The copy that is kept is a disk of its own.
            if let Some((disk, _)) = &mut self.old {
                *disk = copy(disk);
            }
        }
        self.storage = left;
    }

    /// Runs it for `milliseconds` of its own clock; if it was `stopped` before, its
    /// clock jumps instead.
    pub(super) fn run(&mut self, time: Duration, jumps: bool) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.clock += time;
        let (clock, runtime) = (process.clock, &process.runtime);
        if jumps {
            runtime.block_on(async { tokio::time::advance(time).await });
        } else {
            runtime.block_on(async { tokio::time::sleep_until(clock).await });
        }
        self.take_started();
    }

    fn take_started(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        match process.started.lock().take() {
            Some(Ok(node)) => process.node = Some(node),
            Some(Err(error)) => {
                self.around.record.note("unstarted", &[self.id]);
                self.failed = Some(error);
            }
            None => {}
        }
    }

    /// Its disk answers nothing but errors.
    pub(super) fn has_dead_disk(&self) -> bool {
        self.dies_at
            .is_some_and(|at| self.storage.operations_count() > at)
    }

    /// The disk fails at the operation with this ordinal, for good.
    pub(super) fn die_at(&mut self, operation: u64) {
        self.storage.die_at(operation);
        self.dies_at = Some(operation);
    }

    /// The last entry that its state covers, and would cover after a crash.
    pub(super) fn applied_index(&self) -> u64 {
        self.checkpoint.lock().index()
    }

    /// Does something on its runtime.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(process) = &self.process {
            process.runtime.spawn(work);
        }
    }

    /// Asks it to stop in order; its tasks need time for that.
    pub(super) fn shut_down(&self) {
        if let Some(process) = &self.process
            && let Some(node) = process.node.clone()
        {
            process.runtime.spawn(async move { node.shutdown().await });
        }
    }

    /// The running node and what its reads see.
    pub(super) fn node(&self) -> Option<(Node, Cell)> {
        let process = self.process.as_ref()?;
        Some((process.node.clone()?, Arc::clone(&process.live)))
    }

    /// Why it has stopped by itself.
    pub(super) fn stopped(&self) -> Option<StopReason> {
        if let Some(error) = &self.failed {
            return Some(StopReason::Fatal(format!("at the start: {error}")));
        }
        let (node, _) = self.node()?;
        if node.status().running {
            return None;
        }
        node.stopped().now_or_never()
    }

    pub(super) fn is_leader(&self) -> bool {
        self.node()
            .is_some_and(|(node, _)| node.watch_leader().borrow().is_leader)
    }

    /// Shows the oracle what is new in its log and whether it leads.
    pub(super) fn look(&mut self) {
        let (id, around) = (self.id, &self.around);
        let Some(process) = &mut self.process else {
            return;
        };
        let last = process.log.last();
        if last != process.compared {
            let applied = process.live.lock().applied.log_id.unwrap_or_default();
            // The disk may fail this on purpose.
            if let Ok(entries) = process.log.entries_from(applied.index + 1) {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(at, payload)| (*at, content(payload)))
                    .collect();
                let follows = entries
                    .first()
                    .is_some_and(|(at, _)| at.index == applied.index + 1);
                let before = (follows && applied.index > 0).then_some(applied.term);
                around.oracle.logged(id, before, &entries);
                process.compared = last;
            }
        }
        let Some(node) = &process.node else {
            return;
        };
        let leadership = *node.watch_leader().borrow();
        if leadership.is_leader && leadership.term != process.led {
            process.led = leadership.term;
            around.record.note("lead", &[id, leadership.term]);
            around.oracle.leads(id, leadership.term, last);
        }
    }
}

/// The same disk once more.
fn copy(disk: &FaultyStorage) -> FaultyStorage {
    let copy = FaultyStorage::new(0);
    for (path, content) in disk.files() {
        copy.overwrite(&path, &content);
    }
    copy
}
