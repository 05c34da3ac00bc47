//! A member takes the leader's state in place of its own, and keeps log and vote.
//!
//! Its log is intact, only what was made of it is not: a voter that gave up its
//! log could lose entries that were acknowledged. So the member
//! - holds apply still, at some index; appends, votes and heartbeats go on,
//! - asks the leader for a snapshot of that index or later, which arrives as any
//!   snapshot does and goes to the [`Place`] that waits for it,
//! - waits until its own log holds durably, as committed, what the snapshot goes
//!   up to, so that the log and the state fit as after any checkpoint,
//! - installs it, and skips the entries up to there as openraft hands them over.
//!
//! Until the last of these the old state stays; whatever fails before changes
//! nothing. A failed installation stops the member.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::applier::Applier;
use crate::core::Core;
use crate::error::ReplaceError;
use crate::incoming;
use crate::rpc::{Forwarded, SnapshotReply};
use crate::snapshot::Receiver;
use crate::state_machine::{SnapshotSink, StateMachine};
use crate::transport::frame::{Frame, Kind};
use crate::transport::{Class, Outbox};
use crate::types::{LogId, SnapshotMeta, TypeConfig, shown};

/// A snapshot that arrived completely.
pub(crate) type Arrived = (SnapshotMeta, Box<dyn SnapshotSink>);

/// Where the next snapshot of a peer goes.
pub(crate) struct Place {
    from: u64,
    pub(crate) sink: Box<dyn SnapshotSink>,
    pub(crate) arrived: oneshot::Sender<Arrived>,
}

/// The repair under way, if there is one.
#[derive(Default)]
pub(crate) struct Repair {
    turn: tokio::sync::Mutex<()>,
    /// Held to put or take it.
    place: Mutex<Option<Place>>,
}

impl Repair {
    /// The place that waits for a snapshot of this peer.
    pub(crate) fn take_place(&self, from: u64) -> Option<Place> {
        let mut place = self.place.lock();
        place.take_if(|place| place.from == from)
    }
}

/// Replaces the state; answers the shown index up to which the new one goes.
///
/// # Errors
/// See [`ReplaceError`].
pub(crate) async fn replace_state<S: StateMachine>(
    core: &Arc<Core<S>>,
) -> Result<u64, ReplaceError> {
    let turn = core.repair.turn.try_lock();
    let _turn = turn.map_err(|_| ReplaceError::InProgress)?;
    let leader = core.leadership().leader.ok_or(ReplaceError::NoLeader)?;
    if leader == core.shared.member_id {
        return Err(ReplaceError::Leads);
    }
    let (done, replaced) = oneshot::channel();
    let own = Arc::clone(core);
    let requested = core
        .raft
        .external_state_machine_request(move |applier: &mut Applier<S>| {
            Box::pin(async move {
                let mut stop = own.shared.stop.subscribe();
                let result = tokio::select! {
                    result = applier.replace(&own, leader) => result,
                    // openraft would wait for us to end.
                    _ = stop.wait_for(Option::is_some) => Err(ReplaceError::Stopped),
                };
                drop(own.repair.place.lock().take());
                let _ = done.send(result);
            })
        })
        .await;
    requested.map_err(|_| ReplaceError::Stopped)?;
    replaced.await.unwrap_or(Err(ReplaceError::Stopped))
}

/// Asks the leader for a snapshot of `at_least` or later, and takes it in.
pub(crate) async fn fetch<S: StateMachine>(
    core: &Core<S>,
    leader: u64,
    at_least: Option<LogId>,
    sink: Box<dyn SnapshotSink>,
) -> Result<Arrived, ReplaceError> {
    let (arrived, mut arrival) = oneshot::channel();
    *core.repair.place.lock() = Some(Place {
        from: leader,
        sink,
        arrived,
    });
    let index = at_least.as_ref().map_or(0, |id| shown(id).index);
    let head = Bytes::copy_from_slice(&index.to_le_bytes());
    let link = core.link(leader, Class::Control);
    let answer = tokio::select! {
        arrived = &mut arrival => return arrived.map_err(|_| interrupted()),
        answer = link.call(Kind::AskSnapshot, head, Vec::new()) => answer,
    };
    let frame = answer.map_err(|error| ReplaceError::Transfer(error.to_string()))?;
    let answer = match frame.kind {
        Kind::AskSnapshotReply => Forwarded::decode(frame.payload)
            .map_err(|error| ReplaceError::Transfer(error.to_string()))?,
        other => {
            let text = format!("the leader answered {other:?}");
            return Err(ReplaceError::Transfer(text));
        }
    };
    match answer {
        // It says so after the last chunk, which may be handed over just now.
        Forwarded::Done(_) => arrival.await.map_err(|_| interrupted()),
        Forwarded::Refused(reason) | Forwarded::Failed(reason) => {
            Err(ReplaceError::Transfer(reason))
        }
    }
}

