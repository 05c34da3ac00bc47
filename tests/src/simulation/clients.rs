//! Clients of a simulated cluster: they write and read registers, one thing at a
//! time each, on any member, and show every answer to the oracle and to the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quoin_raft::Node;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Plant;
use super::machine::{Cell, encode};
use super::oracle::{Key, Oracle, Write};
use super::random::Random;
use super::record::Record;
use crate::checker::linearizable::{Model, Timed};

/// Which members can be asked.
pub(super) type Directory = Arc<Mutex<BTreeMap<u64, (Node, Cell)>>>;

/// All clients, on a runtime of their own.
pub(super) struct Clients {
    runtime: Runtime,
    clock: Instant,
    shared: Arc<Shared>,
}

struct Shared {
    record: Record,
    oracle: Oracle,
    directory: Directory,
    plant: Option<Plant>,
    /// Longest pause between two operations of a client, milliseconds.
    pause_max: AtomicU64,
    is_ended: AtomicBool,
    next_write: AtomicU64,
    history: Mutex<BTreeMap<Key, Vec<Timed<Step>>>>,
    writes_count: AtomicU64,
    reads_count: AtomicU64,
}

/// An operation on one register, for the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(Write),
    Read(Write),
}

/// A register.
pub(super) struct Register;

impl Model for Register {
    type State = Write;
    type Operation = Step;

    fn initial(&self) -> Write {
        0
    }

    fn step(&self, state: &Write, operation: &Step) -> Option<Write> {
        match operation {
            Step::Write(write) => Some(*write),
            Step::Read(read) => (read == state).then_some(*state),
        }
    }
}

impl Clients {
    pub(super) fn start(
        record: Record,
        oracle: Oracle,
        plant: Option<Plant>,
        mut random: Random,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let shared = Arc::new(Shared {
            record,
            oracle,
            directory: Directory::default(),
            plant,
            pause_max: AtomicU64::new(random.between(20, 400)),
            is_ended: AtomicBool::new(false),
            next_write: AtomicU64::new(1),
            history: Mutex::default(),
            writes_count: AtomicU64::new(0),
            reads_count: AtomicU64::new(0),
        });
        let keys = random.between(1, 24);
        let weight_max = random.pick(&[16, 200, 2000]).unwrap_or(16);
        for _ in 0..random.between(2, 6) {
            let client = Client {
                shared: Arc::clone(&shared),
                random: random.fork(),
                keys,
                weight_max,
            };
            runtime.spawn(client.run());
        }
        let clock = runtime.block_on(async { Instant::now() });
        Ok(Self {
            runtime,
            clock,
            shared,
        })
    }

    /// Lets time pass for the clients.
    pub(super) fn run(&mut self, time: Duration, members: BTreeMap<u64, (Node, Cell)>) {
        *self.shared.directory.lock() = members;
        self.clock += time;
        let clock = self.clock;
        self.runtime
            .block_on(async { tokio::time::sleep_until(clock).await });
    }

    /// No new operations from now on.
    pub(super) fn end(&self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
    }

    /// Answered writes and reads.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            count(&self.shared.writes_count),
            count(&self.shared.reads_count),
        )
    }

    /// What was asked and answered, by register.
    pub(super) fn history(&self) -> BTreeMap<Key, Vec<Timed<Step>>> {
        self.shared.history.lock().clone()
    }
}

struct Client {
    shared: Arc<Shared>,
    random: Random,
    keys: u64,
    weight_max: u64,
}

impl Client {
    async fn run(mut self) {
        while !self.shared.is_ended.load(Ordering::Relaxed) {
            let pause = self.shared.pause_max.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(self.random.below(pause))).await;
            let members: Vec<_> = self.shared.directory.lock().keys().copied().collect();
            let asked = self.random.pick(&members);
            let asked =
                asked.and_then(|id| Some((id, self.shared.directory.lock().get(&id)?.clone())));
            let Some((member, (node, live))) = asked else {
                continue;
            };
            let key = Key::try_from(self.random.below(self.keys)).unwrap_or(0);
            if self.random.chance(500) {
                self.write(member, &node, key).await;
            } else {
                self.read(member, &node, &live, key).await;
            }
        }
    }

    async fn write(&mut self, member: u64, node: &Node, key: Key) {
        let shared = Arc::clone(&self.shared);
        let write = shared.next_write.fetch_add(1, Ordering::Relaxed);
        let weight = usize::try_from(self.random.below(self.weight_max)).unwrap_or(0);
        let called = shared.oracle.called();
        let begun = self.begin(key, Step::Write(write));
        let proposed = node.propose(encode(key, write, weight));
        let result = tokio::time::timeout(LIMIT, proposed).await;
        let is_done = matches!(result, Ok(Ok(())));
        shared.record.note(
            "write",
            &[member, u64::from(key), write, u64::from(is_done)],
        );
        if is_done {
            shared.oracle.acknowledged(write, called);
            shared.writes_count.fetch_add(1, Ordering::Relaxed);
            self.answered(key, begun, Step::Write(write));
        }
    }

    async fn read(&mut self, member: u64, node: &Node, live: &Cell, key: Key) {
        let shared = Arc::clone(&self.shared);
        let called = shared.oracle.called();
        let begun = self.begin(key, Step::Read(0));
        let is_unchecked = shared.plant == Some(Plant::UncheckedRead);
        let read = async {
            let index = match is_unchecked {
                true => 0,
                false => node.read_index(1).await.ok()?,
            };
            while node.status().applied_index < index {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let live = live.lock();
            Some((live.registers.get(key), live.index()))
        };
        let result = tokio::time::timeout(LIMIT, read).await.ok().flatten();
        let fields = result.map_or([member, u64::from(key), 0, 0], |(write, index)| {
            [member, u64::from(key), write, index]
        });
        shared.record.note("read", &fields);
        match result {
            Some((write, index)) => {
                shared.oracle.was_read(key, write, index, called);
                shared.reads_count.fetch_add(1, Ordering::Relaxed);
                self.answered(key, begun, Step::Read(write));
            }
            None => self.unread(key, begun),
        }
    }

    fn begin(&self, key: Key, operation: Step) -> usize {
        let mut history = self.shared.history.lock();
        let steps = history.entry(key).or_default();
        steps.push(Timed {
            operation,
            called: now(),
            answered: None,
        });
        steps.len() - 1
    }

    fn answered(&self, key: Key, place: usize, operation: Step) {
        let mut history = self.shared.history.lock();
        if let Some(step) = history.get_mut(&key).and_then(|steps| steps.get_mut(place)) {
            step.operation = operation;
            step.answered = Some(now());
        }
    }

    /// A read without an answer says nothing: it becomes one of what was there, and
    /// open for ever, which the judge may leave out.
    fn unread(&self, key: Key, place: usize) {
        let mut history = self.shared.history.lock();
        if let Some(step) = history.get_mut(&key).and_then(|steps| steps.get_mut(place)) {
            step.answered = None;
        }
    }
}

/// Nanoseconds on the clients' clock.
fn now() -> u64 {
    thread_local! {
        static FIRST: Instant = Instant::now();
    }
    let passed = FIRST.with(|first| first.elapsed());
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}

/// How long a client waits for an answer.
const LIMIT: Duration = Duration::from_secs(4);
