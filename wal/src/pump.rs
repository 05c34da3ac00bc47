//! A log without threads: its owner says when the disk works.
//!
//! For simulations, where one thread and one seed decide everything. A step has two
//! halves, so that time can pass in between: appends that come meanwhile go into
//! the next group, as they do while the writer thread is in its sync. The bytes, their
//! order and every error are those of the threads, which run the same code.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::group::Group;
use crate::log::Shared;
use crate::writer::Writer;

/// Writes what waits in a pumped log. Clones share it.
#[derive(Clone, Debug)]
pub struct Pump(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Writer,
    /// Between the two halves of a step.
    group: Option<Group>,
}

/// What is called when work begins to wait.
pub(crate) struct Wake(pub(crate) Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

impl Pump {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            shared,
            writer,
            group: None,
        })))
    }

    /// Takes all that waits as one group; nothing is written yet. False if nothing
    /// waits: `wake` will be called when that changes.
    #[must_use]
    pub fn begin(&self) -> bool {
        self.0.lock().begin()
    }

    /// Writes, syncs and completes the group, and does what is due on segments. False
    /// if the log has failed.
    pub fn finish(&self) -> bool {
        self.0.lock().finish()
    }

    /// Writes everything. False if the log has failed.
    pub(crate) fn drain(&self) -> bool {
        let mut inner = self.0.lock();
        while inner.begin() {
            if !inner.finish() {
                return false;
            }
        }
        true
    }
}

impl Inner {
    fn begin(&mut self) -> bool {
        if self.group.is_none() {
            let mut state = self.shared.state.lock();
            if state.failure.is_none() {
                self.group = state.take_group();
            }
            state.writer_idle = self.group.is_none();
        }
        if self.group.as_ref().is_some_and(Group::has_records) {
            self.shared
                .writing_since
                .lock()
                .get_or_insert_with(Instant::now);
        }
        self.group.is_some()
    }

    fn finish(&mut self) -> bool {
        if let Some(group) = self.group.take()
            && !self.writer.carry_out(group)
        {
            return false;
        }
        match self.shared.preallocator.work_off() {
            Ok(()) => true,
            Err(error) => {
                self.shared.poison(&error);
                false
            }
        }
    }
}
