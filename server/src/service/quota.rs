//! What a request is estimated to add to the database.
//!
//! Source: etcd 3.7, quota cost model; deletes and reads cost nothing, so
//! that they stay possible on a full member.

use quoin_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op::Request};

/// Overhead counted per put, bytes.
const PUT_OVERHEAD_BYTES: usize = 256;
/// Cost of a lease, bytes.
pub(crate) const LEASE_COST: usize = 64;

/// Cost of a put, bytes.
pub(crate) fn put_cost(request: &PutRequest) -> usize {
    PUT_OVERHEAD_BYTES + request.key.len() + request.value.len()
}

/// Cost of the dearer branch of a transaction, bytes.
pub(crate) fn txn_cost(request: &TxnRequest) -> usize {
    branch_cost(&request.success).max(branch_cost(&request.failure))
}

fn branch_cost(operations: &[RequestOp]) -> usize {
    let cost = |operation: &RequestOp| match &operation.request {
        Some(Request::RequestPut(put)) => put_cost(put),
        Some(Request::RequestTxn(txn)) => txn_cost(txn),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
    };
    operations.iter().map(cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearer_branch_counts_and_deletes_are_free() {
        let put = |bytes: usize| RequestOp {
            request: Some(Request::RequestPut(PutRequest {
                key: "k".into(),
                value: vec![0; bytes].into(),
                ..Default::default()
            })),
        };
        let delete = RequestOp {
            request: Some(Request::RequestDeleteRange(Default::default())),
        };
        let nested = TxnRequest {
            success: vec![put(10), put(10)],
            ..Default::default()
        };
        let nested = RequestOp {
            request: Some(Request::RequestTxn(nested)),
        };
        let txn = TxnRequest {
            success: vec![put(100), delete.clone()],
            failure: vec![nested],
            ..Default::default()
        };
        assert_eq!(txn_cost(&txn), 2 * (256 + 1 + 10));
        assert_eq!(
            txn_cost(&TxnRequest {
                success: vec![delete],
                ..Default::default()
            }),
            0
        );
    }
}
