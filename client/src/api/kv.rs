//! Keys and values.
//!
//! [`Get`], [`Put`] and [`Delete`] are requests with named options; they are
//! sent by the methods of [`Client`] or put into a transaction
//! ([`crate::api::txn::Txn`]).

use bytes::Bytes;
use tonic::Streaming;

use quoin_proto::etcdserverpb::kv_client::KvClient;
use quoin_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quoin_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, TxnResponse,
};

use super::call::send;
use super::range::range_constructors;
use super::txn::Txn;
use crate::{Client, Error};

/// Reads one key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Get(pub(crate) RangeRequest);

/// Writes one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Put(pub(crate) PutRequest);

/// Deletes one key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delete(pub(crate) DeleteRangeRequest);

impl Client {
    /// Reads.
    ///
    /// # Errors
    /// The member's refusal, or that none could be asked.
    pub async fn get(&self, get: impl Into<Get>) -> Result<RangeResponse, Error> {
        send!(self, Always, KvClient::range, get.into().0).await
    }

    /// Reads a large range in pieces, all of one revision.
    ///
    /// # Errors
    /// The member's refusal (servers before 3.7 do not know the call), or that
    /// none could be asked.
    pub async fn get_stream(&self, get: impl Into<Get>) -> Result<RangeStream, Error> {
        let receive_max = self.core.config.receive_bytes_max;
        let open = self
            .core
            .open(get.into().0, move |channel, request| async move {
                let mut client = KvClient::new(channel).max_decoding_message_size(receive_max);
                client.range_stream(request).await
            });
        let answer = open.await?;
        Ok(RangeStream {
            stream: answer.reply,
            endpoint: answer.endpoint,
        })
    }

    /// Writes one key.
    ///
    /// # Errors
    /// The member's refusal, or that none could be asked. See
    /// [`Error::certainly_not_executed`].
    pub async fn put(&self, put: impl Into<Put>) -> Result<PutResponse, Error> {
        send!(self, IfNotExecuted, KvClient::put, put.into().0).await
    }

    /// Deletes.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn delete(&self, delete: impl Into<Delete>) -> Result<DeleteRangeResponse, Error> {
        send!(self, IfNotExecuted, KvClient::delete_range, delete.into().0).await
    }

    /// Compares and then runs one of two lists of operations, atomically.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn txn(&self, txn: Txn) -> Result<TxnResponse, Error> {
        if txn.is_read_only() {
            return send!(self, Always, KvClient::txn, txn.0).await;
        }
        send!(self, IfNotExecuted, KvClient::txn, txn.0).await
    }

    /// Forgets history before `revision`. With `physical` the answer waits
    /// until the space is free for reuse.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn compact(
        &self,
        revision: i64,
        physical: bool,
    ) -> Result<CompactionResponse, Error> {
        let request = CompactionRequest { revision, physical };
        send!(self, IfNotExecuted, KvClient::compact, request).await
    }
}

/// Pieces of a large range in key order.
#[derive(Debug)]
pub struct RangeStream {
    stream: Streaming<RangeStreamResponse>,
    endpoint: String,
}

impl RangeStream {
    /// The next piece; `None` after the last one, which alone carries header,
    /// `more` and `count`. Not resumed after a failure: a caller that has seen
    /// a part knows best how to go on.
    ///
    /// # Errors
    /// The member's refusal, for example that the revision was compacted away
    /// meanwhile, or the loss of the connection.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub async fn next(&mut self) -> Result<Option<RangeResponse>, Error> {
        let message = self.stream.message().await;
        let message = message.map_err(|status| Error::from_status(&self.endpoint, status))?;
        Ok(message.map(|chunk| chunk.range_response.unwrap_or_default()))
    }

    /// All pieces as one reply.
    ///
    /// # Errors
    /// As for [`RangeStream::next`].
    pub async fn collect(mut self) -> Result<RangeResponse, Error> {
        let mut whole = RangeResponse::default();
        while let Some(piece) = self.next().await? {
            whole.kvs.extend(piece.kvs);
            whole.header = piece.header;
            whole.more = piece.more;
            whole.count = piece.count;
        }
        Ok(whole)
    }
}

range_constructors!(Get, RangeRequest);

impl Get {
    /// At most this many pairs; 0 is no limit.
    #[must_use]
    pub fn limit(mut self, pairs_count_max: i64) -> Self {
        self.0.limit = pairs_count_max;
        self
    }

    /// As of this revision; 0 is the newest.
    #[must_use]
    pub fn revision(mut self, revision: i64) -> Self {
        self.0.revision = revision;
        self
    }

    /// In this order.
    #[must_use]
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Self {
        self.0.sort_target = target.into();
        self.0.sort_order = order.into();
        self
    }

    /// From the member asked, which may be behind the others.
    #[must_use]
    pub fn serializable(mut self) -> Self {
        self.0.serializable = true;
        self
    }

    /// Without values.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.0.keys_only = true;
        self
    }

    /// Only the number of keys.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.0.count_only = true;
        self
    }

    /// Only pairs last changed within these revisions; 0 is no bound.
    #[must_use]
    pub fn mod_revisions(mut self, min: i64, max: i64) -> Self {
        self.0.min_mod_revision = min;
        self.0.max_mod_revision = max;
        self
    }

    /// Only pairs created within these revisions; 0 is no bound.
    #[must_use]
    pub fn create_revisions(mut self, min: i64, max: i64) -> Self {
        self.0.min_create_revision = min;
        self.0.max_create_revision = max;
        self
    }
}

impl Put {
    /// Sets `key` to `value`.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self(PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        })
    }

    /// The pair goes away with this lease.
    #[must_use]
    pub fn lease(mut self, id: i64) -> Self {
        self.0.lease = id;
        self
    }

    /// The reply has the pair as it was.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }

    /// Keeps the value that the key has.
    #[must_use]
    pub fn ignore_value(mut self) -> Self {
        self.0.ignore_value = true;
        self
    }

    /// Keeps the lease that the key has.
    #[must_use]
    pub fn ignore_lease(mut self) -> Self {
        self.0.ignore_lease = true;
        self
    }
}

range_constructors!(Delete, DeleteRangeRequest);

impl Delete {
    /// The reply has the pairs as they were.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }
}

impl From<PutRequest> for Put {
    fn from(request: PutRequest) -> Self {
        Self(request)
    }
}
