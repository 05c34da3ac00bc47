//! What tests wait for: members that serve, a leader, an index that is applied.

use quoin_proto::etcdserverpb::{RangeRequest, kv_client::KvClient};

use crate::{
    Result,
    cluster::{Cluster, channel},
    wait,
};

impl Cluster {
    /// Waits until every running member answers a linearizable read.
    ///
    /// # Errors
    /// A member ends or does not serve in time.
    pub async fn wait_ready(&mut self) -> Result<()> {
        for position in self.running() {
            self.wait_member_ready(position).await?;
        }
        Ok(())
    }

    /// Waits until one member answers a linearizable read.
    ///
    /// # Errors
    /// It ends or does not serve in time.
    pub async fn wait_member_ready(&mut self, position: usize) -> Result<()> {
        let url = self.url(position);
        let process = self.process(position)?;
        let what = format!("{url} to serve");
        let ready = wait::until(&what, wait::DEADLINE, async || {
            if process.ended().is_some() {
                return Ok(Err(process.ended_error()));
            }
            serves(&url).await.map(Ok)
        });
        ready.await?
    }

    /// Waits until all running members name the same leader that runs, and
    /// returns its position.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn wait_leader(&self) -> Result<usize> {
        wait::until("one leader", wait::DEADLINE, async || {
            self.leader_now().await
        })
        .await
    }

    /// Waits until one member has applied at least `index`.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn wait_applied(&self, position: usize, index: u64) -> Result<()> {
        let what = format!("m{position} to apply {index}");
        let applied = wait::until(&what, wait::DEADLINE, async || {
            let applied = self
                .status(position)
                .await
                .map_err(|error| error.to_string())?;
            let applied = applied.raft_applied_index;
            if applied >= index {
                Ok(())
            } else {
                Err(applied.to_string())
            }
        });
        applied.await
    }

    async fn leader_now(&self) -> std::result::Result<usize, String> {
        let mut leaders = Vec::new();
        let mut ids = Vec::new();
        for position in self.running() {
            let status = self
                .status(position)
                .await
                .map_err(|error| error.to_string())?;
            leaders.push(status.leader);
            let id = status.header.map_or(0, |header| header.member_id);
            ids.push((position, id));
        }
        let leader = leaders.first().copied().unwrap_or(0);
        if leaders.iter().any(|other| *other != leader) {
            return Err(format!("leaders {leaders:x?}"));
        }
        let found = ids.iter().find(|(_, id)| *id == leader);
        found
            .map(|(position, _)| *position)
            .ok_or_else(|| format!("leader {leader:x} unknown"))
    }
}

/// Asks for a linearizable read.
async fn serves(url: &str) -> std::result::Result<(), String> {
    let channel = channel(url).map_err(|error| error.to_string())?;
    let request = RangeRequest {
        key: "ready".into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let reply = KvClient::new(channel).range(request).await;
    reply.map(|_| ()).map_err(|status| status.to_string())
}
