//! Puts and deletions.

use bytes::Bytes;
use quoin_proto::{
    etcdserverpb::{DeleteRangeRequest, PutRequest, ResponseHeader},
    raw,
};

use super::applier::EntryContext;
use crate::{
    base::key_range::KeyRange,
    lease::Lessor,
    mvcc::{self, Previous, record::Record},
    proposal::ApplyError,
};

/// A header with nothing but a revision; the rest is added where the reply
/// is to be sent, and left out inside a transaction.
pub(super) fn revision_only(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..Default::default()
    })
}

/// A put as a request of its own.
pub(super) fn put(
    context: &mut EntryContext<'_>,
    lessor: &Lessor,
    request: &PutRequest,
) -> Result<raw::PutResponse, ApplyError> {
    check_put(context, lessor, request)?;
    let mut response = put_one(context, request)?;
    response.header = revision_only(context.end(lessor));
    Ok(response)
}

/// What must hold before a put: the lease exists, and so does the key where
/// the put keeps something of it.
pub(super) fn check_put(
    context: &mut EntryContext<'_>,
    lessor: &Lessor,
    request: &PutRequest,
) -> Result<(), ApplyError> {
    if request.lease != 0 && !lessor.contains(request.lease) {
        return Err(ApplyError::LeaseNotFound);
    }
    let keeps = request.ignore_value || request.ignore_lease;
    context.tally.ranges += u64::from(keeps);
    if keeps
        && context
            .tx
            .key_info(&request.key)
            .map_err(refused)?
            .is_none()
    {
        return Err(ApplyError::KeyNotFound);
    }
    Ok(())
}

/// Writes a checked put; the request may go on.
pub(super) fn put_one(
    context: &mut EntryContext<'_>,
    request: &PutRequest,
) -> Result<raw::PutResponse, ApplyError> {
    let (mut value, mut lease) = (request.value.clone(), request.lease);
    if request.ignore_value || request.ignore_lease {
        let kept = context.tx.key_value(&request.key).map_err(refused)?;
        let kept = Record::decode(kept.ok_or(ApplyError::KeyNotFound)?).map_err(refused)?;
        if request.ignore_value {
            value = kept.value();
        }
        if request.ignore_lease {
            lease = kept.lease();
        }
    }
    context.tally.put(request, &value);
    let previous = context.previous(request.prev_kv);
    let prev_kv = context
        .tx
        .put(request.key.clone(), &value, lease, previous)
        .map_err(refused)?;
    Ok(raw::PutResponse {
        header: None,
        prev_kv,
    })
}

/// A deletion as a request of its own.
pub(super) fn delete_range(
    context: &mut EntryContext<'_>,
    lessor: &Lessor,
    request: &DeleteRangeRequest,
) -> Result<raw::DeleteRangeResponse, ApplyError> {
    let mut response = delete_some(context, request)?;
    response.header = revision_only(context.end(lessor));
    Ok(response)
}

/// Deletes a range; the request may go on.
pub(super) fn delete_some(
    context: &mut EntryContext<'_>,
    request: &DeleteRangeRequest,
) -> Result<raw::DeleteRangeResponse, ApplyError> {
    let range = KeyRange::new(request.key.clone(), request.range_end.clone());
    context.tally.deletes += 1;
    context.tally.ranges += u64::from(request.prev_kv);
    let previous = context.previous(request.prev_kv);
    let deleted = context.tx.delete_range(&range, previous).map_err(refused)?;
    Ok(raw::DeleteRangeResponse {
        header: None,
        deleted: deleted.count,
        prev_kvs: deleted.previous,
    })
}

/// Deletes one key of a revoked lease; the request goes on.
pub(super) fn delete_key(context: &mut EntryContext<'_>, key: Bytes) -> Result<(), ApplyError> {
    context.tally.deletes += 1;
    let range = KeyRange::new(key, Bytes::new());
    context
        .tx
        .delete_range(&range, Previous::Skip)
        .map(|_deleted| ())
        .map_err(refused)
}

/// The store's refusal as the outcome of a command.
pub(super) fn refused(error: mvcc::Error) -> ApplyError {
    match error {
        mvcc::Error::Compacted { .. } => ApplyError::Compacted,
        mvcc::Error::FutureRevision { .. } => ApplyError::FutureRevision,
        error if error.is_not_in_memory() => ApplyError::NotInMemory,
        other => ApplyError::Store {
            reason: other.to_string(),
        },
    }
}
