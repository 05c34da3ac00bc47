//! Sees to it that members compare their states, and acts on what comes out.
//!
//! The leader puts its digest into the log at intervals; every member does once
//! after its start, so that one that parted while it was down, or whose state was
//! changed meanwhile, is not found only with the next write. What members find is
//! worked out in [`crate::agreement`].
//!
//! A member that has diverged takes itself out, step by step, each tried again
//! until it is done: it refuses clients and notes that on disk, no longer stands
//! for election, hands leadership over, looks up where it parted, and raises its
//! alarm. A quorum that agrees goes on.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use quoin_proto::{
    etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction},
    quoinpb::{DigestBegin, Quarantine as QuarantineCommand, StateHashBegin, command::Request},
};
use quoin_raft::Node;
use tokio::time::MissedTickBehavior;

use super::hashing::{HashChecks, Hashing};
use crate::{
    agreement::{Agreement, Divergence, Finding, Parting, Quarantine, Ring, Subject, Vote},
    alarm::Alarms,
    mvcc::Store,
    proposal::{Proposer, ReadGate},
};

/// Asks the leader for its recent digests.
pub(crate) type LeadersRing =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Ring, String>> + Send + Sync>;

/// How often open disputes and what is left to do about a divergence are looked
/// at, should nothing ask for it earlier.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Entries that may be missing for a member to count as having all.
const CAUGHT_UP_ENTRIES: u64 = 100;

/// What the duty works with.
pub(crate) struct AgreementDuty {
    pub(crate) member_id: u64,
    /// `--state-digest-interval`; zero: only after many entries.
    pub(crate) interval: Duration,
    pub(crate) hash_checks: HashChecks,
    pub(crate) store: Store,
    pub(crate) agreement: Agreement,
    pub(crate) quarantine: Quarantine,
    pub(crate) alarms: Alarms,
    pub(crate) proposer: Proposer,
    pub(crate) gate: ReadGate,
    pub(crate) node: Node,
    /// How long a step may take before the next look.
    pub(crate) patience: Duration,
    pub(crate) leaders_ring: LeadersRing,
}

