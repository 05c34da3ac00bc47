//! A defragmentation holds nobody up, and ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::space::{check_kept, commit, discard_most, eager};
use super::{Place, wait};
use crate::backend::engine::{Change, Engine, EngineTable, OpenEngine, RowKey, RowVisitor};
use crate::backend::{Backend, EngineKind, Error};

/// A call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Commit,
}

type Hook = Arc<dyn Fn(Call) -> Result<(), Error> + Send + Sync>;

/// Calls a hook before each writing call of the engines it creates once it is set.
struct HookedOpener {
    inner: Arc<dyn OpenEngine>,
    hook: Mutex<Option<Hook>>,
}

struct HookedEngine {
    inner: Arc<dyn Engine>,
    hook: Option<Hook>,
}

impl HookedOpener {
    fn set(&self, hook: impl Fn(Call) -> Result<(), Error> + Send + Sync + 'static) {
        *self.hook.lock() = Some(Arc::new(hook));
    }
}

impl std::fmt::Debug for HookedOpener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("HookedOpener")
    }
}

impl std::fmt::Debug for HookedEngine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("HookedEngine")
    }
}

impl OpenEngine for HookedOpener {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn create(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        Ok(Arc::new(HookedEngine {
            inner: self.inner.create(directory)?,
            hook: self.hook.lock().clone(),
        }))
    }

    fn open(&self, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
        self.inner.open(directory)
    }
}

impl HookedEngine {
    fn call(&self, call: Call) -> Result<(), Error> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(call))
    }
}

impl Engine for HookedEngine {
    fn write(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.call(Call::Write)?;
        self.inner.write(changes)
    }

    fn commit(&self, meta: &[u8]) -> Result<(), Error> {
        self.call(Call::Commit)?;
        self.inner.commit(meta)
    }

    fn meta(&self) -> Result<Option<Bytes>, Error> {
        self.inner.meta()
    }

    fn read(&self, table: EngineTable, key: RowKey) -> Result<Option<Bytes>, Error> {
        self.inner.read(table, key)
    }

    fn scan(&self, table: EngineTable, f: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.inner.scan(table, f)
    }

    fn maintain(&self) -> Result<(), Error> {
        self.inner.maintain()
    }

    fn reclaim(&self) -> Result<(), Error> {
        self.inner.reclaim()
    }
}

fn hooked(kind: EngineKind) -> (Place, Arc<HookedOpener>) {
    let mut place = Place::new(kind);
    let opener = Arc::new(HookedOpener {
        inner: Arc::clone(&place.opener),
        hook: Mutex::default(),
    });
    place.opener = Arc::clone(&opener) as Arc<dyn OpenEngine>;
    (place, opener)
}

/// Three steps' worth of blocks, all of which live.
fn filled(place: &Place) -> Backend {
    let backend = place.open();
    (1..=ENTRIES).for_each(|index| commit(&backend, index));
    wait(backend.checkpoint()).unwrap();
    backend
}

/// Lets through what it is told to, one by one.
#[derive(Debug, Default)]
struct Gate {
    /// How many came, how many may pass.
    counts: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut counts = self.counts.lock();
        counts.0 += 1;
        let number = counts.0;
        self.changed.notify_all();
        while counts.1 < number {
            self.changed.wait(&mut counts);
        }
    }

    /// Waits until somebody is held.
    fn reached(&self) {
        let mut counts = self.counts.lock();
        while counts.0 == counts.1 {
            let waited = self.changed.wait_for(&mut counts, LIMIT);
            assert!(!waited.timed_out(), "nobody comes");
        }
    }

    fn let_one_through(&self) {
        self.counts.lock().1 += 1;
        self.changed.notify_all();
    }

    fn open(&self) {
        self.counts.lock().1 = u64::MAX;
        self.changed.notify_all();
    }
}

/// Opens the gate when a test ends, however it does.
struct Opened(Arc<Gate>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A result that must come without any other step of the move.
fn soon<T: Send + 'static>(what: &str, of: std::thread::JoinHandle<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    while !of.is_finished() {
        assert!(Instant::now() < deadline, "{what} waits for the move");
        std::thread::sleep(Duration::from_millis(2));
    }
    of.join().unwrap()
}

