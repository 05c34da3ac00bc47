//! `etcdserverpb.KV`: ranges, puts, deletions, transactions, compaction.

use std::{sync::Arc, time::Instant};

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
    Context, beside, quota,
    range_stream::{self, RangeStream},
    slow::ReadTimes,
    status, validate,
};
use crate::{
    apply::{self, Tally},
    mvcc::{self, RangeResult, ReadTransaction},
    proposal::{ApplyError, Outcome},
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
        let store = &self.context.store;
        let is_long = apply::is_long_range(request, store);
        let query = apply::range_query(request);
        let needs_disk = mvcc::Error::is_not_in_memory;
        let result =
            beside::read(store, is_long, needs_disk, move |view| view.range(&query)).await?;
        let metrics = &self.context.metrics;
        metrics.mvcc.range_total.inc();
        metrics
            .server
            .range_duration
            .observe(result.is_ok(), reading.elapsed());
        let times = ReadTimes::ending_now(started, reading);
        self.context
            .slow
            .range(request, result.as_ref(), times, metrics);
        result.map_err(|error| status::mvcc(&error))
    }

    fn durations(&self) -> &RequestDurations {
        &self.context.metrics.server.request_durations
    }

    /// A transaction that only reads is not replicated.
    async fn read_only_txn(&self, request: TxnRequest) -> Result<raw::TxnResponse, Status> {
        let started = Instant::now();
        if !validate::is_serializable(&request) {
            self.context.linearize().await?;
        }
        let reading = Instant::now();
        let context = &self.context;
        let is_long = apply::is_long_txn(&request, &context.store, &context.lessor);
        let request = Arc::new(request);
        let asked = Arc::clone(&request);
        let work = move |view: &ReadTransaction| {
            let mut tally = Tally::default();
            match apply::read_only_txn(view, &asked, &mut tally) {
                Ok(response) => Ok((response, tally)),
                Err(error) => Err((error, tally)),
            }
        };
        let needs_disk = |(error, _tally): &(ApplyError, Tally)| *error == ApplyError::NotInMemory;
        let result = beside::read(&context.store, is_long, needs_disk, work).await?;
        let (result, tally) = match result {
            Ok((response, tally)) => (Ok(response), tally),
            Err((error, tally)) => (Err(error), tally),
        };
        let metrics = &self.context.metrics;
        tally.add_to(&metrics.mvcc);
        let (times, response) = (ReadTimes::ending_now(started, reading), result.as_ref());
        self.context
            .slow
            .read_only_txn(&request, response.ok(), times, metrics);
        let mut response = result.map_err(|error| status::apply(&error))?;
        self.context.header.complete(&mut response.header);
        Ok(response)
    }
}

/// The calls themselves; [`super::Router`] brings the frequent ones here past
/// the generated service.
impl KvService {
    /// KV.Range.
    ///
    /// # Errors
    /// The request is malformed, its revision is not there, or no quorum is.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<raw::RangeResponse, Status> {
        validate::range(&request)?;
        let started = Instant::now();
        let result = self.read_range(&request, started).await;
        let durations = &self.durations().range;
        durations.observe(result.is_ok(), started.elapsed());
        let result = result?;
        Ok(raw::RangeResponse {
            header: Some(self.context.header.with_revision(result.revision)),
            kvs: result.kvs,
            more: result.more,
            count: result.count,
        })
    }

    /// KV.Put.
    ///
    /// # Errors
    /// The request is malformed or refused, or no quorum took it in time.
    pub(super) async fn put(&self, request: PutRequest) -> Result<raw::PutResponse, Status> {
        validate::put(&request)?;
        self.context.check_quota(quota::put_cost(&request)).await?;
        let request = CommandRequest::Put(request);
        match self
            .context
            .propose_timed(request, &self.durations().put)
            .await?
        {
            Outcome::Put(response) => Ok(response),
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    /// KV.DeleteRange.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) async fn delete_range(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<raw::DeleteRangeResponse, Status> {
        validate::delete_range(&request)?;
        let request = CommandRequest::DeleteRange(request);
        let durations = &self.durations().delete_range;
        match self.context.propose_timed(request, durations).await? {
            Outcome::DeleteRange(response) => Ok(response),
            other => Err(status::unexpected_outcome(&other)),
        }
    }

    /// KV.Txn.
    ///
    /// # Errors
    /// As [`Self::put`]; one that only reads, as [`Self::range`].
    pub(super) async fn txn(&self, request: TxnRequest) -> Result<raw::TxnResponse, Status> {
        validate::txn(&request, self.context.limits.txn_operations_max)?;
        if validate::is_read_only(&request) {
            let started = Instant::now();
            let result = self.read_only_txn(request).await;
            let durations = &self.durations().read_only_txn;
            durations.observe(result.is_ok(), started.elapsed());
            return result;
        }
        self.context.check_quota(quota::txn_cost(&request)).await?;
        let request = CommandRequest::Txn(request);
        match self
            .context
            .propose_timed(request, &self.durations().txn)
            .await?
        {
            Outcome::Txn(response) => Ok(response),
            other => Err(status::unexpected_outcome(&other)),
        }
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<raw::RangeResponse>, Status> {
        self.range(request.into_inner()).await.map(Response::new)
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
        self.put(request.into_inner()).await.map(Response::new)
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<raw::DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        self.delete_range(request).await.map(Response::new)
    }

    async fn txn(
        &self,
        request: Request<TxnRequest>,
    ) -> Result<Response<raw::TxnResponse>, Status> {
        self.txn(request.into_inner()).await.map(Response::new)
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
