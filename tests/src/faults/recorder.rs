//! A history under construction, shared by all clients of a round.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::client::Ended;
use crate::checker::operation::{Change, Key, Operation, Value};

/// What all clients of a round were told, on one clock.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    next_value: AtomicU64,
    /// Held for a push.
    operations: Mutex<Vec<Operation>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            next_value: AtomicU64::new(1),
            operations: Mutex::default(),
        }
    }
}

impl Recorder {
    /// Nanoseconds since the round began.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A value that nobody else writes.
    #[must_use]
    pub fn new_value(&self) -> Value {
        self.next_value.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes an operation that was called at `called` and has just ended. Of one
    /// that changes nothing, only an answer is worth noting.
    pub fn ended(&self, client: u32, called: u64, asked: Asked, ended: Ended) {
        let answer = match ended {
            Ended::Answered(answer) => Some(answer),
            Ended::Open if !asked.changes.is_empty() => None,
            Ended::Open | Ended::Refused => return,
        };
        let operation = Operation {
            client,
            called,
            answered: answer.is_some().then(|| self.now()),
            conditions: asked.conditions.into_iter().collect(),
            changes: asked.changes,
            answer,
        };
        self.lock().push(operation);
    }

    /// The history.
    #[must_use]
    pub fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Operation>> {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Keys that are read before anything changes.
    pub reads: Vec<Key>,
    /// Modification revisions that must be met.
    pub conditions: Vec<(Key, i64)>,
    /// What changes then.
    pub changes: Vec<Change>,
}
