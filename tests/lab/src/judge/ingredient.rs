//! What makes a scene more than the plain one, which has one fixed cluster with the rule that the plugin is told.

use std::collections::BTreeSet;
use std::fmt;

use fastrand::Rng;

use super::mode::Mode;

/// One of them. A scene has each independently of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ingredient {
    /// Endpoints leave, come back, are replaced at the same address, move to another locality, and are called unhealthy
    /// or draining by the control plane.
    EdsChurn,
    /// Active health checks.
    HealthChecks,
    /// Ejection by success rate.
    SuccessRate,
    /// Ejection by failure percentage.
    FailurePercentage,
    /// Ejections last up to so much longer, at random.
    Jitter,
    /// One endpoint may be ejected whatever the cap.
    AlwaysEjectOne,
    /// Two to four clusters, each with its own rule.
    SeveralClusters,
    /// Two listeners.
    TwoListeners,
    /// A cluster that consists of two others.
    Aggregate,
    /// A cluster that gets copies of another's requests and nothing else.
    Mirror,
    /// The plugin's configuration has other rules than Envoy.
    RulesDiffer,
    /// The plugin's configuration has no rule.
    RulesAbsent,
    /// Streaks of some kinds do not eject.
    NotEnforced,
    /// One cluster has no outlier detection.
    NoDetection,
    /// Envoy keeps no statistics of outlier detection, as in Istio.
    NoStatistics,
    /// The proxy does not know its locality.
    NoLocality,
    /// Envoy takes regular expressions as long as Istio's proxies do.
    LongExpressions,
}

impl Ingredient {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::EdsChurn,
        Self::HealthChecks,
        Self::SuccessRate,
        Self::FailurePercentage,
        Self::Jitter,
        Self::AlwaysEjectOne,
        Self::SeveralClusters,
        Self::TwoListeners,
        Self::Aggregate,
        Self::Mirror,
        Self::RulesDiffer,
        Self::RulesAbsent,
        Self::NotEnforced,
        Self::NoDetection,
        Self::NoStatistics,
        Self::NoLocality,
        Self::LongExpressions,
    ];

    /// Its name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdsChurn => "EDS churn",
            Self::HealthChecks => "health checks",
            Self::SuccessRate => "success rate",
            Self::FailurePercentage => "failure percentage",
            Self::Jitter => "jitter",
            Self::AlwaysEjectOne => "always eject one",
            Self::SeveralClusters => "several clusters",
            Self::TwoListeners => "two listeners",
            Self::Aggregate => "aggregate cluster",
            Self::Mirror => "mirrored cluster",
            Self::RulesDiffer => "configured rule differs",
            Self::RulesAbsent => "no configured rule",
            Self::NotEnforced => "enforcing share 0",
            Self::NoDetection => "no outlier detection",
            Self::NoStatistics => "no outlier statistics",
            Self::NoLocality => "no node.locality",
            Self::LongExpressions => "long expressions",
        }
    }

    /// The ingredient of this name, written as on a command line: `eds-churn`.
    pub fn of_option(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ingredient| ingredient.option() == name)
    }

    /// Its name on a command line: `eds-churn`.
    pub fn option(self) -> String {
        self.as_str().replace("node.", "").replace(' ', "-").to_lowercase()
    }

    /// Whether traffic alone does not show it, so that the filter must ask Envoy.
    const fn needs_witness(self) -> bool {
        !matches!(self, Self::SeveralClusters | Self::TwoListeners)
    }

    /// A scene's ingredients: those in `with`, and random ones; one scene in four has no random ones.
    pub(super) fn draw(mode: Mode, with: &BTreeSet<Self>, rng: &mut Rng) -> BTreeSet<Self> {
        let plain = rng.u32(0..4) == 0;
        // All are drawn in every mode, so that a seed gives similar scenes.
        // Most of what can happen to an endpoint is churn.
        let fifths = |ingredient: &Self| if *ingredient == Self::EdsChurn { 2 } else { 1 };
        let mut draw = |ingredient: &Self| match ingredient {
            // Every other scene, and without a draw of its own: it came when seeds were known.
            Self::LongExpressions => rng.clone().bool(),
            _ => rng.u32(0..5) < fifths(ingredient),
        };
        let drawn: Vec<bool> = Self::ALL.iter().map(&mut draw).collect();
        let possible = |i: &Self| mode.has_witness() || !i.needs_witness();
        let mut set: BTreeSet<Self> = Self::ALL.into_iter().zip(drawn).filter(|(_, d)| *d).map(|(i, _)| i).collect();
        set.retain(|_| !plain);
        set.extend(with);
        set.retain(possible);
        if set.contains(&Self::RulesAbsent) {
            set.remove(&Self::RulesDiffer);
        }
        if set.contains(&Self::Aggregate) || set.contains(&Self::NoDetection) {
            set.insert(Self::SeveralClusters);
        }
        set
    }
}

impl fmt::Display for Ingredient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
