//! The state of a survivor, with its log applied to the end.
//!
//! Engines write when they are opened, so a copy is opened and the original only
//! read. What the log has beyond the checkpoint is applied by the code that
//! members apply with, also beyond what is known to be committed: it may have
//! been acknowledged.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use quoin_raft::{LogExamination, Payload, Quorums, StateMachine as _};
use tempfile::TempDir;

use super::{
    error::OfflineError,
    progress::{Progress, Told},
    survivor::Position,
    unlogged::Unlogged,
};
use crate::{
    agreement::Agreement,
    alarm::Alarms,
    apply::{self, Applier, CompactionWatch, Parts},
    backend::{self, Backend, EngineKind},
    base::error_chain::error_chain,
    cluster::Cluster,
    lease::{self, Lessor},
    mvcc::Store,
    proposal::{Applied, Registry},
    telemetry::metrics::Metrics,
    watch::{self, Hub},
};

/// A state in a directory of its own, which goes with it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) backend: Backend,
    pub(super) store: Store,
    cluster: Cluster,
    pub(super) engine: Option<EngineKind>,
    /// Last entry that the checkpoint holds.
    pub(super) checkpoint: Position,
    /// Last entry applied.
    pub(super) last: Position,
    pub(super) replayed_count: u64,
    /// The newest membership, and the one before it with its successor's index.
    pub(super) memberships: Memberships,
    /// Why it does not go to the end of the log.
    pub(super) cut: Option<String>,
    /// The log went another way than the checkpoint, and does not count.
    pub(super) is_log_overruled: bool,
    /// After everything that has files in it.
    _directory: TempDir,
}

/// The memberships that may have been in force at the end of a log.
#[derive(Debug, Default, Clone)]
pub(super) struct Memberships {
    pub(super) newest: Option<Quorums>,
    /// Where `newest` was written; 0 if the checkpoint holds it.
    pub(super) newest_index: u64,
    /// What was in force before.
    pub(super) before: Option<Quorums>,
}

impl Memberships {
    /// Notes the membership that the entry `index` holds.
    pub(super) fn note(&mut self, index: u64, quorums: Quorums) {
        self.before = self.newest.replace(quorums);
        self.newest_index = index;
    }

    /// Notes what an entry sets, if it does.
    pub(super) fn note_entry(&mut self, entry: &quoin_raft::Committed) {
        if let Payload::Membership { encoded, .. } = &entry.payload
            && let Ok(quorums) = Quorums::decode(encoded)
        {
            self.note(entry.log_id.index, quorums);
        }
    }
}

impl State {
    /// Copies the backend in `from` below `work_directory`, opens the copy and
    /// applies `log` to it.
    pub(super) fn read(
        from: &Path,
        owner: backend::Identity,
        log: &LogExamination,
        work_directory: &Path,
        told: Told<'_>,
    ) -> Result<Self, OfflineError> {
        let directory = tempfile::Builder::new()
            .prefix("quoin-recover-")
            .tempdir_in(work_directory)
            .map_err(OfflineError::io("create a directory in", work_directory))?;
        let copy = directory.path().join("backend");
        copy_backend(from, &copy, told)?;
        let engine = backend::engine_in(&copy)?;
        let kind = engine.unwrap_or_default();
        let config = backend::Config::new(copy, kind, owner);
        let backend = Backend::open(config, Arc::new(Unlogged))?;
        verify(&backend, from, told)?;
        let store = Store::open(backend.clone()).map_err(OfflineError::state(from))?;
        let cluster = Cluster::default();
        let mut applier = applier(&backend, &store, &cluster).map_err(OfflineError::state(from))?;
        let recovered = applier.applied();
        let checkpoint = recovered.log_id.map_or(Position::default(), Into::into);
        let mut state = Self {
            backend,
            store,
            cluster,
            engine,
            checkpoint,
            last: checkpoint,
            replayed_count: 0,
            memberships: Memberships::default(),
            cut: None,
            is_log_overruled: log.contradicts(&recovered),
            _directory: directory,
        };
        if let Some(encoded) = &recovered.membership {
            state.memberships.note(0, Quorums::decode(encoded)?);
        }
        state.replay(&mut applier, log, &recovered, from, told)?;
        Ok(state)
    }

    /// The members, as clients saw them.
    pub(super) fn members(&self) -> Vec<quoin_proto::etcdserverpb::Member> {
        let newest = self.memberships.newest.as_ref();
        let members = newest.map(|quorums| quorums.members.clone());
        self.cluster.members(members.unwrap_or_default())
    }

    /// The name that a member published.
    pub(super) fn name_of(&self, member_id: u64) -> Option<String> {
        self.cluster.published_name(member_id)
    }

