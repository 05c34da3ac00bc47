//! `Maintenance/Snapshot`: the whole store as etcd's database file, to one client.
//!
//! A thread of its own reads the store and makes the file; what the client has not
//! taken yet waits in a short queue, and the thread with it. The file is of the
//! moment of the call, whatever is written meanwhile, so compaction waits until it
//! is sent: there are few places, and a client that takes nothing for long loses
//! its own. Messages: etcd 3.7, whose clients tell a whole file by the SHA-256 at
//! its end.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use quoin_proto::etcdserverpb::SnapshotResponse;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Context, status};
use crate::bbolt::WriteError;
use crate::etcd_file::{Export, ExportError};

/// What the service returns.
pub(super) type SnapshotStream =
    Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send + 'static>>;

/// Bytes of the file in one message. Source: etcd 3.7.
const CHUNK_BYTES: usize = 32 * 1024;
/// Messages that wait for the client.
const CHUNKS_WAITING_MAX: usize = 16;
/// Snapshots sent at once: each holds up compaction, and costs a processor.
const SNAPSHOTS_MAX: usize = 2;
/// How long a client may take nothing.
const STALL_MAX: Duration = Duration::from_secs(300);

static PLACES: Semaphore = Semaphore::const_new(SNAPSHOTS_MAX);

/// Begins to send the state of now.
///
/// # Errors
/// All places are taken.
pub(super) fn open(context: &Context) -> Result<SnapshotStream, Status> {
    let place = PLACES.try_acquire();
    let place = place.map_err(|_taken| status::too_many_snapshots(SNAPSHOTS_MAX))?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let (context, runtime) = (context.clone(), Handle::current());
    let closing = context.closing.clone();
    tokio::task::spawn_blocking(move || send(&context, &place, runtime, sender));
    Ok(received(receiver, closing))
}

/// The messages as they come. A stream that ends before the SHA-256 ends with an
/// error, so that nobody takes it for a file.
fn received(receiver: mpsc::Receiver<Message>, closing: CancellationToken) -> SnapshotStream {
    let state = Some((receiver, closing));
    Box::pin(stream::unfold(state, |state| async move {
        let (mut receiver, closing) = state?;
        let message = tokio::select! {
            biased;
            () = closing.cancelled() => Some(Err(status::stopped())),
            message = receiver.recv() => message.unwrap_or(Some(Err(status::snapshot_stalled()))),
        };
        let message = message?;
        let next = message.is_ok().then_some((receiver, closing));
        Some((message, next))
    }))
}

/// A piece, or why there is none; `None` behind the last one.
type Message = Option<Result<SnapshotResponse, Status>>;

/// Reads the store and hands it to the stream. Blocks.
fn send(
    context: &Context,
    _place: &SemaphorePermit<'static>,
    runtime: Handle,
    sender: mpsc::Sender<Message>,
) {
    let started = Instant::now();
    let given_up = sender.clone();
    let export = Export::new(context.store.read(), context.members())
        .cancelled_by(move || given_up.is_closed());
    let mut pieces = Pieces {
        sender,
        runtime,
        version: export.storage_version(),
        buffer: BytesMut::new(),
        hasher: Sha256::new(),
        remaining_bytes: 0,
    };
    match send_file(&export, &mut pieces) {
        Ok(total_bytes) => {
            let took = started.elapsed();
            let durations = &context.metrics.disk.backend_snapshot_duration_seconds;
            durations.observe(took.as_secs_f64());
            tracing::info!(
                total_bytes,
                ?took,
                "successfully sent database snapshot to client"
            );
        }
        Err(ExportError::Format(WriteError::Stopped)) => {
            let remaining_bytes = pieces.remaining_bytes;
            tracing::info!(
                remaining_bytes,
                "snapshot not sent: the client took no more of it"
            );
        }
        Err(error) => {
            tracing::error!(%error, "snapshot not sent");
            // Whether or not somebody is left to be told.
            let _ = pieces.put(Some(Err(status::internal(&error))));
        }
    }
}

fn send_file(export: &Export, pieces: &mut Pieces) -> Result<u64, ExportError> {
    let layout = export.measure()?;
    let total_bytes = layout.image_bytes();
    tracing::info!(
        total_bytes,
        storage_version = pieces.version,
        "sending database snapshot to client"
    );
    pieces.remaining_bytes = total_bytes;
    export.write(&layout, &mut |bytes| pieces.take(bytes))?;
    match pieces.finish() {
        ControlFlow::Continue(()) => Ok(total_bytes),
        ControlFlow::Break(()) => Err(WriteError::Stopped.into()),
    }
}

