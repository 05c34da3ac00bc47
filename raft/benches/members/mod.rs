//! Members in one process over TCP loopback with real logs on this disk, and a
//! state machine that does nothing: what the benchmarks of this crate run on.

use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quoin_raft::{
    Applied, Committed, Config, LeaderHandler, LogStore, Member, Node, Payload, SnapshotSink,
    SnapshotSource, StateMachine, StateMachineError, WalConfig,
};
use tempfile::TempDir;

/// Applies nothing.
#[derive(Default)]
struct Nothing {
    applied: Applied,
}

impl StateMachine for Nothing {
    fn applied(&self) -> Applied {
        self.applied.clone()
    }

    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = Committed>,
    ) -> Result<(), StateMachineError> {
        for entry in entries {
            if let Payload::Membership { encoded, .. } = entry.payload {
                self.applied.membership = Some(encoded);
            }
            self.applied.log_id = Some(entry.log_id);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> BoxFuture<'static, Result<Applied, StateMachineError>> {
        std::future::ready(Ok(self.applied.clone())).boxed()
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, StateMachineError> {
        Err(StateMachineError::new("nothing to send"))
    }

    fn receive(&mut self) -> Result<Box<dyn SnapshotSink>, StateMachineError> {
        Err(StateMachineError::new("nothing to receive"))
    }

    fn install(
        &mut self,
        _applied: Applied,
        _sink: Box<dyn SnapshotSink>,
    ) -> Result<(), StateMachineError> {
        Err(StateMachineError::new("nothing to install"))
    }
}

/// Answers with the request.
struct Echo;

impl LeaderHandler for Echo {
    fn handle(&self, payload: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        std::future::ready(Ok(payload)).boxed()
    }
}

/// Members in this process.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    _directory: TempDir,
}

impl Cluster {
    /// Members 1..=count, each with a log of its own.
    pub(crate) async fn start(count: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let directory = TempDir::new_in(".")?;
        let listeners = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<Vec<_>, _>>()?;
        let mut members = Vec::new();
        for (listener, id) in listeners.iter().zip(1..) {
            members.push(Member {
                id,
                name: format!("m{id}"),
                peer_urls: vec![format!("http://{}", listener.local_addr()?)],
                is_learner: false,
            });
        }
        let mut nodes = Vec::new();
        for (listener, id) in listeners.into_iter().zip(1..) {
            let wal = WalConfig::new(directory.path().join(format!("{id}")));
            let config = Config::new(id, 1, members.clone(), wal);
            let store = LogStore::open(&config)?;
            let machine = Nothing::default();
            let node = Node::start(config, store, machine, vec![listener], Arc::new(Echo)).await?;
            nodes.push(node);
        }
        Ok(Self {
            nodes,
            _directory: directory,
        })
    }

    /// The member that leads, once one does.
    pub(crate) async fn leader(&self) -> Result<&Node, Box<dyn std::error::Error>> {
        let mut leadership = self.nodes.first().ok_or("no member")?.watch_leader();
        let leader = leadership
            .wait_for(|now| now.leader.is_some())
            .await?
            .leader;
        let found = self
            .nodes
            .iter()
            .find(|node| Some(node.status().member_id) == leader);
        Ok(found.ok_or("the leader is no member")?)
    }
}
