//! Watching keys for changes.
//!
//! A [`Watcher`] is one stream to one member. When the member or the connection
//! fails, the watcher opens the next stream at the revision after the last one
//! delivered, so its user sees every change once and in order, and notices
//! nothing but a delay. `resume` decides what to deliver and where to go on,
//! `task` does the waiting.
//!
//! Limits: `QUEUE_COUNT_MAX` responses wait for a user who does not read;
//! after that the stream is not read either, and the server keeps the rest.

mod resume;
mod task;

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use quoin_proto::etcdserverpb::watch_create_request::FilterType;
use quoin_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

use self::resume::Resume;
use self::task::Task;
use super::range::range_constructors;
use crate::{Client, Error};

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch(pub(crate) WatchCreateRequest);

/// Changes to the watched keys, in order. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    /// Written by the task; holds up to [`QUEUE_COUNT_MAX`].
    responses: mpsc::Receiver<Result<WatchResponse, Error>>,
    /// Asks the task to ask for progress; one request may wait.
    progress: mpsc::Sender<()>,
    /// Aborted on drop.
    task: JoinHandle<()>,
}

impl Client {
    /// Starts watching. Once this returns, every later change is delivered.
    ///
    /// # Errors
    /// The server's refusal, or that no member answered in time.
    pub async fn watch(&self, watch: impl Into<Watch>) -> Result<Watcher, Error> {
        let (responses_tx, responses) = mpsc::channel(QUEUE_COUNT_MAX);
        let (progress, progress_rx) = mpsc::channel(1);
        let (created_tx, created) = oneshot::channel();
        let resume = Resume::new(watch.into().0);
        let task = Task::new(
            self.core.clone(),
            resume,
            responses_tx,
            progress_rx,
            created_tx,
        );
        let watcher = Watcher {
            responses,
            progress,
            task: tokio::spawn(task.run()),
        };
        let created = async { created.await.unwrap_or(Err(Error::Closed)) };
        match self.core.config.request_timeout {
            None => created.await?,
            Some(limit) => {
                tokio::time::timeout(limit, created)
                    .await
                    .unwrap_or(Err(Error::Timeout {
                        limit,
                        source: None,
                    }))?
            }
        }
        Ok(watcher)
    }
}

impl Watcher {
    /// The next response: events of one or more whole revisions, or none if it
    /// only reports progress. `None` once the watch has ended; the error before
    /// it says why.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchResponse, Error>> {
        self.responses.recv().await
    }

    /// Asks the server how far it has come. The answer is a response without
    /// events, once everything up to its revision has been delivered. A request
    /// made while another one waits to be sent joins it; one lost with its
    /// connection is not repeated.
    ///
    /// # Errors
    /// The watch has ended.
    pub fn request_progress(&self) -> Result<(), Error> {
        match self.progress.try_send(()) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(())) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Error::Closed),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl futures_util::Stream for Watcher {
    type Item = Result<WatchResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.responses.poll_recv(context)
    }
}

range_constructors!(Watch, WatchCreateRequest);

impl Watch {
    /// From this revision on, history included; 0 is from now on.
    #[must_use]
    pub fn start_revision(mut self, revision: i64) -> Self {
        self.0.start_revision = revision;
        self
    }

    /// Events carry the pair as it was before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }

    /// Responses without events report progress from time to time.
    #[must_use]
    pub fn progress_notify(mut self) -> Self {
        self.0.progress_notify = true;
        self
    }

    /// Only deletions.
    #[must_use]
    pub fn without_puts(mut self) -> Self {
        self.0.filters.push(FilterType::Noput.into());
        self
    }

    /// Only puts.
    #[must_use]
    pub fn without_deletes(mut self) -> Self {
        self.0.filters.push(FilterType::Nodelete.into());
        self
    }

    /// Lets the server split responses above its message limit. They are put
    /// together again before delivery.
    #[must_use]
    pub fn fragment(mut self) -> Self {
        self.0.fragment = true;
        self
    }
}

/// Responses that wait for the user of a watcher. The same number as etcd keeps
/// per stream: one more second of a busy prefix.
const QUEUE_COUNT_MAX: usize = 128;
