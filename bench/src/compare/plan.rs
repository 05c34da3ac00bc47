//! The works of a comparison, in the order they run.
//!
//! Clients, connections, sizes and rates are fixed here and printed in the
//! report, so that two reports can be compared. Works of one stage run after
//! each other on one cluster; each stage begins on fresh directories.

use crate::{
    compare::work::{Kind, Work},
    flags::CompareFlags,
    workload::range::Rows,
};

/// Keys that puts and transactions spread over.
pub const KEYS_WRITTEN_COUNT: u64 = 100_000;

/// Keys that are filled once and read.
pub const KEYS_READ_COUNT: u64 = 10_000;

/// Events in the past of watchers that catch up.
pub const EVENTS_COUNT: u64 = 10_000;

/// Objects of the mixed load.
pub const OBJECTS_COUNT: u64 = 5_000;

/// Bytes of the mixed load's values: a small object of Kubernetes.
pub const MIXED_VALUE_BYTES: usize = 1024;

/// Watchers of the mixed load.
pub const MIXED_WATCHERS_COUNT: usize = 20;

/// Clients of the mixed load that send requests.
const MIXED_CLIENTS_COUNT: usize = 64;

/// Watchers of the fan-out.
pub const WATCHERS_COUNT: usize = 1000;

/// Longer than any run.
pub const LEASE_SECONDS: i64 = 3_600;

/// Connections of 1000 clients.
const CONNECTIONS_COUNT: usize = 100;

/// Connections of fewer clients.
const FEW_CONNECTIONS_COUNT: usize = 16;

/// Clients that write what is watched.
const WRITERS_COUNT: usize = 4;

/// Writes per second to the watched key: 20,000 events per second in all,
/// which both systems can deliver.
const WATCHED_PUTS_PER_SECOND: f64 = 20.0;

/// Offered loads of the sweep, in puts per second: from idle to beyond what
/// either system can take on a small machine.
pub const OFFERED: [u32; 8] = [1_000, 2_500, 5_000, 10_000, 15_000, 20_000, 30_000, 40_000];

/// Works that share a cluster.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Members of the cluster.
    pub members_count: usize,
    /// True if idle memory is measured before the first work, which takes a
    /// rest.
    pub is_rested: bool,
    /// In the order they run.
    pub works: Vec<Work>,
}

/// Every stage, with the sizes of `flags`.
#[must_use]
pub fn stages(flags: &CompareFlags) -> Vec<Stage> {
    let bytes = flags.value_bytes;
    let stage = |members_count, works| Stage {
        members_count,
        is_rested: false,
        works,
    };
    vec![
        stage(3, reads(bytes)),
        Stage {
            is_rested: true,
            ..stage(3, writes(bytes))
        },
        stage(3, sweep(bytes)),
        stage(3, watches(bytes)),
        stage(
            1,
            vec![
                work("put-1-1", "put, 1 node, 1 client", Kind::Put, 1, bytes),
                work(
                    "put-1-1000",
                    "put, 1 node, 1000 clients",
                    Kind::Put,
                    1000,
                    bytes,
                ),
            ],
        ),
        stage(3, vec![loaded(flags)]),
    ]
}

fn reads(bytes: usize) -> Vec<Work> {
    let range = |rows, serializable, streamed| Kind::Range {
        rows,
        serializable,
        streamed,
    };
    vec![
        work(
            "range-10000",
            "linearizable range of 10,000 keys, 3 nodes, 16 clients",
            range(Rows::All, false, false),
            16,
            bytes,
        ),
        work(
            "stream-10000",
            "RangeStream of 10,000 keys, 3 nodes, 16 clients",
            range(Rows::All, false, true),
            16,
            bytes,
        ),
        work(
            "range-100",
            "linearizable range of 100 keys, 3 nodes, 64 clients",
            range(Rows::Some(100), false, false),
            64,
            bytes,
        ),
        work(
            "range-linearizable",
            "linearizable range of one key, 3 nodes, 1000 clients",
            range(Rows::One, false, false),
            1000,
            bytes,
        ),
        work(
            "range-serializable",
            "serializable range of one key, 3 nodes, 1000 clients",
            range(Rows::One, true, false),
            1000,
            bytes,
        ),
    ]
}

