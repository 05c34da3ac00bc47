//! The methods that the workloads call, and their paths.

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// KV.Put.
    Put,
    /// KV.Range.
    Range,
    /// KV.RangeStream.
    RangeStream,
    /// KV.Txn.
    Txn,
    /// Watch.Watch.
    Watch,
    /// Lease.LeaseGrant.
    LeaseGrant,
    /// Lease.LeaseKeepAlive.
    LeaseKeepAlive,
}

impl Call {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 7] = [
        Self::Put,
        Self::Range,
        Self::RangeStream,
        Self::Txn,
        Self::Watch,
        Self::LeaseGrant,
        Self::LeaseKeepAlive,
    ];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Put => "/etcdserverpb.KV/Put",
            Self::Range => "/etcdserverpb.KV/Range",
            Self::RangeStream => "/etcdserverpb.KV/RangeStream",
            Self::Txn => "/etcdserverpb.KV/Txn",
            Self::Watch => "/etcdserverpb.Watch/Watch",
            Self::LeaseGrant => "/etcdserverpb.Lease/LeaseGrant",
            Self::LeaseKeepAlive => "/etcdserverpb.Lease/LeaseKeepAlive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, position);
        }
    }
}
