//! A load that shows an entry that was skipped or applied twice, on one member or
//! on all.
//!
//! Every key of the workload is written once, so its version is 1 wherever it is
//! found. Beside it keys are overwritten and deleted, and history is compacted all
//! the time, so that there is always something to remove.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quoin_proto::etcdserverpb::{CompactionRequest, DeleteRangeRequest, RangeRequest};
use quoin_tests::{
    cluster::{self, Cluster},
    workload::{Load, PREFIX},
};
use tokio::{task::JoinHandle, time::timeout};

use crate::support::{assert_members_agree, put_request};

/// Keys that are overwritten.
const KEYS_COUNT: usize = 16;

/// Revisions between two compactions.
const KEPT: i64 = 60;

/// How long a call may take before the next member is asked.
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Writers of unique keys, and one task that overwrites, deletes and compacts.
pub(crate) struct Churn {
    pub(crate) load: Load,
    compactions_count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Churn {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let compactions_count = Arc::new(AtomicUsize::new(0));
        let urls = cluster.urls();
        let task = tokio::spawn(churn(
            urls,
            Arc::clone(&stop),
            Arc::clone(&compactions_count),
        ));
        Self {
            load: Load::start(&cluster.urls()).unwrap(),
            compactions_count,
            stop,
            task,
        }
    }

    /// Stops, then checks on every member that nothing acknowledged is lost and
    /// nothing was applied twice, and that all hold the same history.
    pub(crate) async fn finish(self, cluster: &Cluster) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let history = self.load.stop().await;
        assert!(self.compactions_count.load(Ordering::Relaxed) > 0);
        assert_members_agree(cluster).await;
        for member in cluster.running() {
            let mut found = BTreeMap::new();
            for (key, value, version) in versions(cluster, member).await {
                assert_eq!(version, 1, "member {member} applied the put of {key} twice");
                found.insert(key, value);
            }
            let broken = history.broken_promises(&found);
            assert!(broken.is_empty(), "member {member}:\n{}", broken.join("\n"));
        }
    }
}

async fn churn(urls: Vec<String>, stop: Arc<AtomicBool>, compactions_count: Arc<AtomicUsize>) {
    let mut compacted = 0;
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let channel = cluster::channel(&urls[number % urls.len()]).unwrap();
        let mut kv = quoin_proto::etcdserverpb::kv_client::KvClient::new(channel);
        let key = format!("churn/{:02}", number % KEYS_COUNT);
        let revision = if number % 5 == 4 {
            let delete = DeleteRangeRequest {
                key: key.into(),
                ..DeleteRangeRequest::default()
            };
            let reply = timeout(CALL_DEADLINE, kv.delete_range(delete)).await;
            reply.ok().and_then(|reply| reply.ok()?.into_inner().header)
        } else {
            let put = put_request(&key, &number.to_string());
            let reply = timeout(CALL_DEADLINE, kv.put(put)).await;
            reply.ok().and_then(|reply| reply.ok()?.into_inner().header)
        };
        let Some(revision) = revision.map(|header| header.revision) else {
            // Not in a tight loop while nobody can be reached.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if revision > compacted + KEPT {
            // The head itself: history ends in the middle of everything.
            let compact = CompactionRequest {
                revision,
                physical: false,
            };
            if let Ok(Ok(_)) = timeout(CALL_DEADLINE, kv.compact(compact)).await {
                compactions_count.fetch_add(1, Ordering::Relaxed);
            }
            compacted = revision;
        }
    }
}

/// Keys of the workload with value and version, as one member holds them.
async fn versions(cluster: &Cluster, member: usize) -> Vec<(String, String, i64)> {
    let mut end = PREFIX.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    let request = RangeRequest {
        key: PREFIX.into(),
        range_end: end.into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let reply = cluster.kv(member).unwrap().range(request).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = reply.into_inner().kvs;
    pairs
        .iter()
        .map(|pair| (text(&pair.key), text(&pair.value), pair.version))
        .collect()
}
