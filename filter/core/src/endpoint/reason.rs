//! Why an endpoint was ejected or kept in rotation, and how that is known. Log text, metric label and tests all come
//! from these enums.

use crate::encoded;

/// How an event is known: key and label `basis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Envoy's admin interface reported it.
    Witnessed,
    /// Concluded from traffic by Envoy's own rules.
    Inferred,
}

impl Basis {
    /// The basis as events and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Witnessed => "witnessed",
            Self::Inferred => "inferred",
        }
    }
}

/// Why an endpoint was ejected: key `reason` of `endpoint_ejected` and label `eject_reason`.
///
/// The names are those of Envoy's `outlier_detection.ejections_enforced_*` counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectReason {
    /// Consecutive 5xx answers (without split mode, local-origin failures too).
    Consecutive5xx,
    /// Consecutive answers of 502, 503 or 504 (without split mode, local-origin failures too).
    ConsecutiveGatewayFailure,
    /// Consecutive failures to reach the endpoint, in split mode.
    ConsecutiveLocalOriginFailure,
    /// Any other of Envoy's reasons (success rate, failure percentage), or a reason that nothing shows.
    Other,
}

encoded!(enum EjectReason {
    0 => Consecutive5xx, 1 => ConsecutiveGatewayFailure, 2 => ConsecutiveLocalOriginFailure, 3 => Other,
});

impl EjectReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::Consecutive5xx, Self::ConsecutiveGatewayFailure, Self::ConsecutiveLocalOriginFailure, Self::Other];

    /// The reason as events and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGatewayFailure => "consecutive_gateway_failure",
            Self::ConsecutiveLocalOriginFailure => "consecutive_local_origin_failure",
            Self::Other => "other",
        }
    }

    /// The reason that Envoy's counters call `name`; [`EjectReason::Other`] if it is not one of [`EjectReason::ALL`].
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name).unwrap_or(Self::Other)
    }
}

/// Why Envoy kept an endpoint in rotation although a streak reached its threshold: key `reason` of `ejection_blocked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedReason {
    /// One more ejection would exceed `maxEjectionPercent`.
    MaxEjectionPercent,
    /// Envoy does not enforce the threshold, or not always.
    NotEnforced,
}

encoded!(enum BlockedReason { 0 => MaxEjectionPercent, 1 => NotEnforced });

impl BlockedReason {
    /// The reason as events write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxEjectionPercent => "max_ejection_percent",
            Self::NotEnforced => "not_enforced",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_from_its_name_and_an_unknown_one_is_other() {
        for reason in EjectReason::ALL {
            assert_eq!(EjectReason::from_name(reason.as_str()), reason);
        }
        assert_eq!(EjectReason::from_name("success_rate"), EjectReason::Other);
    }
}
