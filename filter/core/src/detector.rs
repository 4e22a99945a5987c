//! One endpoint's streaks and its ejection, mirroring Envoy's consecutive-error detector.
//!
//! Rules taken from Envoy's `outlier_detection_impl`: a threshold fires when the count *equals* it and then starts
//! over; a 5xx that is no gateway error resets the gateway streak only; in split mode a connection that was had resets
//! the local streak, but only what failed before it; what is counted while ejected changes nothing until the return,
//! which resets all.
//!
//! Not here: whether an ejection is allowed (the percent cap is the cluster's, [`crate::cluster`]) and ejections by
//! success rate or failure percentage, which no streak shows; how long an ejection lasts is [`crate::ejection`].

use crate::config::OutlierDetection;
use crate::ejection::{Backoff, Ejection};
use crate::outcome::Charges;
use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Which streak.
    pub kind: StreakKind,
    /// The threshold, which is also the streak's length.
    pub threshold: u32,
    /// Whether this is the first crossing since the streak began; later ones repeat what was said.
    pub first: bool,
}

/// A streak of one kind: its length since the last crossing and whether it was told already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Streak {
    length: u32,
    told: bool,
}

impl Streak {
    /// Counts one more error; the crossing when the count equals `threshold` (0 never fires).
    fn grow(&mut self, kind: StreakKind, threshold: u32) -> Option<Crossing> {
        self.length = self.length.saturating_add(1);
        (self.length == threshold).then_some(Crossing { kind, threshold, first: !self.told })
    }
}

/// When an attempt's steps were charged. Only their order matters: attempts at one endpoint overlap, so one that had its
/// connection long ago fails after others did, and its connection resets nothing that came later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// When the connection or stream was had.
    pub connected: Micros,
    /// When the answer came or the failure happened.
    pub ended: Micros,
}

impl Moments {
    /// All steps in one moment: nothing else happened at the endpoint meanwhile.
    pub const fn at_once(at: Micros) -> Self {
        Self { connected: at, ended: at }
    }
}

/// Failures to reach the endpoint, in split mode, by when they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LocalStreak {
    streak: Streak,
    /// When the last of them happened, in order.
    failures: Vec<Micros>,
}

impl LocalStreak {
    /// A connection that was had at `at` resets what came before it.
    fn connected(&mut self, at: Micros) {
        if self.failures.first().is_some_and(|first| *first > at) {
            return;
        }
        self.failures.retain(|failure| *failure > at);
        let length = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.streak = Streak { length, told: self.streak.told && length > 0 };
    }

    fn failed(&mut self, at: Micros, threshold: u32) -> Option<Crossing> {
        if self.failures.len() >= MAX_FAILURES {
            self.failures.remove(0);
        }
        self.failures.push(at);
        self.streak.grow(StreakKind::LocalOrigin, threshold)
    }

    fn start_over(&mut self) {
        self.failures.clear();
        self.streak = Streak { length: 0, told: true };
    }
}

/// The streaks and the ejection of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detector {
    http_5xx: Streak,
    gateway: Streak,
    local_origin: LocalStreak,
    ejection: Option<Ejection>,
    ejections: u32,
    backoff: Backoff,
}

