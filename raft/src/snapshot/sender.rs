//! The sending side of a snapshot transfer.

use openraft::type_config::TypeConfigExt;
use tokio::sync::mpsc;

use super::cursor::Cursor;
use super::{CHUNK_DEADLINE, INSTALL_DEADLINE, WINDOW_CHUNKS_MAX};
use crate::metrics::Metrics;
use crate::rpc::{SnapshotBegin, SnapshotChunk, SnapshotReply, decode_text};
use crate::transport::frame::{Frame, Kind};
use crate::transport::{Link, LinkError, Stream};
use crate::types::{TypeConfig, Vote};

/// Sends what the receiver does not have yet; resolves with its vote.
///
/// # Errors
/// Why the transfer was broken off. `cursor` can go on if the error says so.
pub(super) async fn send(
    link: &Link,
    vote: Vote,
    cursor: &mut Cursor,
    metrics: &Metrics,
) -> Result<Vote, SendError> {
    let (stream, answers) = link.stream(WINDOW_CHUNKS_MAX + 4);
    let mut transfer = Transfer {
        stream,
        answers,
        metrics,
    };
    let begin = SnapshotBegin {
        vote,
        id: cursor.pinned.id,
        meta: cursor.pinned.meta.clone(),
    };
    let kind = Kind::SnapshotBegin;
    let opened = transfer.stream.send(kind, begin.encode(), Vec::new());
    opened.await?;
    match transfer.answer(CHUNK_DEADLINE).await? {
        SnapshotReply::Accepted(next) => cursor.resume_at(next)?,
        SnapshotReply::Done(vote) => return Ok(vote),
        SnapshotReply::Rejected(reason) => return Err(SendError::Failed(reason)),
        other => return Err(SendError::Failed(format!("unexpected answer {other:?}"))),
    }
    if cursor.answered() > 0 {
        metrics.snapshots_resumed.add(1);
        tracing::info!(chunk = cursor.answered(), "going on with a snapshot");
    }
    for chunk in cursor.unanswered() {
        transfer.chunk(chunk.clone()).await?;
    }
    loop {
        while cursor.unanswered().len() >= WINDOW_CHUNKS_MAX {
            let reply = transfer.answer(CHUNK_DEADLINE).await?;
            if let Some(vote) = settle(cursor, reply)? {
                return Ok(vote);
            }
        }
        let Some(chunk) = cursor.next().await? else {
            break;
        };
        transfer.chunk(chunk).await?;
    }
    let end = cursor.end()?.encode();
    let ended = transfer.stream.send(Kind::SnapshotEnd, end, Vec::new());
    ended.await?;
    loop {
        let reply = transfer.answer(INSTALL_DEADLINE).await?;
        if let Some(vote) = settle(cursor, reply)? {
            return Ok(vote);
        }
    }
}

/// A vote means that the receiver needs no more.
fn settle(cursor: &mut Cursor, reply: SnapshotReply) -> Result<Option<Vote>, SendError> {
    match reply {
        SnapshotReply::Written(sequence) => cursor.note_answer(sequence).map(|()| None),
        SnapshotReply::Done(vote) => Ok(Some(vote)),
        SnapshotReply::Rejected(reason) => Err(SendError::Failed(reason)),
        SnapshotReply::Accepted(_) => Err(SendError::Failed("accepted twice".into())),
    }
}

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The receiver may go on where it is.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// So it may here.
    #[error("no answer within {0:?}")]
    Silent(std::time::Duration),
    /// Only a new transfer helps.
    #[error("{0}")]
    Failed(String),
}

impl SendError {
    /// Whether the same transfer can go on.
    pub(super) fn can_resume(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

struct Transfer<'a> {
    stream: Stream,
    answers: mpsc::Receiver<Result<Frame, LinkError>>,
    metrics: &'a Metrics,
}

impl Transfer<'_> {
    async fn chunk(&mut self, chunk: SnapshotChunk) -> Result<(), SendError> {
        let head = chunk.encode_head();
        let sent = self
            .stream
            .send(Kind::SnapshotChunk, head, vec![chunk.data]);
        sent.await?;
        self.metrics.snapshot_chunks_sent.add(1);
        Ok(())
    }

    async fn answer(&mut self, deadline: std::time::Duration) -> Result<SnapshotReply, SendError> {
        let next = TypeConfig::timeout(deadline, self.answers.recv()).await;
        let frame = next
            .map_err(|_| SendError::Silent(deadline))?
            .ok_or_else(|| LinkError::Lost("the link closed the stream".into()))??;
        match frame.kind {
            Kind::SnapshotReply => SnapshotReply::decode(frame.payload)
                .map_err(|error| SendError::Failed(error.to_string())),
            Kind::Failed | Kind::StreamEnd => Err(SendError::Failed(decode_text(frame.payload))),
            other => Err(SendError::Failed(format!("unexpected {other:?}"))),
        }
    }
}
