//! Puts together what compares this member's state with the others'.

use std::sync::Arc;

use crate::{
    config::{FeatureGate, ServerConfig},
    duties::{AgreementDuty, HashChecks, InitialCheck},
    service::Context,
};

/// The check before serving: with its gate, and on a member that has run before.
pub(super) fn initial_check(
    config: &ServerConfig,
    context: &Context,
    has_run: bool,
) -> Option<InitialCheck> {
    let gate = FeatureGate::InitialCorruptCheck;
    if !has_run || !config.feature_gates.is_enabled(gate) {
        return None;
    }
    let asking = context.clone();
    Some(InitialCheck {
        member_id: context.header.member_id,
        agreement: context.agreement.clone(),
        quarantine: context.quarantine.clone(),
        proposer: context.proposer.clone(),
        gate: context.gate.clone(),
        node: context.node.clone(),
        leaders_hash: Arc::new(move |index| {
            let context = asking.clone();
            Box::pin(async move {
                let hash = context.leaders_hash(index).await;
                hash.map_err(|status| status.message().to_owned())
            })
        }),
    })
}

/// What compares the states of the members while this one runs.
pub(super) fn duty(config: &ServerConfig, context: &Context) -> AgreementDuty {
    let asking = context.clone();
    AgreementDuty {
        member_id: context.header.member_id,
        interval: config.state_digest_interval,
        hash_checks: HashChecks {
            interval: config.corrupt_check_interval,
            compaction_interval: config.compact_hash_check_interval,
        },
        store: context.store.clone(),
        agreement: context.agreement.clone(),
        quarantine: context.quarantine.clone(),
        alarms: context.alarms.clone(),
        proposer: context.proposer.clone(),
        gate: context.gate.clone(),
        node: context.node.clone(),
        patience: config.request_timeout(),
        leaders_ring: Arc::new(move || {
            let context = asking.clone();
            Box::pin(async move {
                let ring = context.leaders_ring().await;
                ring.map_err(|status| status.message().to_owned())
            })
        }),
    }
}
