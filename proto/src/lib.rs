//! The etcd v3 API and Quoin's own replicated command as Rust types.
//!
//! Modules are named as the protobuf packages on the wire. Messages and
//! clients are generated once, structured ([`etcdserverpb`]). Servers
//! ([`server`]) are generated over the same requests, but their replies that
//! carry stored pairs use [`raw`]: there a pair is its stored encoding, sent
//! without being decoded. Both forms have the same bytes on the wire.
//!
//! `generated/` is committed and never edited; tests/tidy rewrites it.

pub mod raw;

/// Package mvccpb: key-value pairs and events.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    missing_debug_implementations,
    clippy::all,
    reason = "generated from proto/definitions/kv.proto, which carries the documentation"
)]
pub mod mvccpb {
    include!("generated/mvccpb.rs");
}

/// Package authpb: users, roles and permissions.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from proto/definitions/auth.proto, which carries the documentation"
)]
pub mod authpb {
    include!("generated/authpb.rs");
}

/// Package etcdserverpb: the client API.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    missing_debug_implementations,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    clippy::use_self,
    clippy::too_many_lines,
    reason = "generated from proto/definitions/rpc.proto, which carries the documentation"
)]
pub mod etcdserverpb {
    include!("generated/etcdserverpb.rs");
}

/// Package v3lockpb: server-side locks.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    clippy::use_self,
    clippy::too_many_lines,
    reason = "generated from proto/definitions/lock.proto, which carries the documentation"
)]
pub mod v3lockpb {
    include!("generated/v3lockpb.rs");
}

/// Package v3electionpb: server-side elections.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    clippy::use_self,
    clippy::too_many_lines,
    reason = "generated from proto/definitions/election.proto, which carries the documentation"
)]
pub mod v3electionpb {
    include!("generated/v3electionpb.rs");
}

/// Package grpc: the standard health service.
pub mod grpc {
    /// Package grpc.health.
    pub mod health {
        /// Package grpc.health.v1.
        #[allow(
            missing_docs,
            unreachable_pub,
            unused_qualifications,
            clippy::all,
            clippy::allow_attributes_without_reason,
            clippy::wildcard_imports,
            clippy::use_self,
            clippy::too_many_lines,
            reason = "generated from proto/definitions/health.proto"
        )]
        pub mod v1 {
            include!("generated/grpc.health.v1.rs");
        }
    }
}

/// Package quoinpb: what is replicated and stored, not part of the client API.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from proto/definitions/internal.proto, which carries the documentation"
)]
pub mod quoinpb {
    include!("generated/quoinpb.rs");
}

/// Package quoinrepairpb: calls that etcd does not have.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    clippy::use_self,
    clippy::too_many_lines,
    reason = "generated from proto/definitions/repair.proto, which carries the documentation"
)]
pub mod quoinrepairpb {
    include!("generated/quoinrepairpb.rs");
}

/// Server sides of the services, one module per package.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    missing_debug_implementations,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    clippy::use_self,
    clippy::too_many_lines,
    reason = "generated from proto/definitions, which carry the documentation"
)]
pub mod server {
    /// Services of package etcdserverpb.
    pub mod etcdserverpb {
        include!("generated/server/etcdserverpb.rs");
    }
    /// Service of package v3lockpb.
    pub mod v3lockpb {
        include!("generated/server/v3lockpb.rs");
    }
    /// Service of package v3electionpb.
    pub mod v3electionpb {
        include!("generated/server/v3electionpb.rs");
    }
    /// Service of package quoinrepairpb.
    pub mod quoinrepairpb {
        include!("generated/server/quoinrepairpb.rs");
    }
    /// Service of package grpc.health.v1.
    pub mod health {
        include!("generated/server/grpc.health.v1.rs");
    }
}
