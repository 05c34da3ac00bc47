//! What members say their digest is, and what a majority makes of it.
//!
//! A ballot is about one index. It opens with the first digest that arrives
//! through the log; while all that arrive are equal nobody else says anything.
//! Once two differ every member says what it has, once. What a majority of the
//! voters has is taken for right; a member that has something else has diverged.
//!
//! All of this is soft state: losing it costs a comparison, never a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Ballots kept; the oldest index goes first.
const BALLOTS_MAX: usize = 8;

/// How long a dispute stays open for members that say nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What one member says it has after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    /// The member.
    pub(crate) member_id: u64,
    /// The entry.
    pub(crate) index: u64,
    /// Where its digest began.
    pub(crate) base: u64,
    /// Its digest.
    pub(crate) value: u128,
}

/// What follows from the votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// This member is to say what it has.
    Say(Vote),
    /// This member has something else than the majority.
    Diverged {
        /// The entry after which that was seen.
        index: u64,
    },
    /// Another member has.
    Dissents {
        /// The member.
        member_id: u64,
        /// The entry after which that was seen.
        index: u64,
    },
    /// Members differ, and no majority agrees.
    Undecided {
        /// The entry after which that was seen.
        index: u64,
    },
}

/// The votes about one entry.
#[derive(Debug)]
struct Ballot {
    base: u64,
    votes: BTreeMap<u64, u128>,
    /// What this member has, if it still knew when the ballot opened.
    own: Option<u128>,
    /// When two votes, or a vote and `own`, were first seen to differ.
    disputed: Option<Instant>,
    has_said: bool,
    /// Members told of as dissenting.
    reported: BTreeSet<u64>,
    is_reported_undecided: bool,
}

/// The newest ballots by index.
#[derive(Debug, Default)]
pub(super) struct Ballots {
    ballots: BTreeMap<u64, Ballot>,
}

impl Ballots {
    /// Takes a vote; `own` is what this member has. Whether there is a dispute.
    pub(super) fn hear(&mut self, vote: Vote, own: Option<u128>, now: Instant) -> bool {
        let ballot = self.ballots.entry(vote.index).or_insert_with(|| Ballot {
            base: vote.base,
            votes: BTreeMap::new(),
            own,
            disputed: None,
            has_said: false,
            reported: BTreeSet::new(),
            is_reported_undecided: false,
        });
        if ballot.base == vote.base {
            // The first word of a member counts.
            ballot.votes.entry(vote.member_id).or_insert(vote.value);
        }
        let is_disputed = ballot.look_for_dispute(now);
        while self.ballots.len() > BALLOTS_MAX {
            self.ballots.pop_first();
        }
        is_disputed
    }

    /// This member knows by now what it has; whether there is a dispute.
    pub(super) fn know_own(&mut self, index: u64, own: u128, now: Instant) -> bool {
        let Some(ballot) = self.ballots.get_mut(&index) else {
            return false;
        };
        ballot.own = Some(own);
        ballot.look_for_dispute(now)
    }

    /// What is to be done about disputes, each thing once. A member that `is_mute`
    /// knows that it has diverged, and says nothing.
    pub(super) fn review(
        &mut self,
        own_id: u64,
        voters: &BTreeSet<u64>,
        is_mute: bool,
        now: Instant,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, ballot) in &mut self.ballots {
            let Some(since) = ballot.disputed else {
                continue;
            };
            ballot.review(*index, own_id, voters, is_mute, &mut findings);
            ballot.give_up(*index, voters, now.duration_since(since), &mut findings);
        }
        findings
    }
}

impl Ballot {
    /// Whether two values differ, now or before.
    fn look_for_dispute(&mut self, now: Instant) -> bool {
        let mut values = self.votes.values().copied().chain(self.own);
        let first = values.next();
        if self.disputed.is_none() && values.any(|value| Some(value) != first) {
            self.disputed = Some(now);
        }
        self.disputed.is_some()
    }

