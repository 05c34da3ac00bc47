//! Snapshots on their way out of this member, to all that need one.
//!
//! A bounded number is sent at once, in the order in which they were asked for;
//! the others wait. A transfer that was broken off by its connection, or because
//! openraft began replication anew, is kept for a while: whoever asks for the same
//! snapshot for the same member goes on with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::cursor::Cursor;
use super::pinned::Pinned;
use super::sender::{SendError, send};
use crate::blocking::Blocking;
use crate::metrics::{Counter, Metrics};
use crate::transport::Link;
use crate::types::{TypeConfig, Vote};

type Instant = openraft::alias::InstantOf<TypeConfig>;

/// Everything that is sent or waits to be.
pub(crate) struct Transfers {
    slots: Semaphore,
    kept: Duration,
    metrics: Arc<Metrics>,
    parked: Mutex<HashMap<u64, Parked>>,
    blocking: Blocking,
}

/// A transfer that was broken off.
struct Parked {
    cursor: Cursor,
    since: Instant,
}

impl Transfers {
    /// At most `at_once` are sent at a time; one that is broken off is kept for
    /// `kept`.
    pub(crate) fn new(
        at_once: usize,
        kept: Duration,
        metrics: Arc<Metrics>,
        blocking: Blocking,
    ) -> Self {
        Self {
            slots: Semaphore::new(at_once.max(1)),
            kept,
            metrics,
            parked: Mutex::default(),
            blocking,
        }
    }

    /// Sends a pinned state to a member; resolves with the vote of the member.
    /// Cancel safe: what was sent counts for the next attempt.
    ///
    /// # Errors
    /// Why it was broken off.
    pub(crate) async fn send(
        &self,
        target: u64,
        link: &Link,
        vote: Vote,
        pinned: Arc<Pinned>,
    ) -> Result<Vote, SendError> {
        let _slot = self.slot(target).await?;
        let _sending = Gauge::raise(&self.metrics.snapshots_sending);
        let mut turn = Turn {
            transfers: self,
            target,
            cursor: Some(self.take(target, pinned)),
        };
        let Some(cursor) = &mut turn.cursor else {
            return Err(SendError::Failed("no cursor".into()));
        };
        let (began, before) = (TypeConfig::now(), cursor.bytes());
        tracing::info!(
            peer = target,
            snapshot = cursor.pinned.id,
            "sending a snapshot"
        );
        let sent = send(link, vote, cursor, &self.metrics).await;
        let bytes = cursor.bytes().saturating_sub(before);
        match &sent {
            Ok(_) => {
                tracing::info!(peer = target, bytes, took = ?began.elapsed(), "sent a snapshot")
            }
            Err(error) => {
                let can_resume = error.can_resume();
                tracing::warn!(peer = target, bytes, can_resume, %error, "cannot send a snapshot");
            }
        }
        if sent
            .as_ref()
            .map_or_else(|error| !error.can_resume(), |_| true)
        {
            turn.cursor = None;
        }
        sent
    }

    async fn slot(&self, target: u64) -> Result<SemaphorePermit<'_>, SendError> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _waiting = Gauge::raise(&self.metrics.snapshots_waiting);
        tracing::info!(peer = target, "a snapshot waits until others are sent");
        let slot = self.slots.acquire().await;
        slot.map_err(|error| SendError::Failed(error.to_string()))
    }

    /// The place where a transfer to `target` is, or its beginning.
    fn take(&self, target: u64, pinned: Arc<Pinned>) -> Cursor {
        let parked = self.parked.lock().remove(&target);
        let same = parked.filter(|parked| Arc::ptr_eq(&parked.cursor.pinned, &pinned));
        same.map_or_else(
            || Cursor::new(pinned, self.blocking.clone()),
            |parked| parked.cursor,
        )
    }

    /// Lets go of what was kept for long enough.
    pub(crate) fn expire(&self) {
        let is_fresh = |parked: &Parked| parked.since.elapsed() < self.kept;
        self.parked.lock().retain(|_, parked| is_fresh(parked));
    }
}

/// Keeps the cursor of a transfer that ends in any way but one that clears it.
struct Turn<'a> {
    transfers: &'a Transfers,
    target: u64,
    cursor: Option<Cursor>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What nobody has received anything of is not worth a pin.
        let Some(cursor) = self.cursor.take().filter(|cursor| cursor.answered() > 0) else {
            return;
        };
        let since = TypeConfig::now();
        let mut parked = self.transfers.parked.lock();
        if parked.len() < PARKED_MAX || parked.contains_key(&self.target) {
            parked.insert(self.target, Parked { cursor, since });
        }
    }
}

/// Counts something that is going on.
struct Gauge<'a>(&'a Counter);

impl<'a> Gauge<'a> {
    fn raise(counter: &'a Counter) -> Self {
        counter.add(1);
        Self(counter)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// Each holds up to 4 MiB; more members than this are rarely behind together.
const PARKED_MAX: usize = 8;
