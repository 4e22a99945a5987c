//! Asks Envoy what it knows: how its clusters eject, and which of their endpoints are in rotation.
//!
//! One worker at a time asks; any worker that finds a question due may do it. Shared data holds the time until which
//! the question counts as in progress, so that the others wait no longer if that worker dies. Rules are asked for as
//! clusters are met. Lists of endpoints are asked for at once on suspicion (a threshold reached, a request that was
//! retried, an ejection that should be over), regularly while anything is open, and as often as it costs little for
//! clusters with traffic in which all is well. After each answer Envoy rests in proportion to what it cost.
//!
//! The call is made in the root context, because a stream's call is cancelled when the stream ends. It goes to the
//! cluster of Envoy's own admin interface, which does not have this filter: a call through a cluster that has it would
//! re-enter the VM. Not here: when which is due ([`super::agenda`]), and the answer, which the callback of the call
//! handles.

use super::admin_paths::{self, Expressions};
use super::agenda::{Agenda, Due};
use super::known::ClusterIndex;
use super::pending::{FollowUp, PendingQuestion, Rest, Topic};
use super::state::Vm;
use crate::host;
use crate::output::remark::Remark;
use crate::shared::cluster_states;
use crate::shared::question::{self, PollResult, Question};
use filter_core::cluster::Origin;
use filter_core::config::{Attempts, Witness};
use filter_core::order;
use filter_core::time::Millis;

/// How much longer than its timeout a question counts as in progress, in milliseconds.
const ANSWER_GRACE_MS: Millis = 1_000;

/// An answer about all clusters may take this many times as long as `witness.timeout`, which is meant for one about a
/// few.
const ALL_TAKES: Millis = 5;

/// Notes that Envoy should be asked about a cluster, and asks at once if that is allowed now.
pub(crate) fn suspect(vm: &mut Vm, cluster: ClusterIndex, now: Millis) {
    if vm.config.witness.is_none() {
        return;
    }
    let Some(name) = vm.known.get(cluster).map(|known| known.name.clone()) else { return };
    question::change(|question| {
        question.suspects.add(&name);
        question.urgent = true;
    });
    let due = ask_if_due(vm, now);
    vm.heartbeat.shorten_tick(due);
}

/// Asks Envoy if that is due. Returns in how many milliseconds to check again, if anything is to be asked soon.
pub(crate) fn ask_if_due(vm: &mut Vm, now: Millis) -> Option<Millis> {
    let witness = vm.config.witness.as_ref().filter(|_| vm.may_ask())?;
    let agenda = Agenda {
        now,
        until: under_way_until(witness, now, ALL_TAKES),
        longest: witness.max_interval.millis(),
        watches_any: vm.needs_sweeps() || vm.known.watches_any(),
    };
    // Read without changing first: mostly, a worker finds that nothing is due.
    let question = question::read()?;
    vm.is_witness_silent = question.is_silent();
    vm.listed_clusters = question.sweep.clusters;
    vm.lists_are_long = question.sweep.size == 0 || question.has_long_lists();
    match agenda.next(&question) {
        None => return None,
        Some((wait, due)) if wait > 0 => return (due != Due::Sweep || vm.needs_sweeps()).then_some(wait),
        Some(_) => {}
    }
    let (due, names, question) = question::change(|question| agenda.take(question))??;
    ask(vm, due, names, &question, now);
    None
}

fn ask(vm: &mut Vm, due: Due, names: Vec<String>, question: &Question, now: Millis) {
    match due {
        Due::Rules => {
            let origin = if question.is_static_first { Origin::Bootstrap } else { Origin::ControlPlane };
            ask_for_rules(vm, origin, names, question, now, false);
        }
        Due::Sweep => send_or_fail(vm, admin_paths::ALL_HOST_LISTS, Topic::Sweep, Vec::new(), now),
        Due::Suspects | Due::Calm if question.ignores_names && question.has_long_lists() => {
            ask_for_endpoint_configs(vm, due, names, question, now);
        }
        Due::Suspects | Due::Calm => {
            let about = with_members(vm, names);
            send_or_fail(vm, &admin_paths::host_lists(&about), Topic::HostLists, about, now);
        }
    }
}

