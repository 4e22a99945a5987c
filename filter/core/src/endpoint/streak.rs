//! Consecutive errors of one kind at one endpoint, and what happens when they reach a threshold.
//!
//! Errors are kept with their moments, because attempts overlap and some are heard of late: what went well resets only
//! what failed before it. Which error counts for which streak is [`crate::detector`].

use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};

/// So long after a failure it is heard of, in microseconds, as seen on Envoy (26 to 50, rarely 200): one that is dated later than a
/// connection by less came first.
const HEARD_AFTER: Micros = 50;

/// Failures to reach an endpoint whose moments are remembered: a longer streak is reset as a whole or not at all.
const MAX_FAILURES: usize = 16;

/// The kind of a streak: key `kind` of `error_streak`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreakKind {
    /// Answers of 502, 503 or 504 (without split mode, local failures too).
    GatewayError,
    /// Answers of any 5xx (without split mode, local failures too).
    Http5xx,
    /// Failures to reach the endpoint, in split mode.
    LocalOrigin,
}

impl StreakKind {
    /// The kind as events and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatewayError => "gateway_error",
            Self::Http5xx => "5xx",
            Self::LocalOrigin => "local_origin",
        }
    }

    /// The reason of an ejection by this streak, as Envoy names it.
    pub const fn eject_reason(self) -> &'static str {
        match self {
            Self::GatewayError => "consecutive_gateway_failure",
            Self::Http5xx => "consecutive_5xx",
            Self::LocalOrigin => "consecutive_local_origin_failure",
        }
    }
}

/// A streak that reached its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Which streak.
    pub kind: StreakKind,
    /// The threshold, which is also the streak's length.
    pub threshold: u32,
    /// Whether this is the first crossing since the streak began; later ones repeat what was said.
    pub first: bool,
    /// Whether an attempt that is under way may yet show that the streak was broken: [`Detector::matured`] tells when not.
    pub held: bool,
    /// When it happened, if it was held and is sure now.
    pub at: Option<Millis>,
}

/// A streak of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streak {
    /// Errors since the last crossing.
    pub length: u32,
    /// Whether it was told already.
    pub told: bool,
    /// When the last of them happened, in order.
    pub failures: Vec<Micros>,
    /// For how long after its last failure a connection may turn up that broke it; 0 is never.
    pub doubt: Micros,
}

impl Streak {
    /// Counts one more error; the crossing when the count equals `threshold` (0 never fires).
    pub fn grow(&mut self, at: Micros, kind: StreakKind, threshold: u32) -> Option<Crossing> {
        if self.failures.len() >= MAX_FAILURES {
            self.failures.remove(0);
        }
        self.failures.push(at);
        self.length = self.length.saturating_add(1);
        (self.length == threshold).then_some(Crossing { kind, threshold, first: !self.told, held: false, at: None })
    }

    /// What went well at `at` resets what failed before it.
    pub fn reset(&mut self, at: Micros) {
        let at = at.saturating_add(HEARD_AFTER);
        if self.failures.first().is_some_and(|first| *first > at) {
            return;
        }
        self.failures.retain(|failure| *failure > at);
        self.length = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.told &= self.length > 0;
        if self.length == 0 {
            self.doubt = 0;
        }
    }

    /// It fired, and goes on unbroken.
    pub fn start_over(&mut self) {
        *self = Self { told: true, ..Self::default() };
    }

    pub fn is_running(&self) -> bool {
        self.length > 0 || self.told
    }
}
