//! Clients that write until they are told to stop.
//!
//! Each writer puts keys of its own, every key once, and records in a
//! [`History`] what it sent and what was acknowledged. A writer whose member
//! does not answer goes on with the next member and the next key: a write of
//! unknown outcome is never repeated, so a found value has one origin.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quoin_proto::etcdserverpb::{PutRequest, kv_client::KvClient};
use tokio::{task::JoinSet, time::timeout};
use tonic::transport::Channel;

use crate::{Result, cluster, history::History, wait};

/// Keys of the workload start with this.
pub const PREFIX: &str = "load/";

/// Concurrent writers: enough for batches, few for two cores.
const WRITERS_COUNT: usize = 8;

/// How long a write may take before its writer goes elsewhere.
const WRITE_DEADLINE: Duration = Duration::from_secs(3);

/// Running writers.
#[derive(Debug)]
pub struct Load {
    /// Everything sent and acknowledged.
    pub history: Arc<History>,
    /// Connections to the members that are written to.
    channels: Channels,
    stop: Arc<AtomicBool>,
    writers: JoinSet<()>,
}

impl Load {
    /// Starts writers on the members at `urls`.
    ///
    /// # Errors
    /// A URL is not one.
    pub fn start(urls: &[String]) -> Result<Self> {
        let channels = Arc::new(RwLock::new(connect(urls)?));
        let history = Arc::new(History::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS_COUNT {
            let (history, stop) = (history.clone(), stop.clone());
            writers.spawn(write(writer, Arc::clone(&channels), history, stop));
        }
        Ok(Self {
            history,
            channels,
            stop,
            writers,
        })
    }

    /// Writes to the members at `urls` from now on.
    ///
    /// # Errors
    /// A URL is not one.
    pub fn follow(&self, urls: &[String]) -> Result<()> {
        let channels = connect(urls)?;
        *self
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner) = channels;
        Ok(())
    }

    /// Waits until `count` more writes were acknowledged.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn wait_acknowledged(&self, count: usize) -> Result<()> {
        let goal = self.history.acknowledged_count() + count;
        let what = format!("{goal} acknowledged writes");
        let reached = wait::until(&what, wait::DEADLINE, async || {
            let now = self.history.acknowledged_count();
            if now >= goal { Ok(()) } else { Err(now) }
        });
        reached.await
    }

    /// Stops the writers and waits for their last answers.
    pub async fn stop(mut self) -> Arc<History> {
        self.stop.store(true, Ordering::Relaxed);
        while self.writers.join_next().await.is_some() {}
        self.history.clone()
    }
}

type Channels = Arc<RwLock<Vec<Channel>>>;

fn connect(urls: &[String]) -> Result<Vec<Channel>> {
    urls.iter().map(|url| cluster::channel(url)).collect()
}

async fn write(writer: usize, channels: Channels, history: Arc<History>, stop: Arc<AtomicBool>) {
    let mut member = writer;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let channel = {
            let channels = channels.read().unwrap_or_else(PoisonError::into_inner);
            channels.get(member % channels.len().max(1)).cloned()
        };
        let Some(channel) = channel else {
            return;
        };
        let (key, value) = (
            format!("{PREFIX}{writer}/{number:08}"),
            format!("v{number}"),
        );
        history.sent(&key, &value);
        let put = PutRequest {
            key: key.clone().into(),
            value: value.into(),
            ..<_>::default()
        };
        let mut client = KvClient::new(channel);
        if let Ok(Ok(_)) = timeout(WRITE_DEADLINE, client.put(put)).await {
            history.acknowledged(&key);
        } else {
            member += 1;
            // Not in a tight loop while nobody can be reached.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
