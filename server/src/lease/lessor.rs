//! The lessor: all leases of a member.
//!
//! `grant`, `revoke`, `checkpoint`, `attach`, `detach`, `track` and `recover`
//! are called at apply, on every member, in log order. The rest is the leader's:
//! between `promote` and `demote` leases have deadlines. A lease granted while
//! leading gets its deadline at the leader's next look, so that apply needs no
//! clock; the looks are half a second apart.
//!
//! One lock, held for one call; `expired`, `due_checkpoints` and `promote` are
//! the only ones that touch more than one lease. Limits: leases and keys are
//! bounded by what the log accepts; what a look returns, by its argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::mvcc::Event;

use super::expiry_queue::ExpiryQueue;
use super::state::Lease;
use super::{
    Config, DueCheckpoint, GrantError, Granted, LeaseInfo, LeaseNotFound, LeaseRow, RecoverError,
    Remaining, RenewError, Renewal, Revoked, record,
};

/// All leases of a member. Clones share them.
#[derive(Clone, Debug)]
pub struct Lessor {
    inner: Arc<Mutex<Inner>>,
    config: Arc<Config>,
}

impl Lessor {
    /// A lessor without leases, not leading.
    pub fn new(config: Config) -> Self {
        Self {
            inner: Arc::default(),
            config: Arc::new(config),
        }
    }

    /// Replaces all leases by stored ones, without keys: call
    /// [`Lessor::attach`] for every live key that has a lease. A leader's
    /// deadlines start afresh.
    ///
    /// # Errors
    /// A row does not decode; then nothing changes.
    pub fn recover(
        &self,
        rows: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<(), RecoverError> {
        let mut leases = BTreeMap::new();
        for (key, value) in rows {
            let stored = record::decode(&key, &value)?;
            let ttl = stored.ttl.clamp(1, TTL_SECONDS_MAX);
            let remaining_ttl = stored.remaining_ttl.clamp(0, ttl);
            leases.insert(stored.id, Lease::new(ttl, remaining_ttl));
        }
        let mut inner = self.inner.lock();
        inner.forget_time();
        if inner.is_leader {
            inner.without_deadline.extend(leases.keys());
        }
        inner.leases = leases;
        Ok(())
    }

    /// The TTL to propose for one that a client asks for: raised to the minimum,
    /// which follows from this member's election timeout. Members may have
    /// different ones, so it is applied here, before the log, and not at apply.
    pub fn proposed_ttl(&self, ttl: i64) -> i64 {
        ttl.max(self.config.ttl_seconds_min)
    }

    /// Creates a lease with the TTL that was proposed; what is below a second is
    /// raised to one.
    ///
    /// # Errors
    /// The id is in use or 0, or the TTL is too large.
    pub fn grant(&self, id: i64, ttl: i64) -> Result<Granted, GrantError> {
        if id == 0 {
            return Err(GrantError::NoId);
        }
        if ttl > TTL_SECONDS_MAX {
            return Err(GrantError::TtlTooLarge);
        }
        let mut inner = self.inner.lock();
        if inner.leases.contains_key(&id) {
            return Err(GrantError::Exists);
        }
        let ttl = ttl.max(1);
        inner.leases.insert(id, Lease::new(ttl, 0));
        if inner.is_leader {
            inner.without_deadline.push(id);
        }
        Ok(Granted {
            ttl,
            row: LeaseRow::of(id, ttl, 0),
        })
    }

    /// Removes a lease; its keys are to be deleted in the same step.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn revoke(&self, id: i64) -> Result<Revoked, LeaseNotFound> {
        let lease = self.inner.lock().leases.remove(&id).ok_or(LeaseNotFound)?;
        Ok(Revoked {
            keys: lease.shared_keys(),
            row: LeaseRow::removal(id),
        })
    }

