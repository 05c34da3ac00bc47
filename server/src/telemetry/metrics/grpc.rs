//! Calls by gRPC method, every method and code present from the start.
//!
//! Handles of a method are resolved once and kept by whoever counts: a call
//! then costs plain atomic additions, no label lookup.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Error, Histogram, IntCounter};

use super::registrar::Registrar;

/// Metrics named `grpc_server_*`.
#[derive(Debug)]
pub struct GrpcMetrics {
    methods: HashMap<String, Arc<MethodMetrics>>,
}

/// The counters of one method.
#[derive(Clone, Debug)]
pub struct MethodMetrics {
    /// Calls begun.
    pub started_total: IntCounter,
    /// Messages from clients.
    pub msg_received_total: IntCounter,
    /// Messages to clients.
    pub msg_sent_total: IntCounter,
    unary: bool,
    handled: Vec<IntCounter>,
    handling: Option<Histogram>,
}

impl GrpcMetrics {
    pub(super) fn register(make: &Registrar<'_>, extensive: bool) -> Result<Self, Error> {
        let labels = ["grpc_type", "grpc_service", "grpc_method"];
        let with_code = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
        let started = make.counter_vec("grpc_server_started_total", "Calls begun.", &labels)?;
        let handled = make.counter_vec("grpc_server_handled_total", "Calls ended.", &with_code)?;
        let received = make.counter_vec(
            "grpc_server_msg_received_total",
            "Messages received.",
            &labels,
        )?;
        let sent = make.counter_vec("grpc_server_msg_sent_total", "Messages sent.", &labels)?;
        let handling = match extensive {
            true => Some(make.histogram_vec(
                "grpc_server_handling_seconds",
                "Time to answer a call.",
                prometheus::DEFAULT_BUCKETS.to_vec(),
                &labels,
            )?),
            false => None,
        };
        let mut methods = HashMap::new();
        for (service, names) in SERVICES {
            for name in *names {
                let kind = kind_of(service, name);
                let values = [kind, service, name];
                let of_code = |code: &&str| handled.with_label_values(&[kind, service, name, code]);
                let metrics = MethodMetrics {
                    started_total: started.with_label_values(&values),
                    msg_received_total: received.with_label_values(&values),
                    msg_sent_total: sent.with_label_values(&values),
                    unary: kind == "unary",
                    handled: CODES.iter().map(of_code).collect(),
                    handling: handling.as_ref().map(|vec| vec.with_label_values(&values)),
                };
                methods.insert(format!("/{service}/{name}"), Arc::new(metrics));
            }
        }
        Ok(Self { methods })
    }

    /// The counters of a method by its full path (`/package.Service/Method`).
    pub fn method(&self, path: &str) -> Option<&Arc<MethodMetrics>> {
        self.methods.get(path)
    }
}

impl MethodMetrics {
    /// Counts a call that begins.
    pub fn started(&self) {
        self.started_total.inc();
        if self.unary {
            self.msg_received_total.inc();
        }
    }

    /// Counts a call that ended with this status code.
    pub fn handled(&self, code: usize) {
        if self.unary && code == 0 {
            self.msg_sent_total.inc();
        }
        if let Some(counter) = self.handled.get(code) {
            counter.inc();
        }
    }

    /// Records how long a call took, if that is exported.
    pub fn observe(&self, took: Duration) {
        if let Some(histogram) = &self.handling {
            histogram.observe(took.as_secs_f64());
        }
    }
}

fn kind_of(service: &str, method: &str) -> &'static str {
    match (service, method) {
        ("etcdserverpb.Watch", "Watch") | ("etcdserverpb.Lease", "LeaseKeepAlive") => "bidi_stream",
        ("etcdserverpb.KV", "RangeStream")
        | ("etcdserverpb.Maintenance", "Snapshot")
        | ("grpc.health.v1.Health", "Watch")
        | ("v3electionpb.Election", "Observe") => "server_stream",
        _ => "unary",
    }
}

/// Number of gRPC status codes.
pub const GRPC_CODES_COUNT: usize = CODES.len();

/// Names of the status codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// All methods by service.
const SERVICES: &[(&str, &[&str])] = &[
    (
        "etcdserverpb.KV",
        &[
            "Range",
            "RangeStream",
            "Put",
            "DeleteRange",
            "Txn",
            "Compact",
        ],
    ),
    ("etcdserverpb.Watch", &["Watch"]),
    (
        "etcdserverpb.Lease",
        &[
            "LeaseGrant",
            "LeaseRevoke",
            "LeaseKeepAlive",
            "LeaseTimeToLive",
            "LeaseLeases",
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            "MemberAdd",
            "MemberRemove",
            "MemberUpdate",
            "MemberList",
            "MemberPromote",
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            "Alarm",
            "Status",
            "Defragment",
            "Hash",
            "HashKV",
            "Snapshot",
            "MoveLeader",
            "Downgrade",
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            "AuthEnable",
            "AuthDisable",
            "AuthStatus",
            "Authenticate",
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        ],
    ),
    ("grpc.health.v1.Health", &["Check", "List", "Watch"]),
    ("v3lockpb.Lock", &["Lock", "Unlock"]),
    (
        "v3electionpb.Election",
        &["Campaign", "Leader", "Observe", "Proclaim", "Resign"],
    ),
];
