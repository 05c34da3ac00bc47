//! One suite for every transport, and links over each of them: order, size,
//! refusal, loss, silence.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frame::{Frame, FrameReader, Kind, OutFrame};
use super::handshake::welcome;
use super::memory::MemoryNetwork;
use super::vectored::FrameWriter;
use super::*;
use crate::log_store::entry_pool::EntryPool;
use crate::metrics::Metrics;
use crate::tests::harness::within;

/// Two ends of a network and the address of the second.
struct Pair {
    near: Arc<dyn Transport>,
    far: Arc<dyn Transport>,
    far_address: String,
}

fn memory() -> Pair {
    let network = MemoryNetwork::new();
    Pair {
        near: Arc::new(network.join("near:1")),
        far: Arc::new(network.join("far:1")),
        far_address: "far:1".into(),
    }
}

fn tcp() -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far_address = listener.local_addr().unwrap().to_string();
    Pair {
        near: Arc::new(TcpTransport::new(Vec::new())),
        far: Arc::new(TcpTransport::new(vec![listener])),
        far_address,
    }
}

async fn bytes_arrive_in_order_both_ways(pair: Pair) {
    let (near, far) = tokio::join!(pair.near.connect(&pair.far_address), pair.far.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    let data: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let there = async {
        near.writer.write_all(&data).await.unwrap();
        near.writer.flush().await.unwrap();
    };
    let mut received = vec![0; data.len()];
    within(async { tokio::join!(there, far.reader.read_exact(&mut received)) })
        .await
        .1
        .unwrap();
    assert_eq!(received, data);
    far.writer.write_all(b"back").await.unwrap();
    let mut answer = [0; 4];
    within(near.reader.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"back");
}

async fn a_closed_connection_ends(pair: Pair) {
    let (near, far) = tokio::join!(pair.near.connect(&pair.far_address), pair.far.accept());
    drop(near.unwrap());
    let mut byte = [0];
    let end = within(far.unwrap().reader.read(&mut byte)).await;
    assert!(matches!(end, Ok(0) | Err(_)));
}

async fn nobody_listening_is_an_error(pair: Pair) {
    drop(pair.far);
    let address = if pair.far_address.starts_with("far") {
        "nobody:1"
    } else {
        "127.0.0.1:1"
    };
    assert!(within(pair.near.connect(address)).await.is_err());
}

#[tokio::test]
async fn memory_fulfils_the_contract() {
    bytes_arrive_in_order_both_ways(memory()).await;
    a_closed_connection_ends(memory()).await;
    nobody_listening_is_an_error(memory()).await;
}

#[tokio::test]
async fn tcp_fulfils_the_contract() {
    bytes_arrive_in_order_both_ways(tcp()).await;
    a_closed_connection_ends(tcp()).await;
    nobody_listening_is_an_error(tcp()).await;
}

const CLUSTER: u64 = 7;

fn peers(transport: Arc<dyn Transport>, cluster_id: u64, member_id: u64) -> Peers {
    let metrics = Metrics::shared();
    let own = Identity {
        cluster_id,
        member_id,
    };
    Peers::new(PeersShared {
        own,
        transport,
        timing: Timing {
            connect_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_millis(20),
            dead_after: Duration::from_millis(300),
            keepalive: Duration::from_millis(400),
        },
        pool: EntryPool::new(Arc::clone(&metrics)),
        metrics,
        on_removed: Box::new(|| {}),
        is_removed: Box::new(|member| member == 13),
        roster: Box::new(move || Roster::new(own, Vec::new(), vec![13])),
    })
}

/// Answers every request with its payload; keeps one kind for itself.
#[derive(Clone)]
struct Echo;

struct EchoSession(Outbox);

impl Service for Echo {
    type Session = EchoSession;
    fn session(&self, _peer: u64, outbox: Outbox) -> EchoSession {
        EchoSession(outbox)
    }
}

impl Session for EchoSession {
    async fn handle(&mut self, frame: Frame) -> Result<(), String> {
        if frame.kind == Kind::Transfer {
            return Err("as asked".into());
        }
        let answer = OutFrame::new(Kind::RequestReply, frame.id, frame.payload);
        self.0.send(answer).await.map_err(|error| error.to_string())
    }
}

/// The far side as member 2.
fn serve(pair: &Pair) {
    let far = peers(Arc::clone(&pair.far), CLUSTER, 2);
    tokio::spawn(accept_loop(Arc::clone(far.shared()), Echo));
}

fn link(pair: &Pair, cluster_id: u64, from: u64, to: u64) -> Link {
    let urls = [format!("http://{}", pair.far_address)];
    peers(Arc::clone(&pair.near), cluster_id, from).link(to, Class::Bulk, &urls)
}

async fn requests_are_pipelined_and_answered_by_id(pair: Pair) {
    serve(&pair);
    let link = link(&pair, CLUSTER, 1, 2);
    let calls = (0..2000_u32).map(|number| {
        let (link, body) = (
            link.clone(),
            Bytes::from(vec![number as u8; number as usize]),
        );
        async move {
            let frame = link
                .call(Kind::Request, body.clone(), vec![body.clone()])
                .await
                .unwrap();
            assert_eq!(frame.payload, [body.clone(), body].concat());
        }
    });
    within(futures_util::future::join_all(calls)).await;
}

#[tokio::test]
async fn links_pipeline_over_memory_and_tcp() {
    requests_are_pipelined_and_answered_by_id(memory()).await;
    requests_are_pipelined_and_answered_by_id(tcp()).await;
}

#[tokio::test]
async fn strangers_are_refused_with_the_reason() {
    let pair = tcp();
    serve(&pair);
    for (cluster, from, to, expected) in [
        (8, 1, 2, "cluster id mismatch"),
        (CLUSTER, 1, 3, "member id mismatch"),
        (CLUSTER, 13, 2, "was removed"),
    ] {
        let link = link(&pair, cluster, from, to);
        let error = within(link.call(Kind::Request, Bytes::new(), Vec::new())).await;
        let Err(LinkError::NotSent(reason)) = error else {
            panic!("{error:?}")
        };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn who_asks_for_the_members_is_told_without_a_handshake() {
    let pair = tcp();
    serve(&pair);
    let url = format!("http://{}", pair.far_address);
    let roster = ask_roster(&url, Duration::from_secs(5)).await.unwrap();
    assert_eq!((roster.cluster_id, roster.member_id), (CLUSTER, 2));
    assert_eq!(roster.removed, [13]);
    let nobody = ask_roster("http://127.0.0.1:1", Duration::from_secs(5)).await;
    assert!(nobody.is_err());
}

#[tokio::test]
async fn a_broken_connection_loses_what_was_sent_and_is_made_again() {
    let pair = memory();
    serve(&pair);
    let link = link(&pair, CLUSTER, 1, 2);
    let lost = within(link.call(Kind::Transfer, Bytes::new(), Vec::new())).await;
    assert!(matches!(lost, Err(LinkError::Lost(_))), "{lost:?}");
    let again = within(link.call(Kind::Request, Bytes::from("x"), Vec::new())).await;
    assert_eq!(again.unwrap().payload, "x");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up() {
    let pair = tcp();
    let far = Arc::clone(&pair.far);
    // Greets, then reads nothing and answers nothing.
    tokio::spawn(async move {
        let connection = far.accept().await.unwrap();
        let pool = EntryPool::new(Metrics::shared());
        let mut reader = FrameReader::new(connection.reader, pool);
        let mut writer = FrameWriter::new(connection.writer, Metrics::shared());
        let own = Identity {
            cluster_id: CLUSTER,
            member_id: 2,
        };
        assert!(
            welcome(&mut reader, &mut writer, own, |_| false, Roster::default)
                .await
                .is_ok()
        );
        std::future::pending::<()>().await;
    });
    let link = link(&pair, CLUSTER, 1, 2);
    let calls = (0..300).map(|_| {
        link.call(
            Kind::Request,
            Bytes::new(),
            vec![Bytes::from(vec![0; 100_000])],
        )
    });
    for result in within(futures_util::future::join_all(calls)).await {
        assert!(result.is_err());
    }
}

#[tokio::test]
async fn a_peer_that_is_down_fails_fast() {
    let pair = memory();
    drop(pair.far);
    let urls = ["http://nobody:1".to_owned()];
    let link = peers(pair.near, CLUSTER, 1).link(2, Class::Bulk, &urls);
    for _ in 0..100 {
        let error = within(link.call(Kind::Request, Bytes::new(), Vec::new())).await;
        assert!(matches!(error, Err(LinkError::NotSent(_))));
    }
}
