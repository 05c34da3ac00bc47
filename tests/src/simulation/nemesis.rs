//! What goes wrong, and when: drawn from the seed, one thing after the other, some
//! of them at the same time.

use std::collections::BTreeSet;

use quoin_raft::storage::Loss;

use super::network::Weather;
use super::random::Random;

/// Something that is done to the cluster.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// A member is gone; back after so many milliseconds.
    Crash {
        victim: Victim,
        loss: Loss,
        is_silent: bool,
        back_after: u64,
    },
    /// The disk fails at this many operations from now on, in the middle of it, and
    /// the member with it.
    CrashInWrite {
        victim: Victim,
        operations: u64,
        loss: Loss,
        back_after: u64,
    },
    /// One operation of the disk fails.
    DiskError { victim: Victim, operations: u64 },
    /// The disk has so many bytes left.
    DiskFull { victim: Victim, bytes: usize },
    /// The disk answers nothing for a while.
    DiskHangs { victim: Victim, time: u64 },
    /// Disks are slow.
    DiskSlow { latency_max: u64 },
    /// Stopped in order; back after a while.
    Restart { victim: Victim, back_after: u64 },
    /// The process stands still.
    Pause { victim: Victim, time: u64 },
    /// A clock goes wrong by so many in 1000.
    Clock { victim: Victim, per_mille: u64 },
    /// Directions that are cut, until the next one or the end of trouble.
    Cut(Shape),
    /// Everything flows again.
    Heal,
    /// All connections between two members break.
    Reset,
    /// The network as a whole.
    Weather(Weather),
    /// A member joins.
    Add,
    /// A member is removed.
    Remove,
    /// Leadership is handed over.
    Transfer,
}

/// Who is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Any,
    Leader,
    All,
}

/// How the network is divided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Two parts.
    Halves,
    /// One member alone.
    Isolated(Victim),
    /// One member hears nobody.
    Deaf(Victim),
    /// Nobody hears one member.
    Mute(Victim),
    /// Two parts that only one member reaches.
    Bridge,
    /// Everybody reaches two neighbours.
    Ring,
    /// Each direction by chance.
    Any,
}

/// Which kinds of trouble a run has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    pub(super) crashes: bool,
    pub(super) disks: bool,
    pub(super) network: bool,
    pub(super) clocks: bool,
    pub(super) members: bool,
}

impl Kinds {
    /// Most runs have some kinds only, because faults hide each other.
    pub(super) fn draw(random: &mut Random) -> Self {
        Self {
            crashes: random.chance(750),
            disks: random.chance(600),
            network: random.chance(750),
            clocks: random.chance(400),
            members: random.chance(400),
        }
    }
}

/// Draws the next fault.
pub(super) fn draw(random: &mut Random, kinds: Kinds) -> Option<Fault> {
    let mut choices: Vec<fn(&mut Random) -> Fault> = Vec::new();
    if kinds.crashes {
        choices.extend([crash as fn(&mut Random) -> Fault, crash, restart]);
    }
    if kinds.disks {
        choices.extend([disk as fn(&mut Random) -> Fault, disk]);
    }
    if kinds.network {
        choices.extend([network as fn(&mut Random) -> Fault, cut, cut]);
    }
    if kinds.clocks {
        choices.push(clock);
    }
    if kinds.members {
        choices.extend([members as fn(&mut Random) -> Fault, members]);
    }
    let choice = random.pick(&choices)?;
    Some(choice(random))
}

fn loss(random: &mut Random) -> Loss {
    let losses = [Loss::Drop, Loss::Keep, Loss::Mix, Loss::Mix];
    random.pick(&losses).unwrap_or(Loss::Mix)
}

fn victim(random: &mut Random) -> Victim {
    let victims = [Victim::Any, Victim::Any, Victim::Leader];
    random.pick(&victims).unwrap_or(Victim::Any)
}

