//! Answers of Envoy's admin interface: its lists of endpoints and its counts of ejections. The counts are asked for
//! after a list that leaves a question open (why an endpoint was ejected, whether it was back in the meantime).

use crate::host;
use crate::host::call_response::{self, Body};
use crate::shared::cluster_states;
use crate::shared::question::{self, PollResult};
use crate::vm::asking;
use crate::vm::pending::{FollowUp, PendingQuestion};
use crate::vm::state::{Moment, Vm};
use filter_core::admin::host_lists::{self, HostStatus};
use filter_core::admin::stats;
use filter_core::cluster;
use filter_core::time::Millis;

/// The maximum length of an answer, in bytes: reading blocks the worker. Without Envoy's `filter` (before 1.38), the
/// answer for a large mesh is longer, and the witness is then silent.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The number of bytes of an answer for which the next question waits one more millisecond. Envoy's main thread writes
/// about 30 bytes per microsecond and a worker reads about as many, so either spends at most a tenth of its time on
/// answers.
const BYTES_PER_REST_MS: usize = 1_000;

/// The next count waits this many times as long as the last one took: Envoy goes through all its statistics for it, on
/// its main thread.
const REST_PER_COUNT_TIME: Millis = 9;

/// After an answer that cannot be used, the next question waits this many times as long as after a good one.
const REST_AFTER_FAILURE: Millis = 10;

/// Handles an answer with a body of `size` bytes, or a failed call.
pub(crate) fn on_admin_response(vm: &mut Vm, call: u32, size: usize) {
    let Some(asked) = vm.question.take_if(|question| question.call == call) else { return };
    let Ok(now) = host::now() else { return };
    let answer = match call_response::status() == b"200" {
        true if size > MAX_ANSWER_BYTES => Err(PollResult::TooLarge),
        true => Ok(Body::new(size)),
        false => Err(PollResult::Failed),
    };
    match asked.after_list.clone() {
        None => on_host_lists(vm, asked, answer, now),
        Some(follow_up) => on_ejection_counts(vm, asked.asked_at, follow_up, answer, now),
    }
}

/// Applies the lists of endpoints, and asks for the counts if necessary.
fn on_host_lists(vm: &mut Vm, asked: PendingQuestion, answer: Result<Body, PollResult>, now: Millis) {
    let Some(witness) = vm.config.witness.as_ref() else { return };
    let (longest, shortest) = (witness.max_interval.millis(), witness.min_interval.millis());
    let after_failure = |rest: Millis| rest.saturating_mul(REST_AFTER_FAILURE).min(longest);
    let body = match answer {
        Ok(body) => body,
        Err(PollResult::Failed) => {
            return asking::fail(vm, PollResult::Failed, now, &asked.about, after_failure(shortest));
        }
        Err(result) => return asking::fail(vm, result, now, &asked.about, longest),
    };
    let cost = u64::try_from(body.size() / BYTES_PER_REST_MS).unwrap_or(u64::MAX);
    let mut follow_up = FollowUp { rest: cost.max(shortest).min(longest), ..FollowUp::default() };
    let mut lists = Vec::new();
    let read = host_lists::read(body, |_| true, |name, hosts| lists.push((name.to_owned(), hosts.to_vec())));
    for (name, hosts) in lists {
        apply_host_list(vm, &name, &hosts, asked.asked_at, now, &mut follow_up);
    }
    if read.is_err() {
        return asking::fail(vm, PollResult::Invalid, now, &asked.about, after_failure(follow_up.rest));
    }
    asking::record_poll(vm, PollResult::Ok);
    if let Some(follow_up) = asking::ask_for_counts(vm, asked, follow_up, now) {
        asking::finish(vm, now, &follow_up.open, follow_up.rest, follow_up.wait);
    }
}

/// Applies Envoy's list of one cluster's endpoints.
fn apply_host_list(
    vm: &mut Vm,
    name: &str,
    hosts: &[HostStatus],
    asked_at: Millis,
    now: Millis,
    follow_up: &mut FollowUp,
) {
    // A cluster without traffic is not kept: its endpoints would only use memory.
    if hosts.iter().all(|host| !host.ejected) && cluster_states::read(name).is_none() {
        return;
    }
    let Some(cluster) = vm.known.cluster(name.as_bytes(), vm.roots.newest()) else { return };
    let changed = vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, context| {
        (
            cluster::on_host_list(state, hosts, asked_at, context),
            cluster::ask_again_in(state, now),
            cluster::wants_counts(state, now),
        )
    });
    let (events, wait, wants_count) = changed.unwrap_or_default();
    vm.report(&events);
    follow_up.ask_again(name, wait);
    if wants_count {
        follow_up.uncounted.push(name.to_owned());
    }
}

/// Applies the counts of ejections, if Envoy keeps any.
fn on_ejection_counts(
    vm: &mut Vm,
    asked_at: Millis,
    mut follow_up: FollowUp,
    answer: Result<Body, PollResult>,
    now: Millis,
) {
    let rest = now.saturating_sub(asked_at).saturating_mul(REST_PER_COUNT_TIME);
    let longest = vm.config.witness.as_ref().map_or(0, |witness| witness.max_interval.millis());
    question::change(|question| question.counted = (now, rest.min(longest)));
    let counts = answer.ok().and_then(|body| stats::read(body).ok());
    for name in std::mem::take(&mut follow_up.uncounted) {
        let in_stats = stats::name_in_stats(&name);
        let count = counts.iter().flatten().find(|(name, _)| *name == in_stats).map(|(_, count)| *count);
        let Some(cluster) = vm.known.cluster(name.as_bytes(), vm.roots.newest()) else { continue };
        let changed = vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, context| {
            let events = match counts {
                Some(_) => cluster::on_ejection_counts(state, count, asked_at, context),
                // Without a count, an ejection that waits for its cause is reported with the next list.
                None => {
                    cluster::on_ejection_counts_failed(state, asked_at);
                    Vec::new()
                }
            };
            (events, cluster::ask_again_in(state, now))
        });
        let (events, wait) = changed.unwrap_or_default();
        vm.report(&events);
        follow_up.ask_again(&name, wait);
    }
    asking::finish(vm, now, &follow_up.open, follow_up.rest, follow_up.wait);
}
