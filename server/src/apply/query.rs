//! From a Range request to a query of the store.

use quoin_proto::etcdserverpb::{
    RangeRequest,
    range_request::{SortOrder as WireOrder, SortTarget as WireTarget},
};

use crate::{
    base::key_range::KeyRange,
    mvcc::{RangeQuery, RevisionFilter, SortOrder, SortTarget},
};

/// The query of a validated request. Unknown enum numbers, which validation
/// refuses, read as the default.
pub(crate) fn range_query(request: &RangeRequest) -> RangeQuery {
    RangeQuery {
        range: KeyRange::new(request.key.clone(), request.range_end.clone()),
        revision: request.revision,
        limit: request.limit,
        count_only: request.count_only,
        counts: true,
        keys_only: request.keys_only,
        sort_order: match request.sort_order() {
            WireOrder::None => SortOrder::None,
            WireOrder::Ascend => SortOrder::Ascend,
            WireOrder::Descend => SortOrder::Descend,
        },
        sort_target: match request.sort_target() {
            WireTarget::Key => SortTarget::Key,
            WireTarget::Version => SortTarget::Version,
            WireTarget::Create => SortTarget::Create,
            WireTarget::Mod => SortTarget::Mod,
            WireTarget::Value => SortTarget::Value,
        },
        mod_revision: RevisionFilter {
            min: request.min_mod_revision,
            max: request.max_mod_revision,
        },
        create_revision: RevisionFilter {
            min: request.min_create_revision,
            max: request.max_create_revision,
        },
    }
}
