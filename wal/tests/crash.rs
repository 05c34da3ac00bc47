//! Random operations on a disk that dies at any operation and then forgets, keeps
//! or mixes what was not synced: recovery yields a prefix of the stream that
//! contains everything acknowledged. Several lives in a row, so that recovery of
//! a recovered log is met too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test is the error path"
)]

mod harness;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use quoin_wal::storage::{FaultyStorage, Loss};
use quoin_wal::{Completion, Entry, Error, Log, Position, Recovery};

use harness::{Waiter, entry, small_config};

#[derive(Clone, Debug)]
enum Operation {
    Append {
        count: u64,
    },
    Vote,
    Committed,
    /// Drops this many of the newest entries.
    Truncate {
        count: u64,
    },
    TruncateAll,
    /// Purges this many of the oldest entries, or beyond the end.
    Purge {
        count: u64,
    },
    /// Waits for all completions so far.
    Wait,
}

#[derive(Clone, Debug)]
struct Life {
    operations: Vec<Operation>,
    dies_after: u64,
    loss: Loss,
}

/// The log as it should be after some record of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    first: u64,
    next: Option<u64>,
    terms: Vec<u64>,
    purged: Option<Position>,
    vote: Option<u64>,
}

impl Model {
    fn append(&mut self, term: u64) -> Entry {
        let index = self.next.unwrap_or(1);
        if self.next.is_none() {
            self.first = index;
        }
        self.next = Some(index + 1);
        self.terms.push(term);
        entry(index, term)
    }

    fn truncate(&mut self, count: u64) -> Option<u64> {
        let kept = (self.terms.len() as u64).saturating_sub(count.max(1));
        let next = self.next?;
        if self.terms.is_empty() || self.first + kept == 0 {
            return None;
        }
        assert!(next > self.first + kept);
        self.terms.truncate(kept as usize);
        self.next = Some(self.first + kept);
        Some(self.first + kept - 1)
    }

    fn truncate_all(&mut self) {
        self.terms.clear();
        self.next = self
            .purged
            .map(|purged| purged.index + 1)
            .filter(|_| self.next.is_some());
        if self.next.is_none() {
            self.first = 0;
        }
    }

    fn purge(&mut self, count: u64, term: u64) -> Position {
        let base = if self.next.is_some() { self.first } else { 1 };
        let index = base + count;
        let dropped = (index + 1 - base).min(self.terms.len() as u64);
        self.terms.drain(..dropped as usize);
        self.first = index + 1;
        self.next = Some(self.first + self.terms.len() as u64);
        let position = Position { index, term };
        self.purged = Some(position);
        position
    }

    fn is(&self, recovery: &Recovery) -> bool {
        let last = self.terms.last().map(|term| Position {
            index: self.next.unwrap() - 1,
            term: *term,
        });
        let first = (!self.terms.is_empty()).then_some(self.first);
        let vote = self
            .vote
            .map(|vote| Bytes::from(vote.to_le_bytes().to_vec()));
        (first, last, self.purged, &vote)
            == (
                recovery.first_index,
                recovery.last,
                recovery.purged,
                &recovery.vote,
            )
    }

    fn entries(&self) -> Vec<Entry> {
        (self.first..)
            .zip(&self.terms)
            .map(|(index, term)| entry(index, *term))
            .collect()
    }
}

/// One history: the states after each record, and how many are acknowledged.
struct History {
    states: Vec<Model>,
    acknowledged: Arc<AtomicUsize>,
    term: u64,
    vote: u64,
    waiters: Vec<Waiter>,
}

impl History {
    fn new(start: Model, term: u64, vote: u64) -> Self {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        Self {
            states: vec![start],
            acknowledged,
            term,
            vote,
            waiters: Vec::new(),
        }
    }

    fn model(&self) -> Model {
        self.states.last().unwrap().clone()
    }

