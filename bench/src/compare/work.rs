//! One work of the comparison: what is done, by whom and how often.

use crate::{
    compare::plan::{
        EVENTS_COUNT, KEYS_READ_COUNT, KEYS_WRITTEN_COUNT, LEASE_SECONDS, MIXED_VALUE_BYTES,
        MIXED_WATCHERS_COUNT, OBJECTS_COUNT, WATCHERS_COUNT,
    },
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

/// What is done, before sizes are filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Puts of random keys.
    Put,
    /// Reads of keys that stay as they are.
    Range {
        /// Rows of each reply.
        rows: Rows,
        /// From the member asked, without asking the leader.
        serializable: bool,
        /// As a stream of chunks.
        streamed: bool,
    },
    /// Compare mod_revision, then put.
    Txn,
    /// Fan-out to watchers on so many streams.
    Watch {
        /// Streams that the watchers share.
        streams_count: usize,
    },
    /// Watchers that start in the past.
    CatchUp,
    /// New leases.
    Grant,
    /// Renewals of leases.
    KeepAlive,
    /// Updates, lists, events and watchers together.
    Mixed,
    /// Many keys written once; then memory, a stop, and a restart.
    Loaded {
        /// Keys.
        keys_count: u64,
    },
}

/// One work of the comparison.
#[derive(Clone, Debug)]
pub struct Work {
    /// Short name, for `--only`.
    pub name: String,
    /// Name in the report.
    pub title: String,
    /// What an operation is.
    pub kind: Kind,
    /// Clients, those that hold watch streams included.
    pub clients_count: usize,
    /// Connections they share.
    pub connections_count: usize,
    /// Open loop at this rate, or closed loop.
    pub rate: Option<f64>,
    /// Bytes of every value.
    pub value_bytes: usize,
}

impl Work {
    /// The clients' workload.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let written = Keys::new(Prefix::Written, KEYS_WRITTEN_COUNT);
        let (value_bytes, ttl_seconds) = (self.value_bytes, LEASE_SECONDS);
        match self.kind {
            Kind::Put => Workload::Put(Puts::new(written, value_bytes, false)),
            Kind::Range {
                rows,
                serializable,
                streamed,
            } => Workload::Range(Ranges {
                keys: Keys::new(Prefix::Read, KEYS_READ_COUNT),
                rows,
                serializable,
                streamed,
            }),
            Kind::Txn => {
                let updated = Keys::new(Prefix::Updated, KEYS_WRITTEN_COUNT);
                Workload::Txn(Txns::new(updated, value_bytes))
            }
            Kind::Watch { streams_count } => {
                let fan = Fan {
                    watchers_count: WATCHERS_COUNT,
                    streams_count,
                    keys_count: 1,
                };
                Workload::Watch(Watches::new(fan, value_bytes))
            }
            Kind::CatchUp => Workload::CatchUp(CatchUps {
                prefix: Prefix::History,
            }),
            Kind::Grant => Workload::Grant(Grants { ttl_seconds }),
            Kind::KeepAlive => Workload::KeepAlive(KeepAlives { ttl_seconds }),
            Kind::Mixed => {
                let objects = Keys::new(Prefix::Object, OBJECTS_COUNT);
                Workload::Mixed(Mixed::new(MIXED_WATCHERS_COUNT, objects, value_bytes))
            }
            Kind::Loaded { keys_count } => {
                Workload::fill(Keys::new(Prefix::Written, keys_count), value_bytes)
            }
        }
    }

    /// Keys that must be there first.
    #[must_use]
    pub fn needs(&self) -> Option<Keys> {
        match self.kind {
            Kind::Range { .. } => Some(Keys::new(Prefix::Read, KEYS_READ_COUNT)),
            Kind::CatchUp => Some(Keys::new(Prefix::History, EVENTS_COUNT)),
            Kind::Mixed => Some(Keys::new(Prefix::Object, OBJECTS_COUNT)),
            _ => None,
        }
    }

    /// True if every operation is a durable write.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(
            self.kind,
            Kind::Put | Kind::Txn | Kind::Grant | Kind::Loaded { .. }
        )
    }

    /// True for one step of the sweep over offered loads.
    #[must_use]
    pub const fn is_step(&self) -> bool {
        matches!(self.kind, Kind::Put) && self.rate.is_some()
    }

    /// How it is run, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self {
            clients_count,
            connections_count,
            ..
        } = self;
        let loop_kind = self.rate.map_or_else(
            || "closed loop".to_owned(),
            |rate| format!("open loop at {rate} per second"),
        );
        let clients = format!("{clients_count} clients on {connections_count} connections");
        match self.kind {
            Kind::Watch { streams_count } => format!(
                "{WATCHERS_COUNT} watchers of one key on {streams_count} streams and \
                 {connections_count} connections; {} puts per second; an operation is one event \
                 delivered, its latency counts from the sending of the put",
                self.rate.unwrap_or_default()
            ),
            Kind::CatchUp => format!(
                "{clients}, {loop_kind}; an operation is one watcher that begins \
                 {EVENTS_COUNT} events in the past, from its creation until it has all of them"
            ),
            Kind::Mixed => format!(
                "{clients}, {MIXED_WATCHERS_COUNT} of them watchers of everything with prev_kv; \
                 {loop_kind}: 45 % updates by mod_revision, 20 % reads, 15 % pages of 500 of a \
                 list of {OBJECTS_COUNT} objects, 20 % events under a lease; values of \
                 {MIXED_VALUE_BYTES} bytes; an operation is one request"
            ),
            Kind::Range {
                rows: Rows::All, ..
            } => format!(
                "{clients}, {loop_kind}; every request reads all {KEYS_READ_COUNT} keys of a prefix"
            ),
            Kind::Loaded { keys_count } => format!(
                "{clients} write {keys_count} new keys once each; memory after a rest; then all \
                 members are stopped, which ends the count of bytes written; the restart is that \
                 of one follower while the others serve"
            ),
            _ => format!("{clients}, {loop_kind}"),
        }
    }
}
