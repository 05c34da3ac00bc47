//! A leader whose disk hangs gives up leadership.
//!
//! Followers can commit without the leader's own disk, so a leader with a disk
//! that does not answer could lead for ever: it could not save a vote, it would
//! keep everything in memory, and what it commits would be on one disk less than
//! the cluster has. A write of the log that takes longer than the election timeout
//! costs it the leadership, as silence towards its followers would. It tells the
//! best follower to take over, again and again until one has.
//!
//! The member cannot lead again before its disk answers: a vote must be durable.

use std::sync::Arc;

use openraft::type_config::TypeConfigExt;

use crate::core::Core;
use crate::membership;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// Looks per election timeout at what the disk is doing.
const LOOKS_PER_TIMEOUT: u32 = 4;

/// Runs as long as the member.
pub(crate) async fn watch<S: StateMachine>(core: Arc<Core<S>>) {
    let bound = core.config.election_timeout;
    let mut is_stalled = false;
    loop {
        TypeConfig::sleep(bound / LOOKS_PER_TIMEOUT).await;
        let writing_for = core.log_store.writing_for();
        let is_over = writing_for >= bound;
        if is_over && !is_stalled {
            core.metrics().disk_stalls.add(1);
            let directory = core.config.wal.directory.display();
            tracing::warn!(
                wal_dir = %directory,
                took = ?writing_for,
                is_leader = core.is_leader(),
                "the disk of the log does not answer; a leader gives up leadership"
            );
        } else if is_stalled && !is_over {
            tracing::info!("the disk of the log answers again");
        }
        is_stalled = is_over;
        if is_over && core.is_leader() {
            match membership::hand_over(&core, None).await {
                Ok(target) => tracing::warn!(
                    to = format!("{target:x}"),
                    "handing leadership over because of the disk"
                ),
                Err(error) => tracing::warn!(%error, "nobody to hand leadership over to"),
            }
        }
    }
}
