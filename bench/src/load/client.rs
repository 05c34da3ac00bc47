//! One client's tools, given to its workload.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use crate::{
    arrivals::Arrivals,
    connection::{Connection, Failure, Frames},
    random::Random,
    recorder::{Control, Recorder},
};

/// Pause after a failure, so that a dead server is not asked in a hot loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// One client's tools, given to its workload.
#[derive(Debug)]
pub struct Client {
    /// Shared with other clients.
    pub connection: Connection,
    /// Tells when to send.
    pub arrivals: Arrivals,
    /// The thread's recorder.
    pub recorder: Rc<RefCell<Recorder>>,
    /// The thread's message memory.
    pub frames: Rc<RefCell<Frames>>,
    /// The run's phase.
    pub control: Arc<Control>,
    /// Its own randomness.
    pub random: Random,
    /// Position among all clients of the run.
    pub index: usize,
    /// Number of all clients.
    pub clients_count: usize,
    /// Told once everything before the first request is done.
    pub(super) ready: SyncSender<()>,
}

impl Client {
    /// Reports that everything before the first request is done, and waits
    /// until the run begins.
    pub async fn begin(&self) {
        // Fails only when the run was given up.
        let _told = self.ready.send(());
        while self.control.is_setting_up() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Counts one answered request, if the run is being measured.
    pub fn complete(&self, start: Instant) {
        self.complete_rows(start, 0);
    }

    /// Counts one answered request that carried `rows_count` rows.
    pub fn complete_rows(&self, start: Instant, rows_count: u64) {
        self.control.add_completed(1);
        if self.control.is_measuring() {
            let mut recorder = self.recorder.borrow_mut();
            recorder.complete(start);
            recorder.rows_count += rows_count;
        }
    }

    /// Counts one failed request; failures count in every phase.
    pub fn fail(&self, failure: impl ToString) {
        self.recorder.borrow_mut().fail(failure);
    }

    /// Counts a refusal and rests a little; passes on what ends the client.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn refused(&self, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Refused { .. } => {
                self.fail(&failure);
                tokio::time::sleep(FAILURE_PAUSE).await;
                Ok(())
            }
            lost => Err(lost),
        }
    }
}
