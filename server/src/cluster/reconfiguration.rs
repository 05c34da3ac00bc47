//! Whether a change of the membership is allowed: a pure decision over what the
//! leader knows of its members.
//!
//! A voter counts as started once it has published its name, and as active while
//! it answers the leader. Order of the checks, thresholds and which check answers
//! for which mistake are etcd's. Source: etcd 3.7, `--strict-reconfig-check`. One
//! thing differs: there a member must have been connected for five seconds to
//! count as active; here it must have answered within the election timeout.

use std::collections::BTreeSet;

/// A member as far as these rules need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its id.
    pub(crate) id: u64,
    /// Where its peers dial it.
    pub(crate) peer_urls: Vec<String>,
    /// It has no vote and is not to get one unasked.
    pub(crate) is_learner: bool,
    /// It has published its name.
    pub(crate) is_started: bool,
}

/// What the leader knows when it decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// All members.
    pub(crate) members: Vec<Candidate>,
    /// Members that answer the leader, itself among them.
    pub(crate) active: BTreeSet<u64>,
    /// Ids of members that were removed.
    pub(crate) removed: BTreeSet<u64>,
}

/// What operators may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `--strict-reconfig-check`: refuse what endangers the quorum.
    pub(crate) is_strict: bool,
    /// `--max-learners`.
    pub(crate) learners_count_max: usize,
}

/// A change that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reconfiguration {
    /// A new member.
    Add {
        /// Chosen by the member that was asked.
        id: u64,
        /// Where its peers dial it.
        peer_urls: Vec<String>,
        /// It is to stay without a vote.
        is_learner: bool,
    },
    /// A member leaves for good.
    Remove(u64),
    /// A member is dialled elsewhere.
    Update {
        /// Which one.
        id: u64,
        /// Where from now on.
        peer_urls: Vec<String>,
    },
    /// A learner gets a vote.
    Promote(u64),
}

/// Why a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub(crate) enum ReconfigurationError {
    /// Too few voters have started.
    #[error("too few voters have started")]
    NotEnoughStarted = 1,
    /// Too few voters answer.
    #[error("too few voters answer")]
    Unhealthy = 2,
    /// Another member uses one of the URLs.
    #[error("a peer URL is in use by another member")]
    UrlInUse = 3,
    /// There is no such member.
    #[error("no such member")]
    NotFound = 4,
    /// `--max-learners` is reached.
    #[error("too many learners")]
    TooManyLearners = 5,
    /// The member to be promoted votes already.
    #[error("the member is no learner")]
    NotLearner = 6,
    /// The learner is too far behind to vote.
    #[error("the learner is not in sync with the leader")]
    LearnerNotReady = 7,
    /// The id is taken.
    #[error("a member with this id exists")]
    IdInUse = 8,
}

impl ReconfigurationError {
    /// The error with this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        let all = [
            Self::NotEnoughStarted,
            Self::Unhealthy,
            Self::UrlInUse,
            Self::NotFound,
            Self::TooManyLearners,
            Self::NotLearner,
            Self::LearnerNotReady,
            Self::IdInUse,
        ];
        all.into_iter().find(|error| *error as u8 == number)
    }
}

impl Reconfiguration {
    /// The change is what `view` shows already: asked again after an answer was
    /// lost, it has succeeded.
    pub(crate) fn is_done(&self, view: &View) -> bool {
        match self {
            Self::Add {
                id,
                peer_urls,
                is_learner,
            } => view.member(*id).is_some_and(|member| {
                member.peer_urls == *peer_urls && member.is_learner == *is_learner
            }),
            // An id that nobody ever had is not done, but a mistake.
            Self::Remove(id) => view.removed.contains(id),
            Self::Update { id, peer_urls } => view
                .member(*id)
                .is_some_and(|member| member.peer_urls == *peer_urls),
            Self::Promote(id) => view.member(*id).is_some_and(|member| !member.is_learner),
        }
    }

