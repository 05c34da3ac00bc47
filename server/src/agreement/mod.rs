//! Whether this member holds the same state as the others.
//!
//! Apply notes the digest after every entry and hears what members say theirs is;
//! both in log order. What follows from it is worked out beside apply, by the
//! duty that calls [`Agreement::review`], and never changes replicated state
//! except through the log.

mod ballots;
mod hashes;
mod quarantine;
mod ring;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use quoin_proto::quoinpb::{StateDigest, StateHash, command::Request};
use tokio::sync::{Notify, watch};

pub(crate) use ballots::{Finding, Vote};
pub(crate) use hashes::{PinnedView, value_of};
#[expect(
    unreachable_pub,
    reason = "a source of the public `bootstrap::StartError`"
)]
pub use quarantine::QuarantineError;
pub(crate) use quarantine::{Divergence, Quarantine};
pub(crate) use ring::{Parting, Ring};

use self::ballots::Ballots;
use self::hashes::Hashes;
use self::ring::RING_ENTRIES_MAX;
use crate::backend::Digest;
use crate::mvcc::ReadTransaction;

/// Entries between two comparisons at most, if they come faster than time passes.
/// Few enough to find a difference soon under load, and far fewer than the ring
/// remembers; enough to cost nothing.
const ENTRIES_BETWEEN_MAX: u64 = 1024;
const _: () = assert!(ENTRIES_BETWEEN_MAX * 2 < RING_ENTRIES_MAX as u64);

/// Recent digests and what members say about them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Agreement {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Held for a look-up or a change; a copy of the ring at most.
    state: Mutex<State>,
    /// Told when a review, or a comparison before its time, is due.
    attention: Notify,
    /// Index and value of the last hash; index 0 for none.
    last_hashed: watch::Sender<(u64, u128)>,
}

#[derive(Debug, Default)]
struct State {
    ring: Ring,
    ballots: Ballots,
    hashes: Hashes,
    hash_ballots: Ballots,
    /// Log index of the last digest that came through the log.
    compared: u64,
    /// Newest index at which a digest of another member was equal to ours.
    equal: Option<u64>,
    /// Somebody's digest has another base.
    is_base_unlike: bool,
    /// Digests that differed from ours.
    differences_count: u64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The digest of what was applied.
    Digest,
    /// The hash of what is stored.
    Hash,
}

/// What is to be told of the state to operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Newest index at which another member's digest was equal.
    pub(crate) equal_index: u64,
    /// Digests of other members that differed.
    pub(crate) differences_count: u64,
}

