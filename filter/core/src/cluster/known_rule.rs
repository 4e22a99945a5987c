//! How a cluster ejects, as Envoy itself has told, and when it should be asked again.

use super::state::ClusterState;
use crate::config::OutlierDetection;
use crate::endpoint::rule::Rule;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// How old a rule may become before Envoy is asked for it again, in milliseconds.
const REREAD_MS: Millis = 120_000;

/// How old a rule may become when what Envoy does does not fit it, in milliseconds.
const REREAD_IN_DOUBT_MS: Millis = 5_000;

/// Where Envoy has a cluster from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The bootstrap.
    Bootstrap,
    /// A control plane.
    ControlPlane,
}

/// What Envoy has told about a cluster's rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownRule {
    rule: Option<Rule>,
    /// Where Envoy has the cluster from.
    origin: Option<Origin>,
    /// The clusters that an aggregate cluster consists of.
    members: Vec<String>,
    /// When it was last asked for, with or without an answer; 0 if never.
    asked: Millis,
    /// Whether what Envoy does does not fit it.
    pub(super) doubt: bool,
}

/// What a new answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleNews {
    /// The rule is as it was.
    Same,
    /// The rule is known for the first time, or it has changed.
    New,
}

impl ClusterState {
    /// The cluster's rule as Envoy has it; `None` if Envoy has not told.
    pub fn rule(&self) -> Option<&Rule> {
        self.known_rule.rule.as_ref()
    }

    /// Where Envoy has the cluster from; `None` if Envoy has not told.
    pub fn origin(&self) -> Option<Origin> {
        self.known_rule.origin
    }

    /// The clusters whose hosts are those of this cluster, if it is an aggregate one.
    pub fn members(&self) -> &[String] {
        &self.known_rule.members
    }

    /// Whether Envoy should be asked for the cluster's rule at `now`.
    pub fn wants_rule(&self, now: Millis) -> bool {
        let known = &self.known_rule;
        let limit = if known.doubt { REREAD_IN_DOUBT_MS } else { REREAD_MS };
        known.asked == 0 || now.abs_diff(known.asked) >= limit
    }
}

/// Applies Envoy's answer about the cluster's rule, asked for at `asked`; `None` if it has no such cluster.
pub fn on_rule(state: &mut ClusterState, answer: Option<(Origin, &Rule, &[String])>, asked: Millis) -> RuleNews {
    let known = &mut state.known_rule;
    (known.asked, known.doubt) = (asked, false);
    let Some((origin, rule, members)) = answer else { return RuleNews::Same };
    known.origin = Some(origin);
    known.members = members.to_vec();
    if known.rule.as_ref() == Some(rule) {
        return RuleNews::Same;
    }
    known.rule = Some(rule.clone());
    RuleNews::New
}

/// The settings that the streaks of a cluster are counted by: Envoy's own, or else the `configured` ones.
pub fn settings(state: &ClusterState, configured: &OutlierDetection) -> (OutlierDetection, Rule) {
    match state.rule() {
        Some(rule) => (rule.outlier_detection(), rule.clone()),
        None => (configured.clone(), Rule::configured(configured)),
    }
}
