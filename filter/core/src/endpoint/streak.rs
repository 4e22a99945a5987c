//! Consecutive errors of one kind at one endpoint, and what happens when they reach a threshold.
//!
//! Attempts overlap and some are reported late, so each error keeps its time: a success resets only the errors before
//! it. [`super::detector`] decides which error counts for which streak.

use super::reason::EjectReason;
use crate::config::OutlierDetection;
use crate::encoded;
use crate::time::{Micros, Millis};

/// The delay between a failure in Envoy and its report to the filter, in microseconds, as measured on Envoy (26 to 50,
/// rarely 200). A failure dated less than this after a connection happened before it.
const REPORT_DELAY_US: Micros = 50;

/// The number of failures whose times a streak keeps; a longer streak is reset as a whole or not at all.
const MAX_FAILURES: usize = 16;

/// The kind of a streak: key `kind` of `error_streak` and label `streak_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreakKind {
    /// Answers of 502, 503 or 504 (outside split mode, local-origin failures too).
    GatewayError,
    /// Answers of any 5xx (outside split mode, local-origin failures too).
    Http5xx,
    /// Failures to reach the endpoint, in split mode.
    LocalOrigin,
}

encoded!(enum StreakKind { 0 => GatewayError, 1 => Http5xx, 2 => LocalOrigin });

impl StreakKind {
    /// All kinds, in the order in which Envoy looks at them.
    pub const ALL: [Self; 3] = [Self::GatewayError, Self::Http5xx, Self::LocalOrigin];

    /// The number of errors that eject; 0 is never.
    pub fn threshold(self, rules: &OutlierDetection) -> u32 {
        match self {
            Self::Http5xx => rules.consecutive5xx_errors,
            Self::GatewayError => rules.consecutive_gateway_errors,
            Self::LocalOrigin => rules.consecutive_local_origin_failures,
        }
    }

    /// The kind as events and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatewayError => "gateway_error",
            Self::Http5xx => "5xx",
            Self::LocalOrigin => "local_origin",
        }
    }

    /// The reason of an ejection that this streak causes.
    pub const fn eject_reason(self) -> EjectReason {
        match self {
            Self::GatewayError => EjectReason::ConsecutiveGatewayFailure,
            Self::Http5xx => EjectReason::Consecutive5xx,
            Self::LocalOrigin => EjectReason::ConsecutiveLocalOriginFailure,
        }
    }
}

/// How certain it is that a streak reached its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The streak has just reached it.
    Certain,
    /// An attempt in progress may still show that the streak was broken.
    Unconfirmed,
    /// The streak reached it at that time; until now it was [`Certainty::Unconfirmed`].
    Confirmed(Millis),
}

encoded!(enum Certainty { 0 => Certain, 1 => Unconfirmed, 2 => Confirmed(millis) });

/// A streak that reached its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The streak's kind.
    pub kind: StreakKind,
    /// The threshold, which is also the streak's length.
    pub threshold: u32,
    /// Whether this is the first crossing since the streak began; an unbroken streak crosses again and again.
    pub first: bool,
    /// How certain the crossing is.
    pub certainty: Certainty,
}

encoded!(struct Crossing { kind, threshold, first, certainty });

/// A streak of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    /// Errors since the last crossing.
    pub(super) length: u32,
    /// Whether the streak has crossed the threshold before and has not been broken since.
    pub(super) crossed: bool,
    /// When its last errors happened, oldest first, at most [`MAX_FAILURES`].
    pub(super) failures: Vec<Micros>,
    /// For how long after its last failure a connection that broke the streak may still be reported; 0 if that cannot
    /// happen.
    pub(super) doubt: Micros,
}

encoded!(struct Streak { length, crossed, failures, doubt });

impl Streak {
    /// Counts one more error; returns the crossing when the count equals `threshold` (0 never fires).
    pub(super) fn grow(&mut self, at: Micros, kind: StreakKind, threshold: u32) -> Option<Crossing> {
        if self.failures.len() >= MAX_FAILURES {
            self.failures.remove(0);
        }
        self.failures.push(at);
        self.length = self.length.saturating_add(1);
        let crossing = Crossing { kind, threshold, first: !self.crossed, certainty: Certainty::Certain };
        (self.length == threshold).then_some(crossing)
    }

    /// A success at `at` resets the errors before it.
    pub(super) fn reset(&mut self, at: Micros) {
        let at = at.saturating_add(REPORT_DELAY_US);
        if self.failures.first().is_some_and(|first| *first > at) {
            return;
        }
        self.failures.retain(|failure| *failure > at);
        self.length = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.crossed &= self.length > 0;
        if self.length == 0 {
            self.doubt = 0;
        }
    }

    /// How many of its errors happened after `since`, as far as their times are known.
    pub(super) fn failed_since(&self, since: Micros) -> u32 {
        let later = self.failures.iter().filter(|failure| **failure > since).count();
        if later == self.failures.len() { self.length } else { u32::try_from(later).unwrap_or(u32::MAX) }
    }

    /// Starts over after a crossing; the streak stays unbroken.
    pub(super) fn start_over(&mut self) {
        *self = Self { crossed: true, ..Self::default() };
    }

    /// Whether errors follow each other without a success between them.
    pub(super) fn is_running(&self) -> bool {
        self.length > 0 || self.crossed
    }
}
