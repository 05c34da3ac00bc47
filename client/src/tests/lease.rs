//! Lease keepers.

use std::time::Duration;

use super::fake::{Cluster, Member};
use crate::{Client, Config, Error};

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_keeper_renews_until_the_lease_is_gone_and_then_says_so() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    cluster.state.lock().unwrap().renewals_left_count = 3;
    let mut keeper = client.keep_alive(7).await.unwrap();
    assert!(keeper.is_alive());
    for _ in 0..3 {
        let renewal = tokio::time::timeout(PATIENCE, keeper.renewed())
            .await
            .unwrap();
        assert_eq!(
            renewal.map(|renewal| (renewal.id, renewal.ttl)),
            Some((7, 1))
        );
    }
    let reason = tokio::time::timeout(PATIENCE, keeper.lost()).await.unwrap();
    assert!(
        matches!(*reason, Error::LeaseExpired { id: 7 }),
        "{reason:?}"
    );
    assert!(!keeper.is_alive());
    assert!(keeper.renewed().await.is_none());
}

#[tokio::test]
async fn a_renewal_whose_reply_is_lost_is_repeated() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    {
        let mut state = cluster.state.lock().unwrap();
        state.renewals_left_count = 100;
        state.replies_lost_count = 1;
    }
    assert_eq!(client.keep_alive_once(7).await.unwrap().ttl, 1);
}

#[tokio::test]
async fn a_keeper_without_a_member_gives_the_lease_up_after_its_time_to_live() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    cluster.state.lock().unwrap().renewals_left_count = 100;
    let mut keeper = client.keep_alive(7).await.unwrap();
    member.break_connections();
    drop(member);
    let reason = tokio::time::timeout(PATIENCE, keeper.lost()).await.unwrap();
    assert!(
        matches!(*reason, Error::LeaseExpired { id: 7 }),
        "{reason:?}"
    );
}

#[tokio::test]
async fn an_unknown_lease_cannot_be_kept() {
    let cluster = Cluster::new();
    let member = Member::start(&cluster).await;
    let client = Client::new(Config::new([member.endpoint()])).unwrap();
    let error = client.keep_alive(7).await.unwrap_err();
    assert!(matches!(error, Error::LeaseExpired { id: 7 }), "{error:?}");
}
