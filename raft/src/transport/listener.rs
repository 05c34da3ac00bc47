//! Accepted connections: handshake, then one reading and one writing loop.
//!
//! What frames mean is the business of a [`Session`]. The session may wait
//! (that stops reading from this peer: backpressure), answers go through a
//! bounded outbox. A connection that is silent for long is closed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::type_config::TypeConfigExt;
use tokio::sync::{Semaphore, mpsc};

use super::Connection;
use super::frame::{Frame, FrameReader, HEADER_BYTES, Kind, OutFrame};
use super::handshake::{HandshakeError, welcome};
use super::peers::Shared;
use super::vectored::FrameWriter;
use crate::types::TypeConfig;

/// Where a session puts its answers; waits when full.
pub(crate) type Outbox = mpsc::Sender<OutFrame>;

/// Makes a session per connection.
pub(crate) trait Service: Clone + Send + 'static {
    type Session: Session;
    fn session(&self, peer: u64, outbox: Outbox) -> Self::Session;
}

/// Handles the frames of one connection in order.
pub(crate) trait Session: Send {
    /// # Errors
    /// The connection is closed with this reason.
    fn handle(&mut self, frame: Frame) -> impl Future<Output = Result<(), String>> + Send;
}

/// Accepts connections until the task is dropped.
pub(crate) async fn accept_loop<S: Service>(shared: Arc<Shared>, service: S) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match shared.transport.accept().await {
            Ok(connection) => {
                let (shared, service) = (Arc::clone(&shared), service.clone());
                tokio::spawn(async move {
                    let address = connection.address.clone();
                    let reason = serve(&shared, service, connection).await;
                    tracing::debug!(address, reason, "peer connection ended");
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer connection");
                TypeConfig::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve<S: Service>(shared: &Shared, service: S, connection: Connection) -> String {
    let mut reader = FrameReader::new(connection.reader, shared.pool.clone());
    let mut writer = FrameWriter::new(connection.writer, Arc::clone(&shared.metrics));
    let greeting = welcome(
        &mut reader,
        &mut writer,
        shared.own,
        |id| (shared.is_removed)(id),
        || (shared.roster)(),
    );
    let hello = match TypeConfig::timeout(shared.timing.connect_timeout, greeting).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(HandshakeError::Refused(refusal))) => {
            tracing::warn!(address = connection.address, reason = %refusal, "refused a peer");
            return refusal.text;
        }
        Ok(Err(HandshakeError::Broken(error))) => return error,
        Ok(Err(HandshakeError::Asked)) => return "asked for the members".into(),
        Err(_) => return "no hello in time".into(),
    };
    let (outbox, mut answers) = mpsc::channel::<OutFrame>(OUTBOX_FRAMES_MAX);
    let session = service.session(hello.from.member_id, outbox.clone());
    let write = async {
        let mut frames = Vec::new();
        while answers.recv_many(&mut frames, WRITE_FRAMES_MAX).await > 0 {
            if let Err(error) = writer.write(&frames).await {
                return error.to_string();
            }
            frames.clear();
        }
        "closed".to_owned()
    };
    tokio::select! {
        reason = read(shared, reader, session, outbox) => reason,
        reason = write => reason,
    }
}

async fn read<R>(
    shared: &Shared,
    mut reader: FrameReader<R>,
    mut session: impl Session,
    outbox: Outbox,
) -> String
where
    R: tokio::io::AsyncRead + Send + Unpin,
{
    // The dialling side pings an idle connection every `keepalive`.
    let silence_max = shared.timing.keepalive * 3 + shared.timing.dead_after;
    loop {
        let frame = match TypeConfig::timeout(silence_max, reader.next()).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("nothing heard for {silence_max:?}"),
        };
        shared.metrics.peer_received_frames.add(1);
        shared
            .metrics
            .peer_received_bytes
            .add((HEADER_BYTES + frame.payload.len()) as u64);
        if frame.kind == Kind::Ping {
            if outbox
                .send(OutFrame::new(Kind::Pong, 0, Bytes::new()))
                .await
                .is_err()
            {
                return "closed".into();
            }
            continue;
        }
        if let Err(reason) = session.handle(frame).await {
            return reason;
        }
    }
}

/// Accepted connections at once: three per member and restarts, with room.
const CONNECTIONS_MAX: usize = 256;
/// Answers queued per connection; sessions wait above it.
const OUTBOX_FRAMES_MAX: usize = 1024;
/// Frames per write.
const WRITE_FRAMES_MAX: usize = 128;
/// Pause after a failed accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
