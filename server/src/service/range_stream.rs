//! The chunks of RangeStream.
//!
//! The whole stream reads at one revision, pinned with the first chunk. Only
//! the last chunk carries header, more and count. Source: etcd 3.7, whose
//! chunks grow and shrink with the size of the pairs.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, stream};
use prost::Message;
use quoin_proto::{etcdserverpb::RangeRequest, raw};
use tonic::Status;

use super::{Context, beside::read, status};
use crate::{
    apply::{is_long_range, range_query},
    mvcc::{self, record},
};

/// What the service returns.
pub(crate) type RangeStream =
    Pin<Box<dyn Stream<Item = Result<raw::RangeStreamResponse, Status>> + Send + 'static>>;

/// Keys in the first chunk.
const FIRST_CHUNK_KEYS: i64 = 10;

/// Keys from which a chunk is read beside the thread of its connection.
const LONG_CHUNK_KEYS: i64 = 4096;

/// What remains to be sent.
struct Cursor {
    context: Context,
    /// The request with key and revision moved to where the next chunk starts.
    request: RangeRequest,
    /// Keys asked for in the next chunk.
    chunk_keys: i64,
    /// Pairs the client still wants; `None` without a limit.
    wanted: Option<i64>,
    /// Count of the whole range and revision of the store, known from the
    /// first chunk on.
    first: Option<(i64, i64)>,
}

/// Streams the answer to a validated request.
pub(crate) fn open(context: Context, request: RangeRequest) -> RangeStream {
    let wanted = (request.limit > 0).then_some(request.limit);
    let cursor = Cursor {
        context,
        request,
        chunk_keys: FIRST_CHUNK_KEYS,
        wanted,
        first: None,
    };
    Box::pin(stream::unfold(Some(cursor), |cursor| async move {
        let mut cursor = cursor?;
        match cursor.next_chunk().await {
            Ok((response, last)) => {
                let item = raw::RangeStreamResponse {
                    range_response: Some(response),
                };
                Some((Ok(item), (!last).then_some(cursor)))
            }
            Err(status) => Some((Err(status), None)),
        }
    }))
}

impl Cursor {
    /// The next chunk, and whether it is the last.
    async fn next_chunk(&mut self) -> Result<(raw::RangeResponse, bool), Status> {
        self.context.check_sound()?;
        let mut query = range_query(&self.request);
        let keys = self
            .wanted
            .map_or(self.chunk_keys, |wanted| wanted.min(self.chunk_keys));
        // A negative limit means all at once, as in etcd.
        let whole = self.request.count_only || self.request.limit < 0;
        query.limit = if whole { 0 } else { keys };
        self.context.metrics.mvcc.range_total.inc();
        // The first chunk counts the whole range.
        query.counts = self.first.is_none();
        let store = &self.context.store;
        let is_long = (query.counts || whole) && is_long_range(&self.request, store);
        let is_long = is_long || keys >= LONG_CHUNK_KEYS;
        let needs_disk = mvcc::Error::is_not_in_memory;
        let result = read(store, is_long, needs_disk, move |view| view.range(&query)).await?;
        let result = result.map_err(|error| status::mvcc(&error))?;
        if self.request.revision <= 0 {
            self.request.revision = result.revision;
        }
        let (count, store_revision) = *self.first.get_or_insert((result.count, result.revision));
        self.wanted = self.wanted.map(|wanted| wanted - keys);
        let mut response = raw::RangeResponse {
            kvs: result.kvs,
            ..Default::default()
        };
        let last = !result.more || self.wanted == Some(0);
        if last {
            response.header = Some(self.context.header.with_revision(store_revision));
            response.more = result.more;
            response.count = count;
        } else {
            self.advance(&response);
        }
        Ok((response, last))
    }

    /// Moves behind the last key of `chunk` and adapts the chunk size to the
    /// size of the pairs.
    fn advance(&mut self, chunk: &raw::RangeResponse) {
        let bytes = chunk.encoded_len();
        let target = self.context.limits.request_bytes_max;
        if bytes < target / 2 {
            self.chunk_keys = self.chunk_keys.saturating_mul(2);
        } else if bytes > target.saturating_mul(2) {
            self.chunk_keys = (self.chunk_keys / 2).max(1);
        }
        if let Some(last) = chunk.kvs.last() {
            self.request.key = successor(record::key_of(last));
        }
    }
}

/// The least key above `key`.
fn successor(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
