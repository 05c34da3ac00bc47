//! The task behind a watcher: opens streams one after the other.
//!
//! It ends when the user drops the watcher, when the server ends the watch, or
//! on an error that no other member would answer differently. Everything else
//! leads to the next stream, without limit in number: pauses between streams
//! are those of the balancer.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use quoin_proto::etcdserverpb::watch_client::WatchClient;
use quoin_proto::etcdserverpb::watch_request::RequestUnion;
use quoin_proto::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};

use super::resume::{Resume, Step};
use crate::error::{Error, ServerErrorKind};
use crate::retry::{Answer, Core};

/// Owned by the spawned future.
#[derive(Debug)]
pub(crate) struct Task {
    core: Arc<Core>,
    resume: Resume,
    responses: mpsc::Sender<Result<WatchResponse, Error>>,
    progress: mpsc::Receiver<()>,
    /// Taken when the watch exists or cannot.
    created: Option<oneshot::Sender<Result<(), Error>>>,
}

/// Why a stream is not read any more.
enum Ended {
    /// Another one may go on.
    Lost(Error),
    /// The watch is over.
    Failed(Error),
    /// Nobody listens.
    Dropped,
}

/// Both directions of one stream.
type Stream = (Streaming<WatchResponse>, mpsc::Sender<WatchRequest>);

impl Task {
    pub(crate) fn new(
        core: Arc<Core>,
        resume: Resume,
        responses: mpsc::Sender<Result<WatchResponse, Error>>,
        progress: mpsc::Receiver<()>,
        created: oneshot::Sender<Result<(), Error>>,
    ) -> Self {
        Self {
            core,
            resume,
            responses,
            progress,
            created: Some(created),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            match self.follow_one_stream().await {
                Ended::Lost(error) => tracing::debug!(%error, "watch stream lost, resuming"),
                Ended::Failed(error) => return self.fail(error).await,
                Ended::Dropped => return,
            }
        }
    }

    async fn fail(&mut self, error: Error) {
        match self.created.take() {
            // A receiver that is gone has no use for the error.
            Some(created) => drop(created.send(Err(error))),
            None => drop(self.responses.send(Err(error)).await),
        }
    }

    async fn follow_one_stream(&mut self) -> Ended {
        let request = self.resume.open();
        let mut stream = match open(&self.core, request).await {
            Ok(stream) => stream,
            Err(error) => return self.classify(error),
        };
        loop {
            let (incoming, outgoing) = &mut stream.reply;
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(response)) => {
                        if let Some(ended) = self.handle(response).await {
                            return ended;
                        }
                    }
                    Ok(None) => return self.lost(&stream, Status::unavailable("stream ended")),
                    Err(status) => return self.lost(&stream, status),
                },
                Some(()) = self.progress.recv() => {
                    // A full queue already holds a progress request.
                    let _ = outgoing.try_send(message(RequestUnion::ProgressRequest(
                        WatchProgressRequest {},
                    )));
                }
                () = self.responses.closed() => return Ended::Dropped,
            }
        }
    }

    async fn handle(&mut self, response: WatchResponse) -> Option<Ended> {
        match self.resume.handle(response) {
            Step::Skip => None,
            Step::End(error) => Some(Ended::Failed(error)),
            Step::Created => {
                let created = self.created.take()?;
                created.send(Ok(())).is_err().then_some(Ended::Dropped)
            }
            Step::Deliver(response) => self
                .responses
                .send(Ok(response))
                .await
                .is_err()
                .then_some(Ended::Dropped),
        }
    }

    fn lost(&self, stream: &Answer<Stream>, status: Status) -> Ended {
        self.core.balancer.failed(stream.index, Instant::now());
        self.classify(Error::from_status(&stream.endpoint, status))
    }

    fn classify(&self, error: Error) -> Ended {
        let no_leader = error.server_kind() == Some(ServerErrorKind::NoLeader);
        if no_leader && self.core.config.require_leader {
            return Ended::Failed(error);
        }
        let internal = matches!(&error, Error::Server(server) if server.code == Code::Internal);
        match error.is_transient() || internal {
            true => Ended::Lost(error),
            false => Ended::Failed(error),
        }
    }
}

/// Opens a stream whose first message is `request`; returns once the server has
/// said something.
async fn open(core: &Core, request: WatchCreateRequest) -> Result<Answer<Stream>, Error> {
    let receive_max = core.config.receive_bytes_max;
    core.open(request, move |channel, request| async move {
        let (outgoing, queue) = mpsc::channel(REQUESTS_COUNT_MAX);
        let (metadata, extensions, create) = request.into_parts();
        outgoing
            .try_send(message(RequestUnion::CreateRequest(create)))
            .map_err(|_| Status::internal("a new queue has room"))?;
        let request = tonic::Request::from_parts(metadata, extensions, ReceiverStream::new(queue));
        let mut client = WatchClient::new(channel).max_decoding_message_size(receive_max);
        let response = client.watch(request).await?;
        Ok(response.map(|incoming| (incoming, outgoing)))
    })
    .await
}

fn message(union: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(union),
    }
}

/// The create request and one progress request.
const REQUESTS_COUNT_MAX: usize = 2;
