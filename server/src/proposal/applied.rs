//! The applied index and term of this member, published for waiters.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

/// Written by the applier after each entry, read by everyone. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// Index of the last applied entry; only grows.
    index: Arc<watch::Sender<u64>>,
    /// Term of that entry.
    term: Arc<AtomicU64>,
}

impl Applied {
    /// Starts at what the store recovered.
    pub(crate) fn new(index: u64, term: u64) -> Self {
        Self {
            index: Arc::new(watch::Sender::new(index)),
            term: Arc::new(AtomicU64::new(term)),
        }
    }

    /// Announces that everything up to `index` is visible to reads.
    pub(crate) fn publish(&self, index: u64, term: u64) {
        self.term.store(term, Ordering::Release);
        self.index.send_if_modified(|current| {
            debug_assert!(index >= *current, "applied index went back");
            let grew = index > *current;
            *current = index;
            grew
        });
    }

    /// Index of the last applied entry.
    pub(crate) fn index(&self) -> u64 {
        *self.index.borrow()
    }

    /// Term of the last applied entry.
    pub(crate) fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// Waits until `index` is applied. Cancel safe.
    pub(crate) async fn wait_for(&self, index: u64) {
        if self.index() >= index {
            return;
        }
        let mut receiver = self.index.subscribe();
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let _ = receiver.wait_for(|applied| *applied >= index).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_wakes_when_its_index_is_reached() {
        let applied = Applied::new(3, 1);
        applied.wait_for(3).await;
        let waiter = tokio::spawn({
            let applied = applied.clone();
            async move { applied.wait_for(5).await }
        });
        applied.publish(4, 1);
        assert!(!waiter.is_finished());
        applied.publish(6, 2);
        waiter.await.unwrap();
        assert_eq!((applied.index(), applied.term()), (6, 2));
    }
}
