//! How a cluster ejects, as Envoy itself has it.
//!
//! Beyond the configuration's `outlierDetection` there is what no DestinationRule says: the share of detections that
//! Envoy enforces, jitter, and whether it ejects by rates. Not here: how Envoy writes a rule.

use super::streak::StreakKind;
use crate::config::{Duration, OutlierDetection};
use crate::encoded;

/// The threshold of a streak that never ejects, but is news.
const STREAK_WITHOUT_RULE: u32 = 5;

/// How many of the detections of each kind Envoy enforces, in percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcing {
    /// Of consecutive 5xx outcomes.
    pub http_5xx: u8,
    /// Of consecutive gateway errors.
    pub gateway: u8,
    /// Of consecutive local-origin failures.
    pub local_origin: u8,
}

encoded!(struct Enforcing { http_5xx, gateway, local_origin });

/// How a cluster ejects. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Consecutive 5xx outcomes that are detected; 0 is never.
    pub consecutive_5xx: u32,
    /// Consecutive gateway errors that are detected; 0 is never.
    pub consecutive_gateway: u32,
    /// Consecutive local-origin failures that are detected, if these are split; 0 is never.
    pub consecutive_local_origin: u32,
    /// How many of these detections eject.
    pub enforcing: Enforcing,
    /// Whether failures to reach an endpoint are counted apart from the answers that it gives.
    pub splits_local_origin: bool,
    /// How often Envoy looks at rates, and at whether an ejection is over.
    pub interval_millis: u64,
    /// How long the first ejection lasts.
    pub base_ejection_millis: u64,
    /// The longest an ejection lasts, without jitter.
    pub max_ejection_millis: u64,
    /// By how much, at random, an ejection may last longer.
    pub jitter_millis: u64,
    /// The share of the endpoints that may be ejected at once, in percent, 0 to 100.
    pub max_ejection_percent: u32,
    /// With a smaller share of a priority's endpoints in rotation, in percent, Envoy uses all of them; 0 is never.
    pub panic_percent: u32,
    /// Whether success rates or failure percentages may eject.
    pub by_rate: bool,
    /// Whether failure percentages may eject. An endpoint that its percentage and its success rate eject in one tick is
    /// counted twice (`outlier_detection_impl`, `processSuccessRateEjections`).
    pub by_percentage: bool,
    /// Whether one endpoint may be ejected whatever the largest share.
    pub always_ejects_one: bool,
    /// Whether endpoints that call themselves degraded are marked so.
    pub detects_degraded: bool,
    /// Whether a streak of any kind may eject.
    pub ejects: bool,
    /// Whether Envoy itself told the rule.
    pub by_envoy: bool,
}

encoded!(struct Rule {
    consecutive_5xx, consecutive_gateway, consecutive_local_origin, enforcing, splits_local_origin, interval_millis,
    base_ejection_millis, max_ejection_millis, jitter_millis, max_ejection_percent, panic_percent, by_rate,
    by_percentage, always_ejects_one, detects_degraded, ejects, by_envoy,
});

impl Rule {
    /// A rule as a configuration has it, which enforces every detection. Whether rates eject is not known, so they may.
    pub fn configured(outlier: &OutlierDetection) -> Self {
        Self {
            consecutive_5xx: outlier.consecutive5xx_errors,
            consecutive_gateway: outlier.consecutive_gateway_errors,
            consecutive_local_origin: outlier.consecutive_local_origin_failures,
            enforcing: Enforcing { http_5xx: 100, gateway: 100, local_origin: 100 },
            splits_local_origin: outlier.split_external_local_origin_errors,
            interval_millis: outlier.interval.millis(),
            base_ejection_millis: outlier.base_ejection_time.millis(),
            max_ejection_millis: outlier.max_ejection_time.millis(),
            max_ejection_percent: outlier.max_ejection_percent,
            panic_percent: outlier.min_health_percent,
            by_rate: true,
            ejects: true,
            ..Self::none(0)
        }
    }