fn writes(bytes: usize) -> Vec<Work> {
    let put = |name, title, clients| work(name, title, Kind::Put, clients, bytes);
    let many = |name, title, kind| work(name, title, kind, 1000, bytes);
    vec![
        put("put-3-1", "put, 3 nodes, 1 client", 1),
        put("put-3-64", "put, 3 nodes, 64 clients", 64),
        put("put-3-1000", "put, 3 nodes, 1000 clients", 1000),
        many("txn-3-1000", "txn, 3 nodes, 1000 clients", Kind::Txn),
        many(
            "lease",
            "lease keepalive, 3 nodes, 1000 streams",
            Kind::KeepAlive,
        ),
        many("grant", "lease grant, 3 nodes, 1000 clients", Kind::Grant),
    ]
}

fn sweep(bytes: usize) -> Vec<Work> {
    let steps = OFFERED.iter().map(|offered| Work {
        rate: Some(f64::from(*offered)),
        ..work(
            &format!("load-{offered}"),
            &format!("put, 3 nodes, {offered} offered per second"),
            Kind::Put,
            1000,
            bytes,
        )
    });
    steps.collect()
}

fn watches(bytes: usize) -> Vec<Work> {
    let watch = |streams_count: usize| Work {
        rate: Some(WATCHED_PUTS_PER_SECOND),
        connections_count: CONNECTIONS_COUNT,
        ..work(
            &format!("watch-{streams_count}"),
            &format!("watch, 3 nodes, 1000 watchers on {streams_count} streams"),
            Kind::Watch { streams_count },
            streams_count + WRITERS_COUNT,
            bytes,
        )
    };
    vec![
        watch(1000),
        watch(100),
        work(
            "catch-up",
            "watch catch-up over 10,000 events, 3 nodes, 16 watchers",
            Kind::CatchUp,
            16,
            bytes,
        ),
        work(
            "mixed",
            "mixed load of an API server, 3 nodes",
            Kind::Mixed,
            MIXED_WATCHERS_COUNT + MIXED_CLIENTS_COUNT,
            MIXED_VALUE_BYTES,
        ),
    ]
}

fn loaded(flags: &CompareFlags) -> Work {
    let keys_count = flags.loaded_keys.max(1);
    work(
        "loaded",
        &format!("{keys_count} new keys, 3 nodes, 1000 clients"),
        Kind::Loaded { keys_count },
        1000,
        flags.value_bytes,
    )
}

/// A closed loop.
fn work(name: &str, title: &str, kind: Kind, clients_count: usize, value_bytes: usize) -> Work {
    Work {
        name: name.to_owned(),
        title: title.to_owned(),
        kind,
        clients_count,
        connections_count: match clients_count {
            0..=FEW_CONNECTIONS_COUNT => clients_count,
            17..=99 => FEW_CONNECTIONS_COUNT,
            _ => CONNECTIONS_COUNT,
        },
        rate: None,
        value_bytes,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command, Flags};

    /// The flags of a plain comparison.
    pub(crate) fn flags() -> CompareFlags {
        match Flags::parse_from(["quoin-bench", "compare"]).command {
            Command::Compare(flags) => flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn works_have_different_names_and_enough_clients() {
        let works: Vec<Work> = stages(&flags())
            .into_iter()
            .flat_map(|stage| stage.works)
            .collect();
        for (position, work) in works.iter().enumerate() {
            let earlier = works.iter().take(position);
            assert!(earlier.clone().all(|other| other.name != work.name));
            assert!(earlier.clone().all(|other| other.title != work.title));
            assert!(work.connections_count <= work.clients_count);
            assert!(work.describe().contains("connections"));
        }
    }

    #[test]
    fn a_loaded_store_is_alone_in_its_stage() {
        for stage in stages(&flags()) {
            let loaded = |work: &Work| matches!(work.kind, Kind::Loaded { .. });
            assert!(stage.works.len() == 1 || !stage.works.iter().any(loaded));
        }
    }
}