    /// Takes over a replicated remaining time; 0 clears it.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn checkpoint(&self, id: i64, remaining_ttl: i64) -> Result<LeaseRow, LeaseNotFound> {
        let mut inner = self.inner.lock();
        let lease = inner.leases.get_mut(&id).ok_or(LeaseNotFound)?;
        lease.remaining_ttl = remaining_ttl.clamp(0, lease.ttl);
        Ok(LeaseRow::of(id, lease.ttl, lease.remaining_ttl))
    }

    /// Attaches a key to a lease.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn attach(&self, key: &[u8], id: i64) -> Result<(), LeaseNotFound> {
        let mut inner = self.inner.lock();
        inner
            .leases
            .get_mut(&id)
            .ok_or(LeaseNotFound)?
            .keys
            .insert(key.into());
        Ok(())
    }

    /// Detaches a key from a lease, if it is attached.
    pub fn detach(&self, key: &[u8], id: i64) {
        if let Some(lease) = self.inner.lock().leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// Moves attachments as the changes of a commit say: a put moves its key to
    /// the lease it names (or to none), a delete detaches it.
    pub fn track(&self, events: &[Event]) {
        let moves = |event: &&Event| event.lease != 0 || event.previous_lease != 0;
        if !events.iter().any(|event| moves(&event)) {
            return;
        }
        let mut inner = self.inner.lock();
        for event in events.iter().filter(moves) {
            if event.previous_lease != event.lease
                && let Some(before) = inner.leases.get_mut(&event.previous_lease)
            {
                before.keys.remove(event.key.as_ref());
            }
            if let Some(after) = inner.leases.get_mut(&event.lease)
                && !after.keys.contains(event.key.as_ref())
            {
                after.keys.insert(event.key.as_ref().into());
            }
        }
    }

    /// Whether the lease exists.
    pub fn contains(&self, id: i64) -> bool {
        self.inner.lock().leases.contains_key(&id)
    }

    /// The replicated part of a lease.
    pub fn info(&self, id: i64) -> Option<LeaseInfo> {
        let inner = self.inner.lock();
        let lease = inner.leases.get(&id)?;
        Some(LeaseInfo {
            ttl: lease.ttl,
            remaining_ttl: lease.remaining_ttl,
            keys: lease.shared_keys(),
        })
    }

    /// Keys attached to a lease in ascending order; none if it does not exist.
    pub fn keys(&self, id: i64) -> Vec<Bytes> {
        self.inner
            .lock()
            .leases
            .get(&id)
            .map(Lease::shared_keys)
            .unwrap_or_default()
    }

    /// How many keys are attached to a lease; none if it does not exist.
    pub fn keys_count(&self, id: i64) -> usize {
        let inner = self.inner.lock();
        inner.leases.get(&id).map_or(0, |lease| lease.keys.len())
    }

    /// Ids of all leases: by deadline on the leader, else by number.
    pub fn ids(&self) -> Vec<i64> {
        let inner = self.inner.lock();
        let mut ids: Vec<_> = inner
            .leases
            .iter()
            .map(|(id, lease)| (lease.deadline, *id))
            .collect();
        ids.sort_unstable_by_key(|(deadline, id)| (deadline.is_none(), *deadline, *id));
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Leases there are.
    pub fn leases_count(&self) -> usize {
        self.inner.lock().leases.len()
    }

    /// Begins to keep time: every lease gets all it has left by replicated
    /// knowledge, and `extend` (an election timeout) on top.
    pub fn promote(&self, now: Instant, extend: Duration) {
        let mut inner = self.inner.lock();
        inner.forget_time();
        inner.is_leader = true;
        let ids: Vec<i64> = inner.leases.keys().copied().collect();
        for id in ids {
            inner.start(id, now, extend, &self.config);
        }
    }

    /// Stops keeping time: leases no longer expire here.
    pub fn demote(&self) {
        let mut inner = self.inner.lock();
        inner.forget_time();
        inner.is_leader = false;
    }

    /// Whether this member keeps time.
    pub fn is_leader(&self) -> bool {
        self.inner.lock().is_leader
    }

    /// Starts a lease's time afresh.
    ///
    /// # Errors
    /// The lease is unknown or ran out, or this member does not lead.
    pub fn renew(&self, id: i64, now: Instant) -> Result<Renewal, RenewError> {
        let mut inner = self.inner.lock();
        let lease = inner.timed(id, now, &self.config)?;
        if lease.has_expired(now) {
            return Err(RenewError::Expired);
        }
        lease.deadline = Some(after(now, lease.ttl));
        Ok(Renewal {
            ttl: lease.ttl,
            clears_checkpoint: lease.remaining_ttl > 0,
        })
    }

    /// How much of a lease is left.
    ///
    /// # Errors
    /// The lease is unknown, or this member does not lead.
    pub fn remaining(&self, id: i64, now: Instant) -> Result<Remaining, RenewError> {
        let mut inner = self.inner.lock();
        let lease = inner.timed(id, now, &self.config)?;
        let left = lease
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now));
        let seconds = left.unwrap_or_default().as_secs();
        Ok(Remaining {
            ttl: lease.ttl,
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        })
    }

    /// Up to `leases_max` leases that ran out and are to be revoked. One that
    /// is not revoked in time is named again.
    pub fn expired(&self, now: Instant, leases_max: usize) -> Vec<i64> {
        let mut inner = self.inner.lock();
        inner.start_new_ones(now, &self.config);
        let mut expired = Vec::new();
        while expired.len() < leases_max
            && let Some((when, id)) = inner.expiry_queue.pop_due(now)
        {
            let Some(lease) = inner.leases.get_mut(&id) else {
                continue;
            };
            if lease.expiry_entry != Some(when) {
                continue;
            }
            let next_look = match lease.deadline {
                Some(deadline) if deadline > now => deadline,
                _ => {
                    expired.push(id);
                    now + self.config.expired_retry_interval
                }
            };
            lease.expiry_entry = Some(next_look);
            inner.expiry_queue.push(next_look, id);
        }
        expired
    }

    /// Up to `leases_max` remaining times that are to be replicated; none unless
    /// checkpoints are configured.
    pub fn due_checkpoints(&self, now: Instant, leases_max: usize) -> Vec<DueCheckpoint> {
        let interval = self.config.checkpoint_interval;
        let mut inner = self.inner.lock();
        inner.start_new_ones(now, &self.config);
        let mut due = Vec::new();
        while due.len() < leases_max
            && let Some((when, id)) = inner.checkpoint_queue.pop_due(now)
        {
            let Some(lease) = inner.leases.get_mut(&id) else {
                continue;
            };
            if lease.checkpoint_entry != Some(when) {
                continue;
            }
            let full = Duration::from_secs(lease.ttl.unsigned_abs());
            let left = lease
                .deadline
                .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
            let elapsed = full.saturating_sub(left);
            let next_look = if elapsed < interval {
                // Renewed since: its time to be replicated comes later.
                now + (interval - elapsed)
            } else {
                let remaining_ttl = seconds_up(left);
                if remaining_ttl > 0 && remaining_ttl != lease.remaining_ttl {
                    due.push(DueCheckpoint { id, remaining_ttl });
                }
                now + interval
            };
            lease.checkpoint_entry = Some(next_look);
            inner.checkpoint_queue.push(next_look, id);
        }
        due
    }
}

