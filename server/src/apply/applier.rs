//! Takes committed entries, carries their commands out, tells who waits.

use std::{sync::Arc, time::Duration};

use quoin_proto::{
    etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmType, CompactionRequest, LeaseGrantRequest, TxnRequest,
        alarm_request::AlarmAction, request_op,
    },
    quoinpb::{
        ClusterVersion, Command, LeaseCheckpoints, LeaseExpiry, MemberAttributes, Quarantine,
        StateDigest, command::Request,
    },
};
use quoin_raft::{Committed, LogId, Payload, StateMachineError};

use super::{
    CompactionWatch, kv, long, snapshot,
    tally::{SlowApplies, Stopwatch, Tally},
    txn,
};
use crate::{
    agreement::{Agreement, Vote},
    alarm::{self, Alarms},
    backend::{Backend, Table},
    cluster::{self, Cluster},
    lease::{GrantError, LeaseRow, Lessor},
    mvcc::{Event, Previous, Store, WriteTransaction},
    proposal::{
        Applied, ApplyError, Outcome, Passage, Registry, Reply,
        frame::{FrameError, FrameReader},
    },
    telemetry::metrics::Metrics,
    watch::Hub,
};

/// What the applier works on; all of it shared with the services.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) backend: Backend,
    pub(crate) store: Store,
    pub(crate) lessor: Lessor,
    pub(crate) cluster: Cluster,
    pub(crate) alarms: Alarms,
    pub(crate) agreement: Agreement,
    pub(crate) hub: Hub,
    pub(crate) registry: Registry,
    pub(crate) applied: Applied,
    pub(crate) compaction: CompactionWatch,
    /// `--quota-backend-bytes` resolved; decides answers and alarms only.
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) metrics: Arc<Metrics>,
    /// `--warning-apply-duration`.
    pub(crate) warn_apply_above: Duration,
}

/// Implements the state machine of this member.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(super) parts: Parts,
    slow: SlowApplies,
}

/// One entry while it is applied.
pub(super) struct EntryContext<'a> {
    /// The entry's transaction.
    pub(super) tx: &'a mut WriteTransaction,
    /// The entry's index.
    index: u64,
    /// The entry's term.
    term: u64,
    /// There are watchers, who are shown the changes.
    is_watched: bool,
    /// Changes so far, per revision, if there are watchers.
    pub(super) commits: Vec<(i64, Arc<[Event]>)>,
    /// Somebody here waits: replies are worth building.
    pub(super) reply: bool,
    /// Somebody here waits, and this member is over its quota.
    full: bool,
    /// Operations so far.
    pub(super) tally: Tally,
    /// What is stored behind this entry is to be hashed.
    begins_hash: bool,
}

impl EntryContext<'_> {
    /// Whether the pairs that a change replaces are worth reading.
    pub(super) fn previous(&self, wanted: bool) -> Previous {
        if wanted && self.reply {
            Previous::Return
        } else {
            Previous::Skip
        }
    }

    /// Ends one request: its changes get their revision and their leases.
    pub(super) fn end(&mut self, lessor: &Lessor) -> i64 {
        self.tally.end_request();
        let (is_watched, commits) = (self.is_watched, &mut self.commits);
        self.tx.end_into(|revision, events| {
            lessor.track(events);
            if is_watched && !events.is_empty() {
                commits.push((revision, events.drain(..).collect()));
            }
            revision
        })
    }
}

impl Applier {
    /// An applier over `parts`.
    pub(crate) fn new(parts: Parts) -> Self {
        let slow = SlowApplies::new(parts.warn_apply_above);
        Self { parts, slow }
    }

