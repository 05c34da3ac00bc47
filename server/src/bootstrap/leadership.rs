//! From Raft's view of leadership to what waiting requests need to know.

use std::time::Instant;

use quoin_raft::{Leadership, Node};
use tokio::sync::watch;

use crate::{agreement::Quarantine, proposal::LeaderView};

/// Follows `node` on its own task until the node is gone. A leader in quarantine
/// is none to whoever acts on leadership here: it is about to hand over, and its
/// duties would work on a wrong state.
pub(super) async fn follow(
    mut raft: watch::Receiver<Leadership>,
    quarantine: Quarantine,
    view: watch::Sender<LeaderView>,
) {
    let mut quarantined = quarantine.subscribe();
    loop {
        let Leadership {
            leader,
            term,
            is_leader,
        } = *raft.borrow_and_update();
        let is_quarantined = quarantined.borrow_and_update().is_some();
        let leader = leader.filter(|_| !(is_leader && is_quarantined));
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
        tokio::select! {
            changed = raft.changed() => if changed.is_err() {
                return;
            },
            // Lives as long as the handle above.
            _ = quarantined.changed() => {}
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
