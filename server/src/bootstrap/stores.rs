//! Opens what is on disk and rebuilds what stands on it in memory.

use std::sync::Arc;

use crate::{
    agreement::{Agreement, Quarantine},
    alarm::Alarms,
    backend::{self, Backend, Durability, EngineKind},
    cluster::Cluster,
    config::{Engine, FeatureGate, ServerConfig},
    lease::{self, Lessor},
    mvcc::Store,
};

use super::{identity::Identity, start_error::StartError};

/// Everything that is rebuilt from the backend.
#[derive(Debug, Clone)]
pub(super) struct Stores {
    pub(super) backend: Backend,
    pub(super) store: Store,
    pub(super) lessor: Lessor,
    pub(super) cluster: Cluster,
    pub(super) alarms: Alarms,
    pub(super) agreement: Agreement,
    pub(super) quarantine: Quarantine,
}

/// A checkpoint may cover only entries that the local log holds durably.
struct LogDurability(quoin_raft::Durable);

impl Durability for LogDurability {
    fn wait_durable(&self, log_index: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.wait_for(log_index).map_err(Into::into)
    }
}

/// Opens the backend and rebuilds the stores.
pub(super) fn open(
    config: &ServerConfig,
    identity: &Identity,
    durable: quoin_raft::Durable,
    commit_durations: prometheus::Histogram,
) -> Result<Stores, StartError> {
    let directory = config.member_directory().join("backend");
    let engine = engine_kind(config.backend.engine);
    let owner = backend::Identity {
        cluster_id: identity.cluster_id,
        member_id: identity.member_id,
    };
    let mut settings = backend::Config::new(directory, engine, owner);
    settings.commit_durations = Some(commit_durations);
    settings.hot_bytes_max = size(config.backend.hot_bytes_max);
    settings.block_cache_bytes_max = size(config.backend.cache_bytes_max);
    let backend = Backend::open(settings, Arc::new(LogDurability(durable)))?;
    let store = Store::open(backend.clone())?;
    let lessor = Lessor::new(lease::Config {
        ttl_seconds_min: lease_ttl_min(config),
        has_checkpoints: config
            .feature_gates
            .is_enabled(FeatureGate::LeaseCheckpoint),
        ..lease::Config::new(config.election_timeout)
    });
    let backend::Recovered {
        applied, digest, ..
    } = backend.recovered();
    let stores = Stores {
        backend,
        store,
        lessor,
        cluster: Cluster::default(),
        alarms: Alarms::default(),
        agreement: Agreement::new(applied.map_or(0, |at| at.index), digest),
        quarantine: Quarantine::open(&config.member_directory())?,
    };
    reload(&stores)?;
    Ok(stores)
}

/// `--backend-engine` as the backend takes it.
pub(crate) fn engine_kind(engine: Engine) -> EngineKind {
    match engine {
        Engine::Sled => EngineKind::Sled,
        Engine::Redb => EngineKind::Redb,
        Engine::Memory => EngineKind::Memory,
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Shortest time to live of a lease, seconds: one and a half election
/// timeouts, counted in heartbeats and rounded up. Source: etcd 3.7.
fn lease_ttl_min(config: &ServerConfig) -> i64 {
    let heartbeat = config.heartbeat_interval.as_millis().max(1);
    let ticks = 3 * (config.election_timeout.as_millis() / heartbeat) / 2;
    i64::try_from((ticks * heartbeat).div_ceil(1000)).unwrap_or(i64::MAX)
}

/// Fills leases, alarms and cluster attributes from their tables.
pub(super) fn reload(stores: &Stores) -> Result<(), StartError> {
    crate::apply::reload_small_state(
        &stores.backend,
        &stores.store,
        &stores.lessor,
        &stores.cluster,
        &stores.alarms,
    )
    .map_err(StartError::SmallState)
}
