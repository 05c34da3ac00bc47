//! `--feature-gates`: named switches with a stage and a default.
//!
//! All of etcd's names are known. Those whose feature exists here act; the
//! others may be named with their default but not switched.

use std::fmt::Write as _;

use super::go_values::parse_bool;

/// A gate by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureGate {
    /// Compare hashes of compactions between members.
    CompactHashCheck,
    /// Lease keepalive answers without waiting for the applied index.
    FastLeaseKeepAlive,
    /// Compare hashes with peers before serving after a restart.
    InitialCorruptCheck,
    /// Replicate the remaining time of long leases.
    LeaseCheckpoint,
    /// Keep that remaining time over restarts.
    LeaseCheckpointPersist,
    /// Let lease revocation pass under overload.
    PriorityRequest,
    /// Bind outgoing peer connections to the advertised address.
    SetMemberLocalAddr,
    /// Report NOT_SERVING while defragmenting.
    StopGrpcServiceOnDefrag,
    /// An internal of etcd's backend.
    TxnModeWriteWithSharedBuffer,
}

/// Maturity of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off unless asked for.
    Alpha,
    /// On unless declined.
    Beta,
}

impl Stage {
    /// As shown in help and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
        }
    }
}

impl FeatureGate {
    /// All gates, in alphabetical order of their names.
    pub const ALL: [Self; 9] = [
        Self::CompactHashCheck,
        Self::FastLeaseKeepAlive,
        Self::InitialCorruptCheck,
        Self::LeaseCheckpoint,
        Self::LeaseCheckpointPersist,
        Self::PriorityRequest,
        Self::SetMemberLocalAddr,
        Self::StopGrpcServiceOnDefrag,
        Self::TxnModeWriteWithSharedBuffer,
    ];

    /// The gate's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CompactHashCheck => "CompactHashCheck",
            Self::FastLeaseKeepAlive => "FastLeaseKeepAlive",
            Self::InitialCorruptCheck => "InitialCorruptCheck",
            Self::LeaseCheckpoint => "LeaseCheckpoint",
            Self::LeaseCheckpointPersist => "LeaseCheckpointPersist",
            Self::PriorityRequest => "PriorityRequest",
            Self::SetMemberLocalAddr => "SetMemberLocalAddr",
            Self::StopGrpcServiceOnDefrag => "StopGRPCServiceOnDefrag",
            Self::TxnModeWriteWithSharedBuffer => "TxnModeWriteWithSharedBuffer",
        }
    }

    /// The gate's maturity.
    pub fn stage(self) -> Stage {
        match self {
            Self::FastLeaseKeepAlive | Self::TxnModeWriteWithSharedBuffer => Stage::Beta,
            _ => Stage::Alpha,
        }
    }

    /// The gate's value when nobody sets it.
    pub fn default(self) -> bool {
        self.stage() == Stage::Beta
    }

    /// Whether switching it from its default has the meaning it has in etcd,
    /// or no meaning an operator could miss.
    pub fn is_supported(self) -> bool {
        !matches!(self, Self::SetMemberLocalAddr)
    }

    fn position(self) -> usize {
        Self::ALL.iter().position(|gate| *gate == self).unwrap_or(0)
    }
}

/// The values of all gates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureGates {
    set: [Option<bool>; FeatureGate::ALL.len()],
    all_alpha: Option<bool>,
    all_beta: Option<bool>,
}

impl FeatureGates {
    /// Parses `Name=bool,Name=bool`.
    ///
    /// # Errors
    /// etcd's text for an unknown name, a missing or a malformed value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut gates = Self::default();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(format!("missing bool value for {pair}"));
            };
            let (name, value) = (name.trim(), value.trim());
            let on = parse_bool(value).ok_or_else(|| {
                format!(
                    "invalid value of {name}={value}, err: strconv.ParseBool: parsing \"{value}\": \
                     invalid syntax"
                )
            })?;
            gates.set_by_name(name, on)?;
        }
        Ok(gates)
    }

    /// Whether the gate is on.
    pub fn is_enabled(&self, gate: FeatureGate) -> bool {
        let of_stage = match gate.stage() {
            Stage::Alpha => self.all_alpha,
            Stage::Beta => self.all_beta,
        };
        self.explicit(gate)
            .or(of_stage)
            .unwrap_or_else(|| gate.default())
    }

    /// The first gate switched to a value whose feature does not exist here.
    pub fn unsupported(&self) -> Option<FeatureGate> {
        FeatureGate::ALL
            .into_iter()
            .find(|gate| !gate.is_supported() && self.is_enabled(*gate) != gate.default())
    }

    fn explicit(&self, gate: FeatureGate) -> Option<bool> {
        self.set.get(gate.position()).copied().flatten()
    }

    fn set_by_name(&mut self, name: &str, on: bool) -> Result<(), String> {
        match name {
            "AllAlpha" => self.all_alpha = Some(on),
            "AllBeta" => self.all_beta = Some(on),
            _ => {
                let gate = FeatureGate::ALL
                    .into_iter()
                    .find(|gate| gate.name() == name)
                    .ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
                if let Some(slot) = self.set.get_mut(gate.position()) {
                    *slot = Some(on);
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for FeatureGates {
    /// Only what was set explicitly, as the start line shows it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        let wide = [("AllAlpha", self.all_alpha), ("AllBeta", self.all_beta)];
        let gates = FeatureGate::ALL
            .into_iter()
            .map(|gate| (gate.name(), self.explicit(gate)));
        for (name, on) in wide.into_iter().chain(gates) {
            if let Some(on) = on {
                write!(
                    text,
                    "{}{name}={on}",
                    if text.is_empty() { "" } else { "," }
                )?;
            }
        }
        formatter.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::{FeatureGate, FeatureGates};

    #[test]
    fn a_stage_wide_gate_yields_to_an_explicit_one() {
        let gates = FeatureGates::parse("AllAlpha=true,LeaseCheckpoint=false").unwrap();
        assert!(!gates.is_enabled(FeatureGate::LeaseCheckpoint));
        assert!(gates.is_enabled(FeatureGate::PriorityRequest));
        assert!(gates.is_enabled(FeatureGate::FastLeaseKeepAlive));
        assert_eq!(gates.to_string(), "AllAlpha=true,LeaseCheckpoint=false");
    }

    #[test]
    fn errors_have_etcds_texts() {
        for (text, expected) in [
            ("X=true", "unrecognized feature gate: X"),
            ("X", "missing bool value for X"),
            (
                "LeaseCheckpoint=maybe",
                "invalid value of LeaseCheckpoint=maybe, err: strconv.ParseBool: parsing \
                 \"maybe\": invalid syntax",
            ),
        ] {
            assert_eq!(FeatureGates::parse(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_gate_without_its_feature_is_named() {
        let gates = FeatureGates::parse("SetMemberLocalAddr=true").unwrap();
        assert_eq!(gates.unsupported(), Some(FeatureGate::SetMemberLocalAddr));
        assert_eq!(FeatureGates::default().unsupported(), None);
    }
}
