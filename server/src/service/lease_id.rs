//! Ids for leases whose client left the choice to the server.
//!
//! Source: etcd 3.7: 16 bits of the member id, 40 bits of the clock in
//! milliseconds, 8 bits of a counter that starts at the first two; the sign
//! bit is cleared, because many clients expect positive ids.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// Counts up from where the clock stood at the start of the process, so that
/// ids differ between members and between lives of a member.
#[derive(Debug)]
pub(crate) struct LeaseIds {
    /// Member id in the top 16 bits, then clock and counter.
    next: AtomicU64,
}

impl LeaseIds {
    /// Ids of the member `member_id` in a process started at `now`.
    pub(crate) fn new(member_id: u64, now: SystemTime) -> Self {
        let since_epoch = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let milliseconds = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let clock = (milliseconds << 24) >> 16;
        Self {
            next: AtomicU64::new((member_id << 48) | clock),
        }
    }

    /// An id that was not handed out before; never 0.
    pub(crate) fn next_id(&self) -> i64 {
        loop {
            let id = self.next.fetch_add(1, Ordering::Relaxed) & (u64::MAX >> 1);
            if id != 0 {
                return id.cast_signed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_positive_and_differ_between_members_and_lives() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let ids = LeaseIds::new(0xffff_0001, start);
        let (first, second) = (ids.next_id(), ids.next_id());
        assert!(first > 0 && second == first + 1);
        let other_member = LeaseIds::new(0xffff_0002, start).next_id();
        let next_life = LeaseIds::new(0xffff_0001, start + Duration::from_secs(1)).next_id();
        assert!(other_member != first && next_life > second);
    }
}
