//! Leases end by the word of the one leader.

use std::time::Duration;

use quoin_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest, PutRequest,
};
use quoin_tests::{
    cluster::{Cluster, Options},
    wait,
};

use crate::support::{Watch, get, key};

/// Seconds that the lease lives without a renewal.
const TTL: i64 = 2;

/// Renewals that are awaited while the leader stands still: longer than the TTL.
const RENEWALS_COUNT: usize = 12;

/// Pause between two renewals, a fraction of the TTL.
const PAUSE: Duration = Duration::from_millis(250);

/// Renews the lease until that has succeeded `count` times.
async fn renew(cluster: &Cluster, member: usize, count: usize) {
    let mut renewed = 0;
    let enough = wait::until("renewals", wait::DEADLINE, async || {
        let mut client = cluster.lease(member).unwrap();
        let once = tokio_stream::once(LeaseKeepAliveRequest { id: 9 });
        let mut replies = match client.lease_keep_alive(once).await {
            Ok(replies) => replies.into_inner(),
            Err(status) => return Err(status.to_string()),
        };
        match replies.message().await {
            Ok(Some(reply)) => {
                assert_eq!(reply.ttl, TTL, "revoked while it was renewed");
                renewed += 1;
            }
            other => return Err(format!("{other:?}")),
        }
        tokio::time::sleep(PAUSE).await;
        (renewed >= count).then_some(()).ok_or(renewed.to_string())
    });
    enough.await.unwrap();
}

/// etcd issues 12528 and 15247: a leader that had stalled, and had been replaced,
/// revoked leases that clients had renewed with its successor all along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_15247_a_stalled_old_leader_revokes_nothing() {
    let flags = ["--heartbeat-interval=50", "--election-timeout=400"];
    let mut cluster = Cluster::start(Options::new(3).flags(flags)).await.unwrap();
    let old = cluster.wait_leader().await.unwrap();
    let member = (old + 1) % 3;
    let grant = LeaseGrantRequest { ttl: TTL, id: 9 };
    let mut lease = cluster.lease(member).unwrap();
    lease.lease_grant(grant).await.unwrap();
    let put = PutRequest {
        key: "held".into(),
        lease: 9,
        ..PutRequest::default()
    };
    cluster.kv(member).unwrap().put(put).await.unwrap();
    let mut watch = Watch::open(&cluster, member, key("held")).await;
    cluster.process(old).unwrap().pause().unwrap();
    renew(&cluster, member, RENEWALS_COUNT).await;
    cluster.process(old).unwrap().resume().unwrap();
    renew(&cluster, member, RENEWALS_COUNT).await;
    assert!(get(&cluster, old, "held").await.is_some());
    let look = LeaseTimeToLiveRequest { id: 9, keys: true };
    let found = lease.lease_time_to_live(look).await.unwrap().into_inner();
    assert_eq!((found.granted_ttl, found.keys.len()), (TTL, 1));
    // Without renewals it ends, by the word of the new leader.
    let gone = watch.next().await.unwrap();
    assert_eq!(gone.events[0].r#type, 1, "a delete event");
}
