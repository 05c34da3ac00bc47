//! What can be done to a cluster, and a seeded plan of it.

use std::{fmt, str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of one member; started again when the fault ends.
    Kill,
    /// SIGKILL of the leader.
    KillLeader,
    /// SIGKILL of all members at once.
    KillAll,
    /// SIGTERM of one member; started again when the fault ends.
    Terminate,
    /// SIGSTOP of one member.
    Pause,
    /// SIGSTOP of the leader.
    PauseLeader,
    /// One member cut off from all others.
    Isolate,
    /// The leader cut off from all others.
    IsolateLeader,
    /// One link cut: the third member still sees both.
    Bridge,
    /// Leadership moved by call.
    MoveLeader,
    /// Compaction up to what all watches have been told.
    Compact,
    /// Defragmentation of every member.
    Defragment,
    /// One member removed for good and another one added in its place.
    Replace,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::KillLeader,
        Self::KillAll,
        Self::Terminate,
        Self::Pause,
        Self::PauseLeader,
        Self::Isolate,
        Self::IsolateLeader,
        Self::Bridge,
        Self::MoveLeader,
        Self::Compact,
        Self::Defragment,
        Self::Replace,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillLeader => "kill-leader",
            Self::KillAll => "kill-all",
            Self::Terminate => "terminate",
            Self::Pause => "pause",
            Self::PauseLeader => "pause-leader",
            Self::Isolate => "isolate",
            Self::IsolateLeader => "isolate-leader",
            Self::Bridge => "bridge",
            Self::MoveLeader => "move-leader",
            Self::Compact => "compact",
            Self::Defragment => "defragment",
            Self::Replace => "replace",
        }
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL of one member, started again later",
            Self::KillLeader => "SIGKILL of the leader",
            Self::KillAll => "SIGKILL of all members at once",
            Self::Terminate => "SIGTERM of one member, started again later",
            Self::Pause => "SIGSTOP of one member for a while",
            Self::PauseLeader => "SIGSTOP of the leader for a while",
            Self::Isolate => "one member cut off from its peers, not from its clients",
            Self::IsolateLeader => "the leader cut off from its peers",
            Self::Bridge => "one link cut, the third member sees both ends",
            Self::MoveLeader => "leadership moved by call",
            Self::Compact => "compaction of everything that watches were told",
            Self::Defragment => "defragmentation of every member",
            Self::Replace => "one member removed, another one added",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("no fault is called {name:?}; see `faults list`"))
    }
}

/// When a fault of a plan begins and ends, after the start of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What is done.
    pub fault: Fault,
    /// A number that chooses whom it meets.
    pub choice: usize,
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub to: Duration,
}

/// Shortest and longest time that a fault lasts: from less than an election to
/// more than two.
const LASTS: std::ops::Range<Duration> = Duration::from_millis(200)..Duration::from_millis(3500);

/// Longest pause before the next fault begins; some begin before the last one ends.
const PAUSE_MAX: Duration = Duration::from_millis(2500);

/// Faults from `kinds`, as many as begin within `length`. The same seed plans the
/// same.
#[must_use]
pub fn plan(seed: u64, kinds: &[Fault], length: Duration) -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut planned: Vec<Planned> = Vec::new();
    let mut at = Duration::from_millis(500);
    while at < length {
        let Some(fault) = kinds.choose(&mut random).copied() else {
            break;
        };
        let lasts = random.random_range(LASTS);
        planned.push(Planned {
            fault,
            choice: random.random_range(0..1000),
            from: at,
            to: at + lasts,
        });
        let overlaps = random.random_bool(0.3);
        let pause = random.random_range(Duration::ZERO..PAUSE_MAX);
        at += if overlaps {
            lasts.mul_f64(0.5)
        } else {
            lasts + pause
        };
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_seeds_repeat() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("flood".parse::<Fault>().is_err());
        let length = Duration::from_secs(60);
        let one = plan(7, &Fault::ALL, length);
        assert_eq!(one, plan(7, &Fault::ALL, length));
        assert_ne!(one, plan(8, &Fault::ALL, length));
        assert!(one.len() > 10 && one.iter().all(|planned| planned.from < planned.to));
        assert!(plan(7, &[], length).is_empty());
    }
}
