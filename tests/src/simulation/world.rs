//! One run: the members, their clients and the faults, step by step.
//!
//! A step lets a few milliseconds pass: what is due arrives, every member runs for
//! that long in an order that is drawn, then the clients do, then the oracle looks.
//! Nothing passes from one member to another within a step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quoin_raft::storage::Loss;
use quoin_raft::{MembershipChange, StopReason};

use super::clients::{Clients, Register};
use super::member::{SimulatedMember, Surroundings, identity};
use super::nemesis::{self, Fault, Kinds, Victim};
use super::network::{Network, Weather};
use super::oracle::Oracle;
use super::random::Random;
use super::record::Record;
use super::{Outcome, Settings, process};
use crate::checker::linearizable::{Verdict, check};

/// Everything of a run.
pub(super) struct World {
    seed: u64,
    record: Record,
    oracle: Oracle,
    network: Network,
    around: Surroundings,
    members: BTreeMap<u64, SimulatedMember>,
    clients: Clients,
    random: Random,
    kinds: Kinds,
    /// Milliseconds of a step.
    step: u64,
    next_id: u64,
    next_fault: u64,
    /// Longest time between two faults.
    fault_gap_max: u64,
    /// Members that come back, and when.
    returns: BTreeMap<u64, u64>,
    /// Members that crash once their disk has failed, or at the latest then; what
    /// their disk loses and when they come back.
    dying: BTreeMap<u64, (u64, Loss, u64)>,
    /// Members that stand still, until when and for how long already.
    paused: BTreeMap<u64, (u64, u64)>,
    /// Speed of clocks, in 1000.
    clocks: BTreeMap<u64, u64>,
    /// Members whose disk was made to fail since their start.
    excused: BTreeSet<u64>,
}

impl World {
    pub(super) fn new(seed: u64, settings: &Settings) -> std::io::Result<Self> {
        let mut random = Random::new(seed);
        let record = Record::new(settings.is_told);
        let oracle = Oracle::new(record.clone());
        let weather = Weather {
            latency_max: 3,
            lost: 0,
            resend_after: 200,
        };
        let network = Network::new(record.clone(), random.fork(), weather);
        let plant = settings.plant;
        let around = Surroundings {
            record: record.clone(),
            oracle: oracle.clone(),
            network: network.clone(),
            plant,
            snapshot_count: random.pick(&[8, 30, 100, 10_000]).unwrap_or(100),
            kept_entries_count: random.pick(&[0, 5, 50, 5000]).unwrap_or(50),
            segment_bytes: random.pick(&[8 << 10, 64 << 10]).unwrap_or(64 << 10),
            cache_bytes_max: random.pick(&[0, 2 << 10, 1 << 20]).unwrap_or(1 << 20),
        };
        let count = random.pick(&[1, 3, 3, 3, 3, 4, 5, 5]).unwrap_or(3);
        let count = if settings.is_calm { 3 } else { count };
        let founders: Vec<_> = (1..=count).map(identity).collect();
        let mut members = BTreeMap::new();
        for id in 1..=count {
            let member = SimulatedMember::new(id, founders.clone(), around.clone(), random.fork());
            member.pace.set_latency(random.between(0, 8));
            members.insert(id, member);
        }
        let clients = Clients::start(record.clone(), oracle.clone(), plant, random.fork())?;
        Ok(Self {
            seed,
            record,
            oracle,
            network,
            around,
            members,
            clients,
            kinds: Kinds::draw(&mut random),
            step: random.pick(&[1, 2, 5]).unwrap_or(1),
            next_id: count + 1,
            next_fault: if settings.is_calm { u64::MAX } else { 3000 },
            fault_gap_max: random.between(500, 8000),
            returns: BTreeMap::new(),
            dying: BTreeMap::new(),
            paused: BTreeMap::new(),
            clocks: BTreeMap::new(),
            excused: BTreeSet::new(),
            random,
        })
    }

    /// Runs to the end, or to the first violation.
    pub(super) fn run(mut self, settings: &Settings) -> Outcome {
        for member in self.members.values_mut() {
            member.start();
        }
        let trouble = settings.trouble_seconds * 1000;
        let trouble = self.random.between(trouble / 2, trouble);
        self.run_until(trouble, |_| false);
        self.heal();
        let before = self.clients.counts().0;
        let calm = self.record.now();
        let served = self.run_until(calm + RECOVERY_MAX, |world| {
            world.record.now() > calm + CALM_MIN && world.clients.counts().0 > before
        });
        if !served {
            self.record
                .violated(|| "no write was acknowledged after all faults were healed".into());
        }
        self.clients.end();
        let ended = self.record.now() + LAST_ANSWERS;
        self.run_until(ended + RECOVERY_MAX, |world| {
            world.record.now() > ended && world.is_settled()
        });
        if !self.is_settled() {
            self.record.violated(|| self.unsettled());
        }
        self.judge();
        self.outcome()
    }