impl Agreement {
    /// Begins with the digest of the state that was recovered after `index`.
    pub(crate) fn new(index: u64, digest: Digest) -> Self {
        let agreement = Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                attention: Notify::new(),
                last_hashed: watch::Sender::new((0, 0)),
            }),
        };
        agreement.note(index, digest);
        agreement
    }

    /// The state has this digest after the entry at `index`.
    pub(crate) fn note(&self, index: u64, digest: Digest) {
        let mut state = self.inner.state.lock();
        state.ring.push(index, digest);
        let is_due = index.saturating_sub(state.compared) == ENTRIES_BETWEEN_MAX;
        drop(state);
        if is_due {
            self.inner.attention.notify_one();
        }
    }

    /// Another state took the place of ours: it goes up to `index`.
    pub(crate) fn restart(&self, index: u64, digest: Digest) {
        let mut state = self.inner.state.lock();
        state.ring = Ring::default();
        state.ballots = Ballots::default();
        state.hashes.forget();
        state.hash_ballots = Ballots::default();
        state.ring.push(index, digest);
    }

    /// The entry at `log_index` says what a member has.
    pub(crate) fn hear(&self, own_id: u64, log_index: u64, vote: Vote) {
        let mut state = self.inner.state.lock();
        state.compared = log_index;
        let newest = state.ring.newest();
        let is_base_unlike = newest.is_none_or(|(_, digest)| digest.base != Some(vote.base));
        let own = state.ring.get(vote.base, vote.index);
        if vote.member_id != own_id && !is_base_unlike {
            match own {
                Some(own) if own == vote.value => state.equal = Some(vote.index),
                Some(_) => state.differences_count += 1,
                None => {}
            }
        }
        state.is_base_unlike |= is_base_unlike;
        let is_disputed = state.ballots.hear(vote, own, Instant::now());
        drop(state);
        if is_disputed || is_base_unlike {
            self.inner.attention.notify_one();
        }
    }

    /// The entry at `index` has all members hash what they store: `view`.
    pub(crate) fn pin(&self, index: u64, view: ReadTransaction) {
        self.inner.state.lock().hashes.pin(index, view);
        self.inner.attention.notify_one();
    }

    /// A view that is to be hashed.
    pub(crate) fn take_pinned(&self) -> Option<PinnedView> {
        self.inner.state.lock().hashes.take()
    }

    /// The view of `index` has this hash; false if the state was replaced since.
    pub(crate) fn hashed(&self, index: u64, generation: u64, value: u128) -> bool {
        let mut state = self.inner.state.lock();
        if !state.hashes.note(index, generation, value) {
            return false;
        }
        state.hash_ballots.know_own(index, value, Instant::now());
        drop(state);
        self.inner.last_hashed.send_replace((index, value));
        self.inner.attention.notify_one();
        true
    }

    /// Index of the last hash; 0 for none.
    fn last_hashed(&self) -> u64 {
        self.inner.last_hashed.borrow().0
    }

    /// Waits for a hash behind `index`. Cancel safe.
    async fn hashed_after(&self, index: u64) -> (u64, u128) {
        let mut hashed = self.inner.last_hashed.subscribe();
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let next = hashed.wait_for(|(last, _)| *last > index).await;
        next.map_or((0, 0), |next| *next)
    }

    /// Waits for the hash that `begin` has all members make; answers its entry too.
    ///
    /// # Errors
    /// Those of `begin`.
    pub(crate) async fn hash_now<T, E>(
        &self,
        begin: impl Future<Output = Result<T, E>>,
    ) -> Result<(u64, u128), E> {
        let before = self.last_hashed();
        begin.await?;
        Ok(self.hashed_after(before).await)
    }

    /// The hash of the view of `index`, once it is known.
    pub(crate) fn hash_of(&self, index: u64) -> Option<u128> {
        self.inner.state.lock().hashes.get(index)
    }

    /// An entry says what a member has stored.
    pub(crate) fn hear_hash(&self, vote: Vote) {
        let mut state = self.inner.state.lock();
        let own = state.hashes.get(vote.index);
        let is_different = own.is_some_and(|own| own != vote.value);
        state.differences_count += u64::from(is_different);
        let is_disputed = state.hash_ballots.hear(vote, own, Instant::now());
        drop(state);
        if is_disputed {
            self.inner.attention.notify_one();
        }
    }

    /// Resolves when something is to be looked at before its time. Cancel safe.
    pub(crate) async fn attention(&self) {
        self.inner.attention.notified().await;
    }

    /// What is to be done, each thing once; see [`Finding`].
    pub(crate) fn review(
        &self,
        own_id: u64,
        voters: &BTreeSet<u64>,
        is_mute: bool,
    ) -> Vec<(Subject, Finding)> {
        let mut state = self.inner.state.lock();
        let now = Instant::now();
        let digests = state.ballots.review(own_id, voters, is_mute, now);
        let hashes = state.hash_ballots.review(own_id, voters, is_mute, now);
        let digests = digests.into_iter().map(|found| (Subject::Digest, found));
        let hashes = hashes.into_iter().map(|found| (Subject::Hash, found));
        digests.chain(hashes).collect()
    }

    /// What this member would say now.
    pub(crate) fn own(&self, member_id: u64) -> Option<Vote> {
        let (index, digest) = self.inner.state.lock().ring.newest()?;
        Some(Vote {
            member_id,
            index,
            base: digest.base?,
            value: digest.value,
        })
    }

    /// Something was applied since digests were last compared.
    pub(crate) fn has_news(&self) -> bool {
        let state = self.inner.state.lock();
        let newest = state.ring.newest();
        newest.is_some_and(|(index, _)| index > state.compared)
    }

    /// More was applied since than should go by without a comparison.
    pub(crate) fn is_overdue(&self) -> bool {
        let state = self.inner.state.lock();
        let newest = state.ring.newest();
        newest.is_some_and(|(index, _)| index >= state.compared + ENTRIES_BETWEEN_MAX)
    }

    /// Members have digests that cannot be compared, since this was last asked.
    pub(crate) fn take_base_unlike(&self) -> bool {
        std::mem::take(&mut self.inner.state.lock().is_base_unlike)
    }

    /// A copy of the recent digests.
    pub(crate) fn ring(&self) -> Ring {
        self.inner.state.lock().ring.clone()
    }

    /// For metrics.
    pub(crate) fn tally(&self) -> Tally {
        let state = self.inner.state.lock();
        Tally {
            equal_index: state.equal.unwrap_or(0),
            differences_count: state.differences_count,
        }
    }
}

