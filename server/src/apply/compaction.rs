//! Carries scheduled compactions out, a bounded step at a time.
//!
//! Apply only moves the compact revision; reads below it fail from then on.
//! What that leaves behind is removed here, beside the writes, with a pause
//! between steps.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::{
    mvcc::{CompactionProgress, Store},
    telemetry::metrics::{Metrics, MvccMetrics},
};

/// Tells the background task what is scheduled and waiters what is done.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct CompactionWatch {
    scheduled: Arc<watch::Sender<i64>>,
    finished: Arc<watch::Sender<i64>>,
}

impl CompactionWatch {
    /// Starts with the compact revision that the store recovered.
    pub(crate) fn new(compact_revision: i64) -> Self {
        Self {
            scheduled: Arc::new(watch::Sender::new(compact_revision)),
            finished: Arc::new(watch::Sender::new(-1)),
        }
    }

    /// The store's compact revision is `revision`, visibly.
    pub(crate) fn schedule(&self, revision: i64) {
        self.scheduled.send_if_modified(|scheduled| {
            let is_new = *scheduled != revision;
            *scheduled = revision;
            is_new
        });
    }

    /// The store's compact revision is `revision`, and what it asks for may not
    /// have been carried out.
    pub(crate) fn schedule_again(&self, revision: i64) {
        self.scheduled.send_replace(revision);
    }

    /// What was last scheduled.
    #[cfg(test)]
    pub(super) fn scheduled(&self) -> i64 {
        *self.scheduled.borrow()
    }

    /// Waits until a compaction at `revision` or above was carried out.
    /// Cancel safe.
    pub(crate) async fn finished(&self, revision: i64) {
        let mut finished = self.finished.subscribe();
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let _ = finished.wait_for(|done| *done >= revision).await;
    }
}

/// How fast compactions go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// `--compaction-batch-limit`: keys looked at in one step.
    pub(crate) keys_max: usize,
    /// `--compaction-sleep-interval`: pause between steps.
    pub(crate) pause: Duration,
}

/// Carries compactions out as they are scheduled, until dropped.
pub(crate) async fn run_compactions(
    store: Store,
    watch: CompactionWatch,
    pace: Pace,
    metrics: Arc<Metrics>,
) {
    let mut scheduled = watch.scheduled.subscribe();
    loop {
        let revision = *scheduled.borrow_and_update();
        carry_out(&store, pace, &metrics.mvcc).await;
        watch.finished.send_replace(revision);
        // The sender lives in `watch`, so the channel cannot close meanwhile.
        let _ = scheduled.changed().await;
    }
}

async fn carry_out(store: &Store, pace: Pace, metrics: &MvccMetrics) {
    let started = std::time::Instant::now();
    let mut removed = 0_usize;
    loop {
        let step = std::time::Instant::now();
        let progress = store.compaction_step(pace.keys_max);
        if let CompactionProgress::Working { removed_count }
        | CompactionProgress::Finished { removed_count, .. } = progress
        {
            metrics
                .db_compaction_keys_total
                .inc_by(removed_count as u64);
            let pause = &metrics.db_compaction_pause_duration_milliseconds;
            pause.observe(step.elapsed().as_secs_f64() * 1e3);
        }
        match progress {
            CompactionProgress::Idle => return,
            CompactionProgress::Waiting => store.views_gone().await,
            CompactionProgress::Working { removed_count } => {
                removed += removed_count;
                tokio::time::sleep(pace.pause).await;
            }
            CompactionProgress::Finished {
                compact_revision,
                removed_count,
            } => {
                removed += removed_count;
                let total = &metrics.db_compaction_total_duration_milliseconds;
                total.observe(started.elapsed().as_secs_f64() * 1e3);
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let now = now.unwrap_or_default().as_secs_f64();
                metrics.db_compaction_last.set(now.trunc());
                tracing::info!(
                    compact_revision,
                    took = ?started.elapsed(),
                    number_of_keys_compacted = removed,
                    "finished scheduled compaction"
                );
            }
        }
    }
}
