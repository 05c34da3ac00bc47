//! `etcdserverpb.KV`: ranges, puts, deletions, transactions, compaction.

use std::time::Instant;

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
use crate::{
    apply::{self, Tally},
    mvcc::RangeResult,
    proposal::Outcome,
    telemetry::metrics::RequestDurations,
};

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

    /// Reads a validated range, and warns if that was slow.
    async fn read_range(
        &self,
        request: &RangeRequest,
        started: Instant,
    ) -> Result<RangeResult, Status> {
        if !request.serializable {
            self.context.linearize().await?;
        }
        let reading = Instant::now();
        let result = self
            .context
            .store
            .read()
            .range(&apply::range_query(request));
        let metrics = &self.context.metrics;
        metrics.mvcc.range_total.inc();
        metrics
            .server
            .range_duration
            .observe(result.is_ok(), reading.elapsed());
        let (took, expected) = (started.elapsed(), self.context.warn_apply_above);
        if took > expected {
            metrics.server.slow_apply_total.inc();
            tracing::warn!(
                ?took,
                "expected-duration" = ?expected,
                prefix = "read-only range ",
                request = %format_args!("key:\"{}\"", request.key.escape_ascii()),
                "apply request took too long"
            );
        }
        result.map_err(|error| status::mvcc(&error))
    }

    fn durations(&self) -> &RequestDurations {
        &self.context.metrics.server.request_durations
    }

    /// A transaction that only reads is not replicated.
    async fn read_only_txn(&self, request: &TxnRequest) -> Result<raw::TxnResponse, Status> {
        if !validate::is_serializable(request) {
            self.context.linearize().await?;
        }
        let mut tally = Tally::default();
        let result = apply::read_only_txn(&self.context.store.read(), request, &mut tally);
        tally.add_to(&self.context.metrics.mvcc);
        let mut response = result.map_err(|error| status::apply(&error))?;
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
        let started = Instant::now();
        let result = self.read_range(&request, started).await;
        let durations = &self.context.metrics.server.request_durations;
        durations.range.observe(result.is_ok(), started.elapsed());
        let result = result?;
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
        let durations = &self.durations().put;
        match self
            .context
            .propose_timed(CommandRequest::Put(request), durations)
            .await?
        {
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
            .propose_timed(
                CommandRequest::DeleteRange(request),
                &self.durations().delete_range,
            )
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
            let started = Instant::now();
            let result = self.read_only_txn(&request).await;
            let durations = &self.durations().read_only_txn;
            durations.observe(result.is_ok(), started.elapsed());
            return result.map(Response::new);
        }
        self.context.check_quota(quota::txn_cost(&request)).await?;
        let durations = &self.durations().txn;
        match self
            .context
            .propose_timed(CommandRequest::Txn(request), durations)
            .await?
        {
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
            .propose_timed(
                CommandRequest::Compaction(request),
                &self.durations().compaction,
            )
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