    /// Whether a streak of this kind that reaches its threshold certainly ejects, unless too many are ejected.
    pub fn surely_ejects(&self, kind: StreakKind) -> bool {
        let share = match kind {
            StreakKind::Http5xx => self.enforcing.http_5xx,
            StreakKind::GatewayError => self.enforcing.gateway,
            StreakKind::LocalOrigin => self.enforcing.local_origin,
        };
        self.ejects && share >= 100
    }

    /// Whether streaks of several kinds may eject.
    pub fn has_several_kinds(&self) -> bool {
        let local_origin = if self.splits_local_origin { self.consecutive_local_origin } else { 0 };
        let kinds = [
            (self.consecutive_5xx, self.enforcing.http_5xx),
            (self.consecutive_gateway, self.enforcing.gateway),
            (local_origin, self.enforcing.local_origin),
        ];
        kinds.iter().filter(|(threshold, share)| *threshold > 0 && *share > 0).count() > 1
    }

    /// The rule of a cluster without outlier detection, which never ejects.
    pub fn none(panic_percent: u32) -> Self {
        Self {
            consecutive_5xx: STREAK_WITHOUT_RULE,
            consecutive_gateway: 0,
            consecutive_local_origin: 0,
            enforcing: Enforcing { http_5xx: 0, gateway: 0, local_origin: 0 },
            splits_local_origin: false,
            interval_millis: 10_000,
            base_ejection_millis: 30_000,
            max_ejection_millis: 300_000,
            jitter_millis: 0,
            max_ejection_percent: 10,
            panic_percent: panic_percent.min(100),
            by_rate: false,
            by_percentage: false,
            always_ejects_one: false,
            detects_degraded: false,
            ejects: false,
            by_envoy: false,
        }
    }

    /// This rule with `ejects` as its thresholds and shares have it.
    #[must_use]
    pub fn with_ejects(mut self) -> Self {
        self.ejects = self.thresholds().iter().any(|threshold| *threshold > 0);
        self
    }

    /// The thresholds of streaks that may eject: 5xx, gateway, local origin; 0 is never.
    fn thresholds(&self) -> [u32; 3] {
        let enforced = |threshold, share: u8| if share > 0 { threshold } else { 0 };
        let local_origin = enforced(self.consecutive_local_origin, self.enforcing.local_origin);
        [
            enforced(self.consecutive_5xx, self.enforcing.http_5xx),
            enforced(self.consecutive_gateway, self.enforcing.gateway),
            if self.splits_local_origin { local_origin } else { 0 },
        ]
    }

    /// The rule in the configuration's terms. A kind of streak that Envoy never enforces has the threshold 0; if it
    /// enforces none, streaks of 5xx keep theirs (5 if there is none), so that they are told.
    pub fn outlier_detection(&self) -> OutlierDetection {
        let [http_5xx, gateway, local_origin] = self.thresholds();
        let untold = if self.consecutive_5xx > 0 { self.consecutive_5xx } else { STREAK_WITHOUT_RULE };
        OutlierDetection {
            consecutive5xx_errors: if self.ejects { http_5xx } else { untold },
            consecutive_gateway_errors: gateway,
            split_external_local_origin_errors: self.splits_local_origin,
            consecutive_local_origin_failures: local_origin,
            interval: Duration::from_millis(self.interval_millis),
            base_ejection_time: Duration::from_millis(self.base_ejection_millis),
            max_ejection_time: Duration::from_millis(self.max_ejection_millis),
            max_ejection_percent: self.max_ejection_percent,
            min_health_percent: self.panic_percent,
        }
    }

    /// Where a configured rule differs: the field's name, the configured value, and Envoy's. A rule that never ejects
    /// differs as a whole.
    pub fn differences(&self, configured: &OutlierDetection) -> Vec<(&'static str, String, String)> {
        if !self.ejects && !self.by_rate {
            return vec![("outlierDetection", "one that ejects".into(), "none that ejects".into())];
        }
        let ours = fields(configured);
        let envoys = fields(&self.outlier_detection());
        let pairs = ours.into_iter().zip(envoys);
        pairs.filter(|(our, envoy)| our.1 != envoy.1).map(|((name, our), (_, envoy))| (name, our, envoy)).collect()
    }
}

