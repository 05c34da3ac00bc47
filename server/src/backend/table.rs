//! The small tables: everything that is replicated but is not a record.
//!
//! All rows of them are in memory and every view has its own immutable version.
//! The number of a table is on disk and never reused.

/// One small table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Compaction progress and other single values of MVCC.
    Meta = 1,
    /// Leases.
    Lease = 2,
    /// Authentication switch and revision.
    Auth = 3,
    /// Users.
    AuthUsers = 4,
    /// Roles.
    AuthRoles = 5,
    /// Raised alarms.
    Alarm = 6,
    /// Members and their attributes.
    Members = 7,
    /// Ids of members that were removed.
    MembersRemoved = 8,
    /// Cluster-wide values such as the feature level.
    Cluster = 9,
    /// Internal to the backend: records in blocks that are dead. See `dead_marks`.
    Dead = 10,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Meta,
        Self::Lease,
        Self::Auth,
        Self::AuthUsers,
        Self::AuthRoles,
        Self::Alarm,
        Self::Members,
        Self::MembersRemoved,
        Self::Cluster,
        Self::Dead,
    ];

    /// The number of the table on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The table with this number on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }

    /// Place of the table in per-table arrays.
    pub(super) const fn slot(self) -> usize {
        self as usize - 1
    }
}
