//! From Raft's view of leadership to what waiting requests need to know.

use std::time::Instant;

use quoin_raft::{Leadership, Node};
use tokio::sync::watch;

use crate::proposal::LeaderView;

/// Follows `node` on its own task until the node is gone.
pub(super) async fn follow(mut raft: watch::Receiver<Leadership>, view: watch::Sender<LeaderView>) {
    loop {
        let Leadership { leader, term, .. } = *raft.borrow_and_update();
        view.send_if_modified(|current| {
            let moved = current.leader != leader;
            let is_new = moved || current.term != term;
            current.leader = leader;
            current.term = term;
            if moved {
                current.changed = Some(Instant::now());
            }
            is_new
        });
        if raft.changed().await.is_err() {
            return;
        }
    }
}

/// The view now.
pub(super) fn current(node: &Node) -> LeaderView {
    let status = node.status();
    LeaderView {
        leader: status.leader,
        term: status.term,
        changed: None,
    }
}
