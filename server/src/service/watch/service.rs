//! The entry point: one call is one stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quoin_proto::etcdserverpb::{ResponseHeader, WatchRequest};
use quoin_proto::server::etcdserverpb::watch_server::Watch;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::service::router::requires_leader;
use crate::watch::Hub;

use super::leader_loss::LeaderLoss;
use super::stream::{Ends, ResponseStream};

/// Makes the header of a response with this revision.
pub(crate) type MakeHeader = Arc<dyn Fn(i64) -> ResponseHeader + Send + Sync>;

/// Whether the caller, known by its metadata and connection, may watch the
/// range that starts with the first key and ends with the second argument of
/// bytes, as in the request but with an empty key replaced.
pub(crate) type Authorize =
    Arc<dyn Fn(&MetadataMap, &Extensions, &[u8], &[u8]) -> Result<(), Status> + Send + Sync>;

/// The Watch service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WatchService {
    pub(crate) hub: Hub,
    pub(crate) header: MakeHeader,
    pub(crate) authorize: Authorize,
    pub(crate) leader_loss: LeaderLoss,
    /// `--watch-progress-notify-interval`.
    pub(crate) progress_interval: Duration,
}

/// Part of the progress interval up to which a stream's own interval is longer,
/// so that streams opened together do not tick together. Source: etcd 3.7.
const JITTER_MAX: f64 = 0.1;

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = ResponseStream<Streaming<WatchRequest>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (metadata, extensions, requests) = request.into_parts();
        let insists = requires_leader(metadata.as_ref());
        let ends = Ends {
            closed: self.hub.closed(),
            leader_lost: insists.then(|| self.leader_loss.next_loss()),
        };
        let jitter = rand::random_range(0.0..JITTER_MAX);
        let interval = self.progress_interval.mul_f64(1.0 + jitter);
        let authorize = Arc::clone(&self.authorize);
        let permit = Box::new(move |key: &[u8], range_end: &[u8]| {
            authorize(&metadata, &extensions, key, range_end)
        });
        let watch = self.hub.stream();
        let header = Arc::clone(&self.header);
        let stream = ResponseStream::new(requests, watch, header, permit, ends, interval);
        Ok(Response::new(stream))
    }
}

impl fmt::Debug for WatchService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchService")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
