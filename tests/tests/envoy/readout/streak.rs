//! The streaks that are measured: the rule that makes one eject, the error that extends it, and the effect of inputs on
//! it.
//!
//! [`Reading::after`] is Envoy's rule in a dozen lines, written from its sources and independent of the filter's
//! detector.

use std::fmt;
use std::time::Duration;

use lab::endpoints::Behaviour;
use lab::envoy::outlier::OutlierDetection;

/// The number of errors before the row's request.
pub(super) const PRIMED: u32 = 2;

/// The number of errors that eject.
pub(super) const THRESHOLD: u32 = 5;

/// What Envoy's router reports to the detector during a request (`put_result`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum DetectorInput {
    /// A connection or stream was established.
    Connected,
    /// Headers with this status arrived (for gRPC, the status that the gRPC status maps to).
    Answered(u16),
    /// A reset or timeout, which without split mode counts as this status.
    Failed(u16),
}

/// The streak that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streak {
    Http5xx,
    Gateway,
    Local,
}

/// A streak with or without split mode: the clusters of one kind have the same rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub streak: Streak,
    pub split: bool,
}

/// All readings.
pub(super) const READINGS: [Reading; 5] = [
    Reading { streak: Streak::Http5xx, split: false },
    Reading { streak: Streak::Gateway, split: false },
    Reading { streak: Streak::Http5xx, split: true },
    Reading { streak: Streak::Gateway, split: true },
    Reading { streak: Streak::Local, split: true },
];

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", if self.split { "split" } else { "plain" }, self.error().1)
    }
}

impl Reading {
    /// The error that extends the streak, as the endpoint's behaviour, and the filter's names for it: as outcome, as
    /// kind of streak, and as reason of the ejection.
    pub(super) fn error(self) -> (Behaviour, &'static str, &'static str) {
        match self.streak {
            Streak::Http5xx => (Behaviour::Answer(500), "5xx", "consecutive_5xx"),
            Streak::Gateway => (Behaviour::Answer(503), "gateway_error", "consecutive_gateway_failure"),
            Streak::Local => (Behaviour::Refuse, "local_origin", "consecutive_local_origin_failure"),
        }
    }

    pub(super) fn rules(self) -> OutlierDetection {
        let of = |streak| if self.streak == streak { THRESHOLD } else { 0 };
        OutlierDetection {
            consecutive_5xx_errors: of(Streak::Http5xx),
            consecutive_gateway_errors: of(Streak::Gateway),
            split_external_local_origin_errors: self.split,
            consecutive_local_origin_failures: of(Streak::Local),
            base_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 100,
            ..OutlierDetection::default()
        }
    }

    /// The streak after these inputs, by Envoy's rules.
    pub(super) fn after(self, inputs: &[DetectorInput]) -> u32 {
        let answered = |streak: u32, status: u16| match (self.streak, status) {
            (Streak::Local, _) => streak,
            (Streak::Gateway, 502..=504) | (Streak::Http5xx, 500..=599) => streak + 1,
            _ => 0,
        };
        inputs.iter().fold(PRIMED, |streak, input| match input {
            DetectorInput::Connected if self.streak == Streak::Local => 0,
            DetectorInput::Connected => streak,
            DetectorInput::Answered(status) => answered(streak, *status),
            DetectorInput::Failed(_) if self.split => streak + u32::from(self.streak == Streak::Local),
            DetectorInput::Failed(status) => answered(streak, *status),
        })
    }
}