/// Asks how clusters eject. Those that one question cannot name are left for the next.
pub(crate) fn ask_for_rules(
    vm: &mut Vm,
    origin: Origin,
    names: Vec<String>,
    question: &Question,
    now: Millis,
    is_last: bool,
) {
    let (path, about) = match question.asks_by_beginning(names.len()) {
        true => rules_by_beginning(vm, origin, names, question, is_last),
        false => rules_by_name(origin, &names, expressions(question)),
    };
    send_or_fail(vm, &path, Topic::Rules { origin, is_last }, about, now);
}

/// The path of a question about the first of these clusters, as many as it can name, and their names.
fn rules_by_name(origin: Origin, names: &[String], expressions: Expressions) -> (String, Vec<String>) {
    let (now_asked, later) = admin_paths::named_at_once(names, expressions);
    if !later.is_empty() {
        question::change(|question| later.iter().for_each(|name| question.without_rule.add(name)));
    }
    (admin_paths::rules(origin, now_asked, expressions), now_asked.to_vec())
}

/// The path of a question about those clusters whose names begin like the first of `names`, and the names that are
/// wanted: few, because one answer about all takes Envoy's main thread as long as many clusters take, and yet many at
/// once.
fn rules_by_beginning(
    vm: &Vm,
    origin: Origin,
    names: Vec<String>,
    question: &Question,
    is_last: bool,
) -> (String, Vec<String>) {
    let first = names.first().cloned().unwrap_or_default();
    // Before Envoy has listed its clusters there may be any number.
    let total = if question.sweep.size == 0 { u64::MAX } else { question.sweep.clusters };
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let start = admin_paths::beginning_of_few(&first, vm.known.names(), total);
    let (mut about, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with(start));
    let more = question::change(|question| {
        others.iter().for_each(|name| question.without_rule.add(name));
        // What the other origin was not asked about is not absent if it is not in this one.
        if is_last { Vec::new() } else { question.without_rule.take_beginning(start) }
    });
    about.extend(more.unwrap_or_default());
    (admin_paths::rules_beginning(origin, start, &first), about)
}

/// Asks for the endpoints of clusters as the balancer uses them: those of one origin, and as many as one question can
/// name; the others are left for the next.
fn ask_for_endpoint_configs(vm: &mut Vm, due: Due, names: Vec<String>, question: &Question, now: Millis) {
    let names = with_members(vm, names);
    let origin_of = |name: &String| cluster_states::read(name).and_then(|state| state.origin());
    let origin = names.first().and_then(origin_of).unwrap_or(Origin::ControlPlane);
    let (mine, mut others): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| origin_of(name).unwrap_or(Origin::ControlPlane) == origin);
    let expressions = expressions(question);
    let (now_asked, later) = admin_paths::named_at_once(&mine, expressions);
    others.extend_from_slice(later);
    if !others.is_empty() {
        question::change(|question| match due {
            Due::Suspects => others.iter().for_each(|name| question.suspects.add(name)),
            _ => others.iter().for_each(|name| question.calm.add(name)),
        });
    }
    let path = admin_paths::endpoint_configs(origin, now_asked, expressions);
    send_or_fail(vm, &path, Topic::EndpointConfigs, now_asked.to_vec(), now);
}

/// The names, with the members of aggregate clusters in place of these.
fn with_members(vm: &Vm, names: Vec<String>) -> Vec<String> {
    let members = |name: String| match vm.known.members(&name) {
        [] => vec![name],
        members => members.to_vec(),
    };
    let mut all: Vec<String> = names.into_iter().flat_map(members).collect();
    order::sort(&mut all, |a, b| a < b);
    all.dedup();
    all
}

fn expressions(question: &Question) -> Expressions {
    if question.refuses_long_expressions { Expressions::Short } else { Expressions::Long }
}

/// Asks for the lists of all clusters right away, after an answer about the clusters `about` that left open whether
/// their endpoints were ejected.
pub(crate) fn ask_for_all(vm: &mut Vm, about: Vec<String>, now: Millis) {
    send_or_fail(vm, admin_paths::ALL_HOST_LISTS, Topic::HostLists, about, now);
}

