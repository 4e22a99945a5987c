//! The three streaks of one endpoint, mirroring Envoy's consecutive-error detector.
//!
//! The rules are those of Envoy's `outlier_detection_impl`: a threshold fires when the count *equals* it, and the count
//! then starts over; a 5xx that is not a gateway error resets only the gateway streak; in split mode an established
//! connection resets the local-origin streak; while the endpoint is ejected nothing fires, and its return resets all
//! streaks.
//!
//! In split mode a connection breaks a streak, but the filter learns of the connection only when its attempt ends. So a
//! streak of attempts that were connected and then failed one after the other is unconfirmed until every attempt that
//! was in progress with them has ended, which takes as long as they took.
//!
//! Not here: whether the endpoint is ejected ([`super::rotation`]); ejections by success rate or failure percentage,
//! which no streak shows.

use super::outcome::DetectorInput;
use super::streak::{Certainty, Crossing, Streak, StreakKind};
use crate::config::OutlierDetection;
use crate::encoded;
use crate::order;
use crate::time::{Micros, Millis};

/// Failures within this time of each other, in microseconds, count as simultaneous: nothing happened between them.
const SIMULTANEOUS_US: Micros = 1_000;

/// When the steps of an attempt happened. Only their order matters. Attempts at one endpoint overlap: one that was
/// connected long ago may fail after others did, and a success resets nothing that failed later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptTimes {
    /// When the connection or stream was established.
    pub connected: Micros,
    /// When the headers of a successful answer arrived, at the earliest.
    pub answered: Micros,
    /// When the attempt failed or was answered with an error.
    pub ended: Micros,
}

impl AttemptTimes {
    /// All steps at the same time: nothing else happened at the endpoint in between.
    pub const fn at_once(at: Micros) -> Self {
        Self { connected: at, answered: at, ended: at }
    }
}

/// A crossing that an attempt in progress may still refute.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unconfirmed {
    crossing: Crossing,
    failures: Vec<Micros>,
    doubt: Micros,
    confirmed_at: Micros,
}

encoded!(struct Unconfirmed { crossing, failures, doubt, confirmed_at });

/// The streaks of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detector {
    http_5xx: Streak,
    gateway: Streak,
    local_origin: Streak,
    unconfirmed: Option<Unconfirmed>,
}

encoded!(struct Detector { http_5xx, gateway, local_origin, unconfirmed });

