//! Whether the leader that openraft names is still in contact.
//!
//! openraft goes on naming the leader of the last term it saw while pre-votes
//! fail, and a leader goes on leading without its followers. A member that is
//! cut off must say that it knows no leader: clients ask for it, and leases
//! must not be judged by a leader that was replaced. So a leader counts only
//! if it was heard of within an election timeout, and this member itself only
//! if a quorum answered it within that time.
//!
//! This changes what is shown, never what consensus decides.

use std::time::Duration;

use openraft::alias::InstantOf;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::TypeConfig;

/// Looks per election timeout at whether contact was lost.
const LOOKS_PER_TIMEOUT: u32 = 4;

/// A member and when it was heard of in its role as leader.
type Heard = (u64, InstantOf<TypeConfig>);

/// Contact to the leader; written and read on the raft thread.
#[derive(Debug)]
pub(crate) struct Contact {
    silence_max: Duration,
    heard: Mutex<Option<Heard>>,
    /// Told when a member is heard of that was not the last time.
    pub(crate) news: Notify,
}

impl Contact {
    pub(crate) fn new(silence_max: Duration) -> Self {
        Self {
            silence_max,
            heard: Mutex::new(None),
            news: Notify::new(),
        }
    }

    /// A member acted as leader: it sent entries or a heartbeat.
    pub(crate) fn note(&self, member: u64) {
        let known = self.is_recent(member);
        *self.heard.lock() = Some((member, TypeConfig::now()));
        if !known {
            self.news.notify_one();
        }
    }

    /// The member was heard of in its role as leader not long ago.
    pub(crate) fn is_recent(&self, member: u64) -> bool {
        let heard = *self.heard.lock();
        heard.is_some_and(|(who, at)| who == member && self.is_fresh(at))
    }

    /// A time so close that nobody can have been replaced since.
    pub(crate) fn is_fresh(&self, at: InstantOf<TypeConfig>) -> bool {
        TypeConfig::now() < at + self.silence_max
    }

    /// Waits until it is worth while to look again.
    pub(crate) async fn changed(&self) {
        let look = TypeConfig::sleep(self.silence_max / LOOKS_PER_TIMEOUT);
        tokio::select! {
            () = look => {}
            () = self.news.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_member_heard_of_last_counts() {
        let contact = Contact::new(Duration::from_secs(60));
        assert!(!contact.is_recent(1));
        contact.note(1);
        assert!(contact.is_recent(1));
        contact.note(2);
        assert!(contact.is_recent(2) && !contact.is_recent(1));
        let silent = Contact::new(Duration::ZERO);
        silent.note(1);
        assert!(!silent.is_recent(1));
    }
}