    /// A completion that acknowledges every state so far.
    fn completion(&mut self) -> Completion {
        let position = self.states.len() - 1;
        let acknowledged = Arc::clone(&self.acknowledged);
        let waiter = Waiter::new();
        let inner = waiter.completion();
        self.waiters.push(waiter);
        Box::new(move |outcome| {
            if outcome.is_ok() {
                acknowledged.fetch_max(position, Ordering::SeqCst);
            }
            inner(outcome);
        })
    }

    fn run(&mut self, log: &Log, operation: &Operation) {
        let mut model = self.model();
        match operation {
            Operation::Append { count } => {
                let mut batch = Vec::new();
                for _ in 0..*count {
                    batch.push(model.append(self.term));
                    self.states.push(model.clone());
                }
                log.append(&batch, self.completion());
            }
            Operation::Vote => {
                self.vote += 1;
                model.vote = Some(self.vote);
                self.states.push(model);
                let vote = Bytes::from(self.vote.to_le_bytes().to_vec());
                log.save_vote(vote, self.completion());
            }
            Operation::Committed => log.save_committed(Bytes::from_static(b"mark")),
            Operation::Truncate { count } => {
                if let Some(index) = model.truncate(*count) {
                    self.term += 1;
                    self.states.push(model);
                    log.truncate_after(Some(index));
                }
            }
            Operation::TruncateAll => {
                model.truncate_all();
                self.term += 1;
                self.states.push(model);
                log.truncate_after(None);
            }
            Operation::Purge { count } => {
                let position = model.purge(*count, self.term);
                self.states.push(model);
                log.purge_to(position);
            }
            Operation::Wait => {
                for waiter in self.waiters.drain(..) {
                    let _outcome = waiter.wait();
                }
            }
        }
    }

    /// The state the log was recovered to; `None` if its disk died meanwhile.
    fn find(&self, log: &Log, recovery: &Recovery) -> Option<Model> {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let candidates = self.states.iter().skip(acknowledged);
        let mark = recovery.committed.as_deref();
        assert!(
            mark.is_none_or(|mark| mark == b"mark"),
            "mark {mark:?} was never saved"
        );
        for model in candidates.filter(|model| model.is(recovery)) {
            let expected = model.entries();
            let range = model.first..model.next.unwrap_or(model.first);
            match log.read(range, usize::MAX) {
                Ok(found) if found == expected => return Some(model.clone()),
                Ok(_) => {}
                Err(Error::Io { .. }) => return None,
                Err(error) => panic!("recovered entries are not readable: {error}"),
            }
        }
        panic!(
            "recovered {recovery:?}, acknowledged {:?} (state {acknowledged} of {}), latest {:?}",
            self.states[acknowledged],
            self.states.len(),
            self.states.last()
        );
    }
}

