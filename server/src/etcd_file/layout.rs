//! Names: buckets, and the keys that are looked for in them.

use crate::backend::Table;

pub(super) const ALARM: &[u8] = b"alarm";
pub(super) const AUTH: &[u8] = b"auth";
pub(super) const AUTH_ROLES: &[u8] = b"authRoles";
pub(super) const AUTH_USERS: &[u8] = b"authUsers";
pub(super) const CLUSTER: &[u8] = b"cluster";
pub(super) const KEY: &[u8] = b"key";
pub(super) const LEASE: &[u8] = b"lease";
pub(super) const MEMBERS: &[u8] = b"members";
pub(super) const MEMBERS_REMOVED: &[u8] = b"members_removed";
pub(super) const META: &[u8] = b"meta";

/// Buckets whose rows are those of a table, to the byte.
pub(super) const SAME_ROWS: [(&[u8], Table); 5] = [
    (ALARM, Table::Alarm),
    (AUTH, Table::Auth),
    (AUTH_ROLES, Table::AuthRoles),
    (AUTH_USERS, Table::AuthUsers),
    (LEASE, Table::Lease),
];

pub(super) const CONF_STATE: &[u8] = b"confState";
pub(super) const CONSISTENT_INDEX: &[u8] = b"consistent_index";
pub(super) const FINISHED_COMPACT_REVISION: &[u8] = b"finishedCompactRev";
pub(super) const SCHEDULED_COMPACT_REVISION: &[u8] = b"scheduledCompactRev";
pub(super) const STORAGE_VERSION: &[u8] = b"storageVersion";
pub(super) const TERM: &[u8] = b"term";
pub(super) const AUTH_ENABLED: &[u8] = b"authEnabled";
pub(super) const AUTH_REVISION: &[u8] = b"authRevision";
pub(super) const CLUSTER_VERSION: &[u8] = b"clusterVersion";

/// Behind the revision in the key of a tombstone.
pub(super) const TOMBSTONE_MARK: u8 = b't';
/// Value of a removed member.
pub(super) const REMOVED: &[u8] = b"removed";
