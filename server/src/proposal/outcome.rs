//! What applying a command came to.

use prost::Message;
use quoin_proto::{etcdserverpb::AlarmMember, raw};

/// The outcome of a command, ready to be sent: headers are complete.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A put.
    Put(raw::PutResponse),
    /// A deletion of a range.
    DeleteRange(raw::DeleteRangeResponse),
    /// A transaction.
    Txn(raw::TxnResponse),
    /// The compact revision moved; `revision` is the store's revision.
    Compaction {
        /// Current revision of the store.
        revision: i64,
    },
    /// A lease was granted.
    LeaseGrant {
        /// Its id.
        id: i64,
        /// Time to live granted, seconds.
        ttl: i64,
        /// Current revision of the store.
        revision: i64,
    },
    /// A lease was revoked; `revision` is the one after its keys were deleted.
    LeaseRevoke {
        /// Current revision of the store.
        revision: i64,
    },
    /// Alarms listed, raised or cleared.
    Alarm {
        /// The alarms the request is about.
        alarms: Vec<AlarmMember>,
        /// Current revision of the store.
        revision: i64,
    },
    /// A command without a reply of its own.
    Done,
}

impl Outcome {
    /// Bytes of the reply's message, 0 where there is none yet.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Put(response) => response.encoded_len(),
            Self::DeleteRange(response) => response.encoded_len(),
            Self::Txn(response) => response.encoded_len(),
            _ => 0,
        }
    }
}

/// Why a command had no effect. The log position is consumed all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The revision is below the compact revision.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision is above the current one.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// No such lease.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease id is in use.
    #[error("lease already exists")]
    LeaseExists,
    /// The time to live is above the maximum.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
    /// An `ignore_*` put on a key that does not exist.
    #[error("key not found")]
    KeyNotFound,
    /// The NOSPACE alarm is active, or this command went over the quota.
    #[error("database space exceeded")]
    NoSpace,
    /// The CORRUPT alarm is active.
    #[error("corrupt cluster")]
    Corrupt,
    /// The store failed; the member stops.
    #[error("store: {reason}")]
    Store {
        /// What it said.
        reason: String,
    },
    /// A read that must not wait for the disk would have to.
    #[error("not in memory")]
    NotInMemory,
    /// This build does not know the command.
    #[error("the command is of a kind this build does not know")]
    Unknown,
}

/// What a waiting request is told.
pub(crate) type Reply = Result<Outcome, ApplyError>;
