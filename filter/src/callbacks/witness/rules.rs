//! How clusters eject, by Envoy's own word.

use super::answer::{Answer, rest_after_rules};
use crate::output::remark::Remark;
use crate::shared::question;
use crate::shared::{claims, cluster_states};
use crate::vm::asking;
use crate::vm::pending::{FollowUp, PendingQuestion};
use crate::vm::state::{Moment, Vm};
use filter_core::admin::rules::{self, EnvoyRule};
use filter_core::cluster::{self, Origin, RuleNews};
use filter_core::config::OutlierDetection;
use filter_core::text::lossy;

/// After this many failures in a row it is said that rules cannot be had; Envoy may be busy, above all at its start.
const REMARK_AFTER_FAILURES: u32 = 3;

/// For how long a remark about rules that cannot be had is not repeated, in milliseconds.
const REMARK_AGAIN_MS: u64 = 3_600_000;

/// Applies an answer about the rules of clusters of one origin. Those that are not in it are looked for in the other,
/// unless this was the last.
pub(super) fn on_rules(vm: &mut Vm, asked: &PendingQuestion, origin: Origin, is_last: bool, answer: Answer) {
    let now = answer.now;
    let rest = rest_after_rules(vm, &answer);
    let mut known: Vec<EnvoyRule> = Vec::new();
    let is_refused = answer.status == b"400";
    let read = match answer.body {
        Ok(body) => rules::read(body, |rule| known.push(rule)).map(|_| ()),
        Err(_) => Err(format!("it answers {}", lossy(&answer.status))),
    };
    let mut follow_up = FollowUp { rest, ..FollowUp::default() };
    if is_refused && question::change(refuse_long).unwrap_or(false) {
        follow_up.without_rule = asked.about.clone();
        return asking::finish(vm, now, follow_up);
    }
    let mut missing = Vec::new();
    for name in &asked.about {
        match known.iter().find(|rule| rule.name == *name) {
            Some(rule) => apply(vm, rule, origin, asked.asked_at, now),
            None => missing.push(name.clone()),
        }
    }
    refresh_others(vm, &known, asked, origin, now);
    let failures = question::change(|question| question.record_rules(read.is_ok())).unwrap_or(0);
    if let Err(problem) = &read
        && failures >= REMARK_AFTER_FAILURES
        && claims::claim("rules", 0, now, REMARK_AGAIN_MS)
    {
        vm.reporter.remark(Remark::RulesNotTold { problem });
    }
    if !missing.is_empty() && !is_last && read.is_ok() {
        let other = match origin {
            Origin::Bootstrap => Origin::ControlPlane,
            Origin::ControlPlane => Origin::Bootstrap,
        };
        let question = question::read().unwrap_or_default();
        return asking::ask_for_rules(vm, other, missing, &question, now, true);
    }
    if is_last && !known.is_empty() {
        question::change(|question| question.is_static_first = origin == Origin::Bootstrap);
    }
    for name in missing {
        let Some(cluster) = vm.cluster_of_answer(&name, now) else { continue };
        let asked_at = asked.asked_at;
        vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, _| match read {
            Ok(()) => _ = cluster::on_rule(state, None, asked_at),
            Err(_) => cluster::on_rule_failed(state, asked_at),
        });
    }
    asking::finish(vm, now, follow_up);
}

/// Where an answer is about all clusters, takes in the rules that would be asked for soon, so that one answer does for
/// all of them.
fn refresh_others(vm: &mut Vm, known: &[EnvoyRule], asked: &PendingQuestion, origin: Origin, now: u64) {
    if known.len() <= asked.about.len() {
        return;
    }
    let oldest = vm.oldest_rule() / 2;
    for rule in known.iter().filter(|rule| !asked.about.contains(&rule.name)) {
        if cluster_states::read(&rule.name).is_some_and(|state| state.wants_rule(oldest, now)) {
            apply(vm, rule, origin, asked.asked_at, now);
        }
    }
}

/// Notes that long expressions are refused; false if that was known.
fn refuse_long(question: &mut question::Question) -> bool {
    !std::mem::replace(&mut question.refuses_long_expressions, true)
}

fn apply(vm: &mut Vm, rule: &EnvoyRule, origin: Origin, asked_at: u64, now: u64) {
    let Some(cluster) = vm.cluster_of_answer(&rule.name, now) else { return };
    let news = vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, _| {
        cluster::on_rule(state, Some((origin, &rule.rule, &rule.members)), asked_at)
    });
    vm.known.set_members(cluster, &rule.members);
    let Some(known) = vm.known.get(cluster).filter(|_| news == Some(RuleNews::New)) else { return };
    let Some(configured) = known.rule().filter(|configured| **configured != OutlierDetection::default()) else {
        return;
    };
    let differences = rule.rule.differences(configured);
    if !differences.is_empty() {
        vm.reporter.count_rule_mismatch(&rule.name);
        vm.reporter.remark(Remark::RuleDiffers { cluster: &rule.name, differences: &differences });
    }
}
