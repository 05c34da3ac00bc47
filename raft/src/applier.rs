//! Adapts the server's state machine to openraft: order, batches, responders.
//!
//! Runs in openraft's worker task on the raft thread, strictly serial. Apply
//! goes to the state machine in turns of what is ready, bounded in time so that
//! heartbeats go on; an entry that is long by itself goes to a blocking thread,
//! and the worker waits for it. Responders are completed after the turn, so a
//! completed proposal is visible to local reads. A checkpoint is what openraft
//! calls "building a snapshot": only its position is used, to know how far the
//! log may be purged.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use openraft::{Instant, RaftSnapshotBuilder, Snapshot};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::blocking::Blocking;
use crate::core::Core;
use crate::error::{ReplaceError, StateMachineError, StopReason};
use crate::log_store::entry_codec;
use crate::repair;
use crate::shared::{Shared, members_of, removed_between};
use crate::snapshot::{Pinned, Pins, sink_closed_off_thread, source_closed_off_thread};
use crate::state_machine::{
    Applied, Committed, Payload, SnapshotSink, SnapshotSource, StateMachine,
};
use crate::types::{
    Entry, LogId, Membership, SnapshotMeta, StoredMembership, Tag, TypeConfig, hidden, shown,
};

/// The data of a snapshot, by where it is.
pub(crate) enum SnapshotData {
    /// A checkpoint: only its position matters.
    Checkpoint,
    /// On its way out.
    Outgoing(Arc<Pinned>),
    /// Received completely.
    Incoming(Box<dyn SnapshotSink>),
}

/// openraft's state machine around the server's.
pub(crate) struct Applier<S> {
    machine: Arc<Mutex<S>>,
    shared: Arc<Shared>,
    membership: Arc<Membership>,
    /// What the last checkpoint holds.
    durable: Arc<Mutex<Applied>>,
    control: Arc<ApplierControl>,
    pins: Arc<Pins>,
    pace: CheckpointPace,
    applied_since: u64,
    applied_bytes_since: u64,
    blocking: Blocking,
    /// The state was replaced: it has the effects of entries up to here, which
    /// openraft has yet to hand over.
    installed: Option<u64>,
}

/// When a checkpoint is due, so that the log can be purged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointPace {
    /// After so many entries.
    pub(crate) entries: u64,
    /// After so many bytes of entries.
    pub(crate) bytes: u64,
}

/// The applier's side doors.
#[derive(Debug, Default)]
pub(crate) struct ApplierControl {
    /// Told when enough was applied for a checkpoint.
    pub(crate) checkpoint_due: Notify,
    /// Set once openraft runs; before, it asks for the durable position only.
    pub(crate) running: AtomicBool,
}

impl<S: StateMachine> Applier<S> {
    pub(crate) fn new(
        machine: S,
        shared: Arc<Shared>,
        control: Arc<ApplierControl>,
        pins: Arc<Pins>,
        pace: CheckpointPace,
        blocking: Blocking,
    ) -> Self {
        let applied = machine.applied();
        shared.note_applied(applied.log_id.map_or(0, |id| id.index));
        Self {
            machine: Arc::new(Mutex::new(machine)),
            shared,
            membership: Arc::default(),
            durable: Arc::new(Mutex::new(applied)),
            control,
            pins,
            pace,
            applied_since: 0,
            applied_bytes_since: 0,
            blocking,
            installed: None,
        }
    }

    /// Takes the leader's state in place of this one, and answers the shown index up
    /// to which it goes; see [`repair`].
    pub(crate) async fn replace(
        &mut self,
        core: &Core<S>,
        leader: u64,
    ) -> Result<u64, ReplaceError> {
        let before = self.machine.lock().applied();
        let before = before.log_id.as_ref().and_then(hidden);
        let sink = self.receive().await.map_err(ReplaceError::Transfer)?;
        let (meta, sink) = repair::fetch(core, leader, before, sink).await?;
        let upto = meta.last_log_id.filter(|upto| Some(*upto) >= before);
        let upto = upto.ok_or_else(|| {
            ReplaceError::Transfer("the snapshot is older than the state here".into())
        })?;
        repair::wait_for_log(core, upto).await?;
        let data = SnapshotData::Incoming(sink);
        if let Err(error) = self.install_snapshot(&meta, data).await {
            core.stop(StopReason::Fatal(error.to_string()));
            return Err(ReplaceError::Stopped);
        }
        self.installed = (Some(upto) > before).then_some(upto.index);
        Ok(shown(&upto).index)
    }

