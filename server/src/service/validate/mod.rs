//! What is wrong with a request before it is proposed or read.
//!
//! The order of the checks and the rules of duplicate keys are etcd's, since
//! clients see which error comes first. Source: etcd 3.7, KV request checks.

use std::collections::HashSet;

use bytes::Bytes;
use quoin_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
    range_request::{SortOrder, SortTarget},
    request_op::Request,
};
use tonic::Status;

use super::status;
use crate::{base::key_range::KeyRange, config::Url};

/// Checks a Range request.
///
/// # Errors
/// Empty key or unknown sort option.
pub(crate) fn range(request: &RangeRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(status::empty_key());
    }
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if known {
        Ok(())
    } else {
        Err(status::invalid_sort_option())
    }
}

/// Checks the peer URLs of a member; gives them sorted, as the id of a new one
/// needs them.
///
/// # Errors
/// There is none, one is no URL of a peer, or they are more than any member has:
/// they go into each membership, and every member has to read that again.
pub(crate) fn peer_urls(urls: &[String]) -> Result<Vec<String>, Status> {
    let bytes = urls.iter().map(String::len).sum::<usize>();
    if urls.len() > PEER_URLS_COUNT_MAX || bytes > PEER_URLS_BYTES_MAX {
        return Err(status::member_urls_invalid());
    }
    let parsed: Result<Vec<Url>, _> = urls.iter().map(|url| Url::parse(url)).collect();
    let parsed = parsed.map_err(|_error| status::member_urls_invalid())?;
    if parsed.is_empty() {
        return Err(status::member_urls_invalid());
    }
    let mut texts: Vec<String> = parsed.iter().map(|url| url.as_str().to_owned()).collect();
    texts.sort_unstable();
    Ok(texts)
}

/// Checks what RangeStream cannot do on top of [`range`].
///
/// # Errors
/// A sort order other than the natural one, or a revision filter.
pub(crate) fn range_stream(request: &RangeRequest) -> Result<(), Status> {
    range(request)?;
    if !has_default_order(request) {
        return Err(status::range_stream_sort());
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters.iter().any(|filter| *filter != 0) {
        return Err(status::range_stream_filter());
    }
    Ok(())
}

fn has_default_order(request: &RangeRequest) -> bool {
    let ascending_keys = request.sort_order == SortOrder::Ascend as i32
        && request.sort_target == SortTarget::Key as i32;
    request.sort_order == SortOrder::None as i32 || ascending_keys
}

/// Checks a Put request.
///
/// # Errors
/// Empty key, or a value or lease next to the flag that ignores it.
pub(crate) fn put(request: &PutRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(status::empty_key());
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(status::value_provided());
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(status::lease_provided());
    }
    Ok(())
}

/// Checks a DeleteRange request.
///
/// # Errors
/// Empty key.
pub(crate) fn delete_range(request: &DeleteRangeRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        Err(status::empty_key())
    } else {
        Ok(())
    }
}

/// Checks a Txn request with all that is nested in it.
///
/// # Errors
/// Too many operations, an invalid part, or keys changed twice.
pub(crate) fn txn(request: &TxnRequest, operations_max: usize) -> Result<(), Status> {
    operations(request, operations_max)?;
    changes(&request.success)?;
    changes(&request.failure)?;
    Ok(())
}

/// Counts and checks operations; a nested transaction gets what its parent
/// left of the budget.
fn operations(request: &TxnRequest, budget: usize) -> Result<(), Status> {
    let lengths = [
        request.compare.len(),
        request.success.len(),
        request.failure.len(),
    ];
    let used = lengths.into_iter().max().unwrap_or(0);
    let Some(left) = budget.checked_sub(used) else {
        return Err(status::too_many_operations());
    };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(status::empty_key());
    }
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.request {
            Some(Request::RequestRange(nested)) => range(nested)?,
            Some(Request::RequestPut(nested)) => put(nested)?,
            Some(Request::RequestDeleteRange(nested)) => delete_range(nested)?,
            Some(Request::RequestTxn(nested)) => operations(nested, left)?,
            None => return Err(status::key_not_found()),
        }
    }
    Ok(())
}

/// What one list of operations changes.
#[derive(Default)]
struct Changes {
    puts: HashSet<Bytes>,
    deletes: Vec<KeyRange>,
}

impl Changes {
    fn conflicts_with(&self, key: &Bytes) -> bool {
        self.puts.contains(key) || self.deletes.iter().any(|range| range.contains(key))
    }
}

/// Refuses a list that puts a key twice or puts what it deletes; only a
/// deletion in a later nested transaction escapes, as in etcd.
fn changes(list: &[quoin_proto::etcdserverpb::RequestOp]) -> Result<Changes, Status> {
    let mut all = Changes::default();
    for operation in list {
        if let Some(Request::RequestDeleteRange(delete)) = &operation.request {
            all.deletes.push(literal_range(delete));
        }
    }
    for operation in list {
        if let Some(Request::RequestTxn(nested)) = &operation.request {
            merge_nested(
                &mut all,
                changes(&nested.success)?,
                changes(&nested.failure)?,
            )?;
        }
    }
    for operation in list {
        if let Some(Request::RequestPut(put)) = &operation.request {
            if all.conflicts_with(&put.key) {
                return Err(status::duplicate_key());
            }
            all.puts.insert(put.key.clone());
        }
    }
    Ok(all)
}

/// The range as etcd compares it here: to the letter, so that the end "\0",
/// which means "no end" everywhere else, ends the range before it begins.
/// Source: observed etcd behaviour (3.7).
fn literal_range(delete: &DeleteRangeRequest) -> KeyRange {
    let (start, end) = (delete.key.clone(), delete.range_end.clone());
    if end.is_empty() {
        KeyRange::One(start)
    } else {
        KeyRange::Until { start, end }
    }
}

/// Adds both branches of a nested transaction; since only one of them runs,
/// they may put the same key.
fn merge_nested(all: &mut Changes, then: Changes, otherwise: Changes) -> Result<(), Status> {
    for key in &then.puts {
        if all.conflicts_with(key) {
            return Err(status::duplicate_key());
        }
    }
    for key in &otherwise.puts {
        let deleted = all.deletes.iter().any(|range| range.contains(key));
        if deleted || (all.puts.contains(key) && !then.puts.contains(key)) {
            return Err(status::duplicate_key());
        }
    }
    all.puts.extend(then.puts);
    all.puts.extend(otherwise.puts);
    all.deletes.extend(then.deletes);
    all.deletes.extend(otherwise.deletes);
    Ok(())
}

/// Every operation is a range, so that the transaction need not be
/// replicated. A nested transaction always is.
pub(crate) fn is_read_only(request: &TxnRequest) -> bool {
    let all = request.success.iter().chain(&request.failure);
    all.into_iter()
        .all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Every operation is a serializable range; true of a transaction without
/// operations.
pub(crate) fn is_serializable(request: &TxnRequest) -> bool {
    let mut all = request.success.iter().chain(&request.failure);
    all.all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

/// Peer URLs of one member; etcd has no limit.
const PEER_URLS_COUNT_MAX: usize = 64;
/// Bytes of all of them.
const PEER_URLS_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
