//! The works of a comparison, in the order they run.
//!
//! Clients, connections, sizes and rates are fixed here and printed in the
//! report, so that two reports can be compared.

use crate::workload::{
    Workload, keys::Keys, lease::KeepAlives, put::Puts, range::Ranges, txn::Txns, watch::Watches,
};

/// Bytes of every value.
pub const VALUE_BYTES: usize = 256;

/// Keys that puts and transactions spread over.
pub const KEYS_WRITTEN_COUNT: u64 = 100_000;

/// Keys that are filled once and read.
pub const KEYS_READ_COUNT: u64 = 10_000;

/// Connections of 1000 clients.
const CONNECTIONS_COUNT: usize = 100;

/// Watchers, one stream each.
const WATCHERS_COUNT: usize = 1000;

/// Clients that write what is watched.
const WRITERS_COUNT: usize = 4;

/// Writes per second to the watched key: 20,000 events per second in all,
/// which both systems can deliver.
const WATCHED_PUTS_PER_SECOND: f64 = 20.0;

/// Longer than any run.
const LEASE_SECONDS: i64 = 3_600;

/// What is done, before sizes are filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Puts of random keys.
    Put,
    /// Reads of one key through the leader.
    Linearizable,
    /// Reads of one key from the member asked.
    Serializable,
    /// Compare mod_revision, then put.
    Txn,
    /// Fan-out to watchers.
    Watch,
    /// Renewals of leases.
    KeepAlive,
}

/// One work of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Short name, for `--only`.
    pub name: &'static str,
    /// Name in the report.
    pub title: &'static str,
    /// What an operation is.
    pub kind: Kind,
    /// Members of the cluster.
    pub members_count: usize,
    /// Clients.
    pub clients_count: usize,
    /// Connections they share.
    pub connections_count: usize,
    /// Open loop at this rate, or closed loop.
    pub rate: Option<f64>,
}

impl Work {
    /// The clients' workload.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let (written, read) = (Keys::new(KEYS_WRITTEN_COUNT), Keys::new(KEYS_READ_COUNT));
        match self.kind {
            Kind::Put => Workload::Put(Puts::new(written, VALUE_BYTES, false)),
            Kind::Linearizable => Workload::Range(Ranges::new(read, 1, false)),
            Kind::Serializable => Workload::Range(Ranges::new(read, 1, true)),
            Kind::Txn => Workload::Txn(Txns::new(written, VALUE_BYTES)),
            Kind::Watch => Workload::Watch(Watches::new(WATCHERS_COUNT, VALUE_BYTES)),
            Kind::KeepAlive => Workload::KeepAlive(KeepAlives {
                ttl_seconds: LEASE_SECONDS,
            }),
        }
    }

    /// True if the keys to read must be there first.
    #[must_use]
    pub const fn needs_keys(&self) -> bool {
        matches!(self.kind, Kind::Linearizable | Kind::Serializable)
    }

    /// True if every operation is a durable write.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self.kind, Kind::Put | Kind::Txn)
    }

    /// How it is run, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let loop_kind = match (self.kind, self.rate) {
            (Kind::Watch, Some(rate)) => {
                return format!(
                    "{WATCHERS_COUNT} watchers of one key, each on its own stream, on \
                     {} connections; {rate} puts per second; an operation is one event delivered",
                    self.connections_count
                );
            }
            (_, Some(rate)) => format!("open loop at {rate} per second"),
            (_, None) => "closed loop".to_owned(),
        };
        format!(
            "{} clients on {} connections, {loop_kind}",
            self.clients_count, self.connections_count
        )
    }
}

/// Every work, those of one cluster size together.
pub const WORKS: [Work; 10] = [
    closed("put-3-1", "put, 3 nodes, 1 client", Kind::Put, 3, 1),
    closed("put-3-64", "put, 3 nodes, 64 clients", Kind::Put, 3, 64),
    closed(
        "put-3-1000",
        "put, 3 nodes, 1000 clients",
        Kind::Put,
        3,
        1000,
    ),
    closed(
        "txn-3-1000",
        "txn, 3 nodes, 1000 clients",
        Kind::Txn,
        3,
        1000,
    ),
    closed(
        "range-linearizable",
        "linearizable range of one key, 3 nodes, 1000 clients",
        Kind::Linearizable,
        3,
        1000,
    ),
    closed(
        "range-serializable",
        "serializable range of one key, 3 nodes, 1000 clients",
        Kind::Serializable,
        3,
        1000,
    ),
    Work {
        name: "watch",
        title: "watch, 3 nodes, 1000 watchers on 1000 streams",
        kind: Kind::Watch,
        members_count: 3,
        clients_count: WATCHERS_COUNT + WRITERS_COUNT,
        connections_count: CONNECTIONS_COUNT,
        rate: Some(WATCHED_PUTS_PER_SECOND),
    },
    closed(
        "lease",
        "lease keepalive, 3 nodes, 1000 streams",
        Kind::KeepAlive,
        3,
        1000,
    ),
    closed("put-1-1", "put, 1 node, 1 client", Kind::Put, 1, 1),
    closed(
        "put-1-1000",
        "put, 1 node, 1000 clients",
        Kind::Put,
        1,
        1000,
    ),
];

const fn closed(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    members_count: usize,
    clients_count: usize,
) -> Work {
    Work {
        name,
        title,
        kind,
        members_count,
        clients_count,
        connections_count: match clients_count {
            0..=1 => 1,
            2..=64 => 16,
            _ => CONNECTIONS_COUNT,
        },
        rate: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_have_different_names_and_enough_clients() {
        for (position, work) in WORKS.iter().enumerate() {
            assert!(
                WORKS[..position]
                    .iter()
                    .all(|other| other.name != work.name)
            );
            assert!(work.connections_count <= work.clients_count);
            assert!(work.describe().contains("connections"));
        }
    }
}
