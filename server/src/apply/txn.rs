//! Transactions: compare, choose, check, carry out.
//!
//! All comparisons, those of nested transactions included, look at the state
//! before the transaction; so the path through the branches is chosen first.
//! Then everything on the path that could fail is checked, so that carrying
//! it out cannot fail halfway. Source: etcd 3.7.

use std::cmp::Ordering;

use bytes::Bytes;
use quoin_proto::{
    etcdserverpb::{
        Compare, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    },
    raw::{self, response_op::Response},
};

use super::{
    applier::EntryContext,
    kv::{self, refused, revision_only},
    query::range_query,
    tally::Tally,
};
use crate::{
    base::key_range::KeyRange,
    lease::Lessor,
    mvcc::{
        self, KeyInfo, RangeQuery, RangeResult, ReadTransaction, WriteTransaction, record::Record,
    },
    proposal::ApplyError,
};

/// What comparisons and ranges read from: the state inside an entry, or a
/// view for transactions that only read.
trait View {
    fn key_info(&self, key: &[u8]) -> Result<Option<KeyInfo>, mvcc::Error>;
    fn key_value(&self, key: &[u8]) -> Result<Option<Bytes>, mvcc::Error>;
    fn range(&self, query: &RangeQuery) -> Result<RangeResult, mvcc::Error>;
    /// Newest revision before the request.
    fn revision(&self) -> i64;
    fn compact_revision(&self) -> i64;
}

impl View for WriteTransaction {
    fn key_info(&self, key: &[u8]) -> Result<Option<KeyInfo>, mvcc::Error> {
        Self::key_info(self, key)
    }

    fn key_value(&self, key: &[u8]) -> Result<Option<Bytes>, mvcc::Error> {
        Self::key_value(self, key)
    }

    fn range(&self, query: &RangeQuery) -> Result<RangeResult, mvcc::Error> {
        Self::range(self, query)
    }

    fn revision(&self) -> i64 {
        Self::current(self)
    }

    fn compact_revision(&self) -> i64 {
        Self::compact_revision(self)
    }
}

impl View for ReadTransaction {
    fn key_info(&self, key: &[u8]) -> Result<Option<KeyInfo>, mvcc::Error> {
        Self::key_info(self, key, 0)
    }

    fn key_value(&self, key: &[u8]) -> Result<Option<Bytes>, mvcc::Error> {
        Self::key_value(self, key, 0)
    }

    fn range(&self, query: &RangeQuery) -> Result<RangeResult, mvcc::Error> {
        Self::range(self, query)
    }

    fn revision(&self) -> i64 {
        Self::revision(self)
    }

    fn compact_revision(&self) -> i64 {
        Self::compact_revision(self)
    }
}

/// Whether each transaction, in the order they are met, takes its `success`
/// branch.
struct Path {
    taken: Vec<bool>,
    next: usize,
    /// Comparisons met.
    compares: u64,
}

impl Path {
    fn choose(view: &impl View, request: &TxnRequest) -> Result<Self, ApplyError> {
        let mut path = Self {
            taken: Vec::with_capacity(1),
            next: 0,
            compares: 0,
        };
        path.extend(view, request)?;
        Ok(path)
    }

    fn extend(&mut self, view: &impl View, request: &TxnRequest) -> Result<(), ApplyError> {
        let mut holds = true;
        self.compares += request.compare.len() as u64;
        for compare in &request.compare {
            holds = holds && compare_holds(view, compare)?;
        }
        self.taken.push(holds);
        for operation in branch(request, holds) {
            if let Some(Request::RequestTxn(nested)) = &operation.request {
                self.extend(view, nested)?;
            }
        }
        Ok(())
    }

    fn next(&mut self) -> bool {
        let taken = self.taken.get(self.next).copied().unwrap_or(false);
        self.next += 1;
        taken
    }

