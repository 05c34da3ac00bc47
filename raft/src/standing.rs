//! When a member that does not stand for election does so all the same.
//!
//! Its state is wrong, its log is not. If everybody else who is left lacks entries
//! that it has, nobody is elected: it refuses its vote to a shorter log. Then it
//! stands after a while, leads until another one has its log, and hands over; what was
//! acknowledged survives. It gives its state to nobody meanwhile: see
//! [`crate::network`] and [`crate::repair`].

use std::sync::Arc;

use openraft::type_config::TypeConfigExt;

use crate::core::Core;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// Election timeouts without a leader after which there is no hope for another one.
const TIMEOUTS_WITHOUT_LEADER: u32 = 10;

/// Lets the member stand for as long as nobody leads.
pub(crate) async fn last_resort<S: StateMachine>(core: Arc<Core<S>>) {
    let mut leadership = core.shared.leadership.subscribe();
    let patience = core.config.election_timeout * TIMEOUTS_WITHOUT_LEADER;
    loop {
        let lost = leadership.wait_for(|now| now.leader.is_none());
        if lost.await.is_err() {
            return;
        }
        let led = leadership.wait_for(|now| now.leader.is_some());
        if TypeConfig::timeout(patience, led).await.is_ok() {
            core.raft.runtime_config().elect(core.shared.stands());
        } else if !core.shared.stands() {
            tracing::warn!(
                "nobody else is elected: standing for election until another member has \
                 everything that is in the log here"
            );
            core.raft.runtime_config().elect(true);
        }
    }
}
