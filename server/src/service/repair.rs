//! `quoinrepairpb.Repair`: a member whose state is wrong gets the leader's.
//!
//! The member is asked itself, because only it can hold its apply still. It leaves
//! quarantine once its digest and the leader's are equal behind an entry that it has
//! applied to the new state, and, if that was what differed, their hashes of what is
//! stored: that the state came from the leader is not taken for proof.

use std::time::Duration;

use quoin_proto::{
    etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction},
    quoinpb::{StateHashBegin, command::Request as CommandRequest},
    quoinrepairpb::{RepairRequest, RepairResponse},
    server::quoinrepairpb::repair_server::Repair,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Context, status};
use crate::agreement::{Parting, Subject};

/// Pause between two looks at whether the new state can be compared yet.
const VERIFY_PAUSE: Duration = Duration::from_millis(50);

/// Longest time for hashing everything that is stored, here and on the leader.
const HASH_PATIENCE: Duration = Duration::from_secs(600);

/// Care of this member's state.
#[derive(Debug)]
pub(crate) struct RepairService {
    context: Context,
}

impl RepairService {
    /// The service over `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Waits until the digest is equal to the leader's behind an entry after
    /// `installed`, the digest of which came with the state; answers at which.
    async fn verify(&self, installed: u64) -> Result<u64, Status> {
        let context = &self.context;
        if let Some(own) = context.agreement.own(context.header.member_id) {
            // Something to compare in an idle cluster too.
            context.propose(own.to_request(Subject::Digest)).await?;
        }
        let deadline = Instant::now() + context.limits.timeout;
        loop {
            let theirs = context.leaders_ring().await?;
            match context.agreement.ring().parting(&theirs) {
                Some(Parting::Nowhere(index)) if index > installed => return Ok(index),
                Some(Parting::At(index) | Parting::AtOrBefore(index)) => {
                    return Err(status::repaired_state_differs(index));
                }
                Some(Parting::Nowhere(_)) | None => {}
            }
            if Instant::now() >= deadline {
                return Err(status::repaired_state_not_compared(installed));
            }
            tokio::time::sleep(VERIFY_PAUSE).await;
        }
    }

    /// Compares what is stored.
    async fn verify_stored(&self, installed: u64) -> Result<(), Status> {
        let context = &self.context;
        let compared = async {
            let begin = CommandRequest::StateHashBegin(StateHashBegin {});
            let (index, own) = context.agreement.hash_now(context.propose(begin)).await?;
            let theirs = loop {
                if let Some(theirs) = context.leaders_hash(index).await? {
                    break theirs;
                }
                tokio::time::sleep(VERIFY_PAUSE).await;
            };
            if own == theirs {
                Ok(())
            } else {
                Err(status::repaired_state_differs(index))
            }
        };
        let compared = tokio::time::timeout(HASH_PATIENCE, compared).await;
        compared.map_err(|_| status::repaired_state_not_compared(installed))?
    }

    /// Serves again, and says so through the log.
    async fn release(&self) -> Result<(), Status> {
        let (context, quarantine) = (&self.context, self.context.quarantine.clone());
        let left = tokio::task::spawn_blocking(move || quarantine.leave()).await;
        left.map_err(|error| status::internal(&error))?
            .map_err(|error| status::internal(&error))?;
        let member_id = context.header.member_id;
        if context.alarms.quarantined_since(member_id).is_none() {
            // None, or one that an operator raised for the whole cluster.
            return Ok(());
        }
        let clear = AlarmRequest {
            action: AlarmAction::Deactivate as i32,
            member_id,
            alarm: AlarmType::Corrupt as i32,
        };
        context.propose(CommandRequest::Alarm(clear)).await?;
        Ok(())
    }

    /// The state is repaired, but the alarm stayed: the last step had failed.
    async fn finish_earlier(&self) -> Result<RepairResponse, Status> {
        let context = &self.context;
        let since = context.alarms.quarantined_since(context.header.member_id);
        let differed_index = since.ok_or_else(status::nothing_to_repair)?;
        let installed_index = context.node.status().applied_index;
        let verified_index = self.verify(installed_index).await?;
        self.release().await?;
        Ok(RepairResponse {
            header: Some(context.current_header()),
            differed_index,
            installed_index,
            verified_index,
        })
    }
}

#[tonic::async_trait]
impl Repair for RepairService {
    async fn repair(
        &self,
        request: Request<RepairRequest>,
    ) -> Result<Response<RepairResponse>, Status> {
        let context = &self.context;
        let member_id = context.header.member_id;
        if request.get_ref().member_id != member_id {
            return Err(status::other_member(member_id));
        }
        let Some(divergence) = context.quarantine.divergence() else {
            return self.finish_earlier().await.map(Response::new);
        };
        tracing::info!(
            "differed-index" = divergence.differed_index,
            "replacing the state of this member by the leader's"
        );
        let replaced = context.node.replace_state().await;
        let installed_index = replaced.map_err(|error| status::not_replaced(&error))?;
        let verified_index = self.verify(installed_index).await?;
        if divergence.is_of_hash {
            self.verify_stored(installed_index).await?;
        }
        self.release().await?;
        context.metrics.digest.repairs_total.inc();
        tracing::info!(
            "installed-index" = installed_index,
            "verified-index" = verified_index,
            "state of this member is repaired; it serves again"
        );
        Ok(Response::new(RepairResponse {
            header: Some(context.current_header()),
            differed_index: divergence.differed_index,
            installed_index,
            verified_index,
        }))
    }
}
