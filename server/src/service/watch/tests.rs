//! Tests of the call: texts, headers, and how it ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use quoin_proto::etcdserverpb::watch_request::RequestUnion;
use quoin_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
};
use quoin_proto::raw::WatchResponse;
use tonic::{Code, Status};

use crate::agreement::Quarantine;
use crate::service::status;
use crate::watch::testing::MemoryHistory;
use crate::watch::{Config, Hub};

use super::LeaderLoss;
use super::stream::{Ends, ResponseStream};

/// A call whose client is the test.
struct Call {
    history: Arc<MemoryHistory>,
    hub: Hub,
    client: Client,
    responses: ResponseStream<Client>,
}

/// The client's side: what it sent and the call has not read.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Sent>>);

#[derive(Default)]
struct Sent {
    requests: VecDeque<Result<WatchRequest, Status>>,
    is_half_closed: bool,
    /// Times the call looked for requests.
    polls_count: usize,
    waker: Option<Waker>,
}

impl Client {
    fn change(&self, f: impl FnOnce(&mut Sent)) {
        let mut sent = self.0.lock().unwrap();
        f(&mut sent);
        let waker = sent.waker.take();
        drop(sent);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn send(&self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        self.change(|sent| sent.requests.push_back(Ok(request)));
    }

    fn create(&self, request: WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request));
    }
}

