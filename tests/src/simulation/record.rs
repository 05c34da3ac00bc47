//! What happens in a run: its time, its events and their hash.
//!
//! Every delivery, disk operation, fault, answer and applied entry is an event.
//! Two runs that had the same events in the same order have the same hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::random::mix;

/// Time and record of a run. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Simulated milliseconds since the start.
    now: AtomicU64,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    hash: u64,
    count: u64,
    by_kind: BTreeMap<&'static str, u64>,
    /// The events in words, if they are wanted.
    lines: Option<Vec<String>>,
    violation: Option<String>,
}

impl Record {
    /// An empty record; with `is_told` every event is kept as a line.
    #[must_use]
    pub fn new(is_told: bool) -> Self {
        let record = Self::default();
        record.0.events.lock().lines = is_told.then(Vec::new);
        record
    }

    /// Simulated milliseconds since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }

    pub(super) fn set_now(&self, now: u64) {
        self.0.now.store(now, Ordering::Relaxed);
    }

    /// Something has happened.
    pub fn note(&self, kind: &'static str, fields: &[u64]) {
        let now = self.now();
        let mut events = self.0.events.lock();
        let mut hash = mix(events.hash ^ now);
        for byte in kind.bytes() {
            hash = hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
        }
        for field in fields {
            hash = mix(hash ^ field);
        }
        events.hash = hash;
        events.count += 1;
        *events.by_kind.entry(kind).or_default() += 1;
        if let Some(lines) = &mut events.lines {
            let mut line = format!("{:>9.3} {kind}", now as f64 / 1000.0);
            for field in fields {
                let _ = write!(line, " {field:x}");
            }
            lines.push(line);
        }
    }

    /// A text for who reads the events; no event itself.
    pub fn tell(&self, text: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(lines) = &mut self.0.events.lock().lines {
            lines.push(format!("{:>9.3} . {}", now as f64 / 1000.0, text()));
        }
    }

    /// A promise was broken. The first one stays.
    pub fn violated(&self, what: impl FnOnce() -> String) {
        let now = self.now();
        let mut events = self.0.events.lock();
        if events.violation.is_none() {
            let text = format!("at {:.3} s: {}", now as f64 / 1000.0, what());
            if let Some(lines) = &mut events.lines {
                lines.push(format!("VIOLATION {text}"));
            }
            events.violation = Some(text);
        }
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        self.0.events.lock().violation.clone()
    }

    /// Hash and number of all events.
    #[must_use]
    pub fn hash(&self) -> (u64, u64) {
        let events = self.0.events.lock();
        (events.hash, events.count)
    }

    /// Events by kind.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<String, u64> {
        let events = self.0.events.lock();
        let kinds = events.by_kind.iter();
        kinds
            .map(|(kind, count)| ((*kind).to_owned(), *count))
            .collect()
    }

    /// The events as lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.events.lock().lines.take().unwrap_or_default()
    }
}
