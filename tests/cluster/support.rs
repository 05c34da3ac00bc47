//! Short forms of calls that the suites make often.

use std::collections::BTreeMap;

use quoin_proto::etcdserverpb::{
    HashKvRequest, PutRequest, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest,
    WatchResponse, maintenance_client::MaintenanceClient, watch_request::RequestUnion,
};
use quoin_tests::{cluster::Cluster, wait};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

/// Members that do not change their leader because the machine is busy.
pub(crate) const CALM: [&str; 1] = ["--election-timeout=3000"];

/// Puts through one member; returns the revision. Repeated while the server
/// is not available, so it may be applied twice: see [`put_once`].
pub(crate) async fn put(cluster: &Cluster, member: usize, key: &str, value: &str) -> i64 {
    let reply = patiently(async || {
        cluster
            .kv(member)
            .unwrap()
            .put(put_request(key, value))
            .await
    });
    reply.await.into_inner().header.unwrap().revision
}

/// Puts through one member, and fails where that fails.
pub(crate) async fn put_once(cluster: &Cluster, member: usize, key: &str, value: &str) {
    cluster
        .kv(member)
        .unwrap()
        .put(put_request(key, value))
        .await
        .unwrap();
}

/// Repeats a call while the cluster is between two leaders.
async fn patiently<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> T {
    let reply = wait::until("an answer", wait::DEADLINE, async || match call().await {
        Err(status) if status.code() == Code::Unavailable => Err(status.to_string()),
        reply => Ok(reply),
    });
    reply.await.unwrap().unwrap()
}

/// A range read through one member, repeated as above.
async fn range(cluster: &Cluster, member: usize, request: RangeRequest) -> RangeResponse {
    let read = async || cluster.kv(member).unwrap().range(request.clone()).await;
    patiently(read).await.into_inner()
}

/// The request of [`put`].
pub(crate) fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    }
}

/// Reads one key through one member.
pub(crate) async fn get(cluster: &Cluster, member: usize, key: &str) -> Option<String> {
    let request = RangeRequest {
        key: key.to_owned().into(),
        ..RangeRequest::default()
    };
    let reply = range(cluster, member, request).await;
    reply
        .kvs
        .first()
        .map(|pair| String::from_utf8_lossy(&pair.value).into_owned())
}

/// Everything under a prefix as one member holds it, read locally.
pub(crate) async fn local(
    cluster: &Cluster,
    member: usize,
    prefix: &str,
) -> BTreeMap<String, String> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    let request = RangeRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let reply = range(cluster, member, request).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    reply
        .kvs
        .iter()
        .map(|pair| (text(&pair.key), text(&pair.value)))
        .collect()
}

/// Waits until every member that runs has applied what the furthest one has, then
/// checks that all of them hold the same history.
pub(crate) async fn assert_members_agree(cluster: &Cluster) {
    let leader = cluster.wait_leader().await.unwrap();
    let index = cluster.status(leader).await.unwrap().raft_applied_index;
    let mut hashes = BTreeMap::new();
    for member in cluster.running() {
        cluster.wait_applied(member, index).await.unwrap();
    }
    let revision = revision(cluster, leader).await;
    for member in cluster.running() {
        let mut client = MaintenanceClient::new(cluster.channel(member).unwrap());
        let reply = client
            .hash_kv(HashKvRequest { revision })
            .await
            .unwrap()
            .into_inner();
        hashes.insert(member, (reply.hash, reply.compact_revision));
    }
    let first = hashes.values().next().copied();
    assert!(
        hashes.values().all(|hash| Some(*hash) == first),
        "members differ: {hashes:?}"
    );
}

/// The newest revision, by a linearizable read through one member.
pub(crate) async fn revision(cluster: &Cluster, member: usize) -> i64 {
    let request = RangeRequest {
        key: "r".into(),
        ..RangeRequest::default()
    };
    let reply = range(cluster, member, request).await;
    reply.header.unwrap().revision
}

/// An open watch stream.
pub(crate) struct Watch {
    pub(crate) requests: mpsc::Sender<WatchRequest>,
    pub(crate) replies: Streaming<WatchResponse>,
}

impl Watch {
    /// Watches a range from a revision on; returns after it was created.
    pub(crate) async fn open(cluster: &Cluster, member: usize, create: WatchCreateRequest) -> Self {
        Self::open_with(cluster, member, create, &[]).await.unwrap()
    }

    /// The same with metadata; a refusal is returned.
    pub(crate) async fn open_with(
        cluster: &Cluster,
        member: usize,
        create: WatchCreateRequest,
        metadata: &[(&'static str, &'static str)],
    ) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let create = RequestUnion::CreateRequest(create);
        requests
            .send(WatchRequest {
                request_union: Some(create),
            })
            .await
            .unwrap();
        let mut request = Request::new(ReceiverStream::new(receiver));
        for (key, value) in metadata {
            request.metadata_mut().insert(*key, value.parse().unwrap());
        }
        let replies = cluster
            .watch(member)
            .unwrap()
            .watch(request)
            .await?
            .into_inner();
        let mut watch = Self { requests, replies };
        assert!(watch.next().await?.created);
        Ok(watch)
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<WatchResponse, Status> {
        let message = timeout(wait::DEADLINE, self.replies.message()).await;
        message
            .expect("a watch message in time")
            .map(|message| message.expect("an open stream"))
    }

    /// Values of the next `count` events, in order.
    pub(crate) async fn values(&mut self, count: usize) -> Vec<String> {
        let mut values = Vec::new();
        while values.len() < count {
            for event in self.next().await.unwrap().events {
                let value = event.kv.unwrap().value;
                values.push(String::from_utf8_lossy(&value).into_owned());
            }
        }
        values
    }
}

/// Watches one key from now on.
pub(crate) fn key(key: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: key.to_owned().into(),
        ..WatchCreateRequest::default()
    }
}