fn crash(random: &mut Random) -> Fault {
    let back_after = random.pick(&[50, 500, 3000, 12_000]).unwrap_or(500);
    let back_after = random.between(1, back_after);
    if random.chance(300) {
        return Fault::CrashInWrite {
            victim: victim(random),
            operations: random.below(40),
            loss: loss(random),
            back_after,
        };
    }
    let victim = match random.chance(150) {
        true => Victim::All,
        false => victim(random),
    };
    Fault::Crash {
        victim,
        loss: loss(random),
        is_silent: random.chance(500),
        back_after,
    }
}

fn restart(random: &mut Random) -> Fault {
    Fault::Restart {
        victim: victim(random),
        back_after: random.between(1, 2000),
    }
}

fn disk(random: &mut Random) -> Fault {
    let victim = victim(random);
    match random.below(5) {
        0 => Fault::DiskError {
            victim,
            operations: random.below(30),
        },
        1 => Fault::DiskFull {
            victim,
            bytes: usize::try_from(random.below(100_000)).unwrap_or(0),
        },
        2 => Fault::DiskHangs {
            victim,
            time: random.between(100, 8000),
        },
        _ => Fault::DiskSlow {
            latency_max: random.pick(&[1, 5, 30, 200]).unwrap_or(5),
        },
    }
}

fn network(random: &mut Random) -> Fault {
    match random.below(3) {
        0 => Fault::Reset,
        1 => Fault::Heal,
        _ => Fault::Weather(weather(random)),
    }
}

/// Any weather.
pub(super) fn weather(random: &mut Random) -> Weather {
    Weather {
        latency_max: random.pick(&[1, 3, 10, 40, 150]).unwrap_or(3),
        lost: random.pick(&[0, 0, 5, 50, 200]).unwrap_or(0),
        resend_after: random.between(100, 1000),
    }
}

fn cut(random: &mut Random) -> Fault {
    let victim = victim(random);
    Fault::Cut(match random.below(7) {
        0 => Shape::Halves,
        1 => Shape::Isolated(victim),
        2 => Shape::Deaf(victim),
        3 => Shape::Mute(victim),
        4 => Shape::Bridge,
        5 => Shape::Ring,
        _ => Shape::Any,
    })
}

fn clock(random: &mut Random) -> Fault {
    let victim = victim(random);
    if random.chance(600) {
        return Fault::Pause {
            victim,
            time: random.between(20, 6000),
        };
    }
    Fault::Clock {
        victim,
        per_mille: random.between(700, 1400),
    }
}

fn members(random: &mut Random) -> Fault {
    match random.below(5) {
        0 | 1 => Fault::Add,
        2 | 3 => Fault::Remove,
        _ => Fault::Transfer,
    }
}

/// The directions that a shape cuts between these members.
pub(super) fn directions(
    shape: Shape,
    ids: &[u64],
    one: u64,
    random: &mut Random,
) -> BTreeSet<(u64, u64)> {
    let mut order = ids.to_vec();
    random.shuffle(&mut order);
    let half = 1 + usize::try_from(random.below(order.len().max(2) as u64 - 1)).unwrap_or(0);
    let place = |id: u64| order.iter().position(|other| *other == id).unwrap_or(0);
    let is_cut = |from: u64, to: u64, random: &mut Random| match shape {
        Shape::Halves => (place(from) < half) != (place(to) < half),
        Shape::Isolated(_) => from == one || to == one,
        Shape::Deaf(_) => to == one,
        Shape::Mute(_) => from == one,
        Shape::Bridge => from != one && to != one && (place(from) < half) != (place(to) < half),
        Shape::Ring => {
            let distance = place(from).abs_diff(place(to));
            distance != 1 && distance + 1 != order.len()
        }
        Shape::Any => random.chance(350),
    };
    let mut cut = BTreeSet::new();
    for from in ids {
        for to in ids.iter().filter(|to| *to != from) {
            if is_cut(*from, *to, random) {
                cut.insert((*from, *to));
            }
        }
    }
    cut
}
