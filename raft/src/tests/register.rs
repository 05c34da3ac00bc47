//! A state machine of named registers. Its disk is a shared cell, so that a
//! restart finds the last checkpoint and nothing newer.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};

use crate::{
    Applied, Committed, Durable, Payload, SnapshotSink, SnapshotSource, StateMachine,
    StateMachineError,
};

/// State and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) applied: Applied,
    pub(crate) values: BTreeMap<String, String>,
}

/// Views of a member's register that a test may look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What a crash leaves.
    pub(crate) checkpoint: Arc<Mutex<Image>>,
    /// What local reads see.
    pub(crate) live: Arc<Mutex<Image>>,
    /// Where [`LONG`] entries are being applied.
    pub(crate) gate: Arc<Gate>,
    /// Snapshots that can be read.
    pub(crate) sources: Arc<AtomicUsize>,
    /// Snapshots that arrive wait at the gate.
    pub(crate) holds_snapshots: Arc<AtomicBool>,
    /// The next snapshot that is read has a flipped bit.
    pub(crate) damages_next: Arc<AtomicBool>,
}

/// Keeps who comes to it until it is opened.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    /// Somebody has come.
    pub(crate) is_reached: AtomicBool,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        self.is_reached.store(true, Ordering::Release);
        let mut is_open = self.is_open.lock();
        while !*is_open {
            self.opened.wait(&mut is_open);
        }
    }
}

/// Payloads are `name=value`.
pub(crate) struct Register {
    disk: Disk,
    durable: Option<Durable>,
    /// The suite of openraft applies entries with holes.
    is_lenient: bool,
}

impl Register {
    /// Takes entries in any order.
    pub(crate) fn lenient(disk: Disk) -> Self {
        Self {
            is_lenient: true,
            ..Self::open(disk, None)
        }
    }

    /// Recovers from the checkpoint.
    pub(crate) fn open(disk: Disk, durable: Option<Durable>) -> Self {
        *disk.live.lock() = disk.checkpoint.lock().clone();
        Self {
            disk,
            durable,
            is_lenient: false,
        }
    }
}

fn is_long(payload: &Payload) -> bool {
    matches!(payload, Payload::Normal(bytes) if bytes.starts_with(LONG.as_bytes()))
}

impl StateMachine for Register {
    fn is_long(&self, entry: &Committed) -> bool {
        is_long(&entry.payload)
    }

    fn applied(&self) -> Applied {
        self.disk.live.lock().applied.clone()
    }

    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = Committed>,
    ) -> Result<(), StateMachineError> {
        for Committed {
            log_id, payload, ..
        } in entries
        {
            if is_long(&payload) {
                self.disk.gate.pass();
            }
            let mut live = self.disk.live.lock();
            let expected = live.applied.log_id.map_or(1, |id| id.index + 1);
            assert!(
                self.is_lenient || log_id.index == expected,
                "applied {log_id:?}, expected {expected}"
            );
            match payload {
                Payload::Blank => {}
                Payload::Normal(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if text == POISON {
                        return Err(StateMachineError::new("poisoned"));
                    }
                    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                    live.values.insert(name.to_owned(), value.to_owned());
                }
                Payload::Membership { encoded, .. } => live.applied.membership = Some(encoded),
            }
            live.applied.log_id = Some(log_id);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> BoxFuture<'static, Result<Applied, StateMachineError>> {
        let image = self.disk.live.lock().clone();
        let (disk, durable) = (self.disk.clone(), self.durable.clone());
        async move {
            let index = image.applied.log_id.map_or(0, |id| id.index);
            let wait = move || durable.map_or(Ok(()), |durable| durable.wait_for(index));
            tokio::task::spawn_blocking(wait)
                .await
                .unwrap()
                .map_err(StateMachineError::new)?;
            let applied = image.applied.clone();
            *disk.checkpoint.lock() = image;
            Ok(applied)
        }
        .boxed()
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, StateMachineError> {
        let image = Arc::new(self.disk.live.lock().clone());
        Ok(Box::new(Source::new(image, &self.disk)))
    }

    fn receive(&mut self) -> Result<Box<dyn SnapshotSink>, StateMachineError> {
        Ok(Box::new(Sink {
            bytes: Vec::new(),
            disk: self.disk.clone(),
        }))
    }

    fn install(
        &mut self,
        applied: Applied,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), StateMachineError> {
        let sink = sink
            .into_any()
            .downcast::<Sink>()
            .map_err(|_| StateMachineError::new("sink"))?;
        let mut values = BTreeMap::new();
        for row in String::from_utf8_lossy(&sink.bytes).lines() {
            let (name, value) = row.split_once('=').unwrap_or((row, ""));
            values.insert(name.to_owned(), value.to_owned());
        }
        let image = Image { applied, values };
        *self.disk.checkpoint.lock() = image.clone();
        *self.disk.live.lock() = image;
        Ok(())
    }
}

struct Source {
    image: Arc<Image>,
    /// The last value that was sent.
    after: Option<String>,
    disk: Disk,
}

impl Source {
    fn new(image: Arc<Image>, disk: &Disk) -> Self {
        disk.sources.fetch_add(1, Ordering::AcqRel);
        Self {
            image,
            after: None,
            disk: disk.clone(),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.disk.sources.fetch_sub(1, Ordering::AcqRel);
    }
}

impl SnapshotSource for Source {
    fn applied(&self) -> Applied {
        self.image.applied.clone()
    }

    fn again(&self) -> Box<dyn SnapshotSource> {
        Box::new(Self::new(Arc::clone(&self.image), &self.disk))
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, StateMachineError> {
        let mut chunk = Vec::new();
        let from = self.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        for (name, value) in self.image.values.range((from, Bound::Unbounded)).take(50) {
            chunk.extend_from_slice(format!("{name}={value}\n").as_bytes());
            self.after = Some(name.clone());
        }
        let is_to_be_damaged = !chunk.is_empty() && self.after.as_deref() > Some("k5");
        if is_to_be_damaged && self.disk.damages_next.swap(false, Ordering::AcqRel) {
            chunk[0] |= 0x80;
        }
        Ok((!chunk.is_empty()).then(|| chunk.into()))
    }
}

struct Sink {
    bytes: Vec<u8>,
    disk: Disk,
}

impl SnapshotSink for Sink {
    fn write(&mut self, chunk: Bytes) -> Result<(), StateMachineError> {
        if !chunk.is_ascii() {
            return Err(StateMachineError::new("a damaged row"));
        }
        self.bytes.extend_from_slice(&chunk);
        if self.disk.holds_snapshots.load(Ordering::Acquire) {
            self.disk.gate.pass();
        }
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// A payload that begins so takes as long as a test wants.
pub(crate) const LONG: &str = "long";

/// A payload that makes `apply` fail.
pub(crate) const POISON: &str = "poison";
