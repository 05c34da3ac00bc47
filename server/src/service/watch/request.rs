//! What clients ask on a watch stream.

use bytes::Bytes;
use quoin_proto::etcdserverpb::WatchCreateRequest;
use quoin_proto::etcdserverpb::watch_create_request::FilterType;

use crate::base::key_range::KeyRange;
use crate::watch::Create;

/// Key that an empty key stands for.
const FIRST_KEY: &[u8] = &[0];

/// Reads a request for a watcher.
///
/// Key and range end are copied: they live as long as the watcher, and must not
/// keep the buffer they came in.
pub(super) fn create(request: &WatchCreateRequest) -> Create {
    let key = match request.key.as_ref() {
        [] => FIRST_KEY,
        key => key,
    };
    let key = Bytes::copy_from_slice(key);
    let range_end = Bytes::copy_from_slice(&request.range_end);
    // Unknown numbers are ignored.
    let has_filter = |filter: FilterType| request.filters.contains(&(filter as i32));
    Create {
        range: KeyRange::new(key, range_end),
        start_revision: request.start_revision,
        progress_notify: request.progress_notify,
        no_put: has_filter(FilterType::Noput),
        no_delete: has_filter(FilterType::Nodelete),
        previous: request.prev_kv,
        watch_id: request.watch_id,
        fragment: request.fragment,
    }
}
