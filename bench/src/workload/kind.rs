//! The workloads by name.

use crate::{
    connection::Failure,
    load::Client,
    workload::{
        catch_up::CatchUps,
        keys::Keys,
        lease::{Grants, KeepAlives},
        mixed::Mixed,
        put::{Fill, Puts},
        range::Ranges,
        txn::Txns,
        unary,
        watch::Watches,
    },
};

/// What every client of a run does.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Writes keys.
    Put(Puts),
    /// Writes each key of a space once, then ends.
    Fill(Fill),
    /// Reads one key, or as many as asked for.
    Range(Ranges),
    /// Updates keys where nobody else did.
    Txn(Txns),
    /// Watches keys that some clients write.
    Watch(Watches),
    /// Watches what was written before.
    CatchUp(CatchUps),
    /// Grants leases.
    Grant(Grants),
    /// Keeps leases alive.
    KeepAlive(KeepAlives),
    /// Does what an API server of Kubernetes does.
    Mixed(Mixed),
}

impl Workload {
    /// Its name in messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Fill(_) => "fill",
            Self::Range(_) => "range",
            Self::Txn(_) => "txn",
            Self::Watch(_) => "watch",
            Self::CatchUp(_) => "watch catch-up",
            Self::Grant(_) => "lease grant",
            Self::KeepAlive(_) => "lease keepalive",
            Self::Mixed(_) => "mixed",
        }
    }

    /// Every key of `keys`, written once.
    #[must_use]
    pub fn fill(keys: Keys, value_bytes: usize) -> Self {
        Self::Fill(Fill::new(keys, value_bytes))
    }

    /// One client's life.
    ///
    /// # Errors
    /// It could not start, or its stream or connection was lost.
    pub async fn drive(self, client: Client) -> Result<(), Failure> {
        match self {
            Self::Put(puts) => unary::drive(client, puts).await,
            Self::Fill(fill) => unary::drive(client, fill).await,
            Self::Range(ranges) => ranges.drive(client).await,
            Self::Txn(txns) => unary::drive(client, txns).await,
            Self::Watch(watches) => watches.drive(client).await,
            Self::CatchUp(catch_ups) => catch_ups.drive(client).await,
            Self::Grant(grants) => unary::drive(client, grants).await,
            Self::KeepAlive(keep_alives) => keep_alives.drive(client).await,
            Self::Mixed(mixed) => mixed.drive(client).await,
        }
    }
}
