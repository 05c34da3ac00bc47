//! Space comes back by itself: after compaction the files shrink while the member
//! serves, nothing is lost when it is killed meanwhile, and a full quota is left
//! without a call to defragment.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use quoin_proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, PutRequest,
    alarm_request::AlarmAction, maintenance_client::MaintenanceClient,
};
use quoin_tests::{
    cluster::{Cluster, Options, files_under},
    wait,
    workload::{Load, PREFIX},
};
use tonic::Code;

use crate::support::{get, local, put, put_once, revision};

/// Longest wait for space to come back, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A value that does not compress: the next one of a sequence.
fn value(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

async fn put_value(cluster: &Cluster, key: &str, seed: u64) -> Result<(), tonic::Status> {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: value(seed, 200_000).into(),
        ..PutRequest::default()
    };
    cluster.kv(0).unwrap().put(request).await.map(drop)
}

async fn compact(cluster: &Cluster) {
    let request = CompactionRequest {
        revision: revision(cluster, 0).await,
        physical: false,
    };
    cluster.kv(0).unwrap().compact(request).await.unwrap();
}

/// What the files below a folder take on the disk.
fn disk_bytes(folder: &Path) -> u64 {
    let files = files_under(folder);
    let lengths = files
        .iter()
        .map(|file| fs::metadata(file).map_or(0, |of| of.blocks() * 512));
    lengths.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_down_to_twice_the_data_while_puts_go_on() {
    for engine in ["sled", "redb"] {
        let engine = format!("--backend-engine={engine}");
        let options = Options::new(1).flags([engine.as_str(), "--wal-kept-bytes=4000000"]);
        let mut cluster = Cluster::start(options).await.unwrap();
        let backend = cluster.member(0).unwrap().data.join("member/backend");
        // Eighty keys, five times over.
        for seed in 0..400 {
            put_value(&cluster, &format!("key/{}", seed % 80), seed)
                .await
                .unwrap();
        }
        let load = Load::start(&cluster.urls()).unwrap();
        compact(&cluster).await;
        let mut seen = 0;
        wait::until("the files to shrink", LIMIT, async || {
            let status = cluster.status(0).await.map_err(|error| error.to_string())?;
            let in_use = u64::try_from(status.db_size_in_use).unwrap();
            let (size, files) = (status.db_size, disk_bytes(&backend));
            seen = seen.max(files);
            let is_small = size < 2 * status.db_size_in_use && files < 2 * in_use;
            // The log too: it is bounded, and its segments are used again.
            let wal = disk_bytes(&cluster.member(0).unwrap().data.join("member/wal"));
            (is_small && wal < 300_000_000)
                .then_some(())
                .ok_or_else(|| format!("{size} of {in_use}, files {files}, log {wal}"))
        })
        .await
        .unwrap();
        assert!(seen > 50_000_000, "there was nothing to give back: {seen}");
        load.wait_acknowledged(100).await.unwrap();
        let history = load.stop().await;
        let broken = history.broken_promises(&local(&cluster, 0, PREFIX).await);
        assert!(broken.is_empty(), "{broken:?}");
        cluster.kill(0).unwrap();
        cluster.start_all().unwrap();
        cluster.wait_ready().await.unwrap();
        let found = local(&cluster, 0, PREFIX).await;
        assert!(history.broken_promises(&found).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_killed_while_its_files_shrink_loses_nothing() {
    for engine in ["sled", "redb"] {
        let engine = format!("--backend-engine={engine}");
        let mut cluster = Cluster::start(Options::new(1).flags([engine]))
            .await
            .unwrap();
        let backend = cluster.member(0).unwrap().data.join("member/backend");
        let load = Load::start(&cluster.urls()).unwrap();
        let mut seed = 0;
        for round in 0..3 {
            for _ in 0..200 {
                seed += 1;
                put_value(&cluster, &format!("key/{}", seed % 25), seed)
                    .await
                    .unwrap();
            }
            put_once(&cluster, 0, "round", &round.to_string()).await;
            compact(&cluster).await;
            let states = || {
                let entries = fs::read_dir(&backend).into_iter().flatten().flatten();
                let names = entries.map(|entry| entry.file_name());
                names
                    .filter(|name| name.to_string_lossy().starts_with("state-"))
                    .count()
            };
            wait::until_true("a move to be under way", LIMIT, || states() >= 2)
                .await
                .unwrap();
            // Each round at another step of it.
            tokio::time::sleep(Duration::from_millis(300 * round)).await;
            cluster.kill(0).unwrap();
            cluster.start_all().unwrap();
            cluster.wait_ready().await.unwrap();
            assert_eq!(get(&cluster, 0, "round").await, Some(round.to_string()));
            load.wait_acknowledged(20).await.unwrap();
        }
        let history = load.stop().await;
        let broken = history.broken_promises(&local(&cluster, 0, PREFIX).await);
        assert!(broken.is_empty(), "{broken:?}");
        assert_eq!(local(&cluster, 0, "key/").await.len(), 25);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_is_left_by_compaction_alone() {
    for engine in ["sled", "redb"] {
        let engine = format!("--backend-engine={engine}");
        let options = Options::new(1).flags([engine.as_str(), "--quota-backend-bytes=33554432"]);
        let cluster = Cluster::start(options).await.unwrap();
        let mut seed = 0;
        let refused = loop {
            seed += 1;
            match put_value(&cluster, &format!("key/{seed}"), seed).await {
                Ok(()) => assert!(seed < 2000, "the quota is never full"),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        let all = DeleteRangeRequest {
            key: "key/".into(),
            range_end: "key0".into(),
            ..DeleteRangeRequest::default()
        };
        cluster.kv(0).unwrap().delete_range(all).await.unwrap();
        compact(&cluster).await;
        let quota = 33_554_432;
        wait::until(
            "the database to shrink below half its quota",
            LIMIT,
            async || {
                let status = cluster.status(0).await.map_err(|error| error.to_string())?;
                let is_small = status.db_size < quota / 2;
                is_small
                    .then_some(())
                    .ok_or_else(|| status.db_size.to_string())
            },
        )
        .await
        .unwrap();
        let member = cluster.status(0).await.unwrap().header.unwrap().member_id;
        let disarm = AlarmRequest {
            action: AlarmAction::Deactivate.into(),
            member_id: member,
            alarm: AlarmType::Nospace.into(),
        };
        let mut maintenance = MaintenanceClient::new(cluster.channel(0).unwrap());
        maintenance.alarm(disarm).await.unwrap();
        put(&cluster, 0, "after", "it works").await;
        for seed in 0..20 {
            put_value(&cluster, &format!("again/{seed}"), seed)
                .await
                .unwrap();
        }
    }
}
