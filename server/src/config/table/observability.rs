//! Flags of logs, metrics, warnings, checks and the unsafe ones.

use super::Kind::{Bool, Duration, Gates, Ignored, Level, Text, Urls};
use super::{Flag, Support, absent, honoured, ineffective};

pub(super) const OBSERVABILITY: &[Flag] = &[
    honoured(
        "listen-metrics-urls",
        Urls,
        "",
        "Extra listeners for /metrics and health.",
    ),
    honoured(
        "metrics",
        Text,
        "basic",
        "'extensive' adds latency histograms of gRPC calls.",
    ),
    honoured(
        "enable-pprof",
        Bool,
        "false",
        "Serve profiles below /debug/pprof/ on client ports.",
    ),
    honoured(
        "logger",
        Text,
        "zap",
        "Only 'zap', the JSON line format, exists.",
    ),
    honoured(
        "log-outputs",
        Text,
        "default",
        "'stderr', 'stdout' or files, comma separated.",
    ),
    honoured(
        "log-level",
        Level,
        "info",
        "debug, info, warn, error, panic or fatal.",
    ),
    honoured("log-format", Text, "json", "'json' or 'console'."),
    absent(
        "enable-log-rotation",
        Bool,
        "false",
        "Rotate a single log file.",
    ),
    ineffective(
        "log-rotation-config-json",
        Text,
        "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}",
        "Only with enable-log-rotation.",
    ),
    honoured(
        "warning-unary-request-duration",
        Duration,
        "300ms",
        "Log a unary call that takes longer.",
    ),
    honoured(
        "warning-apply-duration",
        Duration,
        "100ms",
        "Log an apply that takes longer.",
    ),
    absent(
        "enable-distributed-tracing",
        Bool,
        "false",
        "Export spans by OTLP.",
    ),
    ineffective(
        "distributed-tracing-address",
        Text,
        "localhost:4317",
        "Only with tracing.",
    ),
    ineffective(
        "distributed-tracing-service-name",
        Text,
        "etcd",
        "Only with tracing.",
    ),
    ineffective(
        "distributed-tracing-instance-id",
        Text,
        "",
        "Only with tracing.",
    ),
    ineffective(
        "distributed-tracing-sampling-rate",
        super::Kind::Signed,
        "0",
        "Only with tracing.",
    ),
];

pub(super) const FEATURES: &[Flag] = &[
    honoured(
        "watch-progress-notify-interval",
        Duration,
        "0s",
        "Progress of silent watches; 0: 10m.",
    ),
    honoured(
        "feature-gates",
        Gates,
        "",
        "Name=bool,... switches of features.",
    ),
    honoured(
        "corrupt-check-time",
        Duration,
        "0s",
        "Period of comparing what members have stored.",
    ),
    honoured(
        "compact-hash-check-time",
        Duration,
        "1m",
        "Only with gate CompactHashCheck.",
    ),
    ineffective(
        "downgrade-check-time",
        Duration,
        "5s",
        "Period of checking a downgrade.",
    ),
];

pub(super) const UNSAFE: &[Flag] = &[
    honoured(
        "force-new-cluster",
        Bool,
        "false",
        "Make a one-member cluster of old data, at every start with it.",
    ),
    honoured(
        "unsafe-no-fsync",
        Bool,
        "false",
        "Never sync to disk: loses data in a crash.",
    ),
];

/// No-ops that etcd still accepts and does not list.
pub(super) const HIDDEN: &[Flag] = &[
    silent("cluster-active-size"),
    silent("cluster-remove-delay"),
    silent("cluster-sync-interval"),
    silent("config"),
    silent("force"),
    silent("max-result-buffer"),
    silent("max-retry-attempts"),
    silent("peer-heartbeat-interval"),
    silent("peer-election-timeout"),
    silent("retry-interval"),
    silent("snapshot"),
    silent("v"),
    silent("vv"),
    silent("test.coverprofile"),
    silent("test.outputdir"),
];

const fn silent(name: &'static str) -> Flag {
    Flag {
        name,
        kind: Ignored,
        default: "",
        support: Support::Silent,
        help: "",
    }
}