/// The file, cut into messages.
struct Pieces {
    sender: mpsc::Sender<Message>,
    runtime: Handle,
    version: &'static str,
    /// Bytes of a message that is not full yet.
    buffer: BytesMut,
    hasher: Sha256,
    /// Bytes of the file that are not in a message yet.
    remaining_bytes: u64,
}

impl Pieces {
    fn take(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.hasher.update(bytes);
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= CHUNK_BYTES {
            let piece = self.buffer.split_to(CHUNK_BYTES).freeze();
            self.send(piece)?;
        }
        ControlFlow::Continue(())
    }

    /// The rest, and the SHA-256 in a message of its own.
    fn finish(&mut self) -> ControlFlow<()> {
        if !self.buffer.is_empty() {
            let piece = self.buffer.split().freeze();
            self.send(piece)?;
        }
        let hash = Bytes::copy_from_slice(&self.hasher.finalize_reset());
        self.put(Some(Ok(self.response(hash))))?;
        self.put(None)
    }

    fn send(&mut self, piece: Bytes) -> ControlFlow<()> {
        self.remaining_bytes = self.remaining_bytes.saturating_sub(piece.len() as u64);
        self.put(Some(Ok(self.response(piece))))
    }

    fn response(&self, blob: Bytes) -> SnapshotResponse {
        SnapshotResponse {
            // Source: etcd 3.7, whose messages have none.
            header: None,
            remaining_bytes: self.remaining_bytes,
            blob,
            version: self.version.to_owned(),
        }
    }

    /// Waits for room in the queue; breaks if the client is gone or takes nothing.
    fn put(&self, message: Message) -> ControlFlow<()> {
        let sent = self.sender.send_timeout(message, STALL_MAX);
        match self.runtime.block_on(sent) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_gone_or_stalled) => ControlFlow::Break(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn pieces(sender: mpsc::Sender<Message>, remaining_bytes: u64) -> Pieces {
        Pieces {
            sender,
            runtime: Handle::current(),
            version: "3.7.0",
            buffer: BytesMut::new(),
            hasher: Sha256::new(),
            remaining_bytes,
        }
    }

    #[tokio::test]
    async fn a_file_is_cut_into_messages_and_ends_with_its_hash() {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let file = vec![7; CHUNK_BYTES * 2 + 4096];
        let mut pieces = pieces(sender, file.len() as u64);
        let (sent, expected) = (file.clone(), Sha256::digest(&file));
        let task = tokio::task::spawn_blocking(move || {
            assert!(
                sent.chunks(5000)
                    .all(|piece| pieces.take(piece).is_continue())
            );
            assert!(pieces.finish().is_continue());
        });
        let stream = received(receiver, CancellationToken::new());
        let messages: Vec<_> = stream.map(Result::unwrap).collect().await;
        task.await.unwrap();
        let remaining: Vec<_> = messages
            .iter()
            .map(|message| message.remaining_bytes)
            .collect();
        assert_eq!(remaining, [CHUNK_BYTES as u64 + 4096, 4096, 0, 0]);
        let blobs: Vec<_> = messages.iter().map(|message| &message.blob[..]).collect();
        let (hash, blobs) = blobs.split_last().unwrap();
        assert_eq!(blobs.concat(), file);
        assert_eq!(*hash, &expected[..]);
        assert!(messages.iter().all(|message| message.version == "3.7.0"));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_ends_with_an_error() {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let mut pieces = pieces(sender, 4096);
        tokio::task::spawn_blocking(move || {
            let _ = pieces.take(&[0; CHUNK_BYTES]);
        });
        let mut stream = received(receiver, CancellationToken::new());
        assert!(stream.next().await.unwrap().is_ok());
        let status = stream.next().await.unwrap().unwrap_err();
        assert_eq!(status.message(), status::snapshot_stalled().message());
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_the_work() {
        let (sender, receiver) = mpsc::channel(1);
        let mut pieces = pieces(sender, u64::MAX);
        drop(received(receiver, CancellationToken::new()));
        let task = tokio::task::spawn_blocking(move || pieces.take(&[0; CHUNK_BYTES]));
        assert!(task.await.unwrap().is_break());
    }
}