    /// Steps until `until` or until it `is_over`, which is returned.
    fn run_until(&mut self, until: u64, is_over: impl Fn(&Self) -> bool) -> bool {
        while self.record.now() < until && self.record.violation().is_none() {
            if is_over(self) {
                return true;
            }
            self.step();
        }
        self.record.violation().is_some()
    }

    fn step(&mut self) {
        let now = self.record.now() + self.step;
        self.record.set_now(now);
        process::set_now(now);
        if now >= self.next_fault {
            self.next_fault = now + self.random.between(1, self.fault_gap_max);
            if let Some(fault) = nemesis::draw(&mut self.random, self.kinds) {
                self.strike(fault);
            }
        }
        self.network.deliver(now);
        self.come_and_go(now);
        let mut order: Vec<u64> = self.members.keys().copied().collect();
        self.random.shuffle(&mut order);
        for id in order {
            self.run_member(id, now);
        }
        let nodes = self
            .members
            .iter()
            .filter(|(id, _)| !self.paused.contains_key(id));
        let nodes = nodes.filter_map(|(id, member)| Some((*id, member.node()?)));
        let nodes = nodes.collect();
        self.clients.run(Duration::from_millis(self.step), nodes);
        for member in self.members.values_mut() {
            member.look();
        }
        if now.is_multiple_of(FORGET_EVERY) {
            let applied = self.members.values().map(SimulatedMember::applied_index);
            self.oracle.forget_below(applied.min().unwrap_or(0));
        }
        self.see_who_stopped();
        if let Some(panic) = process::panicked() {
            self.record.violated(|| format!("panic: {panic}"));
        }
    }