impl Detector {
    /// Applies an attempt (Envoy's `putResult`). Returns the thresholds that it reached, in Envoy's order: gateway
    /// before 5xx. A streak that fired starts over, whether or not it leads to an ejection. In split mode a
    /// local-origin streak is unconfirmed for at least `doubt` microseconds; 0 where Envoy is asked what came of it.
    pub fn put_result(
        &mut self,
        input: &DetectorInput,
        times: &AttemptTimes,
        rules: &OutlierDetection,
        doubt: Micros,
    ) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        self.count(input, times, rules, &mut crossings);
        self.start_over(&mut crossings, times, doubt);
        crossings
    }

    /// Applies an attempt at an ejected endpoint: streaks grow and nothing fires. Envoy's main thread drops such
    /// crossings without a reset of the counter, so the streak has to start over before it can fire again.
    pub fn put_result_while_ejected(&mut self, input: &DetectorInput, times: &AttemptTimes, rules: &OutlierDetection) {
        self.count(input, times, rules, &mut Vec::new());
    }

    /// Applies an attempt where successes are not seen: the streaks are at most as long as counted. Returns those that
    /// may have reached their thresholds with it, the one that did so first before others.
    pub fn put_failure(
        &mut self,
        input: &DetectorInput,
        times: &AttemptTimes,
        rules: &OutlierDetection,
    ) -> Vec<Crossing> {
        let before = StreakKind::ALL.map(|kind| self.streak(kind).length);
        self.count(input, times, rules, &mut Vec::new());
        let mut crossings = Vec::new();
        for (kind, before) in StreakKind::ALL.into_iter().zip(before) {
            let threshold = kind.threshold(rules);
            let streak = self.streak_mut(kind);
            if streak.length > before && threshold > 0 && streak.length >= threshold {
                let first = !std::mem::replace(&mut streak.crossed, true);
                crossings.push(Crossing { kind, threshold, first, certainty: Certainty::Certain });
            }
        }
        order::sort(&mut crossings, |a, b| a.threshold < b.threshold);
        crossings
    }

    /// A success came at an unknown time after `since`.
    pub fn on_success_after(&mut self, since: Micros) {
        StreakKind::ALL.into_iter().for_each(|kind| self.streak_mut(kind).reset(since));
    }

    /// How many failures of this kind there were in a row after `since`, as far as is known.
    pub fn failed_since(&self, kind: StreakKind, since: Micros) -> u32 {
        self.streak(kind).failed_since(since)
    }

    /// For how long after its last failure an attempt in progress may still show that a connection broke a streak of
    /// this kind, in milliseconds.
    pub fn doubt_millis(&self, kind: StreakKind) -> Millis {
        self.streak(kind).doubt.div_ceil(1_000)
    }

    /// The streak's next failure counts as the first that reaches the threshold.
    pub fn forget_crossing(&mut self, kind: StreakKind) {
        self.streak_mut(kind).crossed = false;
    }

    fn streak(&self, kind: StreakKind) -> &Streak {
        match kind {
            StreakKind::GatewayError => &self.gateway,
            StreakKind::Http5xx => &self.http_5xx,
            StreakKind::LocalOrigin => &self.local_origin,
        }
    }

    fn streak_mut(&mut self, kind: StreakKind) -> &mut Streak {
        match kind {
            StreakKind::GatewayError => &mut self.gateway,
            StreakKind::Http5xx => &mut self.http_5xx,
            StreakKind::LocalOrigin => &mut self.local_origin,
        }
    }

    fn count(
        &mut self,
        input: &DetectorInput,
        times: &AttemptTimes,
        rules: &OutlierDetection,
        crossings: &mut Vec<Crossing>,
    ) {
        let split = rules.split_external_local_origin_errors;
        if split && input.connected {
            self.on_connected(times.connected, rules, crossings);
        }
        crossings.extend(self.take_confirmed(times.ended, rules));
        if let Some(status) = input.status {
            let is_error = (500..=599).contains(&status);
            let at = if is_error { times.ended } else { times.answered };
            self.put_status(status, at, rules, crossings);
        }
        match input.failure {
            Some(_) if split => {
                let took = times.ended.saturating_sub(times.connected);
                let last = self.local_origin.failures.last().copied().unwrap_or(times.ended);
                if took > SIMULTANEOUS_US && times.ended.saturating_sub(last) > SIMULTANEOUS_US {
                    self.local_origin.doubt = self.local_origin.doubt.max(took);
                }
                crossings.extend(self.grow_local_origin(times.ended, rules));
            }
            Some(status) => self.put_status(status, times.ended, rules, crossings),
            None => {}
        }
    }

    /// Restarts the streaks that crossed their threshold, and holds back a crossing that is not certain.
    fn start_over(&mut self, crossings: &mut Vec<Crossing>, times: &AttemptTimes, least_doubt: Micros) {
        // One unconfirmed crossing at a time: if it is refuted, a recount of the failures since then shows what
        // happened instead.
        let confirmed = crossings.iter().any(|crossing| matches!(crossing.certainty, Certainty::Confirmed(_)));
        let is_busy = confirmed || self.unconfirmed.is_some();
        let is_next = |crossing: &Crossing| {
            is_busy && crossing.kind == StreakKind::LocalOrigin && crossing.certainty == Certainty::Certain
        };
        if confirmed && crossings.iter().any(is_next) {
            self.local_origin.start_over();
        }
        crossings.retain(|crossing| !is_next(crossing));
        for crossing in crossings {
            match crossing.kind {
                StreakKind::GatewayError => self.gateway.start_over(),
                StreakKind::Http5xx => self.http_5xx.start_over(),
                StreakKind::LocalOrigin if crossing.certainty != Certainty::Certain => {}
                StreakKind::LocalOrigin => {
                    let Streak { failures, doubt, .. } = std::mem::take(&mut self.local_origin);
                    self.local_origin.start_over();
                    let can_be_broken = failures.first().zip(failures.last()).is_some_and(|(first, last)| first < last);
                    let doubt = if can_be_broken { doubt.max(least_doubt) } else { doubt };
                    if doubt > 0 {
                        crossing.certainty = Certainty::Unconfirmed;
                        let confirmed_at = times.ended.saturating_add(doubt);
                        self.unconfirmed = Some(Unconfirmed { crossing: *crossing, failures, doubt, confirmed_at });
                    }
                }
            }
        }
    }

    /// Applies a connection established at `at`, in split mode. If it falls within an unconfirmed streak, that streak
    /// did not reach its threshold, and the failures after `at` start the next one.
    fn on_connected(&mut self, at: Micros, rules: &OutlierDetection, crossings: &mut Vec<Crossing>) {
        let breaks =
            |streak: &mut Unconfirmed| streak.failures.first() < Some(&at) && Some(&at) < streak.failures.last();
        if let Some(broken) = self.unconfirmed.take_if(breaks) {
            let later = std::mem::take(&mut self.local_origin.failures);
            self.local_origin = Streak { crossed: !broken.crossing.first, doubt: broken.doubt, ..Streak::default() };
            for failure in broken.failures.into_iter().filter(|failure| *failure > at).chain(later) {
                crossings.extend(self.grow_local_origin(failure, rules));
            }
        } else {
            self.local_origin.reset(at);
        }
    }

    /// Whether there is a crossing that an attempt in progress may still refute.
    pub fn has_unconfirmed(&self) -> bool {
        self.unconfirmed.is_some()
    }

    /// Takes the unconfirmed crossing once every attempt that could have broken its streak has ended.
    pub fn take_confirmed(&mut self, now: Micros, rules: &OutlierDetection) -> Option<Crossing> {
        let confirmed = self.unconfirmed.take_if(|streak| streak.confirmed_at <= now)?;
        self.recount(rules);
        let at = confirmed.confirmed_at.saturating_sub(confirmed.doubt) / 1_000;
        Some(Crossing { certainty: Certainty::Confirmed(at), ..confirmed.crossing })
    }

    /// Takes the unconfirmed crossing, which Envoy itself has just confirmed.
    pub fn confirm(&mut self, rules: &OutlierDetection) -> Option<Crossing> {
        self.take_confirmed(Micros::MAX, rules)
    }

    /// Drops the unconfirmed crossing: Envoy shows that it had no consequence.
    pub fn refute(&mut self, rules: &OutlierDetection) {
        if self.unconfirmed.take().is_some() {
            self.recount(rules);
        }
    }

    /// Counts the failures since the unconfirmed crossing that did not reach the threshold again.
    fn recount(&mut self, rules: &OutlierDetection) {
        let later = std::mem::take(&mut self.local_origin.failures);
        self.local_origin.start_over();
        for failure in later {
            if self.grow_local_origin(failure, rules).is_some() {
                self.local_origin.start_over();
            }
        }
    }

    fn grow_local_origin(&mut self, at: Micros, rules: &OutlierDetection) -> Option<Crossing> {
        self.local_origin.grow(at, StreakKind::LocalOrigin, rules.consecutive_local_origin_failures)
    }

    fn put_status(&mut self, status: u16, at: Micros, rules: &OutlierDetection, crossings: &mut Vec<Crossing>) {
        if !(500..=599).contains(&status) {
            self.http_5xx.reset(at);
            self.gateway.reset(at);
            return;
        }
        if (502..=504).contains(&status) {
            crossings.extend(self.gateway.grow(at, StreakKind::GatewayError, rules.consecutive_gateway_errors));
        } else {
            self.gateway.reset(at);
        }
        crossings.extend(self.http_5xx.grow(at, StreakKind::Http5xx, rules.consecutive5xx_errors));
    }

    /// The endpoint was ejected: an unconfirmed crossing no longer has any consequence.
    pub fn on_ejected(&mut self) {
        self.unconfirmed = None;
    }

    /// The endpoint is back in rotation: resets all streaks.
    pub fn on_returned(&mut self) {
        *self = Self::default();
    }

    /// Whether a streak is running, whether or not it reached its threshold.
    pub fn is_failing(&self) -> bool {
        let streaks = [&self.http_5xx, &self.gateway, &self.local_origin];
        streaks.iter().any(|streak| streak.is_running()) || self.has_unconfirmed()
    }
}
