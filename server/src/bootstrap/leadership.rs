//! From Raft's view of leadership to what waiting requests need to know.

use std::time::Instant;

use quoin_raft::{Leadership, Node};
use tokio::sync::watch;

use crate::{base::task_set::TaskSet, proposal::LeaderView};

/// Follows `node` on its own task until the node is gone.
pub(super) async fn follow(mut raft: watch::Receiver<Leadership>, view: watch::Sender<LeaderView>) {
    loop {
        let leader = raft.borrow_and_update().leader;
        view.send_if_modified(|current| {
            let moved = current.leader != leader;
            if moved {
                *current = LeaderView { leader, changed: Some(Instant::now()) };
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
    LeaderView { leader: node.status().leader, changed: None }
}

/// Whether a leader is known, for those who need no more.
pub(super) fn signal(
    tasks: &TaskSet,
    mut view: watch::Receiver<LeaderView>,
) -> watch::Receiver<bool> {
    let (known, signal) = watch::channel(view.borrow().leader.is_some());
    tasks.spawn("leader signal", async move {
        while view.changed().await.is_ok() {
            let is_known = view.borrow_and_update().leader.is_some();
            known.send_if_modified(|current| std::mem::replace(current, is_known) != is_known);
        }
    });
    signal
}
