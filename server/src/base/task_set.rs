//! Owned tasks: everything spawned is joined or, past a deadline, dropped.
//!
//! A part of the server spawns through its own set and ends it at shutdown, so
//! that no task outlives what it borrows from. Stopping has two steps: `stop`
//! asks (tasks watch [`TaskSet::stopping`]), `join` waits and then drops what
//! is left. Spawning costs one allocation beside the task's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// A set of tasks with one owner. Clones share the set.
#[derive(Clone, Debug, Default)]
pub struct TaskSet {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
    /// Tasks that live, by name; a name stays when its last task has ended.
    /// Held for an addition only.
    live: Mutex<BTreeMap<&'static str, u64>>,
}

/// Counts a task while it lives.
struct Live {
    shared: Arc<Shared>,
    name: &'static str,
}

impl Live {
    fn new(shared: &Arc<Shared>, name: &'static str) -> Self {
        *shared.live.lock().entry(name).or_default() += 1;
        let shared = Arc::clone(shared);
        Self { shared, name }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(count) = self.shared.live.lock().get_mut(self.name) {
            *count = count.saturating_sub(1);
        }
    }
}

impl TaskSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the future on the current runtime as a member of the set. The name
    /// says in logs what was cut off when a shutdown had to.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let kill = self.shared.kill.clone();
        let live = Live::new(&self.shared, name);
        self.shared.tracker.spawn(async move {
            let _live = live;
            tokio::select! {
                biased;
                () = future => {}
                () = kill.cancelled() => tracing::debug!(task = name, "task cut off at shutdown"),
            }
        });
    }

    /// Like [`TaskSet::spawn`], for a task that has nothing to finish: it is
    /// dropped at its next await once the set stops.
    pub fn spawn_until_stopped<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stopping = self.stopping();
        self.spawn(name, async move {
            tokio::select! {
                biased;
                () = stopping => {}
                () = future => {}
            }
        });
    }

    /// Resolves once [`TaskSet::stop`] was called.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.shared.stop.clone().cancelled_owned()
    }

    /// Whether [`TaskSet::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    /// Asks every task to come to its end.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Tasks that have not ended.
    pub fn live_count(&self) -> usize {
        self.shared.tracker.len()
    }

    /// The same by name.
    pub fn live_by_name(&self) -> Vec<(&'static str, u64)> {
        let live = self.shared.live.lock();
        live.iter().map(|(name, count)| (*name, *count)).collect()
    }

    /// Stops, waits up to `patience` for the tasks to end, then drops the rest.
    /// Returns how many had to be dropped.
    pub async fn join(&self, patience: Duration) -> usize {
        self.stop();
        self.shared.tracker.close();
        if tokio::time::timeout(patience, self.shared.tracker.wait())
            .await
            .is_ok()
        {
            return 0;
        }
        let cut_off_count = self.shared.tracker.len();
        self.shared.kill.cancel();
        self.shared.tracker.wait().await;
        cut_off_count
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::TaskSet;

    #[tokio::test]
    async fn a_task_that_ends_when_asked_is_not_cut_off() {
        let tasks = TaskSet::new();
        let stopping = tasks.stopping();
        tasks.spawn("polite", stopping);
        assert_eq!(tasks.live_by_name(), [("polite", 1)]);
        assert_eq!(tasks.join(Duration::from_secs(10)).await, 0);
        assert_eq!(tasks.live_count(), 0);
        assert_eq!(tasks.live_by_name(), [("polite", 0)]);
    }

    #[tokio::test]
    async fn a_task_with_nothing_to_finish_ends_when_the_set_stops() {
        let tasks = TaskSet::new();
        tasks.spawn_until_stopped("endless", std::future::pending());
        assert_eq!(tasks.join(Duration::from_secs(10)).await, 0);
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_dropped_at_the_deadline() {
        let tasks = TaskSet::new();
        tasks.spawn("deaf", std::future::pending());
        assert_eq!(tasks.join(Duration::from_millis(1)).await, 1);
        assert_eq!(tasks.live_count(), 0);
    }
}
