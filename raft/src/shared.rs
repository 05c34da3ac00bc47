//! What both sides of the thread boundary see: the raft thread writes, the
//! server reads. Nothing here blocks the raft thread for longer than a copy.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::config::Member;
use crate::error::StopReason;
use crate::metrics::Metrics;
use crate::node::Leadership;
use crate::transport::{Identity, Roster};
use crate::types::Membership;

/// State of a member that its handles read.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) member_id: u64,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) stop: watch::Sender<Option<StopReason>>,
    /// True once the thread has ended and the log is closed.
    pub(crate) ended: watch::Sender<bool>,
    /// Shown index of the last applied entry; 0 for none.
    pub(crate) applied: AtomicU64,
    /// The newest membership in the log.
    pub(crate) membership: RwLock<Arc<Membership>>,
    /// The membership that is applied.
    pub(crate) applied_membership: RwLock<Arc<Membership>>,
    /// In the newest membership this member is to stay without a vote.
    pub(crate) is_learner: AtomicBool,
    /// True once this member was in an applied membership and no longer is.
    pub(crate) left: watch::Sender<bool>,
    /// Whether this member stands for election.
    stands: AtomicBool,
    /// Members that were in an applied membership and no longer are.
    removed: Mutex<HashSet<u64>>,
    /// Members that are refused although no applied membership lacks them yet.
    refused: HashSet<u64>,
}

impl Shared {
    pub(crate) fn new(
        member_id: u64,
        metrics: Arc<Metrics>,
        removed: Vec<u64>,
        stands: bool,
        refused: HashSet<u64>,
    ) -> Self {
        Self {
            member_id,
            metrics,
            leadership: watch::channel(Leadership::default()).0,
            stop: watch::channel(None).0,
            ended: watch::channel(false).0,
            applied: AtomicU64::new(0),
            membership: RwLock::default(),
            applied_membership: RwLock::default(),
            is_learner: AtomicBool::new(false),
            left: watch::channel(removed.contains(&member_id)).0,
            stands: AtomicBool::new(stands),
            removed: Mutex::new(removed.into_iter().collect()),
            refused,
        }
    }

    /// Records why the member stopped; the first reason stays.
    pub(crate) fn set_stopped(&self, reason: StopReason) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(reason);
            }
            first
        });
    }

    pub(crate) fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }

    /// Whether that is a change.
    pub(crate) fn set_standing(&self, stands: bool) -> bool {
        self.stands.swap(stands, Ordering::AcqRel) != stands
    }

    pub(crate) fn note_applied(&self, shown_index: u64) {
        self.applied.store(shown_index, Ordering::Release);
    }

    /// A membership was applied: whoever left is removed for good, because
    /// member ids are never used again.
    pub(crate) fn note_members(&self, before: &Membership, after: &Membership) {
        let mut removed = self.removed.lock();
        removed.extend(removed_between(before, after));
        removed.retain(|id| after.get_node(id).is_none());
        if removed.contains(&self.member_id) {
            self.left.send_replace(true);
        }
        drop(removed);
        *self.applied_membership.write() = Arc::new(after.clone());
    }

    /// Members of which only a snapshot says that they were removed.
    pub(crate) fn note_removed(&self, members: Vec<u64>) {
        if members.contains(&self.member_id) {
            self.left.send_replace(true);
        }
        self.removed.lock().extend(members);
    }

    pub(crate) fn is_removed(&self, member: u64) -> bool {
        self.refused.contains(&member) || self.removed.lock().contains(&member)
    }

    /// What a new member asks for, with the names that members have published.
    pub(crate) fn roster(
        &self,
        own: Identity,
        published_name: impl Fn(u64) -> Option<String>,
    ) -> Roster {
        let mut members = members_of(&Arc::clone(&self.applied_membership.read()));
        for member in &mut members {
            member.name = published_name(member.id).unwrap_or_default();
        }
        let removed = self.removed.lock().iter().copied().collect();
        Roster::new(own, members, removed)
    }

    pub(crate) fn urls_of(&self, member: u64) -> Arc<[String]> {
        let membership = Arc::clone(&self.membership.read());
        membership
            .get_node(&member)
            .map(|node| node.peer_urls.clone())
            .unwrap_or_default()
    }
}

/// The members of a membership as the server sees them.
pub(crate) fn members_of(membership: &Membership) -> Vec<Member> {
    let member = |(id, node): (&u64, &crate::types::PeerNode)| Member {
        id: *id,
        name: node.name.as_ref().to_owned(),
        peer_urls: node.peer_urls.to_vec(),
        is_learner: is_learner(membership, *id),
    };
    membership.nodes().map(member).collect()
}

/// Members of `before` that `after` does not have.
pub(crate) fn removed_between(before: &Membership, after: &Membership) -> Vec<u64> {
    let ids = before.nodes().map(|(id, _)| *id);
    ids.filter(|id| after.get_node(id).is_none()).collect()
}

/// The member is to stay without a vote.
pub(crate) fn is_learner(membership: &Membership, member: u64) -> bool {
    let mut learners = membership.learner_ids();
    let is_asked_to = membership
        .get_node(&member)
        .is_some_and(|node| node.is_learner);
    is_asked_to && learners.any(|id| id == member)
}