    fn review(
        &mut self,
        index: u64,
        own_id: u64,
        voters: &BTreeSet<u64>,
        is_mute: bool,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(value) = self.own
            && !is_mute
            && !self.has_said
            && !self.votes.contains_key(&own_id)
        {
            self.has_said = true;
            findings.push(Finding::Say(Vote {
                member_id: own_id,
                index,
                base: self.base,
                value,
            }));
        }
        let Some(right) = self.majority(voters) else {
            return;
        };
        if self.own.is_some_and(|own| own != right) && self.reported.insert(own_id) {
            findings.push(Finding::Diverged { index });
        }
        for (&member_id, value) in &self.votes {
            if member_id != own_id && *value != right && self.reported.insert(member_id) {
                findings.push(Finding::Dissents { member_id, index });
            }
        }
    }

    fn give_up(
        &mut self,
        index: u64,
        voters: &BTreeSet<u64>,
        waited: Duration,
        findings: &mut Vec<Finding>,
    ) {
        let all_said = voters.iter().all(|voter| self.votes.contains_key(voter));
        let is_over = all_said || waited >= PATIENCE;
        if is_over && self.majority(voters).is_none() && self.differs(voters) {
            let is_new = !std::mem::replace(&mut self.is_reported_undecided, true);
            findings.extend(is_new.then_some(Finding::Undecided { index }));
        }
    }

    /// Two voters have said different things.
    fn differs(&self, voters: &BTreeSet<u64>) -> bool {
        let votes = self.votes.iter();
        let said: BTreeSet<_> = votes
            .filter(|(member, _)| voters.contains(member))
            .map(|(_, value)| value)
            .collect();
        said.len() > 1
    }

