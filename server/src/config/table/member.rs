//! Flags of the member itself, its storage and its limits.

use super::Kind::{Bool, Duration, Signed, Text, Unsigned, Unsigned32, Urls, Word};
use super::{Flag, absent, honoured, ineffective};

pub(super) const MEMBER: &[Flag] = &[
    honoured(
        "name",
        Text,
        "default",
        "Name of this member, unique in the cluster.",
    ),
    honoured(
        "data-dir",
        Text,
        "",
        "Directory of this member's data; '<name>.etcd' if empty.",
    ),
    honoured(
        "wal-dir",
        Text,
        "",
        "Directory of the write-ahead log, if not below the data-dir.",
    ),
    honoured(
        "listen-peer-urls",
        Urls,
        "http://localhost:2380",
        "Where members are accepted.",
    ),
    honoured(
        "listen-client-urls",
        Urls,
        "http://localhost:2379",
        "Where clients are accepted.",
    ),
    honoured(
        "listen-client-http-urls",
        Urls,
        "",
        "HTTP-only client listeners; others: gRPC only.",
    ),
    honoured(
        "heartbeat-interval",
        Unsigned,
        "100",
        "Milliseconds between a leader's heartbeats.",
    ),
    honoured(
        "election-timeout",
        Unsigned,
        "1000",
        "Milliseconds of silence before an election.",
    ),
    ineffective(
        "initial-election-tick-advance",
        Bool,
        "true",
        "Shorten the first election wait.",
    ),
    honoured(
        "snapshot-count",
        Unsigned,
        "10000",
        "Applied entries between two snapshots.",
    ),
    honoured(
        "snapshot-catchup-entries",
        Unsigned,
        "5000",
        "Log entries kept behind a snapshot for slow followers.",
    ),
    ineffective(
        "max-snapshots",
        Unsigned,
        "5",
        "Snapshot files kept; quoin keeps one (deprecated).",
    ),
    ineffective(
        "max-wals",
        Unsigned,
        "5",
        "Log files kept; see --wal-kept-bytes.",
    ),
    honoured(
        "config-file",
        Text,
        "",
        "YAML file; every other flag and variable is then ignored.",
    ),
    honoured("version", Bool, "false", "Print the version and exit."),
];

pub(super) const STORAGE: &[Flag] = &[
    honoured(
        "quota-backend-bytes",
        Signed,
        "0",
        "Database bound; 0 is 2 GiB, negative is none.",
    ),
    honoured(
        "backend-engine",
        Word(&["sled", "redb", "memory"]),
        "sled",
        "quoin: engine that stores the data (sled, redb; memory for tests).",
    ),
    honoured(
        "backend-hot-bytes",
        Unsigned,
        "134217728",
        "quoin: not yet checkpointed bytes in memory, past which writes are slowed.",
    ),
    honoured(
        "backend-cache-bytes",
        Unsigned,
        "67108864",
        "quoin: stored blocks cached for reads.",
    ),
    honoured(
        "wal-kept-bytes",
        Unsigned,
        "268435456",
        "quoin: log bytes kept at most behind a snapshot for slow followers.",
    ),
    honoured(
        "state-digest-interval",
        Duration,
        "5s",
        "quoin: how often the leader lets all members compare their states, if anything was applied; \
         0: only every 1024 entries.",
    ),
    honoured(
        "rpc-threads",
        Text,
        "auto",
        "quoin: threads that serve clients beside the Raft thread, 'auto' or a number; 0: the Raft \
         thread serves them. 'auto' is 0 on up to two processors and 2 on more.",
    ),
    ineffective(
        "backend-bbolt-freelist-type",
        Text,
        "map",
        "Tunes bbolt, which quoin does not use.",
    ),
    ineffective(
        "backend-batch-interval",
        Duration,
        "0s",
        "Tunes bbolt, which quoin does not use.",
    ),
    ineffective(
        "backend-batch-limit",
        Signed,
        "0",
        "Tunes bbolt, which quoin does not use.",
    ),
    absent(
        "memory-mlock",
        Bool,
        "false",
        "Lock the process into memory.",
    ),
    ineffective(
        "bootstrap-defrag-threshold-megabytes",
        Unsigned,
        "0",
        "Defragment at start; quoin gives space back while running.",
    ),
];

pub(super) const REQUESTS: &[Flag] = &[
    honoured(
        "max-txn-ops",
        Unsigned,
        "128",
        "Operations in one branch of a transaction.",
    ),
    honoured(
        "max-request-bytes",
        Unsigned,
        "1572864",
        "Bytes of one request.",
    ),
    honoured(
        "max-concurrent-streams",
        Unsigned32,
        "4294967295",
        "Streams at a time on one client connection.",
    ),
    ineffective(
        "grpc-keepalive-min-time",
        Duration,
        "5s",
        "Clients pinging faster are sent away by etcd; quoin answers every ping.",
    ),
    honoured(
        "grpc-keepalive-interval",
        Duration,
        "2h",
        "Silence before the server pings.",
    ),
    honoured(
        "grpc-keepalive-timeout",
        Duration,
        "20s",
        "Wait for the answer to a ping.",
    ),
    absent(
        "socket-reuse-port",
        Bool,
        "false",
        "Share listen ports between processes.",
    ),
    ineffective(
        "socket-reuse-address",
        Bool,
        "false",
        "Rebind ports in TIME_WAIT; always on.",
    ),
    ineffective(
        "raft-read-timeout",
        Duration,
        "5s",
        "Read timeout of etcd's peer connections.",
    ),
    ineffective(
        "raft-write-timeout",
        Duration,
        "5s",
        "Write timeout of etcd's peer connections.",
    ),
    honoured(
        "enable-grpc-gateway",
        Bool,
        "true",
        "Serve the JSON gateway.",
    ),
];
