//! Why a lease call was refused. The texts that clients see are not made here.

/// Why a lease was not granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// A lease with this id exists.
    #[error("lease already exists")]
    Exists,
    /// The TTL is above [`super::TTL_SECONDS_MAX`].
    #[error("too large lease TTL")]
    TtlTooLarge,
    /// Id 0 stands for no lease; the id is chosen before the log.
    #[error("lease id 0 stands for no lease")]
    NoId,
}

/// No lease has this id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("lease not found")]
pub struct LeaseNotFound;

/// Why a lease was not renewed, or its time not told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// No lease has this id.
    #[error("lease not found")]
    NotFound,
    /// The lease ran out and its revoke is on the way: wait for the outcome.
    #[error("lease expired")]
    Expired,
    /// This member does not lead, so it does not keep time.
    #[error("not a primary lessor")]
    NotLeader,
}

/// A row of the lease table does not decode, or its key names another lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a row of the lease table is damaged")]
pub struct RecoverError;