fn run_lives(lives: &[Life], seed: u64) {
    let mut config = small_config(Path::new("/log"));
    config.tail_bytes_max = (seed % 3) as usize * 1000;
    config.spare_segments_count = (seed % 4) as usize;
    let mut storage = FaultyStorage::new(seed);
    let mut history = History::new(Model::default(), 1, 0);
    for life in lives {
        storage.die_at(life.dies_after);
        if let Ok((log, recovery)) = Log::open(Arc::new(storage.clone()), config.clone()) {
            // If the disk dies while entries are read back, the next life judges.
            let Some(model) = history.find(&log, &recovery) else {
                storage = storage.after_crash(life.loss);
                continue;
            };
            history = History::new(model, history.term + 1, history.vote);
            for operation in &life.operations {
                history.run(&log, operation);
            }
            let closed = log.close();
            let is_whole = closed.is_ok();
            history.run(&log, &Operation::Wait);
            if is_whole {
                let last = history.states.len() - 1;
                history.acknowledged.fetch_max(last, Ordering::SeqCst);
            }
        }
        storage = storage.after_crash(life.loss);
    }
    let (log, recovery) = Log::open(Arc::new(storage), config).expect("a crash is no corruption");
    history
        .find(&log, &recovery)
        .expect("this disk does not fail");
    log.close().unwrap();
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (0..40_u64).prop_map(|count| Operation::Append { count }),
        2 => Just(Operation::Vote),
        1 => Just(Operation::Committed),
        2 => (0..30_u64).prop_map(|count| Operation::Truncate { count }),
        1 => Just(Operation::TruncateAll),
        3 => (0..60_u64).prop_map(|count| Operation::Purge { count }),
        4 => Just(Operation::Wait),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let loss = prop_oneof![1 => Just(Loss::Drop), 1 => Just(Loss::Keep), 3 => Just(Loss::Mix)];
    let operations = proptest::collection::vec(operation(), 0..40);
    (operations, 0..200_u64, loss).prop_map(|(operations, dies_after, loss)| Life {
        operations,
        dies_after,
        loss,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn recovery_yields_a_prefix_with_everything_acknowledged(
        lives in proptest::collection::vec(life(), 1..5),
        seed in any::<u64>(),
    ) {
        run_lives(&lives, seed);
    }
}

/// The operations every failure and every crash point is tried with.
fn script() -> Vec<Operation> {
    let mut script = Vec::new();
    for round in 0..6 {
        script.push(Operation::Append { count: 90 });
        script.push(Operation::Vote);
        script.push(Operation::Wait);
        script.push(Operation::Committed);
        script.push(Operation::Truncate { count: 5 + round });
        script.push(Operation::Append { count: 30 });
        script.push(Operation::Purge { count: 60 });
        script.push(Operation::Wait);
    }
    script
}

fn operations_of_the_script() -> u64 {
    let storage = FaultyStorage::new(0);
    let config = small_config(Path::new("/log"));
    let (log, _) = Log::open(Arc::new(storage.clone()), config).unwrap();
    let mut history = History::new(Model::default(), 1, 0);
    for operation in script() {
        history.run(&log, &operation);
    }
    log.close().unwrap();
    storage.operations_count()
}

/// etcd issues 14098 and 14102: after writes that were never synced the log could not
/// be read, or lacked what was acknowledged.
#[test]
fn a_crash_at_every_operation_loses_nothing_acknowledged() {
    let count = operations_of_the_script();
    for dies_after in 0..count + 5 {
        for loss in [Loss::Drop, Loss::Keep, Loss::Mix] {
            let life = Life {
                operations: script(),
                dies_after,
                loss,
            };
            run_lives(&[life], dies_after);
        }
    }
}

#[test]
fn every_operation_failing_once_stops_the_log_and_tells_everyone() {
    let config = small_config(Path::new("/log"));
    for failing in 0..operations_of_the_script() {
        let storage = FaultyStorage::new(failing);
        storage.fail_at(failing);
        let mut history = History::new(Model::default(), 1, 0);
        if let Ok((log, _)) = Log::open(Arc::new(storage.clone()), config.clone()) {
            let mut waiters = Vec::new();
            for operation in script() {
                history.run(&log, &operation);
                waiters.extend(history.waiters.iter().cloned());
            }
            history.run(&log, &Operation::Wait);
            let poisoned = log.close();
            let outcomes: Vec<_> = waiters
                .iter()
                .map(|waiter| waiter.outcome().unwrap())
                .collect();
            let failed_from = outcomes
                .iter()
                .position(Result::is_err)
                .unwrap_or(outcomes.len());
            assert!(
                outcomes[failed_from..].iter().all(Result::is_err),
                "{outcomes:?}"
            );
            assert!(failed_from == outcomes.len() || poisoned.is_err());
            if let Err(error) = poisoned {
                assert!(error.to_string().contains("scheduled failure"), "{error}");
            }
        }
        let storage = storage.after_crash(Loss::Keep);
        let (log, recovery) = Log::open(Arc::new(storage), config.clone()).unwrap();
        history
            .find(&log, &recovery)
            .expect("this disk does not fail");
    }
}
