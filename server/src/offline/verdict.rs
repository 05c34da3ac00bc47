//! Whether anything acknowledged can be missing from what survived.
//!
//! A write is acknowledged once a quorum of the voters has it on disk. With n
//! voters and quorum q, any n - q + 1 of them include at least one member of every
//! quorum. So if that many survive with a whole log, every acknowledged write is in
//! one of these logs; and by Raft's election rule the freshest of them (last term,
//! then last index) has all of them. Source: Raft paper, 5.4.
//!
//! It has to hold for every set of voters that may have been in force at the
//! end: both sets of a joint membership, and, if the newest membership is not known
//! to be committed, those of the one before it.

use std::collections::BTreeSet;

use serde::Serialize;

/// A set of voters, and who of it survives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Electorate {
    /// All its members, ascending.
    pub voters: Vec<u64>,
    /// Those whose log is here and whole.
    pub surviving: Vec<u64>,
}

impl Electorate {
    /// Of `voters`, those in `sound`.
    pub(super) fn new(voters: &[u64], sound: &BTreeSet<u64>) -> Self {
        let surviving = voters.iter().filter(|id| sound.contains(id));
        Self {
            voters: voters.to_vec(),
            surviving: surviving.copied().collect(),
        }
    }

    /// Votes that make a majority.
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// How many logs it takes to have one of every quorum.
    pub fn needed(&self) -> usize {
        self.voters.len() + 1 - self.quorum()
    }

    /// Whether every quorum has a member among the survivors.
    pub fn meets_every_quorum(&self) -> bool {
        !self.voters.is_empty() && self.surviving.len() >= self.needed()
    }

    fn argument(&self) -> String {
        let (voters, quorum) = (self.voters.len(), self.quorum());
        let (surviving, needed) = (self.surviving.len(), self.needed());
        let relation = match (self.meets_every_quorum(), surviving) {
            (true, _) => "are enough",
            (false, 1) => "is too few",
            (false, _) => "are too few",
        };
        format!(
            "a write is acknowledged by any {quorum} of the {voters} voters, so {needed} whole \
             logs are needed to have it for certain: {surviving} {relation}"
        )
    }
}

/// What can be said about acknowledged writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// None is missing.
    Complete {
        /// Why.
        argument: String,
    },
    /// Some may be missing.
    Unproven {
        /// Everything acknowledged up to this entry is there for certain.
        certain_index: u64,
        /// Last entry there is; between the two everything readable is kept.
        last_index: u64,
        /// Why.
        argument: String,
    },
}

/// What the verdict rests on.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) electorates: Vec<Electorate>,
    /// Last entry that any survivor knew to be committed.
    pub(super) committed_index: u64,
    /// Last entry of the directory that is used.
    pub(super) last_index: u64,
    /// Up to here its log agrees with the freshest one.
    pub(super) common_index: u64,
    /// The freshest has more, or other entries, than the one that is used.
    pub(super) is_behind: bool,
}

impl Verdict {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let electorates = &evidence.electorates;
        let is_met =
            !electorates.is_empty() && electorates.iter().all(Electorate::meets_every_quorum);
        let mut arguments: Vec<String> = electorates.iter().map(Electorate::argument).collect();
        arguments.dedup();
        if electorates.is_empty() {
            arguments.push("no membership can be read, so nobody knows who voted".to_owned());
        }
        if is_met && !evidence.is_behind {
            let argument = arguments.join("; ");
            return Self::Complete { argument };
        }
        if evidence.is_behind {
            arguments.push("the freshest log is not the one whose state can be used".to_owned());
        }
        let certain = if is_met {
            evidence.common_index
        } else {
            evidence.committed_index.min(evidence.common_index)
        };
        Self::Unproven {
            certain_index: certain,
            last_index: evidence.last_index,
            argument: arguments.join("; "),
        }
    }

    /// Nothing acknowledged is missing.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete { .. })
    }

    /// What it means, in one sentence.
    pub fn summary(&self) -> String {
        match self {
            Self::Complete { .. } => "nothing acknowledged is missing".to_owned(),
            Self::Unproven {
                certain_index,
                last_index,
                ..
            } if certain_index == last_index => format!(
                "acknowledged writes after log entry {last_index} may be missing; whether there \
                 were any cannot be proven"
            ),
            Self::Unproven {
                certain_index,
                last_index,
                ..
            } => format!(
                "acknowledged writes after log entry {certain_index} may be missing; entries up to \
                 {last_index} are readable and kept, but whether they are all that was \
                 acknowledged cannot be proven"
            ),
        }
    }

    /// Why.
    pub fn argument(&self) -> &str {
        match self {
            Self::Complete { argument } | Self::Unproven { argument, .. } => argument,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(sets: &[&[u64]], sound: &[u64]) -> Evidence {
        let sound = sound.iter().copied().collect();
        Evidence {
            electorates: sets
                .iter()
                .map(|set| Electorate::new(set, &sound))
                .collect(),
            committed_index: 7,
            last_index: 10,
            common_index: 10,
            is_behind: false,
        }
    }

    fn is_complete(sets: &[&[u64]], sound: &[u64]) -> bool {
        Verdict::of(&evidence(sets, sound)).is_complete()
    }

    #[test]
    fn enough_survivors_meet_every_quorum() {
        // Every quorum of every electorate of up to five voters, by enumeration.
        for voters_count in 1..=5u64 {
            let voters: Vec<u64> = (1..=voters_count).collect();
            for mask in 0u32..1 << voters_count {
                let bits = |mask: u32| voters.iter().filter(move |id| mask >> (**id - 1) & 1 == 1);
                let sound: Vec<u64> = bits(mask).copied().collect();
                let quorum = voters.len() / 2 + 1;
                let all_met = (0u32..1 << voters_count)
                    .filter(|acked| acked.count_ones() as usize >= quorum)
                    .all(|acked| acked & mask != 0);
                assert_eq!(
                    is_complete(&[&voters], &sound),
                    all_met,
                    "{voters:?} {sound:?}"
                );
            }
        }
    }

    #[test]
    fn who_has_no_vote_proves_nothing_and_every_electorate_counts() {
        assert!(!is_complete(&[&[1, 2, 3]], &[1, 8, 9]));
        assert!(is_complete(&[&[1, 2, 3], &[1, 2, 3, 4]], &[1, 2, 4]));
        // Two of the old three, and of the new four one more is wanted.
        assert!(is_complete(&[&[1, 2, 3], &[1, 2, 3, 4]], &[2, 3]));
        assert!(!is_complete(&[&[1, 2, 3], &[3, 4, 5]], &[1, 2]));
        assert!(!is_complete(&[], &[1, 2]));
    }

    #[test]
    fn what_cannot_be_proven_is_said_from_which_entry_on() {
        let verdict = Verdict::of(&evidence(&[&[1, 2, 3]], &[2]));
        let text = verdict.summary();
        assert!(text.contains("after log entry 7 may be missing"), "{text}");
        assert!(text.contains("up to 10 are readable"), "{text}");
        assert!(verdict.argument().contains("1 is too few"), "{verdict:?}");
        let behind = Evidence {
            common_index: 8,
            is_behind: true,
            ..evidence(&[&[1, 2, 3]], &[1, 2])
        };
        let Verdict::Unproven { certain_index, .. } = Verdict::of(&behind) else {
            unreachable!("the freshest is not used")
        };
        assert_eq!(certain_index, 8);
    }
}
