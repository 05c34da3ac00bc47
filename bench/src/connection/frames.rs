//! Outgoing messages, framed in large chunks of memory.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// Bytes before a gRPC message: compression flag and length.
pub(super) const PREFIX_BYTES: usize = 5;

/// Bytes taken from the allocator at once for outgoing messages.
const CHUNK_BYTES: usize = 64 << 10;

/// Frames outgoing messages in large chunks of memory.
#[derive(Debug, Default)]
pub struct Frames {
    chunk: BytesMut,
}

impl Frames {
    /// `message` behind its gRPC prefix.
    pub fn frame(&mut self, message: &impl Message) -> Bytes {
        let length = message.encoded_len();
        self.reserve(PREFIX_BYTES + length);
        self.chunk.put_u8(0);
        self.chunk
            .put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        message
            .encode(&mut self.chunk)
            .expect("encoding fails only without room, and a BytesMut grows");
        self.chunk.split().freeze()
    }

    /// Plain bytes out of the same chunks.
    pub fn bytes(&mut self, content: &[u8]) -> Bytes {
        self.reserve(content.len());
        self.chunk.put_slice(content);
        self.chunk.split().freeze()
    }

    fn reserve(&mut self, bytes: usize) {
        if self.chunk.capacity() < bytes {
            self.chunk.reserve(bytes.max(CHUNK_BYTES));
        }
    }
}

#[cfg(test)]
mod tests {
    use quoin_proto::etcdserverpb::PutRequest;

    use super::*;

    #[test]
    fn frames_carry_their_length_and_do_not_mix() {
        let mut frames = Frames::default();
        let request = PutRequest {
            key: "k".into(),
            value: "v".into(),
            ..PutRequest::default()
        };
        let (one, two) = (frames.frame(&request), frames.frame(&request));
        assert_eq!(one, two);
        assert_eq!(&one[..PREFIX_BYTES], &[0, 0, 0, 0, 6]);
        assert_eq!(PutRequest::decode(&one[PREFIX_BYTES..]).unwrap(), request);
    }
}
