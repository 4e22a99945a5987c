//! How a cluster ejects, by Envoy's own word or else as configured.

use super::known_rule::Origin;
use super::state::ClusterState;
use crate::config::OutlierDetection;
use crate::endpoint::rule::Rule;
use crate::time::Millis;

/// What a new answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleNews {
    /// The rule is as it was.
    Same,
    /// The rule is known for the first time, or it has changed.
    New,
}

/// Applies Envoy's answer about the cluster's rule, asked for at `asked`: where it has the cluster from, the rule, and
/// the members of an aggregate cluster; `None` if it has no such cluster.
pub fn on_rule(state: &mut ClusterState, answer: Option<(Origin, &Rule, &[String])>, asked: Millis) -> RuleNews {
    if !state.known_rule.update(answer, asked) {
        return RuleNews::Same;
    }
    if let Some(rule) = state.known_rule.rule().cloned() {
        let rules = rule.outlier_detection();
        for index in state.endpoints.all() {
            if let Some(endpoint) = state.endpoints.get_mut(index) {
                endpoint.rotation.adopt_rules(&rules, &rule);
            }
        }
    }
    RuleNews::New
}

/// Notes that the cluster's rule was asked for at `asked` and no usable answer came.
pub fn on_rule_failed(state: &mut ClusterState, asked: Millis) {
    state.known_rule.fail(asked);
}

/// The settings that the streaks of a cluster are counted by: Envoy's own, or else the `configured` ones.
pub fn settings(state: &ClusterState, configured: &OutlierDetection) -> (OutlierDetection, Rule) {
    match state.known_rule.rule() {
        Some(rule) => (rule.outlier_detection(), rule.clone()),
        None => (configured.clone(), Rule::configured(configured)),
    }
}
