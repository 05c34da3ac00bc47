//! Replies over stored bytes.
//!
//! Each message here has the field numbers and wire types of its namesake in
//! [`crate::etcdserverpb`], except that an embedded `mvccpb.KeyValue` or
//! `mvccpb.Event` is held as `bytes`: its encoding, produced once when the
//! change was applied. Length-delimited fields look the same on the wire
//! whether they hold a message or bytes, so clients cannot tell the two apart.
//! A test below decodes each of them as its namesake.

use bytes::Bytes;

use crate::etcdserverpb::ResponseHeader;

/// Reply to Range; `kvs` are encoded `mvccpb.KeyValue`s.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RangeResponse {
    /// Reply header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Encoded pairs, in the order asked for.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub kvs: Vec<Bytes>,
    /// The limit cut some pairs off.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// Pairs in the range, whatever limit and filters left.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// One chunk of RangeStream.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RangeStreamResponse {
    /// The chunk; only the last one carries header, more and count.
    #[prost(message, optional, tag = "1")]
    pub range_response: Option<RangeResponse>,
}

/// Reply to Put; `prev_kv` is an encoded `mvccpb.KeyValue`.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PutResponse {
    /// Reply header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The pair before the put, where it was asked for and existed.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub prev_kv: Option<Bytes>,
}

/// Reply to DeleteRange; `prev_kvs` are encoded `mvccpb.KeyValue`s.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeleteRangeResponse {
    /// Reply header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Keys deleted.
    #[prost(int64, tag = "2")]
    pub deleted: i64,
    /// The deleted pairs in key order, where they were asked for.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub prev_kvs: Vec<Bytes>,
}

/// Reply to one operation of a transaction.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ResponseOp {
    /// The reply, of the kind of the operation.
    #[prost(oneof = "response_op::Response", tags = "1, 2, 3, 4")]
    pub response: Option<response_op::Response>,
}

/// Kinds of [`ResponseOp`].
pub mod response_op {
    /// One operation's reply.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Response {
        /// Reply to a range.
        #[prost(message, tag = "1")]
        ResponseRange(super::RangeResponse),
        /// Reply to a put.
        #[prost(message, tag = "2")]
        ResponsePut(super::PutResponse),
        /// Reply to a delete.
        #[prost(message, tag = "3")]
        ResponseDeleteRange(super::DeleteRangeResponse),
        /// Reply to a nested transaction.
        #[prost(message, tag = "4")]
        ResponseTxn(super::TxnResponse),
    }
}

/// Reply to Txn.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TxnResponse {
    /// Reply header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Every comparison held, so the `success` branch ran.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// Replies of the branch that ran, in its order.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

/// One message of a watch stream; `events` are encoded `mvccpb.Event`s.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WatchResponse {
    /// Reply header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The watcher on this stream; -1 for the stream itself or a failed create.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// Answers a create request.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// No further events for this watcher.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// Set where compaction overtook the watcher.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why the watcher was refused.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More fragments of the same response follow.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// Encoded events in revision order.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub events: Vec<Bytes>,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::{etcdserverpb, mvccpb};

    fn header() -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: 1,
            member_id: 2,
            revision: 3,
            raft_term: 4,
        })
    }

    fn pair() -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: Bytes::from_static(b"k"),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            value: Bytes::from_static(b"v"),
            lease: 9,
        }
    }

    #[test]
    fn raw_range_reads_as_a_structured_one() {
        let raw = RangeResponse {
            header: header(),
            kvs: vec![pair().encode_to_vec().into(); 2],
            more: true,
            count: 7,
        };
        let read = etcdserverpb::RangeResponse::decode(&raw.encode_to_vec()[..]).unwrap();
        assert_eq!(read.kvs, vec![pair(), pair()]);
        assert_eq!((read.header, read.more, read.count), (header(), true, 7));
    }

    #[test]
    fn raw_txn_reads_as_a_structured_one() {
        let put = PutResponse {
            header: header(),
            prev_kv: Some(pair().encode_to_vec().into()),
        };
        let delete = DeleteRangeResponse {
            header: None,
            deleted: 1,
            prev_kvs: vec![pair().encode_to_vec().into()],
        };
        let raw = TxnResponse {
            header: header(),
            succeeded: true,
            responses: vec![
                ResponseOp {
                    response: Some(response_op::Response::ResponsePut(put)),
                },
                ResponseOp {
                    response: Some(response_op::Response::ResponseDeleteRange(delete)),
                },
            ],
        };
        let read = etcdserverpb::TxnResponse::decode(&raw.encode_to_vec()[..]).unwrap();
        assert_eq!(read.encode_to_vec(), raw.encode_to_vec());
        assert_eq!(read.responses.len(), 2);
    }

    #[test]
    fn raw_watch_reads_as_a_structured_one() {
        let event = mvccpb::Event {
            r#type: mvccpb::event::EventType::Delete as i32,
            kv: Some(pair()),
            prev_kv: Some(pair()),
        };
        let raw = WatchResponse {
            header: header(),
            watch_id: -1,
            created: true,
            canceled: true,
            compact_revision: 5,
            cancel_reason: "because".to_owned(),
            fragment: true,
            events: vec![event.encode_to_vec().into()],
        };
        let read = etcdserverpb::WatchResponse::decode(&raw.encode_to_vec()[..]).unwrap();
        assert_eq!(read.events, vec![event]);
        assert_eq!(read.encode_to_vec(), raw.encode_to_vec());
    }
}