/// Asks how many endpoints were ejected, after a list. Returns `follow_up` unused if there is nothing to count, if it
/// is too early, or if Envoy cannot be asked.
pub(crate) fn ask_for_counts(vm: &mut Vm, mut follow_up: FollowUp, now: Millis) -> Option<FollowUp> {
    let Some(witness) = vm.config.witness.as_ref() else { return Some(follow_up) };
    let until = under_way_until(witness, now, 1);
    follow_up.uncounted.truncate(admin_paths::MAX_NAMED);
    let is_allowed = || question::read().is_some_and(|question| now.abs_diff(question.counted.0) >= question.counted.1);
    if follow_up.uncounted.is_empty() || !is_allowed() {
        return Some(follow_up);
    }
    let Some(call) = send(vm, &admin_paths::ejection_counts(&follow_up.uncounted), 1) else { return Some(follow_up) };
    question::change(|question| question.under_way_until = until);
    let topic = Topic::Counts(follow_up);
    vm.question = Some(PendingQuestion { call, asked_at: now, topic, about: Vec::new() });
    None
}

/// Records how a question ended, and logs once when Envoy stops answering or answers again.
pub(crate) fn record_poll(vm: &mut Vm, result: PollResult) {
    vm.reporter.count_poll(result);
    let changed = question::change(|question| {
        let was_silent = question.is_silent();
        question.record(result);
        (was_silent, question.is_silent())
    });
    let (was_silent, is_silent) = changed.unwrap_or((true, true));
    vm.is_witness_silent = is_silent;
    let cluster = vm.config.witness.as_ref().map_or("", |witness| witness.cluster.as_str());
    if is_silent && !was_silent {
        let is_blind = vm.current.config.attempts == Attempts::Failed;
        vm.reporter.remark(Remark::WitnessSilent { cluster, result, is_blind });
    }
    if was_silent && !is_silent {
        vm.reporter.remark(Remark::WitnessAnswers { cluster });
    }
}

/// Records that a question about the clusters `about` ended without a list; the next may come after `rest`.
pub(crate) fn fail(vm: &mut Vm, result: PollResult, now: Millis, about: &[String], rest: Millis) {
    record_poll(vm, result);
    let open = about.to_vec();
    finish(vm, now, FollowUp { open, rest: Rest { open: rest, calm: rest }, ..FollowUp::default() });
}

/// Records that a question is over, and what remains to be asked.
pub(crate) fn finish(vm: &mut Vm, now: Millis, follow_up: FollowUp) {
    let FollowUp { open, wait, without_rule, rest, .. } = follow_up;
    let due = question::change(|question| {
        question.done_at = now;
        question.rest = rest.open;
        if question.is_calm {
            question.calm_at = now.saturating_add(rest.calm);
        }
        question.wait = wait.unwrap_or(rest.open).max(rest.open);
        question.under_way_until = 0;
        open.iter().for_each(|name| question.suspects.add(name));
        without_rule.iter().for_each(|name| question.without_rule.add(name));
        let next = if question.urgent { question.rest } else { question.wait };
        (!question.suspects.is_empty()).then_some(next)
    });
    vm.heartbeat.shorten_tick(due.flatten());
}

fn under_way_until(witness: &Witness, now: Millis, times: Millis) -> Millis {
    let timeout = witness.timeout.millis().saturating_mul(times);
    now.saturating_add(timeout).saturating_add(ANSWER_GRACE_MS)
}

fn send_or_fail(vm: &mut Vm, path: &str, topic: Topic, about: Vec<String>, now: Millis) {
    let Some(witness) = vm.config.witness.as_ref() else { return };
    let may_be_long = matches!(topic, Topic::Sweep | Topic::HostLists);
    let takes = if may_be_long && vm.lists_are_long { ALL_TAKES } else { 1 };
    let (until, longest) = (under_way_until(witness, now, takes), witness.max_interval.millis());
    match send(vm, path, takes) {
        Some(call) => {
            question::change(|question| question.under_way_until = until);
            vm.question = Some(PendingQuestion { call, asked_at: now, topic, about });
        }
        None => fail(vm, PollResult::NoCluster, now, &about, longest),
    }
}

/// Sends a question whose answer may take some `times` as long as `witness.timeout`.
fn send(vm: &Vm, path: &str, times: Millis) -> Option<u32> {
    let witness = vm.config.witness.as_ref()?;
    let timeout = u32::try_from(witness.timeout.millis().saturating_mul(times)).unwrap_or(u32::MAX);
    host::in_context(vm.heartbeat.root(), || host::get(&witness.cluster, path, timeout)).ok()
}