    fn replay(
        &mut self,
        applier: &mut Applier,
        log: &LogExamination,
        recovered: &quoin_raft::Applied,
        from: &Path,
        told: Told<'_>,
    ) -> Result<(), OfflineError> {
        let entries = log.entries_after(recovered)?;
        let step = format!("replaying the log behind {}", from.display());
        let mut progress = Progress::new(step, entries.remaining_count(), "entries");
        for entry in entries {
            let applied = match entry {
                Ok(entry) => {
                    let at = entry.log_id;
                    self.memberships.note_entry(&entry);
                    let applied = applier.apply(&mut std::iter::once(entry));
                    applied.map(|()| at).map_err(|error| error_chain(&error))
                }
                Err(error) => Err(error_chain(&error)),
            };
            match applied {
                Ok(at) => self.last = at.into(),
                Err(text) => {
                    let last = self.last.index;
                    self.cut = Some(format!("{text}; entries up to {last} can be applied"));
                    return Ok(());
                }
            }
            self.replayed_count += 1;
            progress.advance(1, told);
            self.make_room()?;
        }
        Ok(())
    }

    /// Waits for the engine when too much is in memory.
    fn make_room(&self) -> Result<(), OfflineError> {
        if !self.backend.over_hot_limit() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(OfflineError::io("start a runtime for", "a checkpoint"))?;
        runtime.block_on(self.backend.checkpoint())?;
        Ok(())
    }
}

/// Reads everything once: every block is checked when it is read.
fn verify(backend: &Backend, from: &Path, told: Told<'_>) -> Result<(), OfflineError> {
    let mut snapshot = backend.snapshot();
    let step = format!("checking {}", from.display());
    let mut progress = Progress::new(step, snapshot.total_bytes(), "bytes");
    while let Some(chunk) = snapshot.next_chunk()? {
        progress.advance(chunk.len() as u64, told);
    }
    Ok(())
}

/// What members apply with, where nobody waits and nobody watches.
fn applier(
    backend: &Backend,
    store: &Store,
    cluster: &Cluster,
) -> Result<Applier, Box<dyn std::error::Error + Send + Sync>> {
    let metrics = Arc::new(Metrics::new(false)?);
    let lessor = Lessor::new(lease::Config::new(ELECTION_TIMEOUT));
    let alarms = Alarms::default();
    apply::reload_small_state(backend, store, &lessor, cluster, &alarms)?;
    let hub = Hub::new(Arc::new(store.clone()), watch::Config::new(0));
    Ok(Applier::new(Parts {
        cluster_id: 0,
        member_id: 0,
        backend: backend.clone(),
        store: store.clone(),
        lessor,
        cluster: cluster.clone(),
        alarms,
        hub,
        registry: Registry::new(0, 0, Duration::MAX),
        applied: Applied::new(0, 0),
        compaction: CompactionWatch::new(store.compact_revision()),
        agreement: Agreement::new(0, backend.recovered().digest),
        quota_bytes: None,
        metrics,
        warn_apply_above: Duration::MAX,
    }))
}

/// Copies files and directories; a backend that is not there is an empty one.
fn copy_backend(from: &Path, to: &Path, told: Told<'_>) -> Result<(), OfflineError> {
    let step = format!("copying {}", from.display());
    let mut progress = Progress::new(step, backend::disk_bytes(from), "bytes");
    fs::create_dir(to).map_err(OfflineError::io("create", to))?;
    if !from.exists() {
        return Ok(());
    }
    let mut directories = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = directories.pop() {
        for entry in fs::read_dir(&from).map_err(OfflineError::io("list", &from))? {
            let entry = entry.map_err(OfflineError::io("list", &from))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type();
            if kind.map_err(OfflineError::io("look at", &source))?.is_dir() {
                fs::create_dir(&target).map_err(OfflineError::io("create", &target))?;
                directories.push((source, target));
            } else {
                copy_file(&source, &target, &mut progress, told)?;
            }
        }
    }
    Ok(())
}

/// In pieces, so that progress can be told.
fn copy_file(
    from: &Path,
    to: &Path,
    progress: &mut Progress,
    told: Told<'_>,
) -> Result<(), OfflineError> {
    let mut source = File::open(from).map_err(OfflineError::io("open", from))?;
    let mut target = File::create(to).map_err(OfflineError::io("create", to))?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = match source.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(OfflineError::io("read", from))?,
        };
        if count == 0 {
            return Ok(());
        }
        let piece = buffer.get(..count).unwrap_or_default();
        target
            .write_all(piece)
            .map_err(OfflineError::io("write", to))?;
        progress.advance(count as u64, told);
    }
}

/// Piece in which files are copied.
const COPY_BYTES: usize = 1 << 20;
/// Of no effect here: nothing expires while a log is replayed.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);
