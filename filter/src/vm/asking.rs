//! Asks Envoy which of a cluster's endpoints its outlier detector currently ejects.
//!
//! One worker at a time asks; any worker that finds a question due may do it. Shared data holds the time until which
//! the question counts as in progress, so that the others wait no longer if that worker dies. Envoy is asked at once on
//! suspicion (a threshold reached, a request that was retried, an ejection that should be over), regularly while
//! anything is open, and rarely otherwise. The longer an answer, the later the next question.
//!
//! The call is made in the root context, because a stream's call is cancelled when the stream ends. It goes to the
//! cluster of Envoy's own admin interface, which does not have this filter: a call through a cluster that has it would
//! re-enter the VM. Not here: the answer, which the callback of the call handles.

use super::admin_paths;
use super::known::ClusterIndex;
use super::pending::{FollowUp, PendingQuestion};
use super::state::Vm;
use crate::host;
use crate::output::remark::Remark;
use crate::shared::question::{self, PollResult, Question};
use filter_core::config::Witness;
use filter_core::time::Millis;

/// How much longer than its timeout a question counts as in progress, in milliseconds.
const ANSWER_GRACE_MS: Millis = 1_000;

/// The maximum number of clusters named in a question. If there are more, all are listed, and the remaining ones are
/// counted the next time.
const MAX_NAMED: usize = 64;

/// What decides whether it is time to ask.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    now: Millis,
    /// When a question that is asked now counts as lost.
    until: Millis,
    /// The maximum time between two questions.
    longest: Millis,
    /// Whether nothing needs to be asked unless something is suspected.
    is_idle: bool,
}

impl Schedule {
    /// How many milliseconds remain until the next question is due.
    fn wait(&self, question: &Question) -> Millis {
        // If the clock goes back, a question must not count as in progress for long.
        if question.under_way_until > self.now && question.under_way_until <= self.until {
            return question.under_way_until.saturating_sub(self.now);
        }
        let wait = match question.suspects.is_empty() {
            true if self.is_idle => return self.longest,
            true => self.longest,
            false if question.urgent => question.rest,
            false => question.wait,
        };
        wait.saturating_sub(self.now.abs_diff(question.done_at))
    }
}

/// Notes that Envoy should be asked about a cluster, and asks at once if that is allowed now.
pub(crate) fn suspect(vm: &mut Vm, cluster: ClusterIndex, now: Millis) {
    if vm.config.witness.is_none() {
        return;
    }
    let Some(name) = vm.known.get(cluster).map(|known| &known.name) else { return };
    question::change(|question| {
        question.suspect(name);
        question.urgent = true;
    });
    let due = ask_if_due(vm, now);
    vm.heartbeat.shorten_tick(due);
}

/// Asks Envoy if that is due. Returns in how many milliseconds to check again, if anything is to be asked soon.
pub(crate) fn ask_if_due(vm: &mut Vm, now: Millis) -> Option<Millis> {
    let witness = vm.config.witness.as_ref()?;
    let longest = witness.max_interval.millis();
    // A proxy without watched traffic has nothing to ask about.
    let is_idle = !vm.known.watches_any();
    let schedule = Schedule { now, until: under_way_until(witness, now), longest, is_idle };
    // Read without changing first: mostly, a worker finds that nothing is due.
    let question = question::read()?;
    vm.is_witness_silent = question.is_silent();
    let left = schedule.wait(&question);
    if left > 0 {
        return (!question.suspects.is_empty()).then_some(left);
    }
    let taken = question::change(|question| {
        if schedule.wait(question) > 0 {
            return None;
        }
        question.under_way_until = schedule.until;
        question.urgent = false;
        Some(std::mem::take(&mut question.suspects))
    });
    let mut about = taken??;
    if about.is_empty() {
        about = vm.known.names();
    }
    let path = match about.len() > MAX_NAMED {
        true => admin_paths::ALL_HOST_LISTS.to_owned(),
        false => admin_paths::host_lists(&about),
    };
    match send(vm, &path) {
        Some(call) => vm.question = Some(PendingQuestion { call, asked_at: now, about, after_list: None }),
        None => fail(vm, PollResult::NoCluster, now, &about, longest),
    }
    None
}

/// Asks how many endpoints were ejected, after the list that answered `asked`. Returns `follow_up` unused if there is
/// nothing to count, if it is too early, or if Envoy cannot be asked.
pub(crate) fn ask_for_counts(
    vm: &mut Vm,
    asked: PendingQuestion,
    mut follow_up: FollowUp,
    now: Millis,
) -> Option<FollowUp> {
    let Some(witness) = vm.config.witness.as_ref() else { return Some(follow_up) };
    let until = under_way_until(witness, now);
    follow_up.uncounted.truncate(MAX_NAMED);
    let is_allowed = || question::read().is_some_and(|question| now.abs_diff(question.counted.0) >= question.counted.1);
    if follow_up.uncounted.is_empty() || !is_allowed() {
        return Some(follow_up);
    }
    let Some(call) = send(vm, &admin_paths::ejection_counts(&follow_up.uncounted)) else { return Some(follow_up) };
    question::change(|question| question.under_way_until = until);
    vm.question = Some(PendingQuestion { call, asked_at: now, after_list: Some(follow_up), ..asked });
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
        vm.reporter.remark(Remark::WitnessSilent { cluster, result });
    }
    if was_silent && !is_silent {
        vm.reporter.remark(Remark::WitnessAnswers { cluster });
    }
}

/// Records that a question about the clusters `about` ended without a list; the next may come after `rest`.
pub(crate) fn fail(vm: &mut Vm, result: PollResult, now: Millis, about: &[String], rest: Millis) {
    record_poll(vm, result);
    finish(vm, now, about, rest, None);
}

/// Records that a question is over: the next may come after `rest`, and the one about the `open` clusters after `wait`,
/// if that is longer.
pub(crate) fn finish(vm: &mut Vm, now: Millis, open: &[String], rest: Millis, wait: Option<Millis>) {
    let due = question::change(|question| {
        question.done_at = now;
        question.rest = rest;
        question.wait = wait.unwrap_or(rest).max(rest);
        question.under_way_until = 0;
        open.iter().for_each(|name| question.suspect(name));
        let next = if question.urgent { question.rest } else { question.wait };
        (!question.suspects.is_empty()).then_some(next)
    });
    vm.heartbeat.shorten_tick(due.flatten());
}

fn under_way_until(witness: &Witness, now: Millis) -> Millis {
    now.saturating_add(witness.timeout.millis()).saturating_add(ANSWER_GRACE_MS)
}

fn send(vm: &Vm, path: &str) -> Option<u32> {
    let witness = vm.config.witness.as_ref()?;
    let timeout = u32::try_from(witness.timeout.millis()).unwrap_or(u32::MAX);
    host::in_context(vm.heartbeat.root(), || host::get(&witness.cluster, path, timeout)).ok()
}
