//! Transactions.
//!
//! `if` all comparisons hold `then` one list of operations, `else` another; all
//! changes share one revision. Comparisons see the state before the
//! transaction.

use bytes::Bytes;

use quoin_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quoin_proto::etcdserverpb::request_op::Request;
use quoin_proto::etcdserverpb::{Compare as CompareMessage, RequestOp, TxnRequest};

use super::kv::{Delete, Get, Put};
use super::range;

/// A transaction to send with [`crate::Client::txn`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Txn(pub(crate) TxnRequest);

/// One condition on one key, or on every key of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare(CompareMessage);

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation(RequestOp);

impl Txn {
    /// Compares nothing and does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition; all must hold.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.0.compare.push(compare.0);
        self
    }

    /// Adds an operation for when all conditions hold.
    #[must_use]
    pub fn then(mut self, operation: impl Into<Operation>) -> Self {
        self.0.success.push(operation.into().0);
        self
    }

    /// Adds an operation for when some condition does not hold.
    #[must_use]
    pub fn otherwise(mut self, operation: impl Into<Operation>) -> Self {
        self.0.failure.push(operation.into().0);
        self
    }

    /// Whether sending it twice is harmless.
    pub(crate) fn is_read_only(&self) -> bool {
        let mut operations = self.0.success.iter().chain(&self.0.failure);
        operations.all(|operation| matches!(operation.request, Some(Request::RequestRange(_))))
    }
}

impl Compare {
    /// On the value; false for a key that does not exist.
    pub fn value(key: impl Into<Bytes>, result: CompareResult, value: impl Into<Bytes>) -> Self {
        Self::new(
            key,
            CompareTarget::Value,
            result,
            TargetUnion::Value(value.into()),
        )
    }

    /// On the number of changes since creation; 0 if the key does not exist.
    pub fn version(key: impl Into<Bytes>, result: CompareResult, version: i64) -> Self {
        Self::new(
            key,
            CompareTarget::Version,
            result,
            TargetUnion::Version(version),
        )
    }

    /// On the revision of the creation; 0 if the key does not exist.
    pub fn create_revision(key: impl Into<Bytes>, result: CompareResult, revision: i64) -> Self {
        Self::new(
            key,
            CompareTarget::Create,
            result,
            TargetUnion::CreateRevision(revision),
        )
    }

    /// On the revision of the last change; 0 if the key does not exist.
    pub fn mod_revision(key: impl Into<Bytes>, result: CompareResult, revision: i64) -> Self {
        Self::new(
            key,
            CompareTarget::Mod,
            result,
            TargetUnion::ModRevision(revision),
        )
    }

    /// On the attached lease; 0 if there is none.
    pub fn lease(key: impl Into<Bytes>, result: CompareResult, id: i64) -> Self {
        Self::new(key, CompareTarget::Lease, result, TargetUnion::Lease(id))
    }

    /// The key exists.
    pub fn exists(key: impl Into<Bytes>) -> Self {
        Self::create_revision(key, CompareResult::NotEqual, 0)
    }

    /// The key does not exist.
    pub fn missing(key: impl Into<Bytes>) -> Self {
        Self::create_revision(key, CompareResult::Equal, 0)
    }

    /// On every key that starts with the key of this condition.
    #[must_use]
    pub fn for_prefix(mut self) -> Self {
        self.0.range_end = range::prefix_end(&self.0.key);
        self
    }

    /// On every key from the key of this condition up to `end`.
    #[must_use]
    pub fn for_range(mut self, end: impl Into<Bytes>) -> Self {
        self.0.range_end = end.into();
        self
    }

    fn new(
        key: impl Into<Bytes>,
        target: CompareTarget,
        result: CompareResult,
        union: TargetUnion,
    ) -> Self {
        Self(CompareMessage {
            result: result.into(),
            target: target.into(),
            key: key.into(),
            range_end: Bytes::new(),
            target_union: Some(union),
        })
    }
}

impl From<TxnRequest> for Txn {
    fn from(request: TxnRequest) -> Self {
        Self(request)
    }
}

impl From<Get> for Operation {
    fn from(get: Get) -> Self {
        Self(RequestOp {
            request: Some(Request::RequestRange(get.0)),
        })
    }
}

impl From<Put> for Operation {
    fn from(put: Put) -> Self {
        Self(RequestOp {
            request: Some(Request::RequestPut(put.0)),
        })
    }
}

impl From<Delete> for Operation {
    fn from(delete: Delete) -> Self {
        Self(RequestOp {
            request: Some(Request::RequestDeleteRange(delete.0)),
        })
    }
}

impl From<Txn> for Operation {
    fn from(txn: Txn) -> Self {
        Self(RequestOp {
            request: Some(Request::RequestTxn(txn.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transactions_of_reads_are_read_only() {
        let reads = Txn::new().when(Compare::exists("a")).then(Get::key("a"));
        assert!(reads.is_read_only());
        assert!(!reads.clone().otherwise(Put::new("a", "b")).is_read_only());
        assert!(!Txn::new().then(reads).is_read_only());
    }
}
