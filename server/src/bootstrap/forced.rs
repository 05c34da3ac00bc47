//! `--force-new-cluster`: the member goes on alone, with its ids and its data.
//!
//! The other members are refused from this start on, and for good once the
//! membership is applied. Unlike etcd, nothing at the end of the log is thrown
//! away: this member cannot tell what a quorum had acknowledged from what it had
//! not.

use quoin_raft::LogStore;

use super::{identity::Identity, start_error::StartError, stores::Stores};

/// Makes this member the only one; returns the others.
pub(super) fn leave_alone(
    identity: &Identity,
    log_store: &LogStore,
    stores: &Stores,
) -> Result<Vec<u64>, StartError> {
    if stores.quarantine.is_active() {
        let reason = "this member is in quarantine: its state differed from that of the others";
        let reason = reason.to_owned();
        return Err(StartError::NotForced { reason });
    }
    let applied = crate::apply::applied(&stores.backend);
    let forced = log_store.force_alone(&applied, identity.member_id);
    let others = forced.map_err(|error| StartError::NotForced {
        reason: error.to_string(),
    })?;
    let removed = others.iter().map(|id| format!("{id:x}"));
    tracing::info!(
        cluster_id = format!("{:x}", identity.cluster_id),
        local_member_id = format!("{:x}", identity.member_id),
        removed_members = removed.collect::<Vec<_>>().join(","),
        "forcing restart member"
    );
    tracing::warn!(
        "--force-new-cluster removes all other members at every start; start without it from \
         now on"
    );
    Ok(others)
}