fn fields(rule: &OutlierDetection) -> [(&'static str, String); 9] {
    let splits = rule.split_external_local_origin_errors;
    // Without the split, Envoy never looks at this threshold.
    let local_origin = if splits { rule.consecutive_local_origin_failures } else { 0 };
    [
        ("consecutive5xxErrors", rule.consecutive5xx_errors.to_string()),
        ("consecutiveGatewayErrors", rule.consecutive_gateway_errors.to_string()),
        ("splitExternalLocalOriginErrors", splits.to_string()),
        ("consecutiveLocalOriginFailures", local_origin.to_string()),
        ("interval", rule.interval.to_string()),
        ("baseEjectionTime", rule.base_ejection_time.to_string()),
        ("maxEjectionTime", rule.max_ejection_time.to_string()),
        ("maxEjectionPercent", rule.max_ejection_percent.to_string()),
        ("minHealthPercent", rule.min_health_percent.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{decode, encode};

    /// Envoy's defaults, with both shares of streaks set.
    fn rule(http_5xx: u8, gateway: u8) -> Rule {
        let enforcing = Enforcing { http_5xx, gateway, local_origin: 100 };
        let thresholds =
            Rule { consecutive_5xx: 7, consecutive_gateway: 3, consecutive_local_origin: 2, ..Rule::none(0) };
        Rule { enforcing, ..thresholds }.with_ejects()
    }

    fn thresholds(rule: &Rule) -> (u32, u32, u32, bool) {
        let detection = rule.outlier_detection();
        let local_origin = detection.consecutive_local_origin_failures;
        (detection.consecutive5xx_errors, detection.consecutive_gateway_errors, local_origin, rule.ejects)
    }

    #[test]
    fn a_kind_that_is_never_enforced_has_no_threshold() {
        assert_eq!(thresholds(&rule(100, 0)), (7, 0, 0, true));
        assert_eq!(thresholds(&rule(0, 1)), (0, 3, 0, true));
        assert_eq!(thresholds(&Rule { splits_local_origin: true, ..rule(0, 0) }.with_ejects()), (0, 0, 2, true));
    }

    #[test]
    fn streaks_are_told_where_none_ejects() {
        assert_eq!(thresholds(&rule(0, 0)), (7, 0, 0, false));
        assert_eq!(thresholds(&Rule { consecutive_5xx: 0, ..rule(100, 0) }.with_ejects()), (5, 0, 0, false));
        assert_eq!(thresholds(&Rule::none(50)), (5, 0, 0, false));
        assert_eq!(Rule::none(50).outlier_detection().min_health_percent, 50);
    }

    #[test]
    fn differences_name_fields_as_the_configuration_does() {
        let envoys = rule(100, 0);
        assert_eq!(envoys.differences(&envoys.outlier_detection()), []);
        let configured = OutlierDetection {
            consecutive5xx_errors: 1,
            consecutive_local_origin_failures: 9,
            interval: Duration::from_millis(500),
            ..envoys.outlier_detection()
        };
        let expected = [("consecutive5xxErrors", "1", "7"), ("interval", "500ms", "10s")];
        let expected = expected.map(|(name, our, envoy)| (name, our.to_owned(), envoy.to_owned()));
        assert_eq!(envoys.differences(&configured), expected);
        let none = Rule::none(50).differences(&configured);
        assert_eq!(none, [("outlierDetection", "one that ejects".to_owned(), "none that ejects".to_owned())]);
    }

    #[test]
    fn a_rule_outlives_its_bytes() {
        let rule = Rule { jitter_millis: u64::MAX, by_rate: true, ..rule(80, 60) };
        assert_eq!(decode(&encode(&rule)), Some(rule));
    }
}
