//! State out and in: checkpoints for the log, snapshots for followers.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use quoin_raft::{LogId, SnapshotSink, SnapshotSource, StateMachineError};

use super::{Parts, applier::Applier};
use crate::{
    alarm::Alarms,
    backend::{self, Backend, Recovered, Table},
    cluster::{self, Cluster},
    lease::Lessor,
    mvcc::{self, Store},
};

fn failed(error: impl std::fmt::Display) -> StateMachineError {
    StateMachineError::new(error.to_string())
}

fn raft_applied(position: &Recovered) -> quoin_raft::Applied {
    quoin_raft::Applied {
        log_id: position.applied.map(|at| LogId {
            term: at.term,
            index: at.index,
        }),
        membership: position.membership.clone(),
    }
}

/// What is applied now.
pub(crate) fn applied(backend: &Backend) -> quoin_raft::Applied {
    let read = backend.read();
    quoin_raft::Applied {
        log_id: read.applied().map(|at| LogId {
            term: at.term,
            index: at.index,
        }),
        membership: read.membership(),
    }
}

/// Makes the applied state durable.
pub(super) fn checkpoint(
    backend: &Backend,
) -> BoxFuture<'static, Result<quoin_raft::Applied, StateMachineError>> {
    let durable = backend.checkpoint();
    Box::pin(async move {
        durable
            .await
            .map(|position| raft_applied(&position))
            .map_err(failed)
    })
}

/// A snapshot on its way out.
struct Outgoing {
    applied: quoin_raft::Applied,
    snapshot: backend::Snapshot,
}

impl SnapshotSource for Outgoing {
    fn applied(&self) -> quoin_raft::Applied {
        self.applied.clone()
    }

    fn again(&self) -> Box<dyn SnapshotSource> {
        Box::new(Self {
            applied: self.applied.clone(),
            snapshot: self.snapshot.again(),
        })
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError> {
        self.snapshot.next_chunk().map_err(failed)
    }
}

/// A point-in-time handle of the applied state.
pub(super) fn source(backend: &Backend) -> Result<Box<dyn SnapshotSource>, StateMachineError> {
    let snapshot = backend.snapshot();
    let applied = raft_applied(&snapshot.position());
    Ok(Box::new(Outgoing { applied, snapshot }))
}

/// A snapshot on its way in.
struct Incoming {
    stage: backend::Staging,
}

impl SnapshotSink for Incoming {
    fn write(&mut self, chunk: Bytes) -> Result<(), StateMachineError> {
        self.stage.write(&chunk).map_err(failed)
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// A place for a snapshot that is being received.
pub(super) fn sink(backend: &Backend) -> Result<Box<dyn SnapshotSink>, StateMachineError> {
    Ok(Box::new(Incoming {
        stage: backend.stage().map_err(failed)?,
    }))
}

/// What is kept in small tables could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum SmallStateError {
    /// A row does not decode.
    #[error("a row of table {table:?} is damaged")]
    Row {
        /// The table.
        table: Table,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The keys of leases could not be read.
    #[error(transparent)]
    Store(#[from] mvcc::Error),
}

/// Fills leases, alarms and cluster attributes from their tables; the keys
/// of leases follow from the live pairs.
pub(crate) fn reload_small_state(
    backend: &Backend,
    store: &Store,
    lessor: &Lessor,
    cluster: &Cluster,
    alarms: &Alarms,
) -> Result<(), SmallStateError> {
    let read = backend.read();
    let row = |table| move |source| SmallStateError::Row { table, source };
    lessor
        .recover(read.rows(Table::Lease))
        .map_err(|e| row(Table::Lease)(e.into()))?;
    store.read().for_each_leased_key(|key, lease| {
        // A pair may name a lease that is gone, in data imported from etcd.
        let _ = lessor.attach(key, lease);
    })?;
    alarms
        .recover(read.rows(Table::Alarm).into_iter())
        .map_err(|e| row(Table::Alarm)(e.into()))?;
    let version = read.row(Table::Cluster, cluster::VERSION_ROW);
    let members = read
        .rows(Table::Members)
        .into_iter()
        .map(|(_key, value)| value);
    cluster
        .recover(members, version)
        .map_err(|e| row(Table::Members)(e.into()))?;
    let removed = read.rows(Table::MembersRemoved).into_iter();
    cluster
        .recover_removed(removed.map(|(key, _value)| key))
        .map_err(|e| row(Table::MembersRemoved)(e.into()))?;
    Ok(())
}

impl Applier {
    /// Switches to a received snapshot, and rebuilds what stands on it.
    pub(super) fn install_snapshot(
        &mut self,
        applied: &quoin_raft::Applied,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), StateMachineError> {
        let incoming = sink
            .into_any()
            .downcast::<Incoming>()
            .map_err(|_other| StateMachineError::new("snapshot was received elsewhere"))?;
        self.parts.store.hold_readers();
        self.parts.backend.install(incoming.stage).map_err(failed)?;
        self.parts.store.reload().map_err(failed)?;
        let Parts {
            backend,
            store,
            lessor,
            cluster,
            alarms,
            ..
        } = &self.parts;
        reload_small_state(backend, store, lessor, cluster, alarms).map_err(failed)?;
        self.parts.hub.restored();
        // The sender may not have carried out its last one.
        self.parts
            .compaction
            .schedule_again(store.compact_revision());
        let log_id = applied.log_id.unwrap_or_default();
        let digest = self.parts.backend.read().digest();
        self.parts.agreement.restart(log_id.index, digest);
        self.parts.applied.publish(log_id.index, log_id.term);
        tracing::info!(snapshot_index = log_id.index, "applied snapshot");
        Ok(())
    }
}
