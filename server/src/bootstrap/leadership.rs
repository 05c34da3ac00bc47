//! From Raft's view of leadership to what waiting requests need to know.

use std::time::Instant;

use quoin_raft::{Leadership, Node};
use tokio::sync::watch;

use crate::proposal::LeaderView;

/// Follows `node` on its own task until the node is gone.
pub(super) async fn follow(mut raft: watch::Receiver<Leadership>, view: watch::Sender<LeaderView>) {
    loop {
        let leader = raft.borrow_and_update().leader;
        view.send_if_modified(|current| {
            let moved = current.leader != leader;
            if moved {
                *current = LeaderView {
                    leader,
                    changed: Some(Instant::now()),
                };
            }
            moved
        });
        if raft.changed().await.is_err() {
            return;
        }
    }
}

/// The view now.
pub(super) fn current(node: &Node) -> LeaderView {
    LeaderView {
        leader: node.status().leader,
        changed: None,
    }
}