    fn run_member(&mut self, id: u64, now: u64) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if let Some((until, stood)) = self.paused.get_mut(&id) {
            *stood += self.step;
            if now < *until {
                return;
            }
            let stood = *stood - self.step;
            self.paused.remove(&id);
            member.run(Duration::from_millis(stood), true);
        }
        let rate = self.clocks.get(&id).copied().unwrap_or(1000);
        member.run(Duration::from_micros(self.step * rate), false);
    }

    /// Crashes who is to crash, starts who is to come back.
    fn come_and_go(&mut self, now: u64) {
        let is_dead = |id: &u64, by: u64| {
            let member = self.members.get(id);
            now >= by || member.is_some_and(SimulatedMember::has_dead_disk)
        };
        let dead = self
            .dying
            .iter()
            .filter(|(id, (by, _, _))| is_dead(id, *by));
        let dead: Vec<_> = dead.map(|(id, plan)| (*id, *plan)).collect();
        for (id, (_, loss, back_after)) in dead {
            self.crash(id, loss, true, back_after);
        }
        let back = self.returns.iter().filter(|(_, at)| now >= **at);
        let back: Vec<_> = back.map(|(id, _)| *id).collect();
        for id in back {
            self.returns.remove(&id);
            self.excused.remove(&id);
            if let Some(member) = self.members.get_mut(&id)
                && !member.is_removed
            {
                member.start();
            }
        }
    }

    fn crash(&mut self, id: u64, loss: Loss, is_silent: bool, back_after: u64) {
        self.dying.remove(&id);
        self.paused.remove(&id);
        if let Some(member) = self.members.get_mut(&id) {
            member.crash(loss, is_silent);
            self.returns.insert(id, self.record.now() + back_after);
        }
    }

    /// A member that stops by itself must have a reason.
    fn see_who_stopped(&mut self) {
        let stopped = self
            .members
            .iter()
            .filter(|(id, _)| !self.returns.contains_key(id));
        let stopped = stopped.filter_map(|(id, member)| Some((*id, member.stopped()?)));
        let stopped: Vec<_> = stopped.collect();
        for (id, reason) in stopped {
            let is_excused = self.excused.contains(&id) || self.dying.contains_key(&id);
            match reason {
                StopReason::Removed => {
                    self.record.note("removed", &[id]);
                    if let Some(member) = self.members.get_mut(&id) {
                        member.is_removed = true;
                    }
                }
                _ if is_excused => self.record.note("stopped", &[id]),
                reason => self
                    .record
                    .violated(|| format!("member {id} stopped by itself: {reason}")),
            }
            let back_after = self.random.between(1, 3000);
            self.crash(id, Loss::Mix, false, back_after);
        }
    }

    fn victims(&mut self, victim: Victim) -> Vec<u64> {
        let up: Vec<_> = self
            .members
            .values()
            .filter(|member| member.is_up())
            .collect();
        let ids: Vec<_> = up.iter().map(|member| member.id).collect();
        let leader = up
            .iter()
            .find(|member| member.is_leader())
            .map(|member| member.id);
        let any = self.random.pick(&ids);
        match victim {
            Victim::All => ids,
            Victim::Leader => leader.or(any).into_iter().collect(),
            Victim::Any => any.into_iter().collect(),
        }
    }

    fn strike(&mut self, fault: Fault) {
        self.record.tell(|| format!("{fault:?}"));
        let now = self.record.now();
        match fault {
            Fault::Crash {
                victim,
                loss,
                is_silent,
                back_after,
            } => {
                for id in self.victims(victim) {
                    self.crash(id, loss, is_silent, back_after);
                }
            }
            Fault::Restart { victim, back_after } => {
                for id in self.victims(victim) {
                    self.record.note("shutdown", &[id]);
                    if let Some(member) = self.members.get(&id) {
                        member.shut_down();
                    }
                    self.dying.insert(id, (now + 500, Loss::Drop, back_after));
                }
            }
            Fault::Pause { victim, time } => {
                for id in self.victims(victim) {
                    self.record.note("pause", &[id, time]);
                    self.paused.insert(id, (now + time, 0));
                }
            }
            Fault::Clock { victim, per_mille } => {
                for id in self.victims(victim) {
                    self.record.note("clock", &[id, per_mille]);
                    self.clocks.insert(id, per_mille);
                }
            }
            Fault::Cut(shape) => {
                let one = match shape {
                    nemesis::Shape::Isolated(victim)
                    | nemesis::Shape::Deaf(victim)
                    | nemesis::Shape::Mute(victim) => victim,
                    _ => Victim::Any,
                };
                let one = self.victims(one).first().copied().unwrap_or(0);
                let ids: Vec<_> = self.members.keys().copied().collect();
                let cut = nemesis::directions(shape, &ids, one, &mut self.random);
                self.record.note("cut", &[cut.len() as u64]);
                self.network.set_cut(cut);
            }
            Fault::Heal => {
                self.record.note("heal", &[]);
                self.network.set_cut(BTreeSet::new());
            }
            Fault::Reset => {
                let (one, other) = (self.victims(Victim::Any), self.victims(Victim::Any));
                if let (Some(one), Some(other)) = (one.first(), other.first()) {
                    self.record.note("reset", &[*one, *other]);
                    self.network.reset(*one, *other);
                }
            }
            Fault::Weather(weather) => {
                self.record
                    .note("weather", &[weather.latency_max, weather.lost]);
                self.network.set_weather(weather);
            }
            Fault::Add => self.add(),
            Fault::Remove => self.remove(),
            Fault::Transfer => self.transfer(),
            fault => self.strike_disk(fault),
        }
    }

    fn strike_disk(&mut self, fault: Fault) {
        let now = self.record.now();
        let (victim, what) = match fault {
            Fault::CrashInWrite { victim, .. } => (victim, "die"),
            Fault::DiskError { victim, .. } => (victim, "eio"),
            Fault::DiskFull { victim, .. } => (victim, "full"),
            Fault::DiskHangs { victim, .. } => (victim, "hang"),
            _ => (Victim::All, "slow"),
        };
        for id in self.victims(victim) {
            self.record.note(what, &[id]);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            let at = member.storage.operations_count();
            match fault {
                Fault::CrashInWrite {
                    operations,
                    loss,
                    back_after,
                    ..
                } => {
                    member.die_at(at + operations);
                    self.dying.insert(id, (now + 3000, loss, back_after));
                }
                Fault::DiskError { operations, .. } => {
                    member.storage.fail_at(at + operations);
                    self.excused.insert(id);
                }
                Fault::DiskFull { bytes, .. } => {
                    let used = member.storage.used_bytes();
                    member.storage.limit_bytes(Some(used + bytes));
                    self.excused.insert(id);
                }
                Fault::DiskHangs { time, .. } => member.pace.hang_until(now + time),
                Fault::DiskSlow { latency_max } => member.pace.set_latency(latency_max),
                _ => {}
            }
        }
    }

    fn leader(&self) -> Option<&SimulatedMember> {
        self.members.values().find(|member| member.is_leader())
    }

    fn add(&mut self) {
        let Some((node, _)) = self.leader().and_then(SimulatedMember::node) else {
            return;
        };
        if node.membership().len() >= MEMBERS_MAX {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.record.note("add", &[id]);
        let change = MembershipChange::Add(identity(id));
        if let Some(leader) = self.leader() {
            leader.spawn(async move { drop(node.change_membership(change).await) });
        }
        let random = self.random.fork();
        let mut member = SimulatedMember::new(id, Vec::new(), self.around.clone(), random);
        member.pace.set_latency(self.random.between(0, 8));
        member.start();
        self.members.insert(id, member);
    }

    fn remove(&mut self) {
        let Some((node, _)) = self.leader().and_then(SimulatedMember::node) else {
            return;
        };
        let ids: Vec<_> = node.membership().iter().map(|member| member.id).collect();
        let chosen = self.random.pick(&ids);
        let Some(id) = chosen.filter(|_| ids.len() > MEMBERS_MIN) else {
            return;
        };
        self.record.note("remove", &[id]);
        if let Some(leader) = self.leader() {
            let change = MembershipChange::Remove(id);
            leader.spawn(async move { drop(node.change_membership(change).await) });
        }
    }

    fn transfer(&mut self) {
        if let Some(leader) = self.leader()
            && let Some((node, _)) = leader.node()
        {
            self.record.note("transfer", &[leader.id]);
            leader.spawn(async move { drop(node.transfer_leadership(None, TRANSFER_MAX).await) });
        }
    }

    /// Ends all trouble: everything is as on a good day.
    fn heal(&mut self) {
        let now = self.record.now();
        self.record.note("calm", &[]);
        self.next_fault = u64::MAX;
        self.network.set_cut(BTreeSet::new());
        self.network.set_weather(Weather {
            latency_max: 2,
            lost: 0,
            resend_after: 100,
        });
        self.clocks.clear();
        let paused: Vec<_> = self.paused.keys().copied().collect();
        for id in paused {
            if let Some((until, _)) = self.paused.get_mut(&id) {
                *until = now;
            }
        }
        let faulty: BTreeSet<_> = self
            .excused
            .iter()
            .chain(self.dying.keys())
            .copied()
            .collect();
        for id in faulty {
            self.crash(id, Loss::Mix, false, 1);
        }
        self.excused.clear();
        for at in self.returns.values_mut() {
            *at = (*at).min(now + 500);
        }
        for member in self.members.values_mut() {
            member.pace.set_latency(2);
            member.pace.hang_until(0);
        }
    }

    /// Every member that belongs to the cluster is where the newest is.
    fn is_settled(&self) -> bool {
        let Some((leader, _)) = self.leader().and_then(SimulatedMember::node) else {
            return false;
        };
        let newest = self.oracle.newest();
        leader.membership().iter().all(|member| {
            let node = self.members.get(&member.id).and_then(SimulatedMember::node);
            node.is_some_and(|(_, live)| {
                let live = live.lock();
                (live.index(), live.registers.digest) == newest
            })
        })
    }

    fn unsettled(&self) -> String {
        let mut text = format!("members did not settle at {:?}:", self.oracle.newest());
        for member in self.members.values() {
            let status = member.node().map(|(node, _)| node.status());
            text.push_str(&format!(" {}: {status:?};", member.id));
        }
        text
    }

    /// The history once more, by a judge that knows nothing of logs.
    fn judge(&self) {
        for (key, history) in self.clients.history() {
            if let Verdict::Violated { position, .. } = check(&Register, &history, STEPS_MAX) {
                self.record.violated(|| {
                    format!(
                        "the history of key {key} is not linearizable at {:?}",
                        history.get(position)
                    )
                });
            }
        }
    }

    fn outcome(self) -> Outcome {
        let (hash, events) = self.record.hash();
        let (writes, reads) = self.clients.counts();
        Outcome {
            seed: self.seed,
            hash: format!("{hash:016x}"),
            events,
            simulated_ms: self.record.now(),
            cpu_ms: process::cpu_time()
                .as_millis()
                .try_into()
                .unwrap_or(u64::MAX),
            writes,
            reads,
            by_kind: self.record.by_kind(),
            violation: self.record.violation(),
            lines: self.record.lines(),
        }
    }
}

/// Milliseconds after which the oracle forgets what no member can hold any more.
const FORGET_EVERY: u64 = 1000;
/// Bounds of membership changes.
const MEMBERS_MIN: usize = 2;
const MEMBERS_MAX: usize = 5;
/// How long a hand-over may take.
const TRANSFER_MAX: Duration = Duration::from_secs(3);
/// Milliseconds without trouble in which clients go on.
const CALM_MIN: u64 = 5000;
/// Milliseconds without trouble within which everything must be well again.
const RECOVERY_MAX: u64 = 60_000;
/// Milliseconds for what clients still wait for.
const LAST_ANSWERS: u64 = 4500;
/// Steps of the judge per key.
const STEPS_MAX: u64 = 100_000;
