//! Clients that write until they are told to stop.
//!
//! Each writer puts keys of its own, every key once, and records in a
//! [`History`] what it sent and what was acknowledged. A writer whose member
//! does not answer goes on with the next member and the next key: a write of
//! unknown outcome is never repeated, so a found value has one origin.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quoin_proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::transport::Channel;

use crate::{
    Result,
    cluster::{self, Cluster},
    history::History,
    wait,
};

/// Keys of the workload start with this.
pub const PREFIX: &str = "load/";

/// Concurrent writers: enough for batches, few for two cores.
const WRITERS_COUNT: usize = 8;

/// How long a call may take before its caller goes elsewhere.
const CALL_DEADLINE: Duration = Duration::from_secs(3);

/// Concurrent readers.
const READERS_COUNT: usize = 2;

/// How long a reader asks, one member after the other, before its read counts as
/// failed: longer than any election, as long as a patient client.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// What became of linearizable reads; see [`Load::read_along`].
#[derive(Debug, Default)]
pub struct Reads {
    /// Answered, perhaps after other members were asked.
    pub answered_count: AtomicUsize,
    /// Never answered.
    pub failed_count: AtomicUsize,
    /// Answered without a write that was acknowledged before the read began.
    pub stale_count: AtomicUsize,
}

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

    /// Starts readers beside the writers, on the same members. What they found
    /// is complete once the load has stopped.
    pub fn read_along(&mut self) -> Arc<Reads> {
        let reads = Arc::new(Reads::default());
        for reader in 0..READERS_COUNT {
            let (channels, history) = (Arc::clone(&self.channels), self.history.clone());
            let (reads, stop) = (reads.clone(), self.stop.clone());
            self.writers.spawn(async move {
                let mut member = reader;
                while !stop.load(Ordering::Relaxed) {
                    read(&mut member, &channels, &history, &reads).await;
                }
            });
        }
        reads
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

/// The keys of the workload with their values, as the member at `position` has
/// them.
///
/// # Errors
/// The call fails.
pub async fn found(cluster: &Cluster, position: usize) -> Result<BTreeMap<String, String>> {
    let request = RangeRequest {
        key: PREFIX.into(),
        range_end: end().into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let reply = cluster.kv(position)?.range(request).await;
    let reply = reply.map_err(cluster::refused("range"))?.into_inner();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = reply.kvs.iter();
    Ok(pairs
        .map(|pair| (text(&pair.key), text(&pair.value)))
        .collect())
}

/// Behind the last key that starts with [`PREFIX`].
fn end() -> Vec<u8> {
    let mut end = PREFIX.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
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
        let Some(channel) = pick(&channels, member) else {
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
        if let Ok(Ok(_)) = timeout(CALL_DEADLINE, client.put(put)).await {
            history.acknowledged(&key);
        } else {
            member += 1;
            // Not in a tight loop while nobody can be reached.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// One linearizable read, of how many keys there are.
async fn read(member: &mut usize, channels: &Channels, history: &History, reads: &Reads) {
    let (began, acknowledged) = (Instant::now(), history.acknowledged_count());
    let count = RangeRequest {
        key: PREFIX.into(),
        range_end: end().into(),
        count_only: true,
        ..<_>::default()
    };
    while began.elapsed() < READ_DEADLINE {
        let Some(channel) = pick(channels, *member) else {
            return;
        };
        let mut client = KvClient::new(channel);
        if let Ok(Ok(reply)) = timeout(CALL_DEADLINE, client.range(count.clone())).await {
            let found = usize::try_from(reply.get_ref().count).unwrap_or(0);
            let is_stale = found < acknowledged;
            reads.answered_count.fetch_add(1, Ordering::Relaxed);
            reads
                .stale_count
                .fetch_add(is_stale.into(), Ordering::Relaxed);
            // The writers are the load.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        *member += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reads.failed_count.fetch_add(1, Ordering::Relaxed);
}

fn pick(channels: &Channels, member: usize) -> Option<Channel> {
    let channels = channels.read().unwrap_or_else(PoisonError::into_inner);
    channels.get(member % channels.len().max(1)).cloned()
}
