//! The one snapshot that this member receives, or was receiving.
//!
//! One at a time, because it may write a lot. A new attempt, by the same sender or
//! another one, takes over from the one that is under way, which may not have
//! noticed yet that its connection is gone. What was spooled stays for a bounded
//! time for the same sender and the same snapshot; anything else discards it.

use std::time::Duration;

use openraft::Instant as _;
use openraft::type_config::TypeConfigExt;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::receiver::Receiver;
use crate::blocking::Blocking;
use crate::types::TypeConfig;

type Instant = openraft::alias::InstantOf<TypeConfig>;

/// Attempts to send a snapshot to this member.
pub(crate) struct Stages {
    /// Held by the attempt that receives; what the last one left.
    left: Mutex<Option<Stage>>,
    /// Number of the newest attempt.
    attempts: watch::Sender<u64>,
    kept: Duration,
    blocking: Blocking,
}

struct Stage {
    peer: u64,
    id: u64,
    receiver: Receiver,
    since: Instant,
}

/// One attempt.
pub(crate) struct Attempt<'a> {
    number: u64,
    newest: watch::Receiver<u64>,
    left: MutexGuard<'a, Option<Stage>>,
    blocking: &'a Blocking,
}

impl Stages {
    pub(crate) fn new(kept: Duration, blocking: Blocking) -> Self {
        Self {
            left: Mutex::default(),
            attempts: watch::channel(0).0,
            kept,
            blocking,
        }
    }

    /// Takes over from the attempt that is under way.
    pub(crate) async fn attempt(&self) -> Attempt<'_> {
        let mut number = 0;
        self.attempts.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        Attempt {
            number,
            newest: self.attempts.subscribe(),
            left: self.left.lock().await,
            blocking: &self.blocking,
        }
    }

    /// Discards what was kept for long enough.
    pub(crate) fn expire(&self) {
        let Ok(mut left) = self.left.try_lock() else {
            return;
        };
        let is_old = |stage: &Stage| stage.since.elapsed() >= self.kept;
        if left.as_ref().is_some_and(is_old) {
            self.blocking.discard(left.take());
        }
    }
}

impl Attempt<'_> {
    /// What the last attempt left of this snapshot.
    pub(crate) fn take(&mut self, peer: u64, id: u64) -> Option<Receiver> {
        let stage = self.left.take()?;
        if stage.peer == peer && stage.id == id {
            return Some(stage.receiver);
        }
        self.blocking.discard(stage);
        None
    }

    /// Leaves what was received to the next attempt.
    pub(crate) fn leave(&mut self, peer: u64, id: u64, receiver: Receiver) {
        *self.left = Some(Stage {
            peer,
            id,
            receiver,
            since: TypeConfig::now(),
        });
    }

    /// Resolves when another attempt has begun. Cancel safe.
    pub(crate) async fn superseded(&mut self) {
        let number = self.number;
        // The sender outlives every attempt.
        let _ = self.newest.wait_for(|newest| *newest > number).await;
    }
}