    fn rewind(&mut self) {
        self.next = 0;
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

/// Applies a validated transaction.
pub(super) fn apply(
    context: &mut EntryContext<'_>,
    lessor: &Lessor,
    request: &TxnRequest,
) -> Result<raw::TxnResponse, ApplyError> {
    let mut path = Path::choose(&*context.tx, request)?;
    check(context, lessor, request, &mut path, &mut Vec::new())?;
    context.tally.ranges += path.compares;
    path.rewind();
    let mut response = carry_out(context, request, &mut path)?;
    response.header = revision_only(context.end(lessor));
    Ok(response)
}

/// Answers a validated transaction of ranges only. The header has the
/// revision alone.
///
/// # Errors
/// A range asks for a compacted or future revision.
pub(crate) fn read_only_txn(
    view: &ReadTransaction,
    request: &TxnRequest,
    tally: &mut Tally,
) -> Result<raw::TxnResponse, ApplyError> {
    let mut path = Path::choose(view, request)?;
    let succeeded = path.next();
    tally.ranges += path.compares + branch(request, succeeded).len() as u64;
    tally.end_request();
    let mut responses = Vec::new();
    for operation in branch(request, succeeded) {
        let Some(Request::RequestRange(range)) = &operation.request else {
            return Err(ApplyError::Unknown);
        };
        check_range(view, range)?;
        let response = range_response(view, range, view.revision())?;
        responses.push(raw::ResponseOp {
            response: Some(Response::ResponseRange(response)),
        });
    }
    Ok(raw::TxnResponse {
        header: revision_only(view.revision()),
        succeeded,
        responses,
    })
}

/// `gone` collects what operations before have deleted: the service lets a put
/// follow a deletion up to the end "\0", as etcd does, and such a put has nothing
/// to keep the value or the lease of. (etcd panics there.)
fn check(
    context: &mut EntryContext<'_>,
    lessor: &Lessor,
    request: &TxnRequest,
    path: &mut Path,
    gone: &mut Vec<KeyRange>,
) -> Result<(), ApplyError> {
    for operation in branch(request, path.next()) {
        match &operation.request {
            Some(Request::RequestRange(range)) => check_range(&*context.tx, range)?,
            Some(Request::RequestPut(put)) => {
                let keeps = put.ignore_value || put.ignore_lease;
                if keeps && gone.iter().any(|range| range.contains(&put.key)) {
                    return Err(ApplyError::KeyNotFound);
                }
                kv::check_put(context, lessor, put)?;
            }
            Some(Request::RequestDeleteRange(delete)) => {
                let (start, end) = (delete.key.clone(), delete.range_end.clone());
                gone.push(KeyRange::new(start, end));
            }
            Some(Request::RequestTxn(nested)) => check(context, lessor, nested, path, gone)?,
            None => return Err(ApplyError::KeyNotFound),
        }
    }
    Ok(())
}

/// Unlike a range of its own, a negative revision counts as compacted here.
/// Source: etcd 3.7.
fn check_range(view: &impl View, range: &RangeRequest) -> Result<(), ApplyError> {
    if range.revision > view.revision() {
        return Err(ApplyError::FutureRevision);
    }
    if range.revision != 0 && range.revision < view.compact_revision() {
        return Err(ApplyError::Compacted);
    }
    Ok(())
}

fn carry_out(
    context: &mut EntryContext<'_>,
    request: &TxnRequest,
    path: &mut Path,
) -> Result<raw::TxnResponse, ApplyError> {
    let succeeded = path.next();
    let mut responses = Vec::new();
    for operation in branch(request, succeeded) {
        let response = carry_out_one(context, operation, path)?;
        if context.reply {
            responses.push(raw::ResponseOp {
                response: Some(response),
            });
        }
    }
    Ok(raw::TxnResponse {
        header: Some(Default::default()),
        succeeded,
        responses,
    })
}

fn carry_out_one(
    context: &mut EntryContext<'_>,
    operation: &RequestOp,
    path: &mut Path,
) -> Result<Response, ApplyError> {
    if let Some(Request::RequestRange(_)) = &operation.request {
        context.tally.ranges += 1;
    }
    Ok(match &operation.request {
        Some(Request::RequestRange(_)) if !context.reply => {
            // Nobody waits here, and a range changes nothing.
            Response::ResponseRange(raw::RangeResponse::default())
        }
        Some(Request::RequestRange(range)) => {
            let revision = context.tx.current();
            Response::ResponseRange(range_response(&*context.tx, range, revision)?)
        }
        Some(Request::RequestPut(put)) => {
            let mut response = kv::put_one(context, put)?;
            response.header = revision_only(context.tx.current());
            Response::ResponsePut(response)
        }
        Some(Request::RequestDeleteRange(delete)) => {
            let mut response = kv::delete_some(context, delete)?;
            response.header = revision_only(context.tx.current());
            Response::ResponseDeleteRange(response)
        }
        Some(Request::RequestTxn(nested)) => {
            Response::ResponseTxn(carry_out(context, nested, path)?)
        }
        None => return Err(ApplyError::KeyNotFound),
    })
}

fn range_response(
    view: &impl View,
    range: &RangeRequest,
    revision: i64,
) -> Result<raw::RangeResponse, ApplyError> {
    let result = view.range(&range_query(range)).map_err(refused)?;
    Ok(raw::RangeResponse {
        header: revision_only(revision),
        kvs: result.kvs,
        more: result.more,
        count: result.count,
    })
}

/// Evaluates one comparison. Over a range it must hold for every key; over
/// no key at all it is evaluated once for a missing one.
fn compare_holds(view: &impl View, compare: &Compare) -> Result<bool, ApplyError> {
    if compare.range_end.is_empty() {
        return compare_single(view, compare);
    }
    let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
    let pairs = view.range(&RangeQuery::new(range)).map_err(refused)?.kvs;
    if pairs.is_empty() {
        return Ok(compare_missing(compare));
    }
    for pair in pairs {
        let pair = Record::decode(pair).map_err(refused)?;
        let info = KeyInfo {
            create_revision: pair.create_revision(),
            mod_revision: pair.mod_revision(),
            version: pair.version(),
            lease: pair.lease(),
        };
        if !compare_fields(compare, &info, pair.value_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn compare_single(view: &impl View, compare: &Compare) -> Result<bool, ApplyError> {
    let Some(info) = view.key_info(&compare.key).map_err(refused)? else {
        return Ok(compare_missing(compare));
    };
    let value = if compare.target == CompareTarget::Value as i32 {
        let record = view.key_value(&compare.key).map_err(refused)?;
        let record = record.map(Record::decode).transpose().map_err(refused)?;
        record.map(|record| record.value()).unwrap_or_default()
    } else {
        Bytes::new()
    };
    Ok(compare_fields(compare, &info, &value))
}

const MISSING: KeyInfo = KeyInfo {
    create_revision: 0,
    mod_revision: 0,
    version: 0,
    lease: 0,
};

/// A missing key has zero in every number, and no value to compare with.
fn compare_missing(compare: &Compare) -> bool {
    compare.target != CompareTarget::Value as i32 && compare_fields(compare, &MISSING, &[])
}

/// An operand of another kind than the target counts as zero or empty, an
/// unknown target as equal, an unknown result as true. Source: etcd 3.7.
fn compare_fields(compare: &Compare, info: &KeyInfo, value: &[u8]) -> bool {
    let ordering = match (
        CompareTarget::try_from(compare.target),
        &compare.target_union,
    ) {
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(given))) => value.cmp(given),
        (Ok(CompareTarget::Value), _) => value.cmp(&[]),
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(given))) => info.version.cmp(given),
        (Ok(CompareTarget::Version), _) => info.version.cmp(&0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(given))) => {
            info.create_revision.cmp(given)
        }
        (Ok(CompareTarget::Create), _) => info.create_revision.cmp(&0),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(given))) => {
            info.mod_revision.cmp(given)
        }
        (Ok(CompareTarget::Mod), _) => info.mod_revision.cmp(&0),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(given))) => info.lease.cmp(given),
        (Ok(CompareTarget::Lease), _) => info.lease.cmp(&0),
        (Err(_), _) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}
