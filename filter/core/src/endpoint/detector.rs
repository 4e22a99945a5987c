//! One endpoint's streaks and its ejection, mirroring Envoy's consecutive-error detector.
//!
//! Rules taken from Envoy's `outlier_detection_impl`: a threshold fires when the count *equals* it and then starts
//! over; a 5xx that is no gateway error resets the gateway streak only; in split mode a connection that was had resets
//! the local streak; what is counted while ejected changes nothing until the return, which resets all. What is heard of
//! late resets only what failed before it.
//!
//! In split mode a connection that was had breaks a streak, but is heard of only when its attempt is over. So a streak of
//! attempts that had their connections and failed one after the other is sure only when all that were under way with
//! them are over, which takes as long as they took.
//!
//! Not here: whether an ejection is allowed (the percent cap is the cluster's, [`crate::cluster`]) and ejections by
//! success rate or failure percentage, which no streak shows; how long an ejection lasts is [`crate::ejection`].

use crate::config::OutlierDetection;
use crate::ejection::{Backoff, Ejection};
use crate::outcome::Charges;
use crate::streak::Streak;
pub use crate::streak::{Crossing, StreakKind};
use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};

/// Within so long nothing else happens at an endpoint, in microseconds.
const INSTANT: Micros = 1_000;

/// When an attempt's steps were charged. Only their order matters: attempts at one endpoint overlap, so one that had its
/// connection long ago fails after others did, and what went well with it resets nothing that came later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// When the connection or stream was had.
    pub connected: Micros,
    /// When the headers of a good answer came, at the earliest.
    pub answered: Micros,
    /// When it failed, or answered with an error.
    pub ended: Micros,
}

impl Moments {
    /// All steps in one moment: nothing else happened at the endpoint meanwhile.
    pub const fn at_once(at: Micros) -> Self {
        Self { connected: at, answered: at, ended: at }
    }
}

/// A crossing of which it is not sure yet that there was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    crossing: Crossing,
    failures: Vec<Micros>,
    doubt: Micros,
    sure_at: Micros,
}