#[test]
fn checkpoints_an_installation_and_a_stop_do_not_wait_for_the_move() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let (place, opener) = hooked(kind);
        let backend = filled(&place);
        let mut snapshot = backend.snapshot();
        let mut staging = backend.stage().unwrap();
        while let Some(chunk) = snapshot.next_chunk().unwrap() {
            staging.write(&chunk).unwrap();
        }
        drop(snapshot);
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        opener.set(move |call| {
            if call == Call::Write {
                held.pass();
            }
            Ok(())
        });
        let _opened = Opened(Arc::clone(&gate));

        let defragmented = backend.defragment();
        gate.reached();
        commit(&backend, ENTRIES + 1);
        let checkpoint = backend.checkpoint();
        let checkpoint = std::thread::spawn(move || wait(checkpoint));
        gate.let_one_through();
        let durable = soon("a checkpoint", checkpoint).unwrap();
        assert_eq!(durable.applied.unwrap().index, ENTRIES + 1);

        gate.reached();
        let installing = backend.clone();
        let install = std::thread::spawn(move || installing.install(staging));
        ordered(&backend, |orders| orders.is_installing());
        gate.let_one_through();
        let installed = soon("an installation", install).unwrap();
        assert_eq!(installed.applied.unwrap().index, ENTRIES);
        // It did what the move was for.
        wait(defragmented).unwrap();
        check_kept(&backend, ENTRIES);

        let defragmented = backend.defragment();
        gate.reached();
        let closing = backend.clone();
        let close = std::thread::spawn(move || closing.close());
        ordered(&backend, |orders| orders.is_stopping());
        gate.let_one_through();
        soon("a stop", close).unwrap();
        assert!(matches!(wait(defragmented), Err(Error::Closed)));
        drop(backend);
        check_kept(&place.open(), ENTRIES);
    }
}

/// Waits until an order has arrived.
fn ordered(backend: &Backend, is_given: impl Fn(&super::super::checkpoint_thread::Orders) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_given(&backend.shared().orders.lock()) {
        assert!(Instant::now() < deadline, "the order does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_move_ends_though_more_is_written_than_a_step_copies() {
    for kind in [EngineKind::Redb, EngineKind::Sled] {
        let (place, opener) = hooked(kind);
        let mut config = place.config();
        config.checkpoint_bytes = 1 << 20;
        let backend = place.try_open(config).unwrap();
        (1..=ENTRIES).for_each(|index| commit(&backend, index));
        wait(backend.checkpoint()).unwrap();
        let entries = Arc::new(AtomicU64::new(ENTRIES));
        let writer = (Mutex::new(Some(backend.clone())), Arc::clone(&entries));
        let (hook, steps) = (Arc::new(writer), Arc::new(AtomicU64::new(0)));
        let (in_hook, count) = (Arc::clone(&hook), Arc::clone(&steps));
        opener.set(move |call| {
            let (backend, entries) = &*in_hook;
            if let (Call::Write, Some(backend)) = (call, &*backend.lock())
                && count.fetch_add(1, Ordering::Relaxed) < STEPS_MAX
            {
                // Ten million bytes.
                for _ in 0..20 {
                    commit(backend, entries.fetch_add(1, Ordering::Relaxed) + 1);
                }
            }
            Ok(())
        });
        wait(backend.defragment()).unwrap();
        // The engine keeps the hook, which is not to keep the backend.
        hook.0.lock().take();
        let steps = steps.load(Ordering::Relaxed);
        assert!(steps < STEPS_MAX, "{kind:?}: it ended when the writes did");
        check_kept(&backend, entries.load(Ordering::Relaxed));
    }
}

#[test]
fn a_move_that_cannot_be_given_up_is_a_failure() {
    let (place, opener) = hooked(EngineKind::Redb);
    let backend = filled(&place);
    discard_most(&backend, ENTRIES as i64 * 500 + 2);
    wait(backend.checkpoint()).unwrap();
    drop(backend);
    let gate = Arc::new(Gate::default());
    gate.let_one_through();
    let first = Arc::clone(&gate);
    opener.set(move |call| match call {
        Call::Write => {
            first.pass();
            Ok(())
        }
        Call::Commit => {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err(Error::engine("hooked", "commit")(full))
        }
    });
    // The second step of the move would come in twelve days.
    let mut config = eager(&place);
    config.space_bytes_per_second = 1;
    config.checkpoint_interval = Duration::from_secs(3600);
    let backend = place.try_open(config).unwrap();
    let deadline = Instant::now() + LIMIT;
    while gate.counts.lock().0 == 0 {
        assert!(Instant::now() < deadline, "no move");
        std::thread::sleep(Duration::from_millis(1));
    }
    let error = backend.close().unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    drop(backend);
    opener.set(|_| Ok(()));
    check_kept(&place.open(), ENTRIES);
}

/// Twenty million bytes.
const ENTRIES: u64 = 40;
/// A move that ends by itself needs far fewer.
const STEPS_MAX: u64 = 30;
/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(60);
