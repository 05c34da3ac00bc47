//! Whether the members hold the same state.

use prometheus::{Error, IntCounter, IntGauge};

use super::registrar::Registrar;

/// Metrics named `quoin_state_digest_*`.
#[derive(Debug)]
pub struct DigestMetrics {
    /// Newest log index at which another member's digest was equal.
    pub equal_index: IntGauge,
    /// Digests of other members that differed.
    pub differences_total: IntCounter,
    /// 1 while this member's state is known to be wrong.
    pub quarantined: IntGauge,
    /// Repairs that ended with a sound state.
    pub repairs_total: IntCounter,
}

impl DigestMetrics {
    pub(super) fn register(make: &Registrar<'_>) -> Result<Self, Error> {
        Ok(Self {
            equal_index: make.gauge(
                "quoin_state_digest_equal_index",
                "Newest log index at which another member had the same state.",
            )?,
            differences_total: make.counter(
                "quoin_state_digest_differences_total",
                "Digests of other members that differed.",
            )?,
            quarantined: make.gauge(
                "quoin_state_digest_quarantined",
                "1 while this member does not serve because its state is wrong.",
            )?,
            repairs_total: make.counter(
                "quoin_state_digest_repairs_total",
                "Repairs that ended with a sound state.",
            )?,
        })
    }
}