    /// The state as it is now, on its way out.
    pub(crate) fn outgoing(&self) -> Result<Arc<Pinned>, StateMachineError> {
        let source = self.source()?;
        let meta = meta_of(&source.applied()).map_err(StateMachineError::new)?;
        let pinned = Arc::new(Pinned::new(meta, source));
        self.pins.add(&pinned);
        Ok(pinned)
    }

    fn source(&self) -> Result<Box<dyn SnapshotSource>, StateMachineError> {
        let source = self.machine.lock().snapshot()?;
        Ok(source_closed_off_thread(source, self.blocking.clone()))
    }

    /// Whether the state has the entry's effects already.
    fn is_installed(&mut self, entry: &Entry) -> bool {
        let index = entry.log_id.index;
        let is_installed = self.installed.is_some_and(|upto| index <= upto);
        if self.installed.is_some_and(|upto| index >= upto) {
            self.installed = None;
        }
        is_installed
    }

    /// A place for a snapshot that is about to arrive; made off the raft
    /// thread, because it takes writes.
    pub(crate) fn receive(&mut self) -> BoxFuture<'static, Result<Box<dyn SnapshotSink>, String>> {
        let (machine, blocking) = (Arc::clone(&self.machine), self.blocking.clone());
        Box::pin(async move {
            let made = blocking.run(move || machine.lock().receive()).await;
            let made = made.map_err(|error| error.to_string())?;
            let sink = made.map_err(|error| error.to_string())?;
            Ok(sink_closed_off_thread(sink, blocking))
        })
    }

    /// Applies the first of `entries`; returns how many.
    async fn apply_some(&mut self, entries: &[Entry]) -> io::Result<usize> {
        let long_at = {
            let machine = self.machine.lock();
            let mut ignored = Arc::clone(&self.membership);
            let mut is_long = |entry: &Entry| machine.is_long(&committed(entry, &mut ignored));
            entries.iter().position(&mut is_long)
        };
        match (long_at, entries.first()) {
            (Some(0), Some(entry)) => {
                let before = &mut Arc::clone(&self.membership);
                self.apply_aside(committed(entry, before)).await?;
                self.note_applied(std::slice::from_ref(entry));
                Ok(1)
            }
            (Some(long_at), _) => self.apply_turn(entries.get(..long_at).unwrap_or(entries)),
            (None, _) => self.apply_turn(entries),
        }
    }

    /// Applies one entry on a blocking thread.
    async fn apply_aside(&self, entry: Committed) -> io::Result<()> {
        let machine = Arc::clone(&self.machine);
        let apply = move || machine.lock().apply(&mut std::iter::once(entry));
        self.blocking
            .run(apply)
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)
    }

    /// Applies the first of `entries`, for one turn; returns how many.
    fn apply_turn(&mut self, entries: &[Entry]) -> io::Result<usize> {
        let began = TypeConfig::now();
        let mut count = 0;
        let mut membership = Arc::clone(&self.membership);
        let mut turn = entries
            .iter()
            .take_while(|_| {
                let goes_on = count == 0 || began.elapsed() < TURN;
                count += usize::from(goes_on);
                goes_on
            })
            .map(|entry| committed(entry, &mut membership));
        self.machine
            .lock()
            .apply(&mut turn)
            .map_err(io::Error::other)?;
        debug_assert!(
            turn.next().is_none(),
            "the state machine left entries unapplied"
        );
        self.note_applied(entries.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn note_applied(&mut self, entries: &[Entry]) {
        let Some(last) = entries.last() else {
            return;
        };
        for membership in entries.iter().filter_map(RaftEntry::get_membership) {
            self.shared.note_members(&self.membership, &membership);
            self.membership = Arc::new(membership);
        }
        self.shared.note_applied(shown(&last.log_id).index);
        self.applied_since += entries.len() as u64;
        let bytes = entries.iter().map(|entry| entry.body.bytes.len() as u64);
        self.applied_bytes_since += bytes.sum::<u64>();
        let is_due = self.applied_since >= self.pace.entries.max(1)
            || self.applied_bytes_since >= self.pace.bytes.max(1);
        if is_due {
            (self.applied_since, self.applied_bytes_since) = (0, 0);
            self.control.checkpoint_due.notify_one();
        }
    }
}

impl<S: StateMachine> RaftStateMachine<TypeConfig> for Applier<S> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Checkpoint;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let applied = self.machine.lock().applied();
        let meta = meta_of(&applied)?;
        self.membership = Arc::new(meta.last_membership.membership().clone());
        self.shared
            .note_members(&Membership::default(), &self.membership);
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<T>(&mut self, entries: T) -> io::Result<()>
    where
        T: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut chunks = entries.ready_chunks(CHUNK_ENTRIES_MAX);
        let mut batch = Vec::new();
        let mut responders = Vec::new();
        while let Some(chunk) = chunks.next().await {
            for item in chunk {
                let (entry, responder) = item?;
                if self.is_installed(&entry) {
                    // Only a leader has responders, and it is not repaired.
                    responder
                        .into_iter()
                        .for_each(|responder| responder.send(()));
                    continue;
                }
                batch.push(entry);
                responders.push(responder);
            }
            let mut left = batch.as_slice();
            while !left.is_empty() {
                let count = self.apply_some(left).await?;
                let done = responders.drain(..count).flatten();
                done.for_each(|responder| responder.send(()));
                left = left.get(count..).unwrap_or_default();
                if !left.is_empty() {
                    // Heartbeats and peers are served in between.
                    tokio::task::yield_now().await;
                }
            }
            batch.clear();
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Checkpoint> {
        if self.installed.is_some() && !force {
            // openraft would purge entries that it has yet to hand over.
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Checkpoint {
        Checkpoint {
            work: Some(SyncFuture::new(self.machine.lock().checkpoint())),
            durable: Arc::clone(&self.durable),
            shared: Arc::clone(&self.shared),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> io::Result<()> {
        let applied = applied_of(meta);
        let machine = Arc::clone(&self.machine);
        let installed = applied.clone();
        // May write a lot: not on the raft thread. The worker waits, so calls
        // to the state machine stay serial.
        let install = move || {
            let mut machine = machine.lock();
            let sink = match data {
                SnapshotData::Incoming(sink) => sink,
                SnapshotData::Outgoing(pinned) => copy(pinned.reader(), machine.receive()?)?,
                SnapshotData::Checkpoint => {
                    return Err(StateMachineError::new(
                        "a checkpoint has no data to install",
                    ));
                }
            };
            machine.install(installed, sink)
        };
        self.blocking
            .run(install)
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        let membership = meta.last_membership.membership().clone();
        self.shared.note_members(&self.membership, &membership);
        self.shared
            .note_removed(self.machine.lock().removed_members());
        self.membership = Arc::new(membership);
        self.shared
            .note_applied(applied.log_id.map_or(0, |id| id.index));
        *self.durable.lock() = applied;
        (self.applied_since, self.applied_bytes_since) = (0, 0);
        // openraft goes on behind it.
        self.installed = None;
        self.shared.metrics.snapshots_received.add(1);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<openraft::alias::SmSnapshotOf<TypeConfig, Self>>> {
        if !self.control.running.load(Ordering::Acquire) {
            // Start-up: openraft derives from this how far it may purge, so
            // it must be what a crash cannot take away.
            let meta = meta_of(&self.durable.lock().clone())?;
            let known = meta.last_log_id.is_some();
            return Ok(known.then_some(Snapshot {
                meta,
                snapshot: SnapshotData::Checkpoint,
            }));
        }
        let pinned = match self.pins.usable() {
            Some(pinned) => pinned,
            None => {
                let source = self.source().map_err(io::Error::other)?;
                let meta = meta_of(&source.applied())?;
                if meta.last_log_id.is_none() {
                    return Ok(None);
                }
                let pinned = Arc::new(Pinned::new(meta, source));
                self.pins.add(&pinned);
                pinned
            }
        };
        Ok(Some(Snapshot {
            meta: pinned.meta.clone(),
            snapshot: SnapshotData::Outgoing(pinned),
        }))
    }
}

/// A checkpoint in progress.
pub(crate) struct Checkpoint {
    work: Option<SyncFuture>,
    durable: Arc<Mutex<Applied>>,
    shared: Arc<Shared>,
}

impl RaftSnapshotBuilder<TypeConfig> for Checkpoint {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(
        &mut self,
    ) -> io::Result<openraft::alias::SnapshotOf<TypeConfig, SnapshotData>> {
        let work = self
            .work
            .take()
            .ok_or_else(|| io::Error::other("checkpoint taken twice"))?;
        let applied = work.into_inner().await.map_err(io::Error::other)?;
        let meta = meta_of(&applied)?;
        *self.durable.lock() = applied;
        self.shared.metrics.checkpoints.add(1);
        Ok(Snapshot {
            meta,
            snapshot: SnapshotData::Checkpoint,
        })
    }
}

/// Makes a future that is only ever taken out whole shareable between threads.
struct SyncFuture(Mutex<CheckpointFuture>);

type CheckpointFuture = BoxFuture<'static, Result<Applied, StateMachineError>>;

impl SyncFuture {
    fn new(future: CheckpointFuture) -> Self {
        Self(Mutex::new(future))
    }

    fn into_inner(self) -> CheckpointFuture {
        self.0.into_inner()
    }
}

/// Feeds a snapshot of this process into a sink: restoring from a snapshot
/// without a network in between.
fn copy(
    mut source: Box<dyn SnapshotSource>,
    mut sink: Box<dyn SnapshotSink>,
) -> Result<Box<dyn SnapshotSink>, StateMachineError> {
    while let Some(chunk) = source.next_chunk()? {
        sink.write(chunk)?;
    }
    Ok(sink)
}

/// `before` is the membership in force so far; an entry that sets another one
/// replaces it.
pub(crate) fn committed(entry: &Entry, before: &mut Arc<Membership>) -> Committed {
    let payload = match entry.body.tag {
        Tag::Blank => Payload::Blank,
        Tag::Normal => Payload::Normal(entry.body.bytes.clone()),
        Tag::Membership => {
            let membership = entry.get_membership().unwrap_or_default();
            let members = members_of(&membership);
            let removed = removed_between(before, &membership);
            *before = Arc::new(membership.clone());
            let stored = StoredMembership::new(Some(entry.log_id), membership);
            Payload::Membership {
                encoded: entry_codec::encode_stored_membership(&stored),
                members,
                removed,
            }
        }
    };
    Committed {
        log_id: shown(&entry.log_id),
        payload,
        stages: entry.body.trace.stages(),
    }
}

fn meta_of(applied: &Applied) -> io::Result<SnapshotMeta> {
    let last_membership = match &applied.membership {
        None => StoredMembership::default(),
        Some(encoded) => entry_codec::decode_stored_membership(encoded)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
    };
    Ok(SnapshotMeta {
        last_log_id: applied.log_id.as_ref().and_then(hidden),
        last_membership,
    })
}

fn applied_of(meta: &SnapshotMeta) -> Applied {
    Applied {
        log_id: meta.last_log_id.as_ref().map(shown),
        membership: Some(entry_codec::encode_stored_membership(&meta.last_membership)),
    }
}

/// Entries taken from the stream at once.
const CHUNK_ENTRIES_MAX: usize = 256;
/// How long entries are applied before others get the raft thread; an entry that
/// is not long is never divided.
const TURN: Duration = Duration::from_millis(10);
