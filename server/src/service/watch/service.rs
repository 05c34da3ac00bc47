//! The entry point: one call is one stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use http::{Extensions, HeaderMap};
use quoin_proto::etcdserverpb::{ResponseHeader, WatchRequest};
use tonic::Status;

use crate::agreement::Quarantine;
use crate::service::router::requires_leader;
use crate::watch::Hub;

use super::leader_loss::LeaderLoss;
use super::stream::{Ends, ResponseStream};

/// Makes the header of a response with this revision.
pub(crate) type MakeHeader = Arc<dyn Fn(i64) -> ResponseHeader + Send + Sync>;

/// Whether the caller, known by its headers and connection, may watch the
/// range that starts with the first key and ends with the second argument of
/// bytes, as in the request but with an empty key replaced.
pub(crate) type Authorize =
    Arc<dyn Fn(&HeaderMap, &Extensions, &[u8], &[u8]) -> Result<(), Status> + Send + Sync>;

/// The Watch service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WatchService {
    pub(crate) hub: Hub,
    pub(crate) header: MakeHeader,
    pub(crate) authorize: Authorize,
    pub(crate) leader_loss: LeaderLoss,
    pub(crate) quarantine: Quarantine,
    /// `--watch-progress-notify-interval`.
    pub(crate) progress_interval: Duration,
}

/// Part of the progress interval up to which a stream's own interval is longer,
/// so that streams opened together do not tick together. Source: etcd 3.7.
const JITTER_MAX: f64 = 0.1;

impl WatchService {
    /// Watch.Watch: the responses to `requests`, which came with these headers
    /// over a connection with these extensions.
    pub(crate) fn open<R>(
        &self,
        headers: HeaderMap,
        extensions: Extensions,
        requests: R,
    ) -> ResponseStream<R>
    where
        R: Stream<Item = Result<WatchRequest, Status>> + Unpin,
    {
        let insists = requires_leader(&headers);
        let ends = Ends {
            closed: self.hub.closed(),
            leader_lost: insists.then(|| self.leader_loss.next_loss()),
            quarantine: self.quarantine.clone(),
        };
        let jitter = rand::random_range(0.0..JITTER_MAX);
        let interval = self.progress_interval.mul_f64(1.0 + jitter);
        let authorize = Arc::clone(&self.authorize);
        let permit = Box::new(move |key: &[u8], range_end: &[u8]| {
            authorize(&headers, &extensions, key, range_end)
        });
        let watch = self.hub.stream();
        let header = Arc::clone(&self.header);
        ResponseStream::new(requests, watch, header, permit, ends, interval)
    }
}

impl fmt::Debug for WatchService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchService")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
