//! Writing frames without joining them: header and payload parts of many
//! frames go out in one vectored write.

use std::io::{self, IoSlice};
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::frame::{HEADER_BYTES, OutFrame};
use crate::metrics::Metrics;

/// Writes frames to a byte stream.
pub(crate) struct FrameWriter<W> {
    output: W,
    metrics: Arc<Metrics>,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(output: W, metrics: Arc<Metrics>) -> Self {
        Self { output, metrics }
    }

    /// Writes all frames, completely, in order.
    ///
    /// # Errors
    /// The connection broke; some of the frames may have gone out.
    pub(crate) async fn write(&mut self, frames: &[OutFrame]) -> io::Result<()> {
        let headers: Vec<_> = frames.iter().map(OutFrame::header).collect();
        let mut parts = Vec::with_capacity(frames.len() * 3);
        let mut bytes = 0;
        for (frame, header) in frames.iter().zip(&headers) {
            parts.push(IoSlice::new(header));
            let payload = std::iter::once(&frame.head).chain(&frame.body);
            parts.extend(
                payload
                    .filter(|part| !part.is_empty())
                    .map(|part| IoSlice::new(part)),
            );
            bytes += HEADER_BYTES + frame.payload_bytes();
        }
        let mut left = parts.as_mut_slice();
        while !left.is_empty() {
            let count = left.len().min(SLICES_MAX);
            let written = self
                .output
                .write_vectored(left.get(..count).unwrap_or_default())
                .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.metrics.peer_writes.add(1);
            IoSlice::advance_slices(&mut left, written);
        }
        self.output.flush().await?;
        self.metrics.peer_sent_bytes.add(bytes as u64);
        self.metrics.peer_sent_frames.add(frames.len() as u64);
        Ok(())
    }
}

/// Slices per write: the limit of Linux (IOV_MAX).
const SLICES_MAX: usize = 1024;
