//! A call with messages in both directions.

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::ResponseFuture};

use crate::connection::{Failure, channel::accept, failure::check, frames::PREFIX_BYTES};

/// An open stream of messages.
#[derive(Debug)]
pub struct Stream {
    sender: SendStream<Bytes>,
    receiver: Receiver,
    /// Received bytes that were not yet handed out: as they came, unless a
    /// message lay across chunks.
    rest: Bytes,
}

/// A server may answer only after the first message was sent to it.
#[derive(Debug)]
enum Receiver {
    Asked(ResponseFuture),
    Open(RecvStream),
    Ended,
}

impl Stream {
    pub(super) const fn new(response: ResponseFuture, sender: SendStream<Bytes>) -> Self {
        Self {
            sender,
            receiver: Receiver::Asked(response),
            rest: Bytes::new(),
        }
    }

    /// Sends one framed message.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn send(&mut self, frame: Bytes) -> Result<(), Failure> {
        Ok(self.sender.send_data(frame, false)?)
    }

    /// The next message; `None` after the last.
    ///
    /// # Errors
    /// The connection is lost or the server ends the stream with a refusal.
    ///
    /// # Cancel safety
    /// Giving it up loses no message.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(message) = self.buffered() {
                return Ok(Some(message));
            }
            let body = match &mut self.receiver {
                Receiver::Asked(response) => {
                    self.receiver = Receiver::Open(accept(response).await?);
                    continue;
                }
                Receiver::Open(body) => body,
                Receiver::Ended => return Ok(None),
            };
            if let Some(chunk) = body.data().await {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                self.rest = join(std::mem::take(&mut self.rest), chunk);
                continue;
            }
            let trailers = body.trailers().await?;
            self.receiver = Receiver::Ended;
            trailers.as_ref().map_or(Ok(()), check)?;
        }
    }

    /// The next message, if it is here whole.
    fn buffered(&mut self) -> Option<Bytes> {
        let prefix: [u8; 4] = self.rest.get(1..PREFIX_BYTES)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(prefix)).ok()?;
        if self.rest.len() < PREFIX_BYTES + length {
            return None;
        }
        let mut message = self.rest.split_to(PREFIX_BYTES + length);
        message.advance(PREFIX_BYTES);
        Some(message)
    }
}

/// `first` and then `second`; copies only where there are two.
pub(super) fn join(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    // Takes the memory over where nobody else holds it, so that a long message
    // is not copied once per chunk.
    let mut joined = BytesMut::from(first);
    joined.extend_from_slice(&second);
    joined.freeze()
}
