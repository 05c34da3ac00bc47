//! A socket whose small writes leave together.
//!
//! h2 hands every data frame above 256 bytes to the socket by itself and
//! flushes after it: one system call per reply, each of which also carries the
//! packet through the network stack and wakes the other side. Here writes are
//! collected, a flush from above does nothing, and the owner of the connection
//! uncorks when its task has nothing left to do: one system call for all that
//! one wake-up of the task produced. Large writes go through at once, behind
//! what was collected.
//!
//! Both halves belong to one task; the lock between them is never contended.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes collected before they are written without being asked for.
const COLLECTED_BYTES_MAX: usize = 32 << 10;
/// A larger buffer is given back once it is written: most connections are idle
/// most of the time.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// The half that the protocol reads and writes.
#[derive(Debug)]
pub(super) struct Corked<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

/// The half that decides when to write.
#[derive(Debug)]
pub(super) struct Cork<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

#[derive(Debug)]
struct Shared<T> {
    io: T,
    /// Not written yet; at most [`COLLECTED_BYTES_MAX`].
    collected: Vec<u8>,
    /// The socket failed while nobody was there to be told.
    failed: Option<io::ErrorKind>,
}

/// Puts a cork on `io`.
pub(super) fn cork<T>(io: T) -> (Corked<T>, Cork<T>) {
    let shared = Arc::new(Mutex::new(Shared {
        io,
        collected: Vec::new(),
        failed: None,
    }));
    let corked = Corked {
        shared: Arc::clone(&shared),
    };
    (corked, Cork { shared })
}

impl<T: AsyncWrite + Unpin> Cork<T> {
    /// Writes what was collected, as far as the socket takes it; wakes the
    /// task when it takes more. Whether that failed: the protocol half is then
    /// told at its next call.
    pub(super) fn uncork(&self, context: &mut Context<'_>) -> bool {
        let mut shared = self.shared.lock();
        match shared.poll_drain(context) {
            Poll::Ready(Err(error)) => {
                shared.failed = Some(error.kind());
                shared.collected = Vec::new();
                true
            }
            Poll::Ready(Ok(())) | Poll::Pending => false,
        }
    }
}

impl<T: AsyncWrite + Unpin> Shared<T> {
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Writes all that was collected.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.collected.is_empty() {
            ready!(self.poll_write_through(context, &[]))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once: what was collected, then `slices`. How much of the latter
    /// was taken, which may be nothing.
    fn poll_write_through(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let collected = self.collected.as_slice();
        let io = Pin::new(&mut self.io);
        let count = if slices.is_empty() {
            ready!(io.poll_write(context, collected))?
        } else {
            let mut all = Vec::with_capacity(slices.len() + 1);
            all.push(IoSlice::new(collected));
            all.extend_from_slice(slices);
            ready!(io.poll_write_vectored(context, &all))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let own_count = count.min(self.collected.len());
        self.collected.drain(..own_count);
        if self.collected.is_empty() && self.collected.capacity() > KEPT_BYTES_MAX {
            self.collected = Vec::new();
        }
        Poll::Ready(Ok(count - own_count))
    }

    fn poll_collect(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let count: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.collected.len() + count <= COLLECTED_BYTES_MAX {
            for slice in slices {
                self.collected.extend_from_slice(slice);
            }
            return Poll::Ready(Ok(count));
        }
        loop {
            let taken = ready!(self.poll_write_through(context, slices))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.shared.lock();
        shared.check()?;
        Pin::new(&mut shared.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(bytes)];
        self.shared.lock().poll_collect(context, &slices)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.lock().poll_collect(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.lock().io.is_write_vectored()
    }

    /// Left to the owner, who uncorks.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.lock().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.lock();
        shared.check()?;
        ready!(shared.poll_drain(context))?;
        Pin::new(&mut shared.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    async fn uncork<T: AsyncWrite + Unpin>(cork: &Cork<T>) -> bool {
        poll_fn(|context| Poll::Ready(cork.uncork(context))).await
    }

    #[tokio::test]
    async fn small_writes_wait_for_the_owner() {
        let (near, mut far) = duplex(1024);
        let (mut corked, cork) = cork(near);
        corked.write_all(b"ab").await.unwrap();
        corked.write_all(b"cd").await.unwrap();
        corked.flush().await.unwrap();
        let mut read = [0; 8];
        let unread = poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut read);
            Poll::Ready(
                Pin::new(&mut far)
                    .poll_read(context, &mut buffer)
                    .is_pending(),
            )
        });
        assert!(unread.await, "nothing was written yet");
        assert!(!uncork(&cork).await);
        assert_eq!(far.read(&mut read).await.unwrap(), 4);
        assert_eq!(&read[..4], b"abcd");
    }

    #[tokio::test]
    async fn large_writes_go_through_in_order_however_small_the_pipe() {
        let (near, mut far) = duplex(1000);
        let (mut corked, cork) = cork(near);
        let large: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let write = async {
            corked.write_all(b"head").await.unwrap();
            corked.write_all(&large).await.unwrap();
            corked.write_all(b"tail").await.unwrap();
            corked.shutdown().await.unwrap();
        };
        let mut all = Vec::new();
        let (_, read) = tokio::join!(write, far.read_to_end(&mut all));
        assert_eq!(read.unwrap(), large.len() + 8);
        assert!(all.starts_with(b"head") && all.ends_with(b"tail"));
        assert_eq!(&all[4..all.len() - 4], &large[..]);
        assert!(!uncork(&cork).await);
    }

    #[tokio::test]
    async fn a_reader_that_never_catches_up_holds_no_more_than_is_unwritten() {
        let (near, mut far) = duplex(64);
        let (mut corked, cork) = cork(near);
        corked.write_all(&[0; 150]).await.unwrap();
        assert!(!uncork(&cork).await);
        for _ in 0..1000 {
            // Renews the budget of this task, without which a pipe claims to be full.
            tokio::task::yield_now().await;
            far.read_exact(&mut [0; 50]).await.unwrap();
            corked.write_all(&[0; 50]).await.unwrap();
            assert!(!uncork(&cork).await);
            assert_eq!(cork.shared.lock().collected.len(), 150 - 64);
        }
    }

    #[tokio::test]
    async fn a_failure_while_uncorking_reaches_the_protocol() {
        let (near, far) = duplex(64);
        let (mut corked, cork) = cork(near);
        corked.write_all(b"ab").await.unwrap();
        drop(far);
        assert!(uncork(&cork).await);
        assert!(corked.read(&mut [0; 8]).await.is_err());
        assert!(corked.write_all(b"cd").await.is_err());
    }
}
