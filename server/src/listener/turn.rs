//! One turn of a connection's task: until nothing in it has anything to do.
//!
//! Streams and their connection wake each other all the time. Through the
//! runtime's scheduler each of these wakes would be another turn of the task,
//! and each turn another write. Here a wake that comes during a turn only
//! makes the turn go on, and one that comes between turns wakes the task once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Nobody has anything to do, and the task sleeps.
const IDLE: u8 = 0;
/// A turn is under way, and nobody was woken since its last round began.
const RUNNING: u8 = 1;
/// Somebody was woken: the turn goes on, or the task was woken for another.
const WOKEN: u8 = 2;

/// Rounds of one turn; other tasks of the runtime come next.
const ROUNDS_MAX: usize = 32;

/// The wakes of one task.
#[derive(Debug)]
pub(super) struct Turn {
    wakes: Arc<Wakes>,
    /// Wakes of everything the task runs come here.
    waker: Waker,
}

#[derive(Debug)]
struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Turn {
    pub(super) fn new() -> Self {
        let wakes = Arc::new(Wakes {
            state: AtomicU8::new(IDLE),
            task: AtomicWaker::new(),
        });
        let waker = Waker::from(Arc::clone(&wakes));
        Self { wakes, waker }
    }

    /// Calls `round` until nobody was woken during it, then `rest`, and all
    /// over if somebody was meanwhile. Both run with a context whose waker
    /// must be used instead of the task's own. Pending leaves the task asleep,
    /// unless the rounds of this turn were used up.
    pub(super) fn run<S, T>(
        &self,
        context: &mut Context<'_>,
        subject: &mut S,
        mut round: impl FnMut(&mut S, &mut Context<'_>) -> Poll<T>,
        mut rest: impl FnMut(&mut S, &mut Context<'_>),
    ) -> Poll<T> {
        self.wakes.task.register(context.waker());
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS_MAX {
            self.wakes.state.store(RUNNING, Ordering::SeqCst);
            if let Poll::Ready(output) = round(subject, &mut inner) {
                return Poll::Ready(output);
            }
            if self.wakes.state.load(Ordering::SeqCst) == WOKEN {
                continue;
            }
            rest(subject, &mut inner);
            if self.wakes.sleep() {
                return Poll::Pending;
            }
        }
        rest(subject, &mut inner);
        // The state stays `WOKEN`: wakes until the next turn have nothing to add.
        self.wakes.state.store(WOKEN, Ordering::SeqCst);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wakes {
    /// False if somebody was woken since the round began.
    fn sleep(&self) -> bool {
        self.state
            .compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == IDLE {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Runs one turn whose rounds call `wake_by_ref` for the first `wakes`
    /// times; how many rounds and rests there were.
    async fn turn(wakes: usize) -> (usize, usize) {
        let turn = Turn::new();
        let (mut rounds, mut rests) = (0, 0);
        poll_fn(|context| {
            let pending = turn.run(
                context,
                &mut rounds,
                |rounds, context| {
                    *rounds += 1;
                    if *rounds <= wakes {
                        context.waker().wake_by_ref();
                    }
                    Poll::<()>::Pending
                },
                |_, _| rests += 1,
            );
            assert!(pending.is_pending());
            Poll::Ready(())
        })
        .await;
        (rounds, rests)
    }

    #[tokio::test]
    async fn wakes_during_a_turn_prolong_it_and_bring_one_rest() {
        assert_eq!(turn(0).await, (1, 1));
        assert_eq!(turn(3).await, (4, 1));
    }

    #[tokio::test]
    async fn a_turn_ends_whatever_happens() {
        assert_eq!(turn(usize::MAX).await, (ROUNDS_MAX, 1));
    }

    #[tokio::test]
    async fn a_wake_between_turns_wakes_the_task() {
        let turn = Turn::new();
        let mut rounds = 0;
        poll_fn(|context| {
            turn.run(
                context,
                &mut rounds,
                |rounds, context| {
                    *rounds += 1;
                    if *rounds == 2 {
                        return Poll::Ready(());
                    }
                    let waker = context.waker().clone();
                    tokio::spawn(async move { waker.wake() });
                    Poll::Pending
                },
                |_, _| {},
            )
        })
        .await;
        assert_eq!(rounds, 2);
    }
}
