//! Watchers over members that come and go.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use super::fake::{Cluster, Member, closed_endpoint};
use crate::{Client, Config, Error, ServerErrorKind, Watch, Watcher};

/// Longer than any test takes; a watcher that stops is found by it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Revisions of the next events, until there are `count` of them.
async fn revisions(watcher: &mut Watcher, count: usize) -> Vec<i64> {
    let mut revisions = Vec::new();
    while revisions.len() < count {
        let next = tokio::time::timeout(PATIENCE, watcher.next())
            .await
            .expect("an event is due");
        let response = next.expect("the watch goes on").unwrap();
        let events = response.events.iter().filter_map(|event| event.kv.as_ref());
        revisions.extend(events.map(|pair| pair.mod_revision));
    }
    revisions
}

async fn members(count: usize) -> (Arc<Cluster>, Vec<Member>, Client) {
    let cluster = Cluster::new();
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(Member::start(&cluster).await);
    }
    let client = Client::new(Config::new(members.iter().map(Member::endpoint))).unwrap();
    (cluster, members, client)
}

#[tokio::test]
async fn every_event_comes_once_and_in_order_while_connections_break() {
    let (cluster, members, client) = members(3).await;
    let mut watcher = client.watch(Watch::prefix("k")).await.unwrap();
    let writer = {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            for index in 0..100 {
                cluster.put(&format!("k{index}"), "v");
                tokio::task::yield_now().await;
            }
        })
    };
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(revisions(&mut watcher, 1).await);
        if seen.len() % 7 == 0 {
            members.iter().for_each(Member::break_connections);
        }
    }
    writer.await.unwrap();
    assert_eq!(seen, (2..102).collect::<Vec<_>>());
    let starts = cluster.state.lock().unwrap().watch_starts.clone();
    assert!(starts.len() > 1, "connections broke: {starts:?}");
}

#[tokio::test]
async fn changes_made_while_disconnected_are_delivered() {
    let (cluster, members, client) = members(1).await;
    cluster.put("k", "before");
    let mut watcher = client.watch("k").await.unwrap();
    cluster.put("k", "1");
    assert_eq!(revisions(&mut watcher, 1).await, [3]);
    members[0].break_connections();
    cluster.put("k", "2");
    cluster.put("k", "3");
    assert_eq!(revisions(&mut watcher, 2).await, [4, 5]);
}

#[tokio::test]
async fn a_watch_from_now_misses_nothing_if_its_connection_breaks_at_once() {
    let (cluster, members, client) = members(1).await;
    for _ in 0..3 {
        cluster.put("k", "before");
    }
    let mut watcher = client.watch("k").await.unwrap();
    members[0].break_connections();
    cluster.put("k", "after");
    assert_eq!(revisions(&mut watcher, 1).await, [5]);
    assert_eq!(cluster.state.lock().unwrap().watch_starts[0], 0);
}

#[tokio::test]
async fn a_watcher_overtaken_by_compaction_ends_with_the_oldest_revision() {
    let (cluster, members, client) = members(1).await;
    let mut watcher = client.watch("k").await.unwrap();
    cluster.put("k", "1");
    assert_eq!(revisions(&mut watcher, 1).await, [2]);
    cluster.state.lock().unwrap().compact_revision = 9;
    members[0].break_connections();
    let error = watcher.next().await.expect("an error first").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Compacted {
                compact_revision: 9,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(watcher.next().await.is_none());
}

#[tokio::test]
async fn a_watch_moves_past_a_member_that_is_down() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    for _ in 0..4 {
        let endpoints = [closed_endpoint().await, member.endpoint()];
        let client = Client::new(Config::new(endpoints)).unwrap();
        let mut watcher = client
            .watch(Watch::key("k").start_revision(1))
            .await
            .unwrap();
        let revision = cluster.put("k", "v");
        assert_eq!(
            revisions(&mut watcher, revision as usize - 1).await.last(),
            Some(&revision)
        );
    }
}

#[tokio::test]
async fn a_refusal_for_want_of_a_leader_is_waited_out() {
    let (cluster, members, client) = members(1).await;
    let mut watcher = client.watch("k").await.unwrap();
    let refusal = Status::unavailable("etcdserver: no leader");
    cluster.state.lock().unwrap().refusal = Some(refusal);
    members[0].break_connections();
    let revision = cluster.put("k", "v");
    assert_eq!(revisions(&mut watcher, 1).await, [revision]);
    assert!(cluster.state.lock().unwrap().refusal.is_none());
}

#[tokio::test]
async fn progress_is_reported_when_asked_for() {
    let (cluster, _members, client) = members(1).await;
    let mut watcher = client.watch("k").await.unwrap();
    cluster.put("k", "1");
    assert_eq!(revisions(&mut watcher, 1).await, [2]);
    watcher.request_progress().unwrap();
    let response = tokio::time::timeout(PATIENCE, watcher.next())
        .await
        .unwrap();
    let response = response.expect("the watch goes on").unwrap();
    assert!(response.events.is_empty());
    assert_eq!(response.header.map(|header| header.revision), Some(2));
}

#[tokio::test]
async fn a_watch_that_the_server_refuses_is_not_started() {
    let (cluster, _members, client) = members(1).await;
    let refusal = Status::permission_denied("etcdserver: permission denied");
    cluster.state.lock().unwrap().refusal = Some(refusal);
    let error = client.watch("k").await.unwrap_err();
    assert_eq!(error.server_kind(), Some(ServerErrorKind::PermissionDenied));
}
