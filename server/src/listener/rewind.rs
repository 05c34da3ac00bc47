//! A stream whose first bytes were read already and come again.
//!
//! Telling gRPC from HTTP/1.1 needs a look at the first bytes; they are handed
//! to the protocol as if never read. After that every call goes straight to the
//! stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The protocol a connection opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream preceded by bytes that were read from it.
#[derive(Debug)]
pub(super) struct Rewind<T> {
    prefix: [u8; PREFACE_START.len()],
    /// Range of `prefix` that is still to be given.
    given_count: usize,
    read_count: usize,
    inner: T,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Rewind<T> {
    /// Reads until the protocol is certain.
    ///
    /// # Errors
    /// The stream's, or its end before anything came.
    pub(super) async fn classify(inner: T) -> io::Result<(Protocol, Self)> {
        let mut stream = Self {
            prefix: [0; _],
            given_count: 0,
            read_count: 0,
            inner,
        };
        loop {
            let (read, rest) = stream.prefix.split_at_mut(stream.read_count);
            if !PREFACE_START.starts_with(read) {
                return Ok((Protocol::Http1, stream));
            }
            if rest.is_empty() {
                return Ok((Protocol::Http2, stream));
            }
            let count = stream.inner.read(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            stream.read_count += count;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewind<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given_count < this.read_count {
            let left = this
                .prefix
                .get(this.given_count..this.read_count)
                .unwrap_or_default();
            let count = left.len().min(buffer.remaining());
            buffer.put_slice(left.get(..count).unwrap_or_default());
            this.given_count += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewind<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// The bytes no HTTP/1.1 request begins with: `PRI *` is no known method and
/// target. HTTP/2 itself checks the rest of its preface.
const PREFACE_START: [u8; 5] = *b"PRI *";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{Protocol, Rewind};

    async fn classified(chunks: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut near, far) = tokio::io::duplex(64);
        let chunks: Vec<Vec<u8>> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        let write = async move {
            for chunk in chunks {
                near.write_all(&chunk).await.unwrap();
            }
        };
        let read = async move {
            let (protocol, mut stream) = Rewind::classify(far).await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            (protocol, bytes)
        };
        let ((), result) = tokio::join!(write, read);
        result
    }

    #[tokio::test]
    async fn the_first_bytes_decide_and_come_again() {
        let http1 = classified(&[b"P", b"RO", b"PFIND / HTTP/1.1\r\n"]).await;
        assert_eq!(
            http1,
            (Protocol::Http1, b"PROPFIND / HTTP/1.1\r\n".to_vec())
        );
        let http2 = classified(&[b"PRI", b" * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await;
        assert_eq!(
            http2,
            (
                Protocol::Http2,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()
            )
        );
    }

    #[tokio::test]
    async fn a_connection_closed_at_once_is_an_error() {
        let (near, far) = tokio::io::duplex(8);
        drop(near);
        assert!(Rewind::classify(far).await.is_err());
    }
}