    /// Whether the change may be made now. That a learner has caught up is left
    /// to Raft.
    ///
    /// # Errors
    /// See [`ReconfigurationError`].
    pub(crate) fn check(&self, view: &View, rules: Rules) -> Result<(), ReconfigurationError> {
        match self {
            Self::Add {
                id,
                peer_urls,
                is_learner,
            } => {
                if rules.is_strict {
                    view.check_quorum_to_add(*is_learner)?;
                }
                if view.member(*id).is_some() {
                    return Err(ReconfigurationError::IdInUse);
                }
                view.check_urls(*id, peer_urls)?;
                let learners = view.members.iter().filter(|member| member.is_learner);
                if *is_learner && learners.count() >= rules.learners_count_max {
                    return Err(ReconfigurationError::TooManyLearners);
                }
                Ok(())
            }
            Self::Remove(id) => {
                if rules.is_strict {
                    view.check_quorum_to_remove(*id)?;
                }
                view.known(*id).map(|_member| ())
            }
            Self::Update { id, peer_urls } => {
                view.known(*id)?;
                view.check_urls(*id, peer_urls)
            }
            Self::Promote(id) => {
                if !view.known(*id)?.is_learner {
                    return Err(ReconfigurationError::NotLearner);
                }
                if rules.is_strict {
                    view.check_quorum_to_promote()?;
                }
                Ok(())
            }
        }
    }
}

impl View {
    fn member(&self, id: u64) -> Option<&Candidate> {
        self.members.iter().find(|member| member.id == id)
    }

    fn known(&self, id: u64) -> Result<&Candidate, ReconfigurationError> {
        self.member(id).ok_or(ReconfigurationError::NotFound)
    }

    fn voters(&self) -> impl Iterator<Item = &Candidate> {
        self.members.iter().filter(|member| !member.is_learner)
    }

    fn started_count(&self) -> usize {
        self.voters().filter(|member| member.is_started).count()
    }

    fn active_count(&self) -> usize {
        self.voters()
            .filter(|member| self.active.contains(&member.id))
            .count()
    }

    fn check_quorum_to_add(&self, is_learner: bool) -> Result<(), ReconfigurationError> {
        let (voters_count, started_count) = (self.voters().count(), self.started_count());
        // One that runs alone could not get a second member otherwise.
        let is_first_addition = voters_count == 1 && started_count == 1;
        if !is_learner && !is_first_addition && started_count < quorum(voters_count + 1) {
            return Err(ReconfigurationError::NotEnoughStarted);
        }
        if voters_count > 1 && self.active_count() < quorum(voters_count + 1) {
            return Err(ReconfigurationError::Unhealthy);
        }
        Ok(())
    }

    fn check_quorum_to_remove(&self, id: u64) -> Result<(), ReconfigurationError> {
        if self.member(id).is_some_and(|member| member.is_learner) {
            return Ok(());
        }
        let left = || self.voters().filter(|member| member.id != id);
        let started_count = left().filter(|member| member.is_started).count();
        if started_count < quorum(left().count()) {
            return Err(ReconfigurationError::NotEnoughStarted);
        }
        // One that does not answer is no part of the quorum anyway.
        if !self.active.contains(&id) {
            return Ok(());
        }
        let left_active_count = self.active_count().saturating_sub(1);
        if left_active_count < quorum(self.voters().count().saturating_sub(1)) {
            return Err(ReconfigurationError::Unhealthy);
        }
        Ok(())
    }

    fn check_quorum_to_promote(&self) -> Result<(), ReconfigurationError> {
        // The learner has started: it has caught up.
        if self.started_count() + 1 < quorum(self.voters().count() + 1) {
            return Err(ReconfigurationError::NotEnoughStarted);
        }
        Ok(())
    }

    fn check_urls(&self, id: u64, urls: &[String]) -> Result<(), ReconfigurationError> {
        let mut others = self.members.iter().filter(|member| member.id != id);
        if others.any(|other| other.peer_urls.iter().any(|url| urls.contains(url))) {
            return Err(ReconfigurationError::UrlInUse);
        }
        Ok(())
    }
}

/// Votes that decide among so many voters.
const fn quorum(voters_count: usize) -> usize {
    voters_count / 2 + 1
}

#[cfg(test)]
#[path = "reconfiguration_tests.rs"]
mod tests;