/// The streaks and the ejection of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detector {
    http_5xx: Streak,
    gateway: Streak,
    local_origin: Streak,
    held: Option<Held>,
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
            self.connected(moments.connected, rules, &mut crossings);
        }
        let matured = self.matured(moments.ended, rules);
        let is_sure = matured.is_some();
        crossings.extend(matured);
        if let Some(status) = charges.status {
            let is_error = (500..=599).contains(&status);
            let at = if is_error { moments.ended } else { moments.answered };
            self.charge_status(status, at, rules, &mut crossings);
        }
        match charges.failure {
            Some(_) if split => {
                let took = moments.ended.saturating_sub(moments.connected);
                let last = self.local_origin.failures.last().copied().unwrap_or(moments.ended);
                if took > INSTANT && moments.ended.saturating_sub(last) > INSTANT {
                    self.local_origin.doubt = self.local_origin.doubt.max(took);
                }
                let threshold = rules.consecutive_local_origin_failures;
                crossings.extend(self.local_origin.grow(moments.ended, StreakKind::LocalOrigin, threshold));
            }
            Some(status) => self.charge_status(status, moments.ended, rules, &mut crossings),
            None => {}
        }
        if self.ejection.is_some() {
            // Envoy's main thread drops these without a reset: the streak has to start over to fire again.
            crossings.clear();
        }
        // One at a time: if the streak that is held was none, what failed since tells what there was instead.
        let is_held = self.is_held();
        let is_next = |crossing: &Crossing| {
            crossing.kind == StreakKind::LocalOrigin && crossing.at.is_none() && (is_held || is_sure)
        };
        if is_sure && crossings.iter().any(is_next) {
            self.local_origin.start_over();
        }
        crossings.retain(|crossing| !is_next(crossing));
        for crossing in &mut crossings {
            match crossing.kind {
                StreakKind::GatewayError => self.gateway.start_over(),
                StreakKind::Http5xx => self.http_5xx.start_over(),
                StreakKind::LocalOrigin if crossing.at.is_some() => {}
                StreakKind::LocalOrigin => {
                    let Streak { failures, doubt, .. } = std::mem::take(&mut self.local_origin);
                    self.local_origin.start_over();
                    if doubt > 0 {
                        crossing.held = true;
                        let sure_at = moments.ended.saturating_add(doubt);
                        self.held = Some(Held { crossing: *crossing, failures, doubt, sure_at });
                    }
                }
            }
        }
        crossings
    }

    /// A connection was had at `at`, in split mode. If that was in the middle of a streak that seemed to reach its
    /// threshold, it did not, and what failed after it counts on.
    fn connected(&mut self, at: Micros, rules: &OutlierDetection, crossings: &mut Vec<Crossing>) {
        let breaks = |held: &mut Held| held.failures.first() < Some(&at) && Some(&at) < held.failures.last();
        if let Some(held) = self.held.take_if(breaks) {
            let later = std::mem::take(&mut self.local_origin.failures);
            self.local_origin = Streak { told: !held.crossing.first, doubt: held.doubt, ..Streak::default() };
            for failure in held.failures.into_iter().filter(|failure| *failure > at).chain(later) {
                let threshold = rules.consecutive_local_origin_failures;
                crossings.extend(self.local_origin.grow(failure, StreakKind::LocalOrigin, threshold));
            }
        } else {
            self.local_origin.reset(at);
        }
    }

    /// Whether there is a crossing that is not sure yet.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The crossing that was held, once it is sure: every attempt that could have broken the streak is over.
    pub fn matured(&mut self, now: Micros, rules: &OutlierDetection) -> Option<Crossing> {
        let held = self.held.take_if(|held| held.sure_at <= now)?;
        self.count_on(rules);
        let at = held.sure_at.saturating_sub(held.doubt) / 1_000;
        Some(Crossing { held: false, at: Some(at), ..held.crossing })
    }

    /// Forgets the crossing that is not sure: nothing came of it.
    pub fn refute_held(&mut self, rules: &OutlierDetection) {
        if self.held.take().is_some() {
            self.count_on(rules);
        }
    }

    /// What failed since the crossing that was held counts on, as far as it did not reach the threshold again.
    fn count_on(&mut self, rules: &OutlierDetection) {
        let later = std::mem::take(&mut self.local_origin.failures);
        self.local_origin.start_over();
        for failure in later {
            let threshold = rules.consecutive_local_origin_failures;
            if self.local_origin.grow(failure, StreakKind::LocalOrigin, threshold).is_some() {
                self.local_origin.start_over();
            }
        }
    }

    fn charge_status(&mut self, status: u16, at: Micros, rules: &OutlierDetection, crossings: &mut Vec<Crossing>) {
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

    /// Ejects the endpoint at `now`.
    pub fn eject(&mut self, now: Millis, rules: &OutlierDetection) {
        self.ejections = self.ejections.saturating_add(1);
        self.ejection = Some(self.backoff.eject(now, rules));
        self.held = None;
    }

    /// Returns the endpoint to rotation at `now`; the ejection that is over, if there was one.
    pub fn give_back(&mut self, now: Millis) -> Option<Ejection> {
        let ejection = self.ejection.take()?;
        self.backoff.give_back(&ejection, now);
        self.http_5xx = Streak::default();
        self.gateway = Streak::default();
        self.local_origin = Streak::default();
        self.held = None;
        Some(ejection)
    }

    /// The ejection that is not over.
    pub fn ejection(&self) -> Option<Ejection> {
        self.ejection
    }

    /// When the last ejection was known to be over; 0 when there was none.
    pub fn returned_at(&self) -> Millis {
        self.backoff.returned_at()
    }

    /// How often the endpoint was ejected since it is known.
    pub fn ejections(&self) -> u32 {
        self.ejections
    }

    /// Whether a streak is running, told or not.
    pub fn is_failing(&self) -> bool {
        [&self.http_5xx, &self.gateway, &self.local_origin].iter().any(|streak| streak.is_running()) || self.is_held()
    }
}
