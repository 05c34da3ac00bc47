//! When what is stored is hashed, and hashing it.
//!
//! Reads every record, on a thread that waits for disks; one hash at a time.
//! Source: etcd 3.7, whose leader compares hashes at an interval, and at another
//! one those of compactions.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use crate::agreement::{Agreement, value_of};

/// What a member that leads compares unasked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HashChecks {
    /// `--corrupt-check-time`; `None` for never.
    pub(crate) interval: Option<Duration>,
    /// `--compact-hash-check-time`, with gate CompactHashCheck: how often hashes are
    /// compared if there was a compaction since.
    pub(crate) compaction_interval: Option<Duration>,
}

/// Hashes under way and due.
#[derive(Debug)]
pub(super) struct Hashing {
    checks: HashChecks,
    checked: Instant,
    compaction_checked: Instant,
    compact_revision: Option<i64>,
    under_way: Option<oneshot::Receiver<(u64, u128)>>,
    /// By index; what became of the last one.
    hashed: Option<(u64, u128)>,
}

impl Hashing {
    pub(super) fn new(checks: HashChecks) -> Self {
        let now = Instant::now();
        Self {
            checks,
            checked: now,
            compaction_checked: now,
            compact_revision: None,
            under_way: None,
            hashed: None,
        }
    }

    /// Whether all members should hash what they store, as of now.
    pub(super) fn is_due(&mut self, compact_revision: i64) -> bool {
        let is_over = |interval: Option<Duration>, since: Instant| {
            interval.is_some_and(|i| since.elapsed() >= i)
        };
        let is_time = is_over(self.checks.interval, self.checked);
        let before = *self.compact_revision.get_or_insert(compact_revision);
        let is_compacted = compact_revision != before
            && is_over(self.checks.compaction_interval, self.compaction_checked);
        if is_time {
            self.checked = Instant::now();
        }
        if is_compacted {
            self.compaction_checked = Instant::now();
            self.compact_revision = Some(compact_revision);
        }
        is_time || is_compacted
    }

    /// Begins to hash the view that waits, if none is being hashed.
    pub(super) fn hash_pinned(&mut self, agreement: &Agreement) {
        self.look();
        if self.under_way.is_some() {
            return;
        }
        let Some(pinned) = agreement.take_pinned() else {
            return;
        };
        let (index, generation) = (pinned.index, pinned.generation());
        let (done, hashed) = oneshot::channel();
        let agreement = agreement.clone();
        // Ends with the last record.
        tokio::task::spawn_blocking(move || match pinned.view.hash_kv(0) {
            Ok(hash) => {
                let value = value_of(&hash);
                if agreement.hashed(index, generation, value) {
                    // The receiver lives as long as the member.
                    let _ = done.send((index, value));
                }
            }
            Err(error) => tracing::error!(%error, index, "cannot hash what is stored"),
        });
        self.under_way = Some(hashed);
    }

    /// The last hash, once.
    pub(super) fn take_hashed(&mut self) -> Option<(u64, u128)> {
        self.look();
        self.hashed.take()
    }

    fn look(&mut self) {
        let Some(under_way) = &mut self.under_way else {
            return;
        };
        match under_way.try_recv() {
            Ok(hashed) => self.hashed = Some(hashed),
            Err(oneshot::error::TryRecvError::Empty) => return,
            Err(oneshot::error::TryRecvError::Closed) => {}
        }
        self.under_way = None;
    }
}