    /// What more than half of the voters have.
    fn majority(&self, voters: &BTreeSet<u64>) -> Option<u128> {
        let mut counts: BTreeMap<u128, usize> = BTreeMap::new();
        for (member, value) in &self.votes {
            if voters.contains(member) {
                *counts.entry(*value).or_default() += 1;
            }
        }
        let mut values = counts.into_iter();
        let (value, _) = values.find(|(_, count)| count * 2 > voters.len())?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(member_id: u64, value: u128) -> Vote {
        Vote {
            member_id,
            index: 5,
            base: 0,
            value,
        }
    }

    fn voters(count: u64) -> BTreeSet<u64> {
        (1..=count).collect()
    }

    /// Everything the members with these digests find, by member, the first one
    /// being the leader, until nobody has anything to say. Members above
    /// `voters_count` have no vote.
    fn play(digests: &[u128], voters_count: u64) -> Vec<Vec<Finding>> {
        let now = Instant::now();
        let mut members: Vec<_> = digests.iter().map(|_| Ballots::default()).collect();
        let mut found = vec![Vec::new(); digests.len()];
        let mut log = vec![vote(1, digests[0])];
        while !log.is_empty() {
            for said in std::mem::take(&mut log) {
                for (at, ballots) in members.iter_mut().enumerate() {
                    ballots.hear(said, Some(digests[at]), now);
                    let own_id = at as u64 + 1;
                    for finding in ballots.review(own_id, &voters(voters_count), false, now) {
                        match finding {
                            Finding::Say(vote) => log.push(vote),
                            other => found[at].push(other),
                        }
                    }
                }
            }
        }
        found
    }

    const DIVERGED: Finding = Finding::Diverged { index: 5 };
    const UNDECIDED: Finding = Finding::Undecided { index: 5 };

    fn dissents(member_id: u64) -> Finding {
        Finding::Dissents {
            member_id,
            index: 5,
        }
    }

    #[test]
    fn equal_members_say_nothing() {
        let mut ballots = Ballots::default();
        let now = Instant::now();
        assert!(!ballots.hear(vote(1, 9), Some(9), now));
        assert!(!ballots.hear(vote(2, 9), Some(9), now));
        assert_eq!(ballots.review(3, &voters(3), false, now), vec![]);
        assert!(!Ballots::default().hear(vote(1, 9), None, now));
    }

    #[test]
    fn the_minority_is_found_whoever_it_is() {
        let other = |at: usize, count: usize| {
            let mut digests = vec![1; count];
            digests[at] = 2;
            digests
        };
        for count in [3, 4, 5] {
            for at in 0..count {
                let found = play(&other(at, count), count as u64);
                for (member, findings) in found.iter().enumerate() {
                    let expected = if member == at {
                        DIVERGED
                    } else {
                        dissents(at as u64 + 1)
                    };
                    assert_eq!(findings, &[expected], "{at} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_member_without_a_vote_is_found_and_decides_nothing() {
        let found = play(&[1, 1, 2, 2, 2], 2);
        assert_eq!(found[0], vec![dissents(3), dissents(4), dissents(5)]);
        assert_eq!(found[2][0], DIVERGED);
    }

    #[test]
    fn without_a_majority_nobody_is_blamed() {
        for digests in [&[1, 2][..], &[1, 2, 3], &[1, 1, 2, 2]] {
            for findings in play(digests, digests.len() as u64) {
                assert_eq!(findings, vec![UNDECIDED]);
            }
        }
    }

    #[test]
    fn a_voter_that_says_nothing_is_waited_for_within_bounds() {
        let (mut ballots, now) = (Ballots::default(), Instant::now());
        ballots.hear(vote(1, 1), Some(2), now);
        ballots.hear(vote(2, 2), Some(2), now);
        assert_eq!(ballots.review(2, &voters(3), false, now), vec![]);
        let later = now + PATIENCE;
        assert_eq!(ballots.review(2, &voters(3), false, later), vec![UNDECIDED]);
        assert_eq!(ballots.review(2, &voters(3), false, later), vec![]);
        // The third one comes back and decides it.
        ballots.hear(vote(3, 1), Some(2), later);
        let found = ballots.review(2, &voters(3), false, later);
        assert_eq!(found, vec![DIVERGED]);
    }

    #[test]
    fn a_second_word_another_base_and_a_mute_member_count_for_nothing() {
        let (mut ballots, now) = (Ballots::default(), Instant::now());
        ballots.hear(vote(1, 1), Some(1), now);
        ballots.hear(vote(1, 2), Some(1), now);
        let elsewhere = Vote {
            base: 4,
            ..vote(2, 2)
        };
        assert!(!ballots.hear(elsewhere, Some(1), now));
        assert!(ballots.hear(vote(2, 2), Some(1), now));
        assert_eq!(ballots.review(3, &voters(3), true, now), vec![]);
    }

    #[test]
    fn what_a_member_learns_of_itself_late_counts() {
        let (mut ballots, now) = (Ballots::default(), Instant::now());
        assert!(!ballots.hear(vote(1, 1), None, now));
        assert!(!ballots.know_own(5, 1, now));
        assert!(
            !ballots.know_own(6, 2, now),
            "nobody has said anything about it"
        );
        assert!(ballots.know_own(5, 2, now));
        let said = ballots.review(2, &voters(3), false, now);
        assert_eq!(said, vec![Finding::Say(vote(2, 2))]);
    }

    #[test]
    fn old_ballots_make_room_and_do_not_push_out_newer_ones() {
        let (mut ballots, now) = (Ballots::default(), Instant::now());
        for index in 100..120 {
            ballots.hear(
                Vote {
                    index,
                    ..vote(1, 1)
                },
                None,
                now,
            );
        }
        ballots.hear(
            Vote {
                index: 3,
                ..vote(1, 1)
            },
            None,
            now,
        );
        assert_eq!(ballots.ballots.len(), BALLOTS_MAX);
        assert_eq!(ballots.ballots.keys().next(), Some(&112));
    }
}
