//! Members for tests: started, stopped and started again on the same disks.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quoin_wal::storage::FaultyStorage;
use tempfile::TempDir;

use super::register::{Disk, Register};
use crate::transport::memory::MemoryNetwork;
use crate::{Config, LeaderHandler, LogStore, Member, Node, WalConfig};

/// Longest wait for anything that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Answers with the request in upper case.
pub(crate) struct Upper;

impl LeaderHandler for Upper {
    fn handle(&self, payload: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        async move { Ok(payload.to_ascii_uppercase().into()) }.boxed()
    }
}

/// How the members reach each other.
#[derive(Clone)]
pub(crate) enum Net {
    Memory(MemoryNetwork),
    Tcp,
}

/// One member and its disks.
pub(crate) struct TestMember {
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    pub(crate) node: Option<Node>,
    pub(crate) store: Option<LogStore>,
    pub(crate) net: Net,
    pub(crate) address: String,
    pub(crate) listener: Option<TcpListener>,
    /// What the log is on, if not on files.
    pub(crate) storage: Option<FaultyStorage>,
    _directory: Arc<TempDir>,
}

impl TestMember {
    pub(crate) async fn start(&mut self) {
        let store = match &self.storage {
            Some(storage) => LogStore::open_on(Arc::new(storage.clone()), &self.config),
            None => LogStore::open(&self.config),
        };
        let store = store.unwrap();
        self.store = Some(store.clone());
        let register = Register::open(self.disk.clone(), Some(store.durable()));
        let config = self.config.clone();
        let node = match &self.net {
            Net::Memory(network) => {
                let transport = Arc::new(network.join(&self.address));
                Node::start_on(config, store, register, transport, Arc::new(Upper)).await
            }
            Net::Tcp => {
                let bind = || TcpListener::bind(&self.address).unwrap();
                let listener = self.listener.take().unwrap_or_else(bind);
                Node::start(config, store, register, vec![listener], Arc::new(Upper)).await
            }
        };
        self.node = Some(node.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        self.store = None;
        if let Some(node) = self.node.take() {
            within(node.shutdown()).await;
            assert_eq!(node.metrics().proposals_pending.value(), 0);
        }
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.disk.live.lock().values.get(name).cloned()
    }

    /// A linearizable read on this member.
    pub(crate) async fn read(&self, name: &str) -> Option<String> {
        let index = within(self.node().read_index(1)).await.unwrap();
        self.wait_applied(index).await;
        self.value(name)
    }

    pub(crate) async fn wait_applied(&self, index: u64) {
        until(|| self.node().status().applied_index >= index).await;
    }
}

/// Several members.
pub(crate) struct Cluster {
    pub(crate) members: Vec<TestMember>,
}

impl Cluster {
    /// Prepares members 1..=count; `tune` adjusts each configuration.
    pub(crate) fn new(net: &Net, count: u64, tune: impl Fn(&mut Config)) -> Self {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for id in 1..=count {
            match net {
                Net::Memory(_) => addresses.push(format!("member{id}:1")),
                Net::Tcp => {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    addresses.push(listener.local_addr().unwrap().to_string());
                    listeners.push(listener);
                }
            }
        }
        let member = |(address, id): (&String, u64)| Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![format!("http://{address}")],
            is_learner: false,
        };
        let members: Vec<_> = addresses.iter().zip(1..).map(member).collect();
        let mut listeners = listeners.into_iter();
        let members = addresses
            .iter()
            .zip(1..)
            .map(|(address, id)| {
                let directory = Arc::new(TempDir::new().unwrap());
                let wal = WalConfig::new(directory.path().join("wal"));
                let mut config = Config::new(id, 7, members.clone(), wal);
                tune(&mut config);
                TestMember {
                    config,
                    disk: Disk::default(),
                    node: None,
                    store: None,
                    net: net.clone(),
                    address: address.clone(),
                    listener: listeners.next(),
                    storage: None,
                    _directory: directory,
                }
            })
            .collect();
        Self { members }
    }

    pub(crate) async fn start(net: &Net, count: u64, tune: impl Fn(&mut Config)) -> Self {
        Self::new(net, count, tune).started().await
    }

    /// The same with every log on a disk that does as it is told.
    pub(crate) async fn start_on_faulty_disks(
        net: &Net,
        count: u64,
        tune: impl Fn(&mut Config),
    ) -> Self {
        let mut cluster = Self::new(net, count, tune);
        for (member, seed) in cluster.members.iter_mut().zip(0..) {
            member.config.wal.segment_bytes = 1 << 20;
            member.storage = Some(FaultyStorage::new(seed));
        }
        cluster.started().await
    }

    async fn started(self) -> Self {
        let mut cluster = self;
        for member in &mut cluster.members {
            member.start().await;
        }
        cluster
    }

    /// Waits until all running members agree on a running leader; its place.
    pub(crate) async fn leader(&self) -> usize {
        let mut found = 0;
        until(|| {
            let running = || {
                self.members
                    .iter()
                    .filter_map(|member| member.node.as_ref())
            };
            let leaders: Vec<_> = running().map(|node| node.status().leader).collect();
            let Some(Some(leader)) = leaders.first().copied() else {
                return false;
            };
            let place = self
                .members
                .iter()
                .position(|member| member.config.member_id == leader);
            found = place.unwrap_or(0);
            leaders.iter().all(|other| *other == Some(leader))
                && self.members[found]
                    .node
                    .as_ref()
                    .is_some_and(|node| node.watch_leader().borrow().is_leader)
        })
        .await;
        found
    }

    pub(crate) async fn propose(&self, place: usize, text: &str) {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        within(self.members[place].node().propose(payload))
            .await
            .unwrap();
    }

    pub(crate) async fn stop(mut self) {
        for member in &mut self.members {
            member.stop().await;
        }
    }
}

/// Awaits with the limit of the suite.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("did not happen in time")
}

/// Polls a condition until it holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(poll).await;
}
