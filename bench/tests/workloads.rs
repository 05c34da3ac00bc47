//! Every workload against a real server, for a moment.
//!
//! A load generator that silently does nothing would show a fast server. So
//! each workload has to complete operations and to fail in none, and those that
//! carry rows or events have to see them.
#![expect(clippy::unwrap_used, reason = "a failing test is its error path")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use quoin_bench::{
    load::{self, Options, Outcome},
    workload::{
        Workload,
        catch_up::CatchUps,
        keys::{Keys, Prefix},
        lease::{Grants, KeepAlives},
        mixed::Mixed,
        put::Puts,
        range::{Ranges, Rows},
        txn::Txns,
        watch::{Fan, Watches},
    },
};
use quoin_tests::cluster::{Cluster, Options as ClusterOptions};

/// Bytes of every value.
const VALUE_BYTES: usize = 64;

/// Keys of every space.
const KEYS_COUNT: u64 = 300;

/// One server and how loads are put on it.
struct Server {
    cluster: Cluster,
    options: Options,
}

impl Server {
    async fn start() -> Self {
        let mut cluster = Cluster::start(ClusterOptions::new(1)).await.unwrap();
        let member = cluster.member(0).unwrap();
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, member.client_port));
        let folder = member.data.clone();
        let options = Options {
            endpoints: vec![endpoint],
            clients_count: 8,
            connections_count: 4,
            threads_count: 2,
            rate: None,
            warm_up: Duration::from_millis(50),
            duration: Some(Duration::from_millis(400)),
            pids: vec![cluster.process(0).unwrap().id()],
            folder: Some(folder),
            seed: 1,
        };
        Self { cluster, options }
    }

    fn run(&self, workload: &Workload) -> Outcome {
        let outcome = load::run(&self.options, workload).unwrap();
        let recorder = &outcome.recorder;
        assert_eq!(recorder.first_error, None, "{}", workload.name());
        assert_eq!(recorder.errors_count, 0, "{}", workload.name());
        assert!(recorder.operations_count > 0, "{}", workload.name());
        outcome
    }

    fn fill(&self, prefix: Prefix) -> Keys {
        let keys = Keys::new(prefix, KEYS_COUNT);
        let options = Options {
            duration: None,
            ..self.options.clone()
        };
        let filled = load::run(&options, &Workload::fill(keys, VALUE_BYTES)).unwrap();
        assert_eq!(filled.recorder.operations_count, KEYS_COUNT);
        keys
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn writes_and_leases_complete() {
    let mut server = Server::start().await;
    let keys = Keys::new(Prefix::Written, KEYS_COUNT);
    let puts = server.run(&Workload::Put(Puts::new(keys, VALUE_BYTES, true)));
    assert!(puts.has_peaks && puts.servers.len() == 1);
    server.run(&Workload::Txn(Txns::new(keys, VALUE_BYTES)));
    let ttl_seconds = 60;
    server.run(&Workload::Grant(Grants { ttl_seconds }));
    server.run(&Workload::KeepAlive(KeepAlives { ttl_seconds }));
    server.options.rate = Some(100.0);
    let large = Puts::new(keys, 1 << 20, false);
    server.options.clients_count = 2;
    server.run(&Workload::Put(large));
    server.cluster.kill_all().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reads_carry_all_their_rows() {
    let server = Server::start().await;
    let keys = server.fill(Prefix::Read);
    for (rows, each) in [
        (Rows::One, 1),
        (Rows::Some(40), 40),
        (Rows::All, KEYS_COUNT),
    ] {
        for (serializable, streamed) in [(false, false), (true, false), (false, true)] {
            let outcome = server.run(&Workload::Range(Ranges {
                keys,
                rows,
                serializable,
                streamed,
            }));
            let recorder = &outcome.recorder;
            assert_eq!(recorder.rows_count, recorder.operations_count * each);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn watchers_see_events() {
    let mut server = Server::start().await;
    let prefix = server.fill(Prefix::History).prefix;
    let outcome = server.run(&Workload::CatchUp(CatchUps { prefix }));
    let recorder = &outcome.recorder;
    assert_eq!(recorder.rows_count, recorder.operations_count * KEYS_COUNT);
    let objects = server.fill(Prefix::Object);
    let outcome = server.run(&Workload::Mixed(Mixed::new(2, objects, VALUE_BYTES)));
    assert!(outcome.recorder.rows_count > 0);
    let fan = Fan {
        watchers_count: 20,
        streams_count: 5,
        keys_count: 2,
    };
    server.options.rate = Some(200.0);
    server.run(&Workload::Watch(Watches::new(fan, VALUE_BYTES)));
}
