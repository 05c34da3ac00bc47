//! When a connection on which nothing is heard counts as dead.
//!
//! Only silence while an answer is due says something at once. A connection that
//! rests is pinged after a while, and given up if even that is not answered.

use std::time::Duration;

use super::Timing;

/// What to do after a look at a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Ask for a sign of life.
    Ping,
    /// Drop it: nothing was heard for so long.
    Dead(Duration),
}

/// The silence on one connection, looked at every `Timing::ping_interval`.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Since something was last heard.
    all: Duration,
    /// The part of it in which an answer was due without a break.
    unanswered: Duration,
}

impl Silence {
    /// Notes one more interval, and whether something was heard in it and an
    /// answer is due at its end.
    pub(super) fn look(&mut self, timing: &Timing, has_heard: bool, is_due: bool) -> Verdict {
        if has_heard {
            *self = Self::default();
            return Verdict::Fine;
        }
        self.all += timing.ping_interval;
        self.unanswered = match is_due {
            true => self.unanswered + timing.ping_interval,
            // What is sent after a rest has the whole time.
            false => Duration::ZERO,
        };
        let is_dead = self.unanswered >= timing.dead_after
            || (!is_due && self.all >= timing.keepalive + timing.dead_after);
        if is_dead {
            Verdict::Dead(self.all)
        } else if is_due || self.all >= timing.keepalive {
            Verdict::Ping
        } else {
            Verdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 400 ms; dead after 2 s, pinged after 4 s of rest.
    fn timing() -> Timing {
        Timing::new(Duration::from_secs(1))
    }

    /// The verdicts of so many looks in silence.
    fn looks(silence: &mut Silence, is_due: bool, count: usize) -> Vec<Verdict> {
        let look = |_| silence.look(&timing(), false, is_due);
        (0..count).map(look).collect()
    }

    #[test]
    fn an_answer_that_is_due_is_waited_for_and_no_longer() {
        let mut silence = Silence::default();
        let verdicts = looks(&mut silence, true, 5);
        assert_eq!(verdicts[..4], [Verdict::Ping; 4]);
        assert_eq!(verdicts[4], Verdict::Dead(timing().dead_after));
        assert_eq!(silence.look(&timing(), true, true), Verdict::Fine);
        assert_eq!(silence.look(&timing(), false, true), Verdict::Ping);
    }

    #[test]
    fn what_is_sent_after_a_rest_has_the_whole_time() {
        let mut silence = Silence::default();
        assert_eq!(looks(&mut silence, false, 9), [Verdict::Fine; 9]);
        assert_eq!(looks(&mut silence, true, 4), [Verdict::Ping; 4]);
    }

    #[test]
    fn a_rest_is_ended_by_pings_and_then_by_giving_up() {
        let mut silence = Silence::default();
        let verdicts = looks(&mut silence, false, 15);
        assert_eq!(verdicts[8], Verdict::Fine);
        assert_eq!(verdicts[9], Verdict::Ping);
        assert_eq!(verdicts[14], Verdict::Dead(Duration::from_secs(6)));
    }
}
