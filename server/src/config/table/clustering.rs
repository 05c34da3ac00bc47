//! Flags of membership, bootstrap and compaction.

use super::Kind::{Bool, Duration, QuotedWord, Signed, Text, Urls, Word};
use super::{Flag, absent, honoured, ineffective};

pub(super) const CLUSTERING: &[Flag] = &[
    honoured(
        "initial-advertise-peer-urls",
        Urls,
        "http://localhost:2380",
        "Peer URLs told to the other members on first boot.",
    ),
    honoured(
        "advertise-client-urls",
        Urls,
        "http://localhost:2379",
        "Client URLs published to clients.",
    ),
    honoured(
        "initial-cluster",
        Text,
        "",
        "name=peer-url,... of all members, for first boot.",
    ),
    honoured(
        "initial-cluster-state",
        Word(&["new", "existing"]),
        "new",
        "First boot creates a cluster ('new') or joins one ('existing').",
    ),
    honoured(
        "initial-cluster-token",
        Text,
        "etcd-cluster",
        "Mixed into ids on first boot.",
    ),
    honoured(
        "strict-reconfig-check",
        Bool,
        "true",
        "Refuse changes that endanger the quorum.",
    ),
    honoured(
        "pre-vote",
        Bool,
        "true",
        "Ask for votes before raising the term.",
    ),
    honoured(
        "max-learners",
        Signed,
        "1",
        "Learners allowed in the cluster.",
    ),
    honoured(
        "auto-compaction-mode",
        Text,
        "periodic",
        "'periodic' or 'revision'.",
    ),
    honoured(
        "auto-compaction-retention",
        Text,
        "0",
        "Hours, duration or revisions kept; 0 is off.",
    ),
    honoured(
        "compaction-batch-limit",
        Signed,
        "0",
        "Keys per compaction step; 0 is 1000.",
    ),
    honoured(
        "compaction-sleep-interval",
        Duration,
        "0s",
        "Pause between steps; 0 is 10ms.",
    ),
    ineffective(
        "v2-deprecation",
        QuotedWord(&[
            "write-only",
            "write-only-skip-check",
            "write-only-drop-data",
            "gone",
        ]),
        "write-only",
        "Deprecated in etcd; there is no v2 store.",
    ),
];

pub(super) const DISCOVERY: &[Flag] = &[
    absent("discovery-token", Text, "", "Token of a discovery service."),
    absent(
        "discovery-endpoints",
        Text,
        "",
        "Endpoints of a discovery service.",
    ),
    ineffective(
        "discovery-dial-timeout",
        Duration,
        "2s",
        "See discovery-endpoints.",
    ),
    ineffective(
        "discovery-request-timeout",
        Duration,
        "5s",
        "See discovery-endpoints.",
    ),
    ineffective(
        "discovery-keepalive-time",
        Duration,
        "2s",
        "See discovery-endpoints.",
    ),
    ineffective(
        "discovery-keepalive-timeout",
        Duration,
        "6s",
        "See discovery-endpoints.",
    ),
    ineffective(
        "discovery-insecure-transport",
        Bool,
        "true",
        "See discovery-endpoints.",
    ),
    ineffective(
        "discovery-insecure-skip-tls-verify",
        Bool,
        "false",
        "See discovery-endpoints.",
    ),
    absent("discovery-cert", Text, "", "See discovery-endpoints."),
    absent("discovery-key", Text, "", "See discovery-endpoints."),
    absent("discovery-cacert", Text, "", "See discovery-endpoints."),
    absent("discovery-user", Text, "", "See discovery-endpoints."),
    absent("discovery-password", Text, "", "See discovery-endpoints."),
    ineffective(
        "discovery-fallback",
        Word(&["exit", "proxy"]),
        "exit",
        "Has one legal value.",
    ),
    honoured(
        "discovery-srv",
        Text,
        "",
        "DNS domain whose SRV records list the initial cluster.",
    ),
    honoured(
        "discovery-srv-name",
        Text,
        "",
        "Suffix of that service: _etcd-server-NAME._tcp.",
    ),
];