impl Detector {
    /// Applies an attempt's charges. Returns the thresholds that were reached, in Envoy's order: gateway before 5xx;
    /// none while the endpoint is ejected. A streak that fired starts over, whatever comes of it.
    pub fn charge(&mut self, charges: &Charges, moments: &Moments, rules: &OutlierDetection) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        let split = rules.split_external_local_origin_errors;
        if split && charges.connected {
            self.local_origin.connected(moments.connected);
        }
        if let Some(status) = charges.status {
            self.charge_status(status, rules, &mut crossings);
        }
        match charges.failure {
            Some(_) if split => {
                crossings.extend(self.local_origin.failed(moments.ended, rules.consecutive_local_origin_failures));
            }
            Some(status) => self.charge_status(status, rules, &mut crossings),
            None => {}
        }
        if self.ejection.is_some() {
            // Envoy's main thread drops these without a reset: the streak has to start over to fire again.
            crossings.clear();
        }
        for crossing in &crossings {
            match crossing.kind {
                StreakKind::GatewayError => self.gateway = Streak { length: 0, told: true },
                StreakKind::Http5xx => self.http_5xx = Streak { length: 0, told: true },
                StreakKind::LocalOrigin => self.local_origin.start_over(),
            }
        }
        crossings
    }

    fn charge_status(&mut self, status: u16, rules: &OutlierDetection, crossings: &mut Vec<Crossing>) {
        if !(500..=599).contains(&status) {
            self.http_5xx = Streak::default();
            self.gateway = Streak::default();
            return;
        }
        if (502..=504).contains(&status) {
            crossings.extend(self.gateway.grow(StreakKind::GatewayError, rules.consecutive_gateway_errors));
        } else {
            self.gateway = Streak::default();
        }
        crossings.extend(self.http_5xx.grow(StreakKind::Http5xx, rules.consecutive5xx_errors));
    }

    /// Ejects the endpoint at `now`.
    pub fn eject(&mut self, now: Millis, rules: &OutlierDetection) {
        self.ejections = self.ejections.saturating_add(1);
        self.ejection = Some(self.backoff.eject(now, rules));
    }

    /// Returns the endpoint to rotation at `now`; the ejection that is over, if there was one.
    pub fn give_back(&mut self, now: Millis) -> Option<Ejection> {
        let ejection = self.ejection.take()?;
        self.backoff.give_back(&ejection, now);
        self.http_5xx = Streak::default();
        self.gateway = Streak::default();
        self.local_origin = LocalStreak::default();
        Some(ejection)
    }

    /// The ejection that is not over.
    pub fn ejection(&self) -> Option<Ejection> {
        self.ejection
    }

    /// How often the endpoint was ejected since it is known.
    pub fn ejections(&self) -> u32 {
        self.ejections
    }

    /// Whether a streak is running, told or not.
    pub fn is_failing(&self) -> bool {
        [self.http_5xx, self.gateway, self.local_origin.streak].iter().any(|streak| streak.length > 0 || streak.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Duration;

    fn rules() -> OutlierDetection {
        OutlierDetection {
            consecutive5xx_errors: 3,
            consecutive_gateway_errors: 2,
            interval: Duration::from_millis(1_000),
            base_ejection_time: Duration::from_millis(2_000),
            max_ejection_time: Duration::from_millis(5_000),
            ..OutlierDetection::default()
        }
    }

    /// Attempts that do not overlap: their order is all that counts.
    fn charge(detector: &mut Detector, charges: Charges, rules: &OutlierDetection) -> Vec<Crossing> {
        detector.charge(&charges, &Moments::at_once(0), rules)
    }

    fn fired(detector: &mut Detector, rules: &OutlierDetection, statuses: &[u16]) -> Vec<StreakKind> {
        let charge = |status: &u16| charge(detector, Charges::answered(*status), rules);
        statuses.iter().flat_map(charge).map(|crossing| crossing.kind).collect()
    }

    const REFUSED: Charges = Charges { connected: false, status: None, failure: Some(503) };
    const CLOSED: Charges = Charges { connected: true, status: None, failure: Some(503) };

    #[test]
    fn thresholds_fire_when_equalled_and_start_over() {
        let mut detector = Detector::default();
        let only_5xx = OutlierDetection { consecutive_gateway_errors: 0, ..rules() };
        assert_eq!(fired(&mut detector, &only_5xx, &[500, 500, 200, 500, 500]), []);
        assert_eq!(fired(&mut detector, &only_5xx, &[500]), [StreakKind::Http5xx]);
        assert_eq!(fired(&mut detector, &only_5xx, &[503, 500]), []);
        assert_eq!(fired(&mut detector, &only_5xx, &[503]), [StreakKind::Http5xx]);
    }

    #[test]
    fn a_second_crossing_of_an_unbroken_streak_is_not_the_first() {
        let mut detector = Detector::default();
        let rules = OutlierDetection { consecutive5xx_errors: 1, ..rules() };
        let firsts: Vec<bool> = [500, 500, 200, 500]
            .iter()
            .flat_map(|status| charge(&mut detector, Charges::answered(*status), &rules))
            .map(|crossing| crossing.first)
            .collect();
        assert_eq!(firsts, [true, false, true]);
    }

    #[test]
    fn a_plain_500_resets_the_gateway_streak_but_not_the_5xx_one() {
        let mut detector = Detector::default();
        assert_eq!(fired(&mut detector, &rules(), &[503, 500, 503]), [StreakKind::Http5xx]);
        assert_eq!(fired(&mut detector, &rules(), &[503]), [StreakKind::GatewayError]);
    }

    #[test]
    fn without_split_local_failures_are_503s() {
        let mut detector = Detector::default();
        assert!(charge(&mut detector, REFUSED, &rules()).is_empty());
        assert_eq!(charge(&mut detector, CLOSED, &rules()).len(), 1, "two gateway errors");
    }

    #[test]
    fn in_split_mode_only_failures_to_connect_build_a_streak() {
        let split = split(2);
        let mut detector = Detector::default();
        for _ in 0..5 {
            assert!(charge(&mut detector, CLOSED, &split).is_empty());
        }
        assert_eq!(charge(&mut detector, REFUSED, &split).len(), 1, "the last close counts as one");
        assert!(charge(&mut detector, REFUSED, &split).is_empty());
        assert!(charge(&mut detector, Charges::answered(500), &split).is_empty(), "an answer resets the local streak");
        assert!(charge(&mut detector, REFUSED, &split).is_empty());
    }

    fn split(threshold: u32) -> OutlierDetection {
        OutlierDetection {
            split_external_local_origin_errors: true,
            consecutive_local_origin_failures: threshold,
            ..rules()
        }
    }

    #[test]
    fn a_connection_that_is_lost_fails_all_its_requests_in_a_row() {
        let mut detector = Detector::default();
        let lost = |connected, ended| Moments { connected, ended };
        assert!(detector.charge(&CLOSED, &lost(100, 70_000), &split(3)).is_empty());
        assert!(detector.charge(&CLOSED, &lost(200, 70_000), &split(3)).is_empty());
        assert_eq!(detector.charge(&CLOSED, &lost(300, 70_100), &split(3)).len(), 1);
    }

    #[test]
    fn a_connection_resets_what_failed_before_it_and_nothing_later() {
        let mut detector = Detector::default();
        for ended in [1_000, 2_000, 3_000] {
            assert!(detector.charge(&REFUSED, &Moments::at_once(ended), &split(4)).is_empty());
        }
        // Had between the first and the second failure, answered only now.
        let answered = Moments { connected: 1_500, ended: 50_000 };
        assert!(detector.charge(&Charges::answered(200), &answered, &split(4)).is_empty());
        assert!(detector.charge(&REFUSED, &Moments::at_once(51_000), &split(4)).is_empty());
        assert_eq!(detector.charge(&REFUSED, &Moments::at_once(52_000), &split(4)).len(), 1, "the fourth in a row");
    }

    #[test]
    fn nothing_fires_while_ejected_and_the_return_resets_all() {
        let mut detector = Detector::default();
        detector.eject(10_000, &rules());
        assert_eq!(fired(&mut detector, &rules(), &[500, 500, 500, 500]), []);
        assert_eq!(detector.give_back(13_000).map(|ejection| ejection.at), Some(10_000));
        assert_eq!((detector.ejection(), detector.ejections()), (None, 1));
        assert!(!detector.is_failing());
        assert_eq!(fired(&mut detector, &rules(), &[500, 500]), []);
    }
}
