//! `quoinrepairpb.Repair`: a member whose state is wrong gets the leader's.
//!
//! The member is asked itself, because only it can hold its apply still. It leaves
//! quarantine once its digest and the leader's are equal at an index behind the
//! new state's: that the state came from the leader is not taken for proof.

use std::time::Duration;

use quoin_proto::{
    etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction},
    quoinpb::command::Request as CommandRequest,
    quoinrepairpb::{RepairRequest, RepairResponse},
    server::quoinrepairpb::repair_server::Repair,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Context, status};
use crate::agreement::Parting;

/// Pause between two looks at whether the new state can be compared yet.
const VERIFY_PAUSE: Duration = Duration::from_millis(50);

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

    /// Waits until the digest behind `installed` is equal to the leader's; answers
    /// at which index it is.
    async fn verify(&self, installed: u64) -> Result<u64, Status> {
        let context = &self.context;
        let deadline = Instant::now() + context.limits.timeout;
        loop {
            let theirs = context.leaders_ring().await?;
            match context.agreement.ring().parting(&theirs) {
                Some(Parting::Nowhere(index)) if index >= installed => return Ok(index),
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

    /// Serves again, and says so through the log.
    async fn release(&self) -> Result<(), Status> {
        let (context, quarantine) = (&self.context, self.context.quarantine.clone());
        let left = tokio::task::spawn_blocking(move || quarantine.leave()).await;
        left.map_err(|error| status::internal(&error))?
            .map_err(|error| status::internal(&error))?;
        let member_id = context.header.member_id;
        if !context.alarms.is_quarantine(member_id) {
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
        let divergence = context.quarantine.divergence();
        let divergence = divergence.ok_or_else(status::nothing_to_repair)?;
        tracing::info!(
            "differed-index" = divergence.differed_index,
            "replacing the state of this member by the leader's"
        );
        let replaced = context.node.replace_state().await;
        let installed_index = replaced.map_err(|error| status::not_replaced(&error))?;
        let verified_index = self.verify(installed_index).await?;
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
