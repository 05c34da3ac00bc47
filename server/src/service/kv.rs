//! `etcdserverpb.KV`: ranges, puts, deletions, transactions, compaction.

use quoin_proto::{
    etcdserverpb::{
        CompactionRequest, CompactionResponse, DeleteRangeRequest, PutRequest, RangeRequest,
        TxnRequest,
    },
    quoinpb::command::Request as CommandRequest,
    raw,
    server::etcdserverpb::kv_server::Kv,
};
use tonic::{Request, Response, Status};

use super::{
    Context, quota,
    range_stream::{self, RangeStream},
    status, validate,
};
use crate::{apply, proposal::Outcome};

/// Reads locally, once linearizable; writes through the log.
#[derive(Debug)]
pub(crate) struct KvService {
    context: Context,
}

impl KvService {
    /// The service over `context`.
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    /// A transaction that only reads is not replicated.
    async fn read_only_txn(&self, request: &TxnRequest) -> Result<raw::TxnResponse, Status> {
        if !validate::is_serializable(request) {
            self.context.linearize().await?;
        }
        let mut response = apply::read_only_txn(&self.context.store.read(), request)
            .map_err(|error| status::apply(&error))?;
        self.context.header.complete(&mut response.header);
        Ok(response)
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<raw::RangeResponse>, Status> {
        let request = request.into_inner();
        validate::range(&request)?;
        if !request.serializable {
            self.context.linearize().await?;
        }
        let read = self.context.store.read();
        let result = read
            .range(&apply::range_query(&request))
            .map_err(|error| status::mvcc(&error))?;
        let header = Some(self.context.header.with_revision(result.revision));
        Ok(Response::new(raw::RangeResponse {
            header,
            kvs: result.kvs,
            more: result.more,
            count: result.count,
        }))
    }

    type RangeStreamStream = RangeStream;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let request = request.into_inner();
        validate::range_stream(&request)?;
        if !request.serializable {
            self.context.linearize().await?;
        }
        Ok(Response::new(range_stream::open(
            self.context.clone(),
            request,
        )))
    }

    async fn put(
        &self,
        request: Request<PutRequest>,
    ) -> Result<Response<raw::PutResponse>, Status> {
        let request = request.into_inner();
        validate::put(&request)?;
        self.context.check_quota(quota::put_cost(&request)).await?;
        match self.context.propose(CommandRequest::Put(request)).await? {
            Outcome::Put(response) => Ok(Response::new(response)),
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<raw::DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        validate::delete_range(&request)?;
        match self
            .context
            .propose(CommandRequest::DeleteRange(request))
            .await?
        {
            Outcome::DeleteRange(response) => Ok(Response::new(response)),
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    async fn txn(
        &self,
        request: Request<TxnRequest>,
    ) -> Result<Response<raw::TxnResponse>, Status> {
        let request = request.into_inner();
        validate::txn(&request, self.context.limits.txn_operations_max)?;
        if validate::is_read_only(&request) {
            return self.read_only_txn(&request).await.map(Response::new);
        }
        self.context.check_quota(quota::txn_cost(&request)).await?;
        match self.context.propose(CommandRequest::Txn(request)).await? {
            Outcome::Txn(response) => Ok(Response::new(response)),
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let request = request.into_inner();
        let (physical, until) = (request.physical, request.revision);
        match self
            .context
            .propose(CommandRequest::Compaction(request))
            .await?
        {
            Outcome::Compaction { revision } => {
                if physical {
                    self.context.compacted_physically(until).await?;
                }
                let header = Some(self.context.header.with_revision(revision));
                Ok(Response::new(CompactionResponse { header }))
            }
            other => Err(status::unexpected_outcome(&other)),
        }
    }
}
