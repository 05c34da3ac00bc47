//! Which calls move on to another member, and which must not.

use std::time::Duration;

use tonic::Status;

use super::fake::{Cluster, Member, closed_endpoint};
use crate::{Client, Config, EndpointError, Error, Get, Put, ServerErrorKind};

#[tokio::test]
async fn calls_go_to_a_member_that_answers() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let endpoints = [
        closed_endpoint().await,
        member.endpoint(),
        closed_endpoint().await,
    ];
    // Whichever endpoint is asked first.
    for _ in 0..4 {
        let client = Client::new(Config::new(endpoints.clone())).unwrap();
        client.put(Put::new("a", "1")).await.unwrap();
        assert_eq!(client.get(Get::key("a")).await.unwrap().count, 1);
    }
    assert_eq!(cluster.writes_count(), 4);
}

#[tokio::test]
async fn a_read_is_repeated_when_its_reply_is_lost() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    cluster.put("a", "1");
    cluster.state.lock().unwrap().replies_lost_count = 2;
    assert_eq!(client.get(Get::key("a")).await.unwrap().count, 1);
    assert_eq!(cluster.state.lock().unwrap().reads_count, 3);
}

#[tokio::test]
async fn a_write_is_not_repeated_when_its_reply_is_lost() {
    let cluster = Cluster::new();
    let (one, other) = (Member::start(&cluster).await, Member::start(&cluster).await);
    let client = Client::new(Config::new([one.endpoint(), other.endpoint()])).unwrap();
    cluster.state.lock().unwrap().replies_lost_count = 1;
    let error = client.put(Put::new("a", "1")).await.unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error:?}");
    assert!(!error.certainly_not_executed());
    assert_eq!(cluster.writes_count(), 1);
    client.put(Put::new("a", "2")).await.unwrap();
}

#[tokio::test]
async fn a_connection_lost_between_calls_costs_a_write_nothing_once_noticed() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    client.put(Put::new("a", "1")).await.unwrap();
    member.break_connections();
    // The read notices and reconnects, however often it has to.
    client.get(Get::key("a")).await.unwrap();
    client.put(Put::new("a", "2")).await.unwrap();
    assert_eq!(cluster.writes_count(), 2);
}

#[tokio::test]
async fn a_write_refused_for_want_of_a_leader_is_sent_again() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    let refusal = Status::unavailable("etcdserver: no leader");
    cluster.state.lock().unwrap().refusal = Some(refusal);
    client.put(Put::new("a", "1")).await.unwrap();
    assert_eq!(cluster.writes_count(), 1);
}

#[tokio::test]
async fn a_write_that_timed_out_at_the_server_is_not_sent_again() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    let refusal = Status::unavailable("etcdserver: request timed out");
    cluster.state.lock().unwrap().refusal = Some(refusal);
    let error = client.put(Put::new("a", "1")).await.unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::Timeout));
    assert_eq!(cluster.writes_count(), 0);
}

#[tokio::test]
async fn when_nobody_listens_the_error_says_that_nothing_was_sent() {
    let mut config = Config::new([closed_endpoint().await]);
    config.request_timeout = Some(Duration::from_millis(300));
    let client = Client::new(config).unwrap();
    let error = client.put(Put::new("a", "1")).await.unwrap_err();
    let Error::Timeout {
        source: Some(source),
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(matches!(**source, Error::Unreachable { .. }), "{source:?}");
    assert!(error.certainly_not_executed());
}

#[tokio::test]
async fn large_replies_are_accepted() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    cluster.put("large", vec![7; 16 * 1024 * 1024]);
    let reply = client.get(Get::key("large")).await.unwrap();
    assert_eq!(reply.kvs[0].value.len(), 16 * 1024 * 1024);
}

#[tokio::test]
async fn a_leader_is_required_where_configured() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    for require_leader in [true, false] {
        let config = Config {
            require_leader,
            ..Config::new([member.endpoint()])
        };
        let client = Client::new(config).unwrap();
        client.get(Get::key("a")).await.unwrap();
        assert_eq!(
            cluster.state.lock().unwrap().leader_required,
            require_leader
        );
        cluster.state.lock().unwrap().refusal = Some(Status::unavailable("etcdserver: no leader"));
        let refused = client
            .get(Get::key("a"))
            .await
            .err()
            .and_then(|e| e.server_kind());
        assert_eq!(refused, require_leader.then_some(ServerErrorKind::NoLeader));
    }
}

#[tokio::test]
async fn endpoints_that_cannot_be_used_are_refused_at_once() {
    let refused =
        |endpoints: &[&str]| Client::new(Config::new(endpoints.iter().copied())).unwrap_err();
    assert_eq!(refused(&[]), EndpointError::None);
    let error = refused(&["127.0.0.1:1", "https://127.0.0.1:2"]);
    assert!(
        matches!(error, EndpointError::SchemeUnsupported { .. }),
        "{error:?}"
    );
}
