//! The workloads by name.

use crate::{
    connection::Failure,
    load::Client,
    workload::{
        keys::Keys,
        lease::KeepAlives,
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
    /// Keeps leases alive.
    KeepAlive(KeepAlives),
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
            Self::KeepAlive(_) => "lease keepalive",
        }
    }

    /// Keys `0..keys_count`, each written once.
    #[must_use]
    pub fn fill(keys_count: u64, value_bytes: usize) -> Self {
        Self::Fill(Fill::new(Keys::new(keys_count), value_bytes))
    }

    /// One client's life.
    ///
    /// # Errors
    /// It could not start, or its stream or connection was lost.
    pub async fn drive(self, client: Client) -> Result<(), Failure> {
        match self {
            Self::Put(puts) => unary::drive(client, puts).await,
            Self::Fill(fill) => unary::drive(client, fill).await,
            Self::Range(ranges) => unary::drive(client, ranges).await,
            Self::Txn(txns) => unary::drive(client, txns).await,
            Self::Watch(watches) => watches.drive(client).await,
            Self::KeepAlive(keep_alives) => keep_alives.drive(client).await,
        }
    }
}
