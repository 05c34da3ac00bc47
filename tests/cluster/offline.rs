//! Members whose directories were made from a state instead of by a first boot.

use std::sync::Arc;

use quoin_server::{
    backend::{self, Applied, Backend, Durability, EngineKind},
    mvcc::{Previous, Store},
    offline::{Founder, NewDirectory},
};
use quoin_tests::cluster::{Cluster, Options};

use crate::support::{assert_members_agree, get, put, revision};

/// Keys of the state that the members are made from.
const KEYS: usize = 500;

struct NoLog;

impl Durability for NoLog {
    fn wait_durable(&self, _: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A state in memory, without any log or members.
fn state() -> Backend {
    let config = backend::Config::new("unused", EngineKind::Memory, backend::Identity::default());
    let backend = Backend::open(config, Arc::new(NoLog)).unwrap();
    let store = Store::open(backend.clone()).unwrap();
    let mut tx = store.write();
    for number in 0..KEYS {
        let key = format!("old/{number}");
        tx.put(key.into(), b"kept", 0, Previous::Skip).unwrap();
        tx.end();
    }
    tx.commit((1, 1));
    backend
}

/// Makes the directory of one member that is prepared but has not run.
fn make(cluster: &Cluster, position: usize, engine: &str, state: &Backend) {
    let member = cluster.member(position).unwrap();
    let all = (0..cluster.members_count()).map(|position| cluster.member(position).unwrap());
    let all = all.map(|member| format!("{}={}", member.name, member.peer_url()));
    let flags = [
        format!("--name={}", member.name),
        format!("--data-dir={}", member.data.display()),
        format!("--initial-advertise-peer-urls={}", member.peer_url()),
        format!("--initial-cluster={}", all.collect::<Vec<_>>().join(",")),
        format!("--backend-engine={engine}"),
    ];
    let founder = Founder::from_flags(&flags).unwrap();
    let mut directory = NewDirectory::create(founder).unwrap();
    directory.write_all(state.snapshot(), &mut |_| {}).unwrap();
    directory.finish(Applied { index: 1, term: 1 }).unwrap();
}

async fn made_members_serve(members_count: usize, engine: &str) {
    let flag = format!("--backend-engine={engine}");
    let options = Options::new(members_count).flags([flag.as_str()]);
    let mut cluster = Cluster::prepare(options).unwrap();
    let state = state();
    (0..members_count).for_each(|position| make(&cluster, position, engine, &state));
    for round in 0..2 {
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
        let before = i64::try_from(KEYS).unwrap() + 1 + round;
        for member in 0..members_count {
            assert_eq!(revision(&cluster, member).await, before);
            assert_eq!(get(&cluster, member, "old/7").await.unwrap(), "kept");
        }
        let key = format!("new/{round}");
        assert_eq!(put(&cluster, 0, &key, "written").await, before + 1);
        assert_members_agree(&cluster).await;
        assert_eq!(cluster.members(0).await.unwrap().len(), members_count);
        cluster.kill_all().unwrap();
    }
}

#[tokio::test]
async fn a_member_made_from_a_state_serves_it_and_restarts() {
    made_members_serve(1, "redb").await;
}

#[tokio::test]
async fn members_made_from_one_state_form_one_cluster() {
    made_members_serve(3, "sled").await;
}

#[tokio::test]
async fn a_cluster_made_from_a_state_grows() {
    let mut cluster = Cluster::prepare(Options::new(1)).unwrap();
    make(&cluster, 0, "sled", &state());
    cluster.start_all().unwrap();
    cluster.wait_ready().await.unwrap();
    let joined = cluster.grow(0).await.unwrap();
    assert_eq!(get(&cluster, joined, "old/499").await.unwrap(), "kept");
    put(&cluster, joined, "new", "written").await;
    assert_members_agree(&cluster).await;
}