impl AgreementDuty {
    /// Runs until dropped.
    pub(crate) async fn run(self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL.min(self.period()));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut compared = tokio::time::Instant::now();
        let mut hashing = Hashing::new(self.hash_checks);
        let mut is_introduced = self.interval.is_zero();
        let mut is_isolated = false;
        loop {
            tokio::select! {
                () = self.agreement.attention() => {}
                _ = looks.tick() => {}
            }
            // In quarantine too: no view waits for ever, and a repair compares hashes.
            hashing.hash_pinned(&self.agreement);
            if self.quarantine.is_active() {
                is_isolated = true;
                self.isolate().await;
                continue;
            }
            if std::mem::take(&mut is_isolated) {
                self.node.set_standing(true).await;
            }
            self.settle_disputes().await;
            let is_alone = self.voters().len() <= 1 && self.node.membership().len() <= 1;
            let status = self.node.status();
            if is_alone || status.leader.is_none() {
                continue;
            }
            let leads = status.leader == Some(self.member_id);
            if !is_introduced {
                is_introduced = self.introduce().await;
            } else if leads && self.is_due(compared.elapsed()) {
                compared = tokio::time::Instant::now();
                self.compare().await;
            }
            if leads {
                self.see_to_hashes(&mut hashing).await;
            }
        }
    }

    /// The leader asks for hashes at intervals, and says what its own was.
    async fn see_to_hashes(&self, hashing: &mut Hashing) {
        if hashing.is_due(self.store.compact_revision()) {
            self.propose(Request::StateHashBegin(StateHashBegin {}))
                .await;
        }
        if let Some((index, value)) = hashing.take_hashed() {
            let own = Vote::of_hash(self.member_id, index, value);
            self.propose(own.to_request(Subject::Hash)).await;
        }
    }

    fn period(&self) -> Duration {
        if self.interval.is_zero() {
            LOOK_INTERVAL
        } else {
            self.interval
        }
    }

    fn is_due(&self, waited: Duration) -> bool {
        let is_time = !self.interval.is_zero() && waited >= self.interval;
        (is_time && self.agreement.has_news()) || self.agreement.is_overdue()
    }

    /// Says once what this member has, as soon as it has what the others have.
    async fn introduce(&self) -> bool {
        let caught_up = tokio::time::timeout(self.patience, self.gate.pass()).await;
        if !matches!(caught_up, Ok(Ok(()))) {
            return false;
        }
        self.compare().await
    }

    /// Puts this member's digest into the log, or has all members begin one.
    async fn compare(&self) -> bool {
        let request = match self.agreement.own(self.member_id) {
            Some(own) => own.to_request(Subject::Digest),
            None => Request::DigestBegin(DigestBegin {}),
        };
        self.propose(request).await
    }

    async fn propose(&self, request: Request) -> bool {
        match self.proposer.propose(request).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "comparison of states has to be tried again");
                false
            }
        }
    }

    /// The members with a vote.
    fn voters(&self) -> BTreeSet<u64> {
        let members = self.node.membership().into_iter();
        members
            .filter(|member| !member.is_learner)
            .map(|member| member.id)
            .collect()
    }

    async fn settle_disputes(&self) {
        let status = self.node.status();
        // One that replays an old log meets beginnings that are long past.
        let has_caught_up = status.applied_index + CAUGHT_UP_ENTRIES >= status.committed_index;
        if self.agreement.take_base_unlike() && has_caught_up {
            tracing::info!("digests of the state have different beginnings; beginning anew");
            self.propose(Request::DigestBegin(DigestBegin {})).await;
        }
        let findings = self.agreement.review(self.member_id, &self.voters(), false);
        for (subject, finding) in findings {
            self.act(subject, finding).await;
        }
    }

    async fn act(&self, subject: Subject, finding: Finding) {
        let leads = self.node.status().leader == Some(self.member_id);
        match finding {
            Finding::Say(vote) => {
                tracing::warn!(
                    index = vote.index,
                    "states of members differ; telling what this one has"
                );
                self.propose(vote.to_request(subject)).await;
            }
            Finding::Diverged { index } => {
                self.enter(Divergence {
                    found_index: index,
                    differed_index: index,
                    // Of what is stored nobody knows since when it differs.
                    is_located: subject == Subject::Hash,
                    is_of_hash: subject == Subject::Hash,
                })
                .await;
                if subject == Subject::Hash {
                    tracing::error!(
                        "local-member-id" = format!("{:x}", self.member_id),
                        "found-index" = index,
                        "what this member has stored differs from the quorum's, though it applied \
                         the same; it stops serving until it is repaired: check its disk"
                    );
                }
                self.isolate().await;
            }
            Finding::Dissents { member_id, index } => {
                let member = format!("{member_id:x}");
                tracing::error!(
                    member,
                    index,
                    "the state of a member differs from the quorum's; run 'quoinctl member repair'"
                );
                if leads && !self.alarms.is_corrupt(member_id) {
                    let request = QuarantineCommand { member_id, index };
                    self.propose(Request::Quarantine(request)).await;
                }
            }
            Finding::Undecided { index } => {
                tracing::error!(
                    index,
                    "states of members differ and no majority agrees: writes are refused until an \
                     operator decides which is right and disarms the alarm"
                );
                if leads {
                    let raise = AlarmRequest {
                        action: AlarmAction::Activate as i32,
                        member_id: 0,
                        alarm: AlarmType::Corrupt as i32,
                    };
                    self.propose(Request::Alarm(raise)).await;
                }
            }
        }
    }

    /// Begins the quarantine.
    async fn enter(&self, divergence: Divergence) {
        self.write_down(move |quarantine| quarantine.enter(divergence))
            .await;
    }

    async fn write_down(&self, write: impl FnOnce(Quarantine) -> io::Result<()> + Send + 'static) {
        let quarantine = self.quarantine.clone();
        let written = tokio::task::spawn_blocking(move || write(quarantine)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the quarantine could not be written down; do not restart");
        }
    }

    /// One round of what a member in quarantine has to see to.
    async fn isolate(&self) {
        self.node.set_standing(false).await;
        if self.node.status().leader == Some(self.member_id) {
            match self.node.transfer_leadership(None, self.patience).await {
                Ok(()) => tracing::info!("handed leadership over: the state here is wrong"),
                Err(error) => {
                    tracing::warn!(%error, "cannot hand leadership over yet");
                    return;
                }
            }
        }
        self.locate().await;
        let Some(divergence) = self.quarantine.divergence() else {
            return;
        };
        if divergence.is_located && !self.alarms.is_corrupt(self.member_id) {
            let request = QuarantineCommand {
                member_id: self.member_id,
                index: divergence.differed_index,
            };
            self.propose(Request::Quarantine(request)).await;
        }
    }

    /// Looks up where the state parted from the leader's, and says so.
    async fn locate(&self) {
        let Some(found) = self
            .quarantine
            .divergence()
            .filter(|found| !found.is_located)
        else {
            return;
        };
        let theirs = match (self.leaders_ring)().await {
            Ok(ring) => ring,
            Err(reason) => {
                tracing::debug!(reason, "cannot ask where states parted yet");
                return;
            }
        };
        let parting = self.agreement.ring().parting(&theirs);
        let (differed_index, is_exact) = match parting {
            Some(Parting::At(index)) => (index, true),
            Some(Parting::AtOrBefore(index)) => (index.min(found.found_index), false),
            Some(Parting::Nowhere(_)) | None => (found.found_index, false),
        };
        tracing::error!(
            "local-member-id" = format!("{:x}", self.member_id),
            "found-index" = found.found_index,
            "differed-index" = differed_index,
            "is-exact" = is_exact,
            "state of this member differs from the quorum's; it stops serving until it is repaired"
        );
        let located = Divergence {
            differed_index,
            is_located: true,
            ..found
        };
        // A repair may have ended it meanwhile.
        self.write_down(move |quarantine| quarantine.refine(found, located))
            .await;
    }
}