/// What the lock protects.
#[derive(Debug, Default)]
struct Inner {
    leases: BTreeMap<i64, Lease>,
    is_leader: bool,
    /// Granted while leading, and not looked at since.
    without_deadline: Vec<i64>,
    expiry_queue: ExpiryQueue,
    checkpoint_queue: ExpiryQueue,
}

impl Inner {
    /// The lease, with its deadline, on the leader.
    fn timed(&mut self, id: i64, now: Instant, config: &Config) -> Result<&mut Lease, RenewError> {
        if !self.is_leader {
            return Err(RenewError::NotLeader);
        }
        self.start_new_ones(now, config);
        self.leases.get_mut(&id).ok_or(RenewError::NotFound)
    }

    /// Gives leases that were granted since the last look their deadlines.
    fn start_new_ones(&mut self, now: Instant, config: &Config) {
        for id in std::mem::take(&mut self.without_deadline) {
            self.start(id, now, Duration::ZERO, config);
        }
    }

    /// Gives a lease its deadline and puts it into the queues.
    fn start(&mut self, id: i64, now: Instant, extend: Duration, config: &Config) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if lease.deadline.is_some() {
            return;
        }
        let deadline = after(now + extend, lease.replicated_ttl());
        lease.deadline = Some(deadline);
        lease.expiry_entry = Some(deadline);
        self.expiry_queue.push(deadline, id);
        let interval = config.checkpoint_interval;
        if config.has_checkpoints && Duration::from_secs(lease.ttl.unsigned_abs()) > interval {
            lease.checkpoint_entry = Some(now + interval);
            self.checkpoint_queue.push(now + interval, id);
        }
    }

    /// Forgets the leader's part.
    fn forget_time(&mut self) {
        self.without_deadline.clear();
        self.expiry_queue.clear();
        self.checkpoint_queue.clear();
        for lease in self.leases.values_mut() {
            lease.forget_time();
        }
    }
}

/// `now` plus a TTL. TTLs are at most [`TTL_SECONDS_MAX`], 285 years, which
/// every 64-bit clock can hold; should one not, a year stands for "very long".
fn after(now: Instant, ttl: i64) -> Instant {
    now.checked_add(Duration::from_secs(ttl.unsigned_abs()))
        .unwrap_or(now + A_YEAR)
}

fn seconds_up(duration: Duration) -> i64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(whole).unwrap_or(i64::MAX)
}

/// Longest TTL that is granted, in seconds. Source: observed etcd behaviour.
pub const TTL_SECONDS_MAX: i64 = 9_000_000_000;

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