impl Vote {
    /// As it travels through the log.
    fn to_command(self) -> StateDigest {
        StateDigest {
            member_id: self.member_id,
            index: self.index,
            base: self.base,
            digest: self.value.to_le_bytes().to_vec().into(),
        }
    }

    /// The command that says it.
    pub(crate) fn to_request(self, subject: Subject) -> Request {
        match subject {
            Subject::Digest => Request::StateDigest(self.to_command()),
            Subject::Hash => Request::StateHash(StateHash {
                member_id: self.member_id,
                index: self.index,
                hash: self.value.to_le_bytes().to_vec().into(),
            }),
        }
    }

    /// From the log; `None` if the hash is none.
    pub(crate) fn from_hash(command: &StateHash) -> Option<Self> {
        let value = <[u8; 16]>::try_from(&command.hash[..]).ok()?;
        let value = u128::from_le_bytes(value);
        Some(Self::of_hash(command.member_id, command.index, value))
    }

    /// About what is stored: a hash is of everything, and so has no beginning.
    pub(crate) fn of_hash(member_id: u64, index: u64, value: u128) -> Self {
        Self {
            member_id,
            index,
            base: 0,
            value,
        }
    }

    /// From the log; `None` if the digest is none.
    pub(crate) fn from_command(command: &StateDigest) -> Option<Self> {
        let value = <[u8; 16]>::try_from(&command.digest[..]).ok()?;
        Some(Self {
            member_id: command.member_id,
            index: command.index,
            base: command.base,
            value: u128::from_le_bytes(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(value: u128) -> Digest {
        let base = Some(0);
        Digest { base, value }
    }

    fn vote(member_id: u64, index: u64, value: u128) -> Vote {
        let base = 0;
        Vote {
            member_id,
            index,
            base,
            value,
        }
    }

    #[test]
    fn commands_read_back_as_written_and_short_digests_are_none() {
        let vote = vote(u64::MAX, 7, u128::MAX - 5);
        let mut command = vote.to_command();
        assert_eq!(Vote::from_command(&command), Some(vote));
        command.digest.truncate(15);
        assert_eq!(Vote::from_command(&command), None);
        let vote = Vote { base: 0, ..vote };
        let Request::StateHash(mut command) = vote.to_request(Subject::Hash) else {
            panic!("another command");
        };
        assert_eq!(Vote::from_hash(&command), Some(vote));
        command.hash.truncate(15);
        assert_eq!(Vote::from_hash(&command), None);
    }

    #[test]
    fn a_digest_is_news_once() {
        let agreement = Agreement::new(4, digest(40));
        assert!(agreement.has_news());
        let own = agreement.own(1).unwrap();
        assert_eq!(own, vote(1, 4, 40));
        agreement.hear(1, 5, own);
        agreement.note(5, digest(50));
        assert!(!agreement.has_news(), "the comparison itself is no news");
        agreement.note(6, digest(60));
        assert!(agreement.has_news() && !agreement.is_overdue());
        for index in 7..=5 + ENTRIES_BETWEEN_MAX {
            agreement.note(index, digest(70));
        }
        assert!(agreement.is_overdue());
    }

    #[test]
    fn equal_and_different_digests_are_counted_and_what_is_unlike_is_neither() {
        let agreement = Agreement::new(4, digest(40));
        agreement.hear(1, 5, vote(2, 4, 40));
        agreement.note(5, digest(50));
        agreement.hear(1, 6, vote(2, 5, 51));
        // Not known any more, or not yet.
        agreement.hear(1, 7, vote(2, 3, 1));
        let tally = Tally {
            equal_index: 4,
            differences_count: 1,
        };
        assert_eq!(agreement.tally(), tally);
        assert!(!agreement.take_base_unlike());
        let unlike = Vote {
            base: 3,
            ..vote(2, 5, 51)
        };
        agreement.hear(1, 8, unlike);
        assert!(agreement.take_base_unlike());
        assert!(!agreement.take_base_unlike());
        assert_eq!(agreement.tally(), tally);
    }
}
