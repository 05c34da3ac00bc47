//! Shared by the suites: made-up entries, a small configuration, and a
//! completion that can be waited for.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use quoin_wal::{Completion, Config, Entry, Error, Log, LogIdentity};

/// Small segments and groups, so that every boundary is met often.
pub(crate) fn small_config(directory: &Path) -> Config {
    let log_id = LogIdentity {
        cluster_id: 0xc,
        member_id: 0xa11,
    };
    Config {
        segment_bytes: 16 << 10,
        first_segment_bytes: 8 << 10,
        group_bytes_max: 2 << 10,
        tail_bytes_max: 2 << 10,
        zeroing_pause: Duration::ZERO,
        ..Config::new(directory.to_path_buf(), log_id)
    }
}

/// An entry whose payload follows from index and term.
pub(crate) fn entry(index: u64, term: u64) -> Entry {
    let length = 20 + (index * 7 + term * 3) % 40;
    let payload: Vec<u8> = (0..length)
        .map(|at| (at * 31 + index + term) as u8)
        .collect();
    Entry {
        index,
        term,
        kind: (index % 3) as u8,
        payload: Bytes::from(payload),
    }
}

/// Entries of a range, all of one term.
pub(crate) fn entries(range: Range<u64>, term: u64) -> Vec<Entry> {
    range.map(|index| entry(index, term)).collect()
}

/// Appends a range and waits until it is durable.
pub(crate) fn append(log: &Log, range: Range<u64>, term: u64) {
    let waiter = Waiter::new();
    log.append(&entries(range, term), waiter.completion());
    waiter.wait().unwrap();
}

/// Waits for a completion.
#[derive(Clone, Default)]
pub(crate) struct Waiter(Arc<(Mutex<Outcome>, Condvar)>);

type Outcome = Option<Result<(), Error>>;

impl Waiter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn completion(&self) -> Completion {
        let shared = Arc::clone(&self.0);
        Box::new(move |outcome| {
            assert!(
                shared.0.lock().replace(outcome).is_none(),
                "completed twice"
            );
            shared.1.notify_all();
        })
    }

    pub(crate) fn wait(&self) -> Result<(), Error> {
        let mut outcome = self.0.0.lock();
        while outcome.is_none() {
            let late = self
                .0
                .1
                .wait_for(&mut outcome, Duration::from_secs(60))
                .timed_out();
            assert!(!late, "no completion within a minute");
        }
        outcome.clone().unwrap()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.0.0.lock().clone()
    }
}
