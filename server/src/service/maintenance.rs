//! `etcdserverpb.Maintenance`: the state of one member, alarms, hashes,
//! snapshots.

use quoin_proto::{
    etcdserverpb::{
        AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeInfo,
        DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest,
        HashResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, StatusRequest,
        StatusResponse, alarm_request::AlarmAction,
    },
    quoinpb::command::Request as CommandRequest,
    server::etcdserverpb::maintenance_server::Maintenance,
};
use tonic::{Request, Response, Status};

use super::{
    Context,
    beside::{self, Lane},
    downgrade,
    snapshot::{self, SnapshotStream},
    status,
};
use crate::{base::version, proposal::Outcome};

/// Quota that etcd reports where none was set, bytes.
const QUOTA_DEFAULT_BYTES: i64 = 2 * 1024 * 1024 * 1024;

/// Care of this member.
#[derive(Debug)]
pub(crate) struct MaintenanceService {
    context: Context,
}

impl MaintenanceService {
    /// The service over `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    fn member_status(&self) -> StatusResponse {
        let context = &self.context;
        let raft = context.node.status();
        let sizes = context.backend.sizes();
        let mut errors = Vec::new();
        if raft.leader.is_none() {
            errors.push(status::no_leader().message().to_owned());
        }
        if let Err(refused) = context.check_sound() {
            errors.push(refused.message().to_owned());
        }
        errors.extend(context.alarm_texts());
        StatusResponse {
            header: Some(context.current_header()),
            version: version::ETCD.to_owned(),
            // Not zero before the first checkpoint: etcdctl divides by it.
            db_size: signed(sizes.allocated_bytes.max(1)),
            leader: raft.leader.unwrap_or(0),
            raft_index: raft.committed_index,
            raft_term: context.header.applied.term(),
            raft_applied_index: context.header.applied.index(),
            errors,
            db_size_in_use: signed(sizes.in_use_bytes),
            is_learner: raft.is_learner,
            storage_version: version::STORAGE.to_owned(),
            db_size_quota: context
                .limits
                .quota_bytes
                .map_or(QUOTA_DEFAULT_BYTES, signed),
            downgrade_info: Some(DowngradeInfo::default()),
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let request = request.into_inner();
        if AlarmAction::try_from(request.action).is_err() {
            // etcd crashes on this one.
            return Err(Status::invalid_argument(format!(
                "quoin: unknown alarm action {}",
                request.action
            )));
        }
        match self.context.propose(CommandRequest::Alarm(request)).await? {
            Outcome::Alarm { alarms, revision } => {
                let header = Some(self.context.header.with_revision(revision));
                Ok(Response::new(AlarmResponse { header, alarms }))
            }
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.member_status()))
    }

    async fn defragment(
        &self,
        _request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        let collected = self.context.backend.defragment().await;
        collected.map_err(|error| status::internal(&error))?;
        // Source: etcd 3.7, whose reply has no header.
        Ok(Response::new(DefragmentResponse::default()))
    }

    /// A number of our own: etcd's is one over its file, and says of itself that it
    /// is for tests.
    async fn hash(&self, _request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let store = self.context.store.clone();
        let hashed = beside::run(Lane::Hash, move || store.read().hash_everything()).await?;
        Ok(Response::new(HashResponse {
            header: Some(self.context.current_header()),
            hash: hashed.map_err(|error| status::mvcc(&error))?,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let (store, revision) = (self.context.store.clone(), request.get_ref().revision);
        // Reads every record.
        let hashed = beside::run(Lane::Hash, move || store.hash_kv(revision)).await?;
        let hashed = hashed.map_err(|error| status::mvcc(&error))?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.context.current_header()),
            hash: hashed.hash,
            compact_revision: hashed.compact_revision,
            hash_revision: hashed.hash_revision,
        }))
    }

    type SnapshotStream = SnapshotStream;

    async fn snapshot(
        &self,
        _request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Ok(Response::new(snapshot::open(&self.context)?))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        let context = &self.context;
        let target = request.get_ref().target_id;
        let raft = context.node.status();
        if raft.leader != Some(context.header.member_id) {
            return Err(status::not_leader());
        }
        let members = context.node.membership();
        if !members
            .iter()
            .any(|member| member.id == target && !member.is_learner)
            || context.alarms.is_corrupt(target)
        {
            return Err(status::bad_leader_transferee());
        }
        if target == context.header.member_id {
            return Ok(Response::new(MoveLeaderResponse::default()));
        }
        let moved = context
            .node
            .transfer_leadership(Some(target), context.limits.timeout)
            .await;
        moved.map_err(|_error| status::leader_transfer_timed_out())?;
        Ok(Response::new(MoveLeaderResponse::default()))
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        let request = request.into_inner();
        // Source: etcd 3.7, which decides by what the cluster has agreed on.
        self.context.linearize().await?;
        let version = downgrade::answer(&request, self.context.cluster.version())?;
        Ok(Response::new(DowngradeResponse {
            header: Some(self.context.current_header()),
            version,
        }))
    }
}
