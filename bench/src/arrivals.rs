//! When a client sends its next request.
//!
//! Closed loop: as soon as the last one was answered; latency counts from the
//! sending. Open loop: requests are due at a fixed rate whatever the server
//! does; latency counts from when a request was due, so that a stall is paid
//! by everything that would have been sent during it (no coordinated
//! omission). The timer ticks in milliseconds: what is due in a tick is due at
//! the tick, and being late by no more than the timer's own resolution is not
//! charged to the server.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::MissedTickBehavior};

use crate::recorder::{Control, Recorder};

/// Requests due but not sent, per thread. On full, the arrival is an error:
/// the server is far past saturation and a longer queue would only hide it.
const DUE_MAX: usize = 200_000;

/// The timer's tick.
const TICK: Duration = Duration::from_millis(1);

/// Lateness of a tick that is the timer's, not the server's.
const LATENESS_FORGIVEN: Duration = Duration::from_millis(2);

/// The source of a client's next request; clones share it.
#[derive(Clone, Debug)]
pub enum Arrivals {
    /// The next request follows the last reply.
    Closed(Arc<Control>),
    /// The next request is due at a time.
    Open(Arc<Control>, Rc<Due>),
}

/// Requests that are due and wait for a free client of this thread.
#[derive(Debug, Default)]
pub struct Due {
    times: RefCell<VecDeque<Instant>>,
    arrived: Notify,
}

impl Arrivals {
    /// Waits for the next request; returns when it was due, or `None` at the
    /// end of the run.
    pub async fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed(control) => (!control.is_stopped()).then(Instant::now),
            Self::Open(control, due) => loop {
                if control.is_stopped() {
                    return None;
                }
                let time = due.times.borrow_mut().pop_front();
                if time.is_some() {
                    return time;
                }
                due.arrived.notified().await;
            },
        }
    }
}

/// Makes requests due at `rate` per second until the run stops.
pub async fn pace(rate: f64, control: &Control, due: &Due, recorder: &RefCell<Recorder>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut owed = 0.0;
    while !control.is_stopped() {
        let tick = ticks.tick().await.into_std();
        let late = tick.elapsed();
        let time = if late > LATENESS_FORGIVEN {
            tick
        } else {
            tick + late
        };
        owed += rate * TICK.as_secs_f64();
        let mut times = due.times.borrow_mut();
        while owed >= 1.0 {
            owed -= 1.0;
            if times.len() >= DUE_MAX {
                recorder.borrow_mut().fail("more requests due than fit");
                continue;
            }
            times.push_back(time);
            due.arrived.notify_one();
        }
    }
    due.arrived.notify_waiters();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Phase;

    #[tokio::test(flavor = "current_thread")]
    async fn the_rate_is_kept_and_the_end_wakes_everyone() {
        let control = Arc::new(Control::default());
        control.enter(Phase::Measure);
        let due = Rc::new(Due::default());
        let recorder = RefCell::new(Recorder::new());
        let arrivals = Arrivals::Open(Arc::clone(&control), Rc::clone(&due));
        let taker = async {
            let mut taken = 0;
            let started = Instant::now();
            while arrivals.next().await.is_some() {
                taken += 1;
                if taken == 500 {
                    control.enter(Phase::Stop);
                }
            }
            (taken, started.elapsed())
        };
        let (_, (taken, elapsed)) = tokio::join!(pace(5_000.0, &control, &due, &recorder), taker);
        assert_eq!(taken, 500);
        assert!(elapsed >= Duration::from_millis(90), "{elapsed:?}");
        assert!(control.is_stopped());
    }
}
