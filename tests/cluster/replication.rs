//! What is done on one member is seen on every other.

use quoin_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest, PutRequest,
    WatchCreateRequest,
};
use quoin_tests::cluster::{Cluster, Options};

use crate::support::{CALM, Watch, assert_members_agree, get, key, put, put_once};

#[tokio::test]
async fn a_put_on_any_member_is_read_on_every_member() {
    let cluster = Cluster::start(Options::new(3).flags(CALM)).await.unwrap();
    for writer in 0..3 {
        let name = format!("from {writer}");
        put(&cluster, writer, &name, "value").await;
        for reader in 0..3 {
            assert_eq!(get(&cluster, reader, &name).await.as_deref(), Some("value"));
        }
    }
    assert_members_agree(&cluster).await;
}

#[tokio::test]
async fn a_watch_on_any_member_sees_writes_of_every_member() {
    let cluster = Cluster::start(Options::new(3).flags(CALM)).await.unwrap();
    let mut watches = Vec::new();
    for member in 0..3 {
        watches.push(Watch::open(&cluster, member, key("w")).await);
    }
    let mut expected = Vec::new();
    for number in 0..12 {
        let value = number.to_string();
        put_once(&cluster, number % 3, "w", &value).await;
        expected.push(value);
    }
    for watch in &mut watches {
        assert_eq!(watch.values(12).await, expected);
    }
    let history = WatchCreateRequest {
        start_revision: 1,
        ..key("w")
    };
    let mut late = Watch::open(&cluster, 1, history).await;
    assert_eq!(late.values(12).await, expected);
}

#[tokio::test]
async fn a_watch_outlives_the_leader_and_misses_nothing() {
    let mut cluster = Cluster::start(Options::new(3).flags(CALM)).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let member = (leader + 1) % 3;
    let mut watch = Watch::open(&cluster, member, key("w")).await;
    put_once(&cluster, leader, "w", "before").await;
    cluster.kill(leader).unwrap();
    cluster.wait_leader().await.unwrap();
    put_once(&cluster, member, "w", "after").await;
    assert_eq!(watch.values(2).await, ["before", "after"]);
}

#[tokio::test]
async fn a_lease_is_renewed_and_looked_up_on_every_member() {
    let cluster = Cluster::start(Options::new(3).flags(CALM)).await.unwrap();
    let grant = LeaseGrantRequest { ttl: 60, id: 7 };
    cluster.lease(0).unwrap().lease_grant(grant).await.unwrap();
    let attached = PutRequest {
        key: "k".into(),
        lease: 7,
        ..PutRequest::default()
    };
    cluster.kv(1).unwrap().put(attached).await.unwrap();
    for member in 0..3 {
        let mut lease = cluster.lease(member).unwrap();
        let renew = tokio_stream::iter([LeaseKeepAliveRequest { id: 7 }]);
        let mut renewed = lease.lease_keep_alive(renew).await.unwrap().into_inner();
        assert_eq!(renewed.message().await.unwrap().unwrap().ttl, 60);
        let look = LeaseTimeToLiveRequest { id: 7, keys: true };
        let found = lease.lease_time_to_live(look).await.unwrap().into_inner();
        assert_eq!(
            (found.granted_ttl, found.keys.len()),
            (60, 1),
            "member {member}"
        );
        assert!(
            (55..=60).contains(&found.ttl),
            "member {member}: {}",
            found.ttl
        );
    }
}

#[tokio::test]
async fn a_lease_outlives_the_leader_and_then_expires() {
    let mut cluster = Cluster::start(Options::new(3).flags(CALM)).await.unwrap();
    let leader = cluster.wait_leader().await.unwrap();
    let member = (leader + 1) % 3;
    let grant = LeaseGrantRequest { ttl: 5, id: 7 };
    cluster
        .lease(leader)
        .unwrap()
        .lease_grant(grant)
        .await
        .unwrap();
    let mut watch = Watch::open(&cluster, member, key("k")).await;
    let attached = PutRequest {
        key: "k".into(),
        lease: 7,
        ..PutRequest::default()
    };
    cluster.kv(member).unwrap().put(attached).await.unwrap();
    assert_eq!(watch.values(1).await, [""]);
    cluster.kill(leader).unwrap();
    cluster.wait_leader().await.unwrap();
    let expired = watch.next().await.unwrap();
    assert_eq!(expired.events[0].r#type, 1, "a delete event");
    assert_eq!(get(&cluster, member, "k").await, None);
}
