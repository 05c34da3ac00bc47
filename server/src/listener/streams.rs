//! Runs the streams of one HTTP/2 connection in the connection's own task.
//!
//! A stream that is a task of its own wakes the connection once per reply, and
//! the connection then writes that reply alone: one system call each. In one
//! task, all requests that arrived together are answered before the connection
//! looks at its socket again, and so are all replies that one committed entry
//! or one read-index round sets free; they leave in one write.
//!
//! The price is that streams of one connection never run in parallel. What
//! takes long must therefore yield (`tokio::task::yield_now`) now and then.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::stream::{FuturesUnordered, Stream};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;

use super::{cork::Cork, turn::Turn};

type StreamFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the streams that hyper opens. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct StreamQueue {
    /// Opened since the connection was last polled. Held for a push or a take.
    opened: Arc<Mutex<Vec<StreamFuture>>>,
}

impl<F> hyper::rt::Executor<F> for StreamQueue
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.opened.lock().push(Box::pin(stream));
    }
}

/// A connection together with its streams: ends with the connection, and
/// drops the streams that are left then.
pub(super) struct WithStreams<C, T> {
    members: Members<C, T>,
    turn: Turn,
}

struct Members<C, T> {
    connection: C,
    cork: Cork<T>,
    queue: StreamQueue,
    streams: FuturesUnordered<StreamFuture>,
}

impl<C, T> WithStreams<C, T> {
    /// `connection` opens its streams through `queue` and writes behind
    /// `cork`.
    pub(super) fn new(connection: C, cork: Cork<T>, queue: StreamQueue) -> Self {
        let members = Members {
            connection,
            cork,
            queue,
            streams: FuturesUnordered::new(),
        };
        Self {
            members,
            turn: Turn::new(),
        }
    }

    /// The connection itself.
    pub(super) fn connection(&mut self) -> &mut C {
        &mut self.members.connection
    }
}

impl<C, T> Members<C, T>
where
    C: Future + Unpin,
    T: AsyncWrite + Unpin,
{
    /// Runs the connection and every stream that can go on, until none of
    /// them has ended: those that did left something to write.
    fn poll_round(&mut self, context: &mut Context<'_>) -> Poll<C::Output> {
        loop {
            if let Poll::Ready(output) = Pin::new(&mut self.connection).poll(context) {
                return Poll::Ready(output);
            }
            self.streams.extend(self.queue.opened.lock().drain(..));
            let mut ended = false;
            while let Poll::Ready(Some(())) = Pin::new(&mut self.streams).poll_next(context) {
                ended = true;
            }
            if !ended {
                return Poll::Pending;
            }
        }
    }

    /// Writes what the rounds have left.
    fn uncork(&mut self, context: &mut Context<'_>) {
        if self.cork.uncork(context) {
            // The connection is told at its next call, and ends.
            context.waker().wake_by_ref();
        }
    }
}

impl<C, T> Future for WithStreams<C, T>
where
    C: Future + Unpin,
    T: AsyncWrite + Unpin,
{
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let Self { members, turn } = &mut *self;
        turn.run(context, members, Members::poll_round, Members::uncork)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        future::{pending, poll_fn},
        rc::Rc,
    };

    use hyper::rt::Executor as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::listener::cork::cork;

    /// A connection that opens `streams` at once and notes each poll.
    fn connection(
        queue: StreamQueue,
        mut streams: Vec<StreamFuture>,
        polls: Rc<RefCell<u32>>,
    ) -> impl Future<Output = ()> + Unpin {
        poll_fn(move |_context| {
            *polls.borrow_mut() += 1;
            for stream in streams.drain(..) {
                queue.execute(stream);
            }
            Poll::Pending
        })
    }

    #[tokio::test]
    async fn streams_that_end_together_cost_one_look_at_the_connection() {
        let (queue, polls) = (StreamQueue::default(), Rc::default());
        let streams = (0..50)
            .map(|_| Box::pin(async {}) as StreamFuture)
            .collect();
        let connection = connection(queue.clone(), streams, Rc::clone(&polls));
        let mut both = WithStreams::new(connection, cork(tokio::io::empty()).1, queue);
        poll_fn(|context| {
            assert!(Pin::new(&mut both).poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(*polls.borrow(), 2, "one to open them, one to write");
    }

    #[tokio::test]
    async fn streams_are_dropped_with_their_connection() {
        let queue = StreamQueue::default();
        let (alive, dropped) = oneshot::channel::<()>();
        queue.execute(async move {
            let _alive = alive;
            pending::<()>().await;
        });
        let (close, closed) = oneshot::channel::<()>();
        let both = WithStreams::new(closed, cork(tokio::io::empty()).1, queue);
        let close = async { close.send(()).unwrap() };
        let (ended, ()) = tokio::join!(both, close);
        ended.unwrap();
        dropped.await.unwrap_err();
    }
}