fn interrupted() -> ReplaceError {
    ReplaceError::Transfer("the transfer was interrupted".into())
}

/// Waits until the local log holds durably, as committed, what `upto` names.
pub(crate) async fn wait_for_log<S: StateMachine>(
    core: &Core<S>,
    upto: LogId,
) -> Result<(), ReplaceError> {
    let behind = |reason: String| ReplaceError::LogBehind {
        index: shown(&upto).index,
        reason,
    };
    let mut data = core.raft.data_metrics();
    let index = upto.index;
    let committed =
        data.wait_until(|data| data.local_committed.is_some_and(|id| id.index >= index));
    let committed = TypeConfig::timeout(LOG_DEADLINE, committed).await;
    committed
        .map_err(|_| behind(format!("not committed here within {LOG_DEADLINE:?}")))?
        .map_err(|_| ReplaceError::Stopped)?;
    let (durable, index) = (core.log_store.durable(), shown(&upto).index);
    let reached = durable.reached(index, &core.config.blocking).await;
    reached.map_err(|error| behind(error.to_string()))
}

/// Receives the snapshot that a [`Place`] waits for. Not one of the attempts of
/// [`crate::snapshot`]: what holds their turn may wait for apply, which stands still.
pub(crate) async fn receive(
    mut receiver: Receiver,
    arrived: oneshot::Sender<Arrived>,
    stream: u64,
    mut frames: mpsc::Receiver<Frame>,
    outbox: &Outbox,
) -> Result<SnapshotReply, String> {
    let accepted = SnapshotReply::Accepted(receiver.next()).encode();
    incoming::send(outbox, Kind::SnapshotReply, stream, accepted).await;
    loop {
        let frame = frames.recv().await.ok_or("the sender went away")?;
        match frame.kind {
            Kind::SnapshotChunk => {
                let sequence = receiver.write(frame.payload).await?;
                let reply = SnapshotReply::Written(sequence).encode();
                incoming::send(outbox, Kind::SnapshotReply, stream, reply).await;
            }
            Kind::SnapshotEnd => {
                let (vote, meta, sink) = receiver.finish(frame.payload)?;
                let taken = arrived.send((meta, sink));
                taken.map_err(|_| "nobody waits for the snapshot any more")?;
                return Ok(SnapshotReply::Done(vote));
            }
            other => return Err(format!("unexpected {other:?}")),
        }
    }
}

/// The leader's side: sends a snapshot to the member that asked for it.
pub(crate) async fn send_snapshot<S: StateMachine>(
    core: &Core<S>,
    peer: u64,
    mut payload: Bytes,
) -> Forwarded {
    let Ok(at_least) = payload.try_get_u64_le() else {
        return Forwarded::Failed("no index in the question for a snapshot".into());
    };
    if !core.is_leader() || !core.shared.stands() {
        return Forwarded::Refused("not the leader, or about to hand over".into());
    }
    match send(core, peer, at_least).await {
        Ok(()) => Forwarded::Done(Bytes::new()),
        Err(reason) => Forwarded::Failed(reason),
    }
}

async fn send<S: StateMachine>(core: &Core<S>, peer: u64, at_least: u64) -> Result<(), String> {
    let mut data = core.raft.data_metrics();
    let applied = data.wait_until(|data| {
        let applied = data.last_applied.as_ref();
        applied.map_or(0, |id| shown(id).index) >= at_least
    });
    let applied = TypeConfig::timeout(LOG_DEADLINE, applied).await;
    applied
        .map_err(|_| format!("the leader has not applied entry {at_least}"))?
        .map_err(|_| "the leader is stopping".to_owned())?;
    let made = core.raft.with_state_machine(|applier: &mut Applier<S>| {
        let made = applier.outgoing();
        Box::pin(async move { made })
    });
    let made = made.await.map_err(|error| error.to_string())?;
    let pinned = made.map_err(|error| error.to_string())?;
    let vote = core.raft.server_metrics().borrow_watched().vote;
    let link = core.link(peer, Class::Snapshot);
    match core.transfers.send(peer, &link, vote, pinned).await {
        Ok(_vote) => {
            core.metrics().snapshots_sent.add(1);
            Ok(())
        }
        Err(error) => {
            core.metrics().snapshots_send_failed.add(1);
            Err(error.to_string())
        }
    }
}

/// How long either side may be behind in the log.
const LOG_DEADLINE: Duration = Duration::from_secs(30);
