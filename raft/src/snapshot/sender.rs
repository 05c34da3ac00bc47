//! The sending side of a snapshot transfer.

use bytes::Bytes;
use openraft::type_config::TypeConfigExt;
use tokio::sync::mpsc;

use super::{CHUNK_BYTES_MAX, CHUNK_DEADLINE, INSTALL_DEADLINE, WINDOW_CHUNKS_MAX};
use crate::rpc::{SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, decode_text};
use crate::state_machine::SnapshotSource;
use crate::transport::frame::{Frame, Kind};
use crate::transport::{Link, LinkError, Stream};
use crate::types::{TypeConfig, Vote};

/// Sends a whole snapshot; resolves with the vote of the receiver.
///
/// # Errors
/// Why the transfer was given up.
pub(crate) async fn send(
    link: &Link,
    begin: SnapshotBegin,
    source: Box<dyn SnapshotSource>,
) -> Result<Vote, SendError> {
    let (stream, answers) = link.stream(WINDOW_CHUNKS_MAX + 4);
    let mut transfer = Transfer {
        stream,
        answers,
        sent: 0,
        written: 0,
    };
    transfer
        .stream
        .send(Kind::SnapshotBegin, begin.encode(), Vec::new())
        .await?;
    match transfer.answer(CHUNK_DEADLINE).await? {
        SnapshotReply::Accepted => {}
        SnapshotReply::Done(vote) => return Ok(vote),
        other => return Err(SendError::Failed(format!("unexpected answer {other:?}"))),
    }
    let mut pieces = Pieces::new(source);
    while let Some(data) = pieces.next().await? {
        if let Some(vote) = transfer.chunk(data).await? {
            return Ok(vote);
        }
    }
    let end = pieces.end(transfer.sent);
    transfer
        .stream
        .send(Kind::SnapshotEnd, end.encode(), Vec::new())
        .await?;
    loop {
        match transfer.answer(INSTALL_DEADLINE).await? {
            SnapshotReply::Done(vote) => return Ok(vote),
            SnapshotReply::Written(_) => {}
            SnapshotReply::Accepted => {
                return Err(SendError::Failed("accepted twice".into()));
            }
            SnapshotReply::Rejected(reason) => return Err(SendError::Failed(reason)),
        }
    }
}

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Failed(String),
}

struct Transfer {
    stream: Stream,
    answers: mpsc::Receiver<Result<Frame, LinkError>>,
    sent: u32,
    written: u32,
}

impl Transfer {
    /// Sends one chunk, waiting for room in the window; a vote means that the
    /// receiver needs no more.
    async fn chunk(&mut self, data: Bytes) -> Result<Option<Vote>, SendError> {
        let chunk = SnapshotChunk::new(self.sent, data);
        let head = chunk.encode_head();
        self.stream
            .send(Kind::SnapshotChunk, head, vec![chunk.data])
            .await?;
        self.sent = self
            .sent
            .checked_add(1)
            .ok_or_else(|| SendError::Failed("the snapshot has too many chunks".into()))?;
        while (self.sent - self.written) as usize >= WINDOW_CHUNKS_MAX {
            match self.answer(CHUNK_DEADLINE).await? {
                SnapshotReply::Written(sequence) if sequence == self.written => self.written += 1,
                SnapshotReply::Done(vote) => return Ok(Some(vote)),
                SnapshotReply::Rejected(reason) => return Err(SendError::Failed(reason)),
                other => return Err(SendError::Failed(format!("unexpected answer {other:?}"))),
            }
        }
        Ok(None)
    }

    async fn answer(&mut self, deadline: std::time::Duration) -> Result<SnapshotReply, SendError> {
        let next = TypeConfig::timeout(deadline, self.answers.recv()).await;
        let frame = next
            .map_err(|_| SendError::Failed(format!("no answer within {deadline:?}")))?
            .ok_or_else(|| SendError::Failed("the link closed the stream".into()))??;
        match frame.kind {
            Kind::SnapshotReply => SnapshotReply::decode(frame.payload)
                .map_err(|error| SendError::Failed(error.to_string())),
            Kind::Failed | Kind::StreamEnd => Err(SendError::Failed(decode_text(frame.payload))),
            other => Err(SendError::Failed(format!("unexpected {other:?}"))),
        }
    }
}

/// Cuts what the source yields into chunks; reads on a blocking thread.
struct Pieces {
    source: Option<Box<dyn SnapshotSource>>,
    rest: Bytes,
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl Pieces {
    fn new(source: Box<dyn SnapshotSource>) -> Self {
        Self {
            source: Some(source),
            rest: Bytes::new(),
            bytes: 0,
            crc: crc32fast::Hasher::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SendError> {
        while self.rest.is_empty() {
            let Some(mut source) = self.source.take() else {
                return Ok(None);
            };
            let read = tokio::task::spawn_blocking(move || {
                let chunk = source.next_chunk();
                (source, chunk)
            });
            let (source, chunk) = read
                .await
                .map_err(|error| SendError::Failed(error.to_string()))?;
            match chunk.map_err(|error| SendError::Failed(error.to_string()))? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(None),
            }
            self.source = Some(source);
        }
        let piece = self.rest.split_to(self.rest.len().min(CHUNK_BYTES_MAX));
        self.bytes += piece.len() as u64;
        self.crc.update(&piece);
        Ok(Some(piece))
    }

    fn end(&self, chunks_count: u32) -> SnapshotEnd {
        SnapshotEnd {
            chunks_count,
            bytes: self.bytes,
            crc: self.crc.clone().finalize(),
        }
    }
}
