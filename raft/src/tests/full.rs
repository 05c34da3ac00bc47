//! A full disk under the log of a member.

use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use quoin_wal::storage::FaultyStorage;

use super::harness::{Upper, within};
use super::register::{Disk, Register};
use crate::{Config, LogStore, Member, Node, StopReason, WalConfig};

async fn start(disk: &FaultyStorage) -> (Node, Disk) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let member = Member {
        id: 1,
        name: "m1".into(),
        peer_urls: vec![format!("http://{}", listener.local_addr().unwrap())],
        is_learner: false,
    };
    let mut config = Config::new(1, 7, vec![member], WalConfig::new("/wal".into()));
    config.wal.segment_bytes = 1 << 20;
    let store = LogStore::open_on(Arc::new(disk.clone()), &config).unwrap();
    let state = Disk::default();
    let register = Register::open(state.clone(), Some(store.durable()));
    let node = Node::start(config, store, register, vec![listener], Arc::new(Upper)).await;
    (node.unwrap(), state)
}

#[tokio::test]
async fn a_full_disk_stops_the_member_and_loses_nothing_acknowledged() {
    let disk = FaultyStorage::new(1);
    let (node, _) = start(&disk).await;
    within(node.propose(Bytes::from("k=before"))).await.unwrap();
    disk.limit_bytes(Some(disk.used_bytes() + 200_000));
    let mut acknowledged = 0;
    let refused = loop {
        let payload = format!("k{acknowledged}={}", "v".repeat(20_000));
        match within(node.propose(Bytes::from(payload))).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "the disk never filled");
    };
    let StopReason::Fatal(text) = within(node.stopped()).await else {
        panic!("stopped without a failure; {refused}");
    };
    for part in ["/wal/", "make room on this volume"] {
        assert!(text.contains(part), "{part} in: {text}");
    }
    within(node.shutdown()).await;
    disk.limit_bytes(None);
    let (node, state) = start(&disk).await;
    within(node.propose(Bytes::from("k=after"))).await.unwrap();
    let values = state.live.lock().values.clone();
    assert_eq!(values.get("k").map(String::as_str), Some("after"));
    for number in 0..acknowledged {
        assert!(
            values.contains_key(&format!("k{number}")),
            "{number} is lost"
        );
    }
    within(node.shutdown()).await;
}