    fn apply_entry(&mut self, entry: Committed) -> Result<(), StateMachineError> {
        let LogId { index, term } = entry.log_id;
        let passage = Passage::begin(entry.stages);
        let mut tx = self.parts.store.write();
        let is_watched = self.parts.hub.is_watched();
        let mut batch = None;
        let mut commits = Vec::new();
        let mut begins_hash = false;
        match entry.payload {
            Payload::Blank => {}
            Payload::Membership {
                encoded, removed, ..
            } => {
                tx.set_membership(encoded);
                removed.iter().for_each(|id| self.forget(&mut tx, *id));
            }
            Payload::Normal(frame) => {
                let reader = FrameReader::open(frame).map_err(at(index))?;
                let id = reader.id();
                let reply = self.parts.registry.is_awaited(id);
                let mut context = EntryContext {
                    tx: &mut tx,
                    index,
                    term,
                    is_watched,
                    commits: Vec::new(),
                    reply,
                    full: reply && self.is_full(),
                    tally: Tally::default(),
                    begins_hash: false,
                };
                let mut stopwatch = Stopwatch::start(&self.slow, passage);
                let mut replies = Vec::new();
                for command in reader {
                    let Command { request } = command.map_err(at(index))?;
                    let outcome = match &request {
                        Some(request) => {
                            let outcome = self.apply_command(&mut context, request);
                            stopwatch.lap(&self.parts.metrics, request, &outcome);
                            outcome
                        }
                        None => Err(ApplyError::Unknown),
                    };
                    if let Err(ApplyError::Store { reason }) = &outcome {
                        return Err(StateMachineError::new(format!(
                            "log entry {index}: {reason}"
                        )));
                    }
                    if reply {
                        replies.push(outcome);
                    }
                }
                context.tally.add_to(&self.parts.metrics.mvcc);
                begins_hash = context.begins_hash;
                commits = context.commits;
                batch = reply.then_some((id, replies));
            }
        }
        let compact_revision = tx.compact_revision();
        let revision = tx.current();
        let digest = tx.commit((index, term));
        self.parts.agreement.note(index, digest);
        if begins_hash {
            let view = self.parts.store.read();
            self.parts.agreement.pin(index, view);
        }
        self.parts.applied.publish(index, term);
        // After the commit: who carries it out looks at what is visible.
        self.parts.compaction.schedule(compact_revision);
        if !is_watched {
            // Whoever has begun to watch since reads this entry from the store.
            self.parts.hub.skip_to(revision);
        } else if !commits.is_empty() {
            self.parts.hub.publish(commits);
        }
        if let Some((id, mut replies)) = batch {
            self.complete_headers(&mut replies, term);
            self.parts.registry.complete(id, replies, passage);
        }
        Ok(())
    }

    fn complete_headers(&self, replies: &mut [Reply], term: u64) {
        for reply in replies.iter_mut().flatten() {
            let header = match reply {
                Outcome::Put(response) => &mut response.header,
                Outcome::DeleteRange(response) => &mut response.header,
                Outcome::Txn(response) => &mut response.header,
                _ => continue,
            };
            if let Some(header) = header {
                header.cluster_id = self.parts.cluster_id;
                header.member_id = self.parts.member_id;
                header.raft_term = term;
            }
        }
    }

    fn apply_command(&self, context: &mut EntryContext<'_>, request: &Request) -> Reply {
        self.refuse_under_alarm(request)?;
        let parts = &self.parts;
        match request {
            Request::Put(put) => {
                let outcome = kv::put(context, &parts.lessor, put).map(Outcome::Put);
                over_quota(context, outcome)
            }
            Request::DeleteRange(delete) => {
                kv::delete_range(context, &parts.lessor, delete).map(Outcome::DeleteRange)
            }
            Request::Txn(request) => {
                let outcome = txn::apply(context, &parts.lessor, request).map(Outcome::Txn);
                if puts_something(request) {
                    over_quota(context, outcome)
                } else {
                    outcome
                }
            }
            Request::Compaction(request) => Self::compact(context, request),
            Request::LeaseGrant(request) => {
                let outcome = self.grant(context, request);
                over_quota(context, outcome)
            }
            Request::LeaseRevoke(request) => self.revoke(context, request.id),
            Request::LeaseExpiry(request) => self.expire(context, request),
            Request::LeaseCheckpoint(request) => self.checkpoint_leases(context, request),
            Request::Alarm(request) => self.alarm(context, request),
            Request::MemberAttributes(attributes) => self.publish(context, attributes.clone()),
            Request::ClusterVersion(version) => self.decide_version(context, version.clone()),
            Request::StateDigest(digest) => self.hear(context, digest),
            Request::DigestBegin(_) => {
                context.tx.begin_digest();
                Ok(Outcome::Done)
            }
            Request::Quarantine(request) => self.quarantine(context, request),
            Request::StateHashBegin(_) => {
                context.begins_hash = true;
                Ok(Outcome::Done)
            }
            Request::StateHash(hash) => {
                let vote = Vote::from_hash(hash).ok_or(ApplyError::Unknown)?;
                self.parts.agreement.hear_hash(vote);
                Ok(Outcome::Done)
            }
        }
    }

    /// Source: etcd 3.7: NOSPACE refuses what adds data, CORRUPT whatever
    /// changes it.
    fn refuse_under_alarm(&self, request: &Request) -> Result<(), ApplyError> {
        let adds = match request {
            Request::Put(_) | Request::LeaseGrant(_) => true,
            Request::Txn(txn) => puts_something(txn),
            _ => false,
        };
        let changes = adds
            || matches!(
                request,
                Request::DeleteRange(_)
                    | Request::Txn(_)
                    | Request::Compaction(_)
                    | Request::LeaseRevoke(_)
                    | Request::LeaseExpiry(_)
            );
        if changes && self.parts.alarms.corrupt() {
            return Err(ApplyError::Corrupt);
        }
        if adds && self.parts.alarms.no_space() {
            return Err(ApplyError::NoSpace);
        }
        Ok(())
    }