impl Stream for Client {
    type Item = Result<WatchRequest, Status>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let mut sent = self.0.lock().unwrap();
        sent.polls_count += 1;
        match sent.requests.pop_front() {
            Some(request) => Poll::Ready(Some(request)),
            None if sent.is_half_closed => Poll::Ready(None),
            None => {
                sent.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Call {
    /// A call by a client that insists on a leader if `loss` is given.
    fn start(loss: Option<&LeaderLoss>, tick_interval: Duration) -> Self {
        let history = MemoryHistory::new();
        let hub = Hub::new(history.clone(), Config::default());
        let runner = hub.clone();
        tokio::spawn(async move { runner.run().await });
        let client = Client::default();
        let header = Arc::new(|revision| ResponseHeader {
            cluster_id: 10,
            member_id: 20,
            revision,
            raft_term: 30,
        });
        let permit = Box::new(|key: &[u8], range_end: &[u8]| match (key, range_end) {
            (b"secret", b"") => Err(Status::permission_denied("etcdserver: permission denied")),
            (b"token", b"z") => Err(Status::unauthenticated("etcdserver: invalid auth token")),
            _ => Ok(()),
        });
        let leader_lost = loss.map(LeaderLoss::next_loss);
        let ends = Ends {
            closed: hub.closed(),
            leader_lost,
            quarantine: Quarantine::open(std::path::Path::new("none")).unwrap(),
        };
        let stream = hub.stream();
        let responses =
            ResponseStream::new(client.clone(), stream, header, permit, ends, tick_interval);
        Self {
            history,
            hub,
            client,
            responses,
        }
    }

    fn quiet() -> Self {
        Self::start(None, Duration::from_secs(600))
    }

    fn put(&self, key: &str) {
        let committed = self.history.put(key, "value");
        self.hub.publish(vec![committed]);
    }

    /// The next response, without the parts of its header that never differ.
    async fn response(&mut self) -> WatchResponse {
        let mut response = self.item().await.unwrap();
        let header = response.header.as_mut().unwrap();
        assert_eq!(
            (header.cluster_id, header.member_id, header.raft_term),
            (10, 20, 30)
        );
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
        response
    }

    async fn item(&mut self) -> Result<WatchResponse, Status> {
        let next = self.responses.next();
        tokio::time::timeout(Duration::from_secs(60), next)
            .await
            .unwrap()
            .unwrap()
    }

    /// The status that ends the call; nothing comes after it.
    async fn end(&mut self) -> Status {
        let status = self.item().await.unwrap_err();
        assert!(self.responses.next().await.is_none());
        status
    }
}

fn on(key: &'static str, range_end: &'static str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(range_end.as_bytes()),
        ..WatchCreateRequest::default()
    }
}

fn at(revision: i64) -> WatchResponse {
    let header = ResponseHeader {
        revision,
        ..ResponseHeader::default()
    };
    WatchResponse {
        header: Some(header),
        ..WatchResponse::default()
    }
}

fn refused(reason: &str) -> WatchResponse {
    WatchResponse {
        watch_id: -1,
        created: true,
        canceled: true,
        cancel_reason: reason.to_owned(),
        ..at(1)
    }
}

#[tokio::test]
async fn a_watcher_lives_from_created_to_canceled() {
    let mut call = Call::quiet();
    call.client.create(on("k", ""));
    assert_eq!(
        call.response().await,
        WatchResponse {
            created: true,
            ..at(1)
        }
    );
    call.put("k");
    let response = call.response().await;
    assert_eq!(
        (
            response.header.as_ref().unwrap().revision,
            response.events.len()
        ),
        (2, 1)
    );
    call.client
        .send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    assert_eq!(
        call.response().await,
        WatchResponse {
            watch_id: -1,
            ..at(2)
        }
    );
    call.client
        .send(RequestUnion::CancelRequest(WatchCancelRequest {
            watch_id: 0,
        }));
    assert_eq!(
        call.response().await,
        WatchResponse {
            canceled: true,
            ..at(2)
        }
    );
}

#[tokio::test]
async fn refusals_have_etcds_texts() {
    let mut call = Call::quiet();
    call.client.create(WatchCreateRequest {
        start_revision: -1,
        ..on("k", "")
    });
    call.client.create(on("b", "a"));
    call.client.create(on("secret", ""));
    call.client.create(on("token", "z"));
    call.client.create(WatchCreateRequest {
        watch_id: 7,
        ..on("k", "")
    });
    call.client.create(WatchCreateRequest {
        watch_id: 7,
        ..on("k", "")
    });
    for reason in [
        "etcdserver: mvcc: required revision has been compacted",
        "mvcc: watcher range is empty",
        "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
        "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
    ] {
        assert_eq!(call.response().await, refused(reason));
    }
    assert_eq!(
        call.response().await,
        WatchResponse {
            watch_id: 7,
            created: true,
            ..at(1)
        }
    );
    let duplicate = refused("mvcc: duplicate watch ID provided on the WatchStream");
    assert_eq!(call.response().await, duplicate);
}

#[tokio::test]
async fn a_compacted_start_is_canceled_with_revision_zero() {
    let mut call = Call::quiet();
    for _ in 0..4 {
        call.put("k");
    }
    call.history.compact(4);
    call.client.create(WatchCreateRequest {
        start_revision: 2,
        ..on("k", "")
    });
    assert_eq!(
        call.response().await,
        WatchResponse {
            created: true,
            ..at(5)
        }
    );
    let expected = WatchResponse {
        canceled: true,
        compact_revision: 4,
        ..at(0)
    };
    assert_eq!(call.response().await, expected);
}

#[tokio::test]
async fn an_empty_key_stands_for_the_first_key() {
    let mut call = Call::quiet();
    call.client.create(on("", ""));
    call.client.create(on("", "\0"));
    for watch_id in 0..2 {
        assert_eq!(
            call.response().await,
            WatchResponse {
                watch_id,
                created: true,
                ..at(1)
            }
        );
    }
    call.put("k");
    assert_eq!(call.response().await.watch_id, 1);
    call.put("\0");
    let mut ids = [
        call.response().await.watch_id,
        call.response().await.watch_id,
    ];
    ids.sort_unstable();
    assert_eq!(ids, [0, 1]);
}

#[tokio::test]
async fn filters_are_read_and_unknown_ones_ignored() {
    let mut call = Call::quiet();
    call.client.create(WatchCreateRequest {
        filters: vec![0, 9],
        ..on("k", "")
    });
    call.client.create(WatchCreateRequest {
        filters: vec![1, -1],
        ..on("k", "")
    });
    for _ in 0..2 {
        assert!(call.response().await.created);
    }
    call.put("k");
    assert_eq!(call.response().await.watch_id, 1);
    let committed = call.history.delete("k");
    call.hub.publish(vec![committed]);
    assert_eq!(call.response().await.watch_id, 0);
}

#[tokio::test]
async fn a_half_closed_stream_keeps_delivering() {
    let mut call = Call::quiet();
    call.client.create(on("k", ""));
    call.client.change(|sent| sent.is_half_closed = true);
    assert!(call.response().await.created);
    for revision in 2..5 {
        call.put("k");
        assert_eq!(call.response().await.header.unwrap().revision, revision);
    }
}

#[tokio::test]
async fn requests_without_content_are_ignored() {
    let mut call = Call::quiet();
    call.client.change(|sent| {
        sent.requests.push_back(Ok(WatchRequest {
            request_union: None,
        }))
    });
    call.client
        .send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    call.client
        .send(RequestUnion::CancelRequest(WatchCancelRequest {
            watch_id: 0,
        }));
    call.client.create(on("k", ""));
    assert!(call.response().await.created);
}

#[tokio::test]
async fn a_flood_of_requests_is_read_to_its_end() {
    let mut call = Call::quiet();
    for _ in 0..1000 {
        call.client
            .send(RequestUnion::CancelRequest(WatchCancelRequest {
                watch_id: 0,
            }));
    }
    for _ in 0..1000 {
        call.client.create(on("k", ""));
    }
    for watch_id in 0..1000 {
        assert_eq!(
            call.response().await,
            WatchResponse {
                watch_id,
                created: true,
                ..at(1)
            }
        );
    }
}

#[tokio::test]
async fn progress_is_notified_on_its_own() {
    let mut call = Call::start(None, Duration::from_millis(20));
    call.client.create(WatchCreateRequest {
        progress_notify: true,
        ..on("k", "")
    });
    assert!(call.response().await.created);
    for _ in 0..3 {
        assert_eq!(call.response().await, at(1));
    }
}

#[tokio::test]
async fn a_cancelled_call_ends_with_etcds_status() {
    let mut call = Call::quiet();
    call.client.create(on("k", ""));
    assert!(call.response().await.created);
    call.client
        .change(|sent| sent.requests.push_back(Err(Status::cancelled("h2 words"))));
    let status = call.end().await;
    assert_eq!(status.code(), Code::Cancelled);
    assert_eq!(status.message(), "etcdserver: watch canceled");
}

#[tokio::test]
async fn a_message_too_large_is_reported_in_grpc_gos_words() {
    let mut call = Call::quiet();
    let words =
        "Error, decoded message length too large: found 3000 bytes, the limit is: 2000 bytes";
    call.client
        .change(|sent| sent.requests.push_back(Err(Status::out_of_range(words))));
    let status = call.end().await;
    let expected = status::message_too_large(3000, 2000);
    assert_eq!(
        (status.code(), status.message()),
        (expected.code(), expected.message())
    );
}

#[tokio::test]
async fn the_loss_of_the_leader_ends_calls_that_insist_on_one() {
    let loss = LeaderLoss::new();
    let mut insisting = Call::start(Some(&loss), Duration::from_secs(600));
    let mut indifferent = Call::quiet();
    for call in [&mut insisting, &mut indifferent] {
        call.client.create(on("k", ""));
        assert!(call.response().await.created);
    }
    for _ in 0..3 {
        loss.sample(false);
    }
    let status = insisting.end().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "etcdserver: no leader");
    indifferent.put("k");
    assert_eq!(indifferent.response().await.events.len(), 1);
}

#[tokio::test]
async fn shutdown_ends_every_call() {
    let mut call = Call::quiet();
    call.client.create(on("k", ""));
    assert!(call.response().await.created);
    call.hub.close();
    let status = call.end().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "etcdserver: server stopped");
}

#[tokio::test]
async fn a_vanished_client_leaves_nothing_behind() {
    let mut call = Call::quiet();
    for _ in 0..5 {
        call.client.create(on("k", "z"));
    }
    for _ in 0..5 {
        assert!(call.response().await.created);
    }
    assert_eq!(call.hub.metrics().watchers_count, 5);
    let Call { hub, responses, .. } = call;
    drop(responses);
    let metrics = hub.metrics();
    assert_eq!((metrics.streams_count, metrics.watchers_count), (0, 0));
}

#[tokio::test]
async fn delivering_events_does_not_look_for_requests() {
    let mut call = Call::quiet();
    call.client.create(on("k", ""));
    assert!(call.response().await.created);
    let polls_before = call.client.0.lock().unwrap().polls_count;
    for _ in 0..50 {
        call.put("k");
        assert_eq!(call.response().await.events.len(), 1);
    }
    assert!(call.client.0.lock().unwrap().polls_count <= polls_before + 1);
}