    /// Whether clients must be told that the quota is used up. Decides what
    /// is answered, not what is done, and so may differ between members.
    fn is_full(&self) -> bool {
        let quota = self.parts.quota_bytes;
        quota.is_some_and(|quota| self.parts.backend.sizes().allocated_bytes >= quota)
    }

    fn compact(context: &mut EntryContext<'_>, request: &CompactionRequest) -> Reply {
        context.tx.compact(request.revision).map_err(kv::refused)?;
        context.tally.ranges += 1;
        context.tally.end_request();
        Ok(Outcome::Compaction {
            revision: context.tx.current(),
        })
    }

    fn grant(&self, context: &mut EntryContext<'_>, request: &LeaseGrantRequest) -> Reply {
        let granted = self.parts.lessor.grant(request.id, request.ttl);
        let granted = granted.map_err(|error| match error {
            GrantError::Exists => ApplyError::LeaseExists,
            GrantError::TtlTooLarge => ApplyError::LeaseTtlTooLarge,
            _ => ApplyError::Unknown,
        })?;
        write_lease_row(context, &granted.row);
        let metrics = &self.parts.metrics.lease;
        metrics.granted_total.inc();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are floats")]
        metrics.ttl_seconds.observe(granted.ttl as f64);
        let revision = context.tx.current();
        Ok(Outcome::LeaseGrant {
            id: request.id,
            ttl: granted.ttl,
            revision,
        })
    }

    /// Revokes what ran out, on the word of the leader of this term: one that
    /// was deposed cannot know what was renewed with its successor, to which
    /// its proposal may have been forwarded.
    fn expire(&self, context: &mut EntryContext<'_>, request: &LeaseExpiry) -> Reply {
        if request.term != context.term {
            return Ok(Outcome::Done);
        }
        self.revoke(context, request.id)
    }

    fn revoke(&self, context: &mut EntryContext<'_>, id: i64) -> Reply {
        let lessor = &self.parts.lessor;
        let revoked = lessor.revoke(id).map_err(|_| ApplyError::LeaseNotFound)?;
        for key in revoked.keys {
            kv::delete_key(context, key)?;
        }
        write_lease_row(context, &revoked.row);
        self.parts.metrics.lease.revoked_total.inc();
        Ok(Outcome::LeaseRevoke {
            revision: context.end(lessor),
        })
    }

    fn checkpoint_leases(
        &self,
        context: &mut EntryContext<'_>,
        request: &LeaseCheckpoints,
    ) -> Reply {
        if request.term != context.term {
            return Ok(Outcome::Done);
        }
        for checkpoint in &request.checkpoints {
            // A lease revoked meanwhile needs no checkpoint.
            let row = self
                .parts
                .lessor
                .checkpoint(checkpoint.id, checkpoint.remaining_ttl);
            if let Ok(row) = row {
                write_lease_row(context, &row);
            }
        }
        Ok(Outcome::Done)
    }

    fn alarm(&self, context: &mut EntryContext<'_>, request: &AlarmRequest) -> Reply {
        let (alarms, revision) = (&self.parts.alarms, context.tx.current());
        let subject = AlarmMember {
            member_id: request.member_id,
            alarm: request.alarm,
        };
        let listed = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => alarms.list(request.alarm),
            Ok(AlarmAction::Activate) if request.alarm == AlarmType::None as i32 => Vec::new(),
            Ok(AlarmAction::Activate) => {
                alarms.activate(&subject);
                context
                    .tx
                    .put_row(Table::Alarm, &alarm::row_key(&subject), &[]);
                vec![subject]
            }
            Ok(AlarmAction::Deactivate) if alarms.deactivate(&subject) => {
                context
                    .tx
                    .delete_row(Table::Alarm, &alarm::row_key(&subject));
                vec![subject]
            }
            Ok(AlarmAction::Deactivate) => Vec::new(),
            Err(_) => return Err(ApplyError::Unknown),
        };
        Ok(Outcome::Alarm {
            alarms: listed,
            revision,
        })
    }

    /// What a member has at some index: compared, and without effect on the state.
    fn hear(&self, context: &EntryContext<'_>, digest: &StateDigest) -> Reply {
        let vote = Vote::from_command(digest).ok_or(ApplyError::Unknown)?;
        let (own_id, agreement) = (self.parts.member_id, &self.parts.agreement);
        agreement.hear(own_id, context.index, vote);
        Ok(Outcome::Done)
    }

    fn quarantine(&self, context: &mut EntryContext<'_>, request: &Quarantine) -> Reply {
        let subject = AlarmMember {
            member_id: request.member_id,
            alarm: AlarmType::Corrupt as i32,
        };
        let alarms = &self.parts.alarms;
        if let Some(value) = alarms.quarantine(request.member_id, request.index) {
            let key = alarm::row_key(&subject);
            context.tx.put_row(Table::Alarm, &key, &value);
        }
        Ok(Outcome::Done)
    }

    /// A member was removed: its id is never used again.
    fn forget(&self, tx: &mut WriteTransaction, id: u64) {
        let key = cluster::row_key(id);
        tx.delete_row(Table::Members, &key);
        tx.put_row(Table::MembersRemoved, &key, &[]);
        if self.parts.alarms.quarantined_since(id).is_some() {
            // It concerned that member alone.
            let alarm = AlarmMember {
                member_id: id,
                alarm: AlarmType::Corrupt as i32,
            };
            self.parts.alarms.deactivate(&alarm);
            tx.delete_row(Table::Alarm, &alarm::row_key(&alarm));
        }
        self.parts.cluster.remove(id);
    }

    fn publish(&self, context: &mut EntryContext<'_>, attributes: MemberAttributes) -> Reply {
        if self.parts.cluster.is_removed(attributes.member_id) {
            // Proposed before the removal, applied behind it.
            return Ok(Outcome::Done);
        }
        let (key, value) = cluster::member_row(&attributes);
        context.tx.put_row(Table::Members, &key, &value);
        self.parts.cluster.publish(attributes);
        Ok(Outcome::Done)
    }

    fn decide_version(&self, context: &mut EntryContext<'_>, decided: ClusterVersion) -> Reply {
        context.tx.put_row(
            Table::Cluster,
            cluster::VERSION_ROW,
            decided.version.as_bytes(),
        );
        self.parts.cluster.decide_version(decided.version);
        Ok(Outcome::Done)
    }
}

fn write_lease_row(context: &mut EntryContext<'_>, row: &LeaseRow) {
    match &row.value {
        Some(value) => context.tx.put_row(Table::Lease, &row.key, value),
        None => context.tx.delete_row(Table::Lease, &row.key),
    }
}

/// A command that took a member over its quota is applied all the same, but
/// its client is told. Source: etcd 3.7.
fn over_quota(context: &EntryContext<'_>, outcome: Reply) -> Reply {
    if context.full && outcome.is_ok() {
        Err(ApplyError::NoSpace)
    } else {
        outcome
    }
}

/// Either branch contains a put, at any depth.
fn puts_something(request: &TxnRequest) -> bool {
    let mut all = request.success.iter().chain(&request.failure);
    all.any(|operation| match &operation.request {
        Some(request_op::Request::RequestPut(_)) => true,
        Some(request_op::Request::RequestTxn(nested)) => puts_something(nested),
        _ => false,
    })
}

/// A frame that was committed but cannot be read stops the member.
fn at(index: u64) -> impl Fn(FrameError) -> StateMachineError {
    move |error| StateMachineError::new(format!("log entry {index}: {error}"))
}

impl quoin_raft::StateMachine for Applier {
    fn applied(&self) -> quoin_raft::Applied {
        snapshot::applied(&self.parts.backend)
    }

    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = Committed>,
    ) -> Result<(), StateMachineError> {
        for entry in entries {
            self.apply_entry(entry)?;
        }
        Ok(())
    }

    fn removed_members(&self) -> Vec<u64> {
        self.parts.cluster.removed()
    }

    fn is_long(&self, entry: &Committed) -> bool {
        let parts = &self.parts;
        matches!(&entry.payload, Payload::Normal(frame)
            if long::is_long(frame, &parts.store, &parts.lessor))
    }

    fn checkpoint(
        &mut self,
    ) -> futures_util::future::BoxFuture<'static, Result<quoin_raft::Applied, StateMachineError>>
    {
        snapshot::checkpoint(&self.parts.backend)
    }

    fn snapshot(&mut self) -> Result<Box<dyn quoin_raft::SnapshotSource>, StateMachineError> {
        snapshot::source(&self.parts.backend)
    }

    fn receive(&mut self) -> Result<Box<dyn quoin_raft::SnapshotSink>, StateMachineError> {
        snapshot::sink(&self.parts.backend)
    }

    fn install(
        &mut self,
        applied: quoin_raft::Applied,
        sink: Box<dyn quoin_raft::SnapshotSink>,
    ) -> Result<(), StateMachineError> {
        self.install_snapshot(&applied, sink)
    }
}
