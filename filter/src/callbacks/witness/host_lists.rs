//! The endpoints of clusters: their health and counts, or as the balancer uses them.

use super::answer::{Answer, fail, rest_after, rest_after_long_sweep};
use super::unseen;
use crate::output::remark::Remark;
use crate::shared::owners::{self, Owners};
use crate::shared::question::{self, LARGE_BYTES, PollResult, Sweep};
use crate::shared::{claims, cluster_states, home};
use crate::vm::asking;
use crate::vm::pending::{FollowUp, PendingQuestion, Rest};
use crate::vm::state::{Moment, Vm};
use filter_core::admin::endpoint_configs::{self, EndpointConfigs};
use filter_core::admin::host_lists::{self, HostStatus};
use filter_core::cluster;
use filter_core::cluster::members::endpoint_hash;
use filter_core::order;
use filter_core::time::Millis;

/// The shortest time between two questions about all clusters, in milliseconds.
const SHORTEST_SWEEP_MS: Millis = 1_000;

/// The same where nothing else shows attempts that succeed.
const SHORTEST_NEEDED_SWEEP_MS: Millis = 400;

/// The length of the lists of all clusters, in bytes, from which on they are read on suspicion only: reading blocks the
/// worker.
const TOO_LARGE_TO_SWEEP_BYTES: u64 = 512 * 1024;

/// After an answer that was too large to be read, the lists of all clusters are not asked for again for so long, in
/// milliseconds.
const TOO_LARGE_AGAIN_MS: Millis = 3_600_000;

/// The longest wait for them after which the endpoints as the balancer uses them are asked for once more, in
/// milliseconds.
const LONGEST_FOR_ALL_MS: Millis = 5_000;

/// About how long the list of one cluster is, in bytes.
const BYTES_PER_CLUSTER: u64 = 4_000;

type Lists = Vec<(String, Vec<HostStatus>)>;

/// Applies the lists of the clusters that were asked for, and of others if Envoy lists these too.
pub(super) fn on_host_lists(vm: &mut Vm, asked: &PendingQuestion, answer: Answer) {
    let (now, size, rest) = (answer.now, answer.size, rest_after(vm, &answer));
    let body = match answer.body {
        Ok(body) => body,
        Err(PollResult::TooLarge) => {
            note_ignored_names(size, now.saturating_add(TOO_LARGE_AGAIN_MS));
            if claims::claim("large", 0, now, TOO_LARGE_AGAIN_MS.saturating_mul(2)) {
                vm.reporter.remark(Remark::ListsTooLarge);
            }
            return pass_over(vm, asked, rest, now);
        }
        Err(result) => return fail(vm, asked, result, rest, now),
    };
    let is_asked_for = |name: &str| size <= LARGE_BYTES || asked.about.iter().any(|known| known == name);
    let mut lists: Lists = Vec::new();
    let read = host_lists::read(body, is_asked_for, |name, hosts| lists.push((name.to_owned(), hosts.to_vec())));
    let is_other = |(name, _): &&(String, _)| !asked.about.iter().any(|known| known == name);
    let others = lists.iter().filter(is_other).count();
    if others > 0 || read.as_ref().is_ok_and(|read| read.others > 0) {
        note_ignored_names(size, now.saturating_add(rest.open));
    }
    // What was asked for and is not listed, Envoy does not have.
    let is_missing = |name: &&String| !lists.iter().any(|(known, _)| known == *name);
    let missing: Lists = match read.is_ok() {
        true => asked.about.iter().filter(is_missing).map(|name| (name.clone(), Vec::new())).collect(),
        false => Vec::new(),
    };
    set_owners(vm, &lists, now);
    lists.extend(missing);
    let follow_up = apply_all(vm, &lists, asked.asked_at, now, rest);
    end(vm, asked, read.is_ok(), follow_up, now);
}

/// Applies the lists of all clusters. Clusters without watched traffic of which the hosts get requests are reason to
/// ask again soon.
pub(super) fn on_sweep(vm: &mut Vm, asked: &PendingQuestion, answer: Answer) {
    let (now, size) = (answer.now, answer.size);
    let is_too_large = size > TOO_LARGE_TO_SWEEP_BYTES;
    if is_too_large {
        note_sweep(size, size / BYTES_PER_CLUSTER, 0, Millis::MAX);
    }
    let rest = if is_too_large { rest_after_long_sweep(vm, &answer) } else { rest_after(vm, &answer) };
    let body = match answer.body {
        Ok(_) if is_too_large => return end(vm, asked, true, FollowUp { rest, ..FollowUp::default() }, now),
        Ok(body) => body,
        Err(PollResult::TooLarge) => return pass_over(vm, asked, rest, now),
        Err(result) => return fail(vm, asked, result, rest, now),
    };
    let mut lists: Lists = Vec::new();
    let (mut requests, mut clusters) = (0_u64, 0_u64);
    let read = host_lists::read(
        body,
        |_| true,
        |name, hosts| {
            clusters = clusters.saturating_add(1);
            let has_requests = hosts.iter().any(|host| host.requests > 0);
            let is_unwatched = has_requests && is_unwatched(vm, name, now);
            if is_unwatched {
                requests = hosts.iter().fold(requests, |sum, host| sum.saturating_add(host.requests));
            }
            if vm.known.find(name).is_some() || is_unwatched || hosts.iter().any(|host| host.ejected) {
                lists.push((name.to_owned(), hosts.to_vec()));
            }
        },
    );
    let shortest = if vm.needs_sweeps() { SHORTEST_NEEDED_SWEEP_MS } else { SHORTEST_SWEEP_MS };
    note_sweep(size, clusters, requests, rest.calm.max(shortest));
    let follow_up = apply_all(vm, &lists, asked.asked_at, now, rest);
    end(vm, asked, read.is_ok(), follow_up, now);
}

/// Notes that Envoy lists all clusters, whichever are asked for, in so many bytes. On suspicion they may be asked for
/// again at `allowed_at`.
fn note_ignored_names(size: u64, allowed_at: Millis) {
    question::change(|question| {
        question.ignores_names = true;
        question.sweep.size = question.sweep.size.max(size);
        question.all_allowed_at = allowed_at;
    });
}

/// Passes over an answer that is too large to be read. Envoy is not silent, and what was asked about is asked for in
/// another way.
fn pass_over(vm: &mut Vm, asked: &PendingQuestion, rest: Rest, now: Millis) {
    vm.reporter.count_poll(PollResult::TooLarge);
    asking::finish(vm, now, FollowUp { open: asked.about.clone(), rest, ..FollowUp::default() });
}

/// Notes what the lists of all clusters showed. While the `requests` of clusters that nobody watches grow, they are
/// asked for again after `shortest` milliseconds; else ever more seldom.
fn note_sweep(size: u64, clusters: u64, requests: u64, shortest: Millis) {
    question::change(|question| {
        let before = &question.sweep;
        let is_busy = before.size == 0 || requests > before.requests;
        let interval = if is_busy { shortest } else { before.interval.saturating_mul(2).max(shortest) };
        question.sweep = Sweep { asked: before.asked, interval, requests, size, clusters };
    });
}

/// Applies the endpoints as the balancer uses them. They do not tell an ejected endpoint from one that is unhealthy for
/// another reason, so the lists of all clusters are asked for where that matters.
pub(super) fn on_endpoint_configs(vm: &mut Vm, asked: &PendingQuestion, answer: Answer) {
    let (now, rest) = (answer.now, rest_after(vm, &answer));
    let body = match answer.body {
        Ok(body) => body,
        Err(result) => return fail(vm, asked, result, rest, now),
    };
    let mut configs: Vec<EndpointConfigs> = Vec::new();
    let read = endpoint_configs::read(body, |config| configs.push(config.clone()));
    let mut follow_up = FollowUp { rest, ..FollowUp::default() };
    let mut undecided = Vec::new();
    for config in configs.iter().filter(|config| asked.about.contains(&config.cluster)) {
        let name = &config.cluster;
        let Some(cluster) = vm.cluster_of_answer(name, now) else { continue };
        let changed = vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, context| {
            let (events, decided) = cluster::on_endpoint_configs(state, &config.endpoints, asked.asked_at, context);
            (events, decided, cluster::ask_again_in(state, context))
        });
        let Some((events, decided, wait)) = changed else { continue };
        vm.report(&events);
        follow_up.ask_again(name, wait);
        if !decided {
            undecided.push(name.clone());
        }
    }
    if read.is_err() {
        return fail(vm, asked, PollResult::Invalid, rest, now);
    }
    asking::record_poll(vm, PollResult::Ok);
    if undecided.is_empty() {
        return asking::finish(vm, now, follow_up);
    }
    let allowed_at = question::read().map_or(0, |question| question.all_allowed_at);
    match allowed_at <= now {
        true => {
            let (open, wait) = (follow_up.open.clone(), follow_up.wait);
            asking::finish(vm, now, FollowUp { open, wait, ..follow_up });
            asking::ask_for_all(vm, undecided, now);
        }
        false => {
            let wait = Some(allowed_at.saturating_sub(now).min(LONGEST_FOR_ALL_MS));
            undecided.iter().for_each(|name| follow_up.ask_again(name, wait));
            asking::finish(vm, now, follow_up);
        }
    }
}

/// Whether requests go to the cluster, if any, that the filter does not see: it is none that is ignored, nor one that
/// the filter itself calls, and no attempt was counted lately.
fn is_unwatched(vm: &Vm, name: &str, now: Millis) -> bool {
    let is_counted = || cluster_states::read(name).is_some_and(|state| state.is_counted(now));
    let is_watched = || vm.roots.living(now).iter().any(|known| known.config.rules_for(name).is_some());
    !is_own(vm, name) && is_watched() && (vm.needs_sweeps() || !is_counted())
}

/// Whether the filter itself calls the cluster.
fn is_own(vm: &Vm, name: &str) -> bool {
    vm.config.witness.as_ref().is_some_and(|witness| witness.cluster == name)
        || vm.config.notify.as_ref().is_some_and(|notify| notify.cluster == name)
}

fn end(vm: &mut Vm, asked: &PendingQuestion, is_whole: bool, follow_up: FollowUp, now: Millis) {
    if !is_whole {
        return fail(vm, asked, PollResult::Invalid, follow_up.rest, now);
    }
    asking::record_poll(vm, PollResult::Ok);
    if let Some(follow_up) = asking::ask_for_counts(vm, follow_up, now) {
        asking::finish(vm, now, follow_up);
    }
}

fn apply_all(vm: &mut Vm, lists: &Lists, asked_at: Millis, now: Millis, rest: Rest) -> FollowUp {
    let mut follow_up = FollowUp { rest, ..FollowUp::default() };
    for (name, hosts) in lists {
        apply_host_list(vm, name, hosts, asked_at, now, &mut follow_up);
    }
    if !vm.home.is_told() {
        home::note_lists(lists);
    }
    follow_up
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
    if hosts.iter().all(|host| !host.ejected && host.requests == 0) && cluster_states::read(name).is_none() {
        return;
    }
    // The filter's own calls are no requests of the proxy's, unless a request names their cluster as well.
    if is_own(vm, name) && vm.known.index(name).is_none() {
        return;
    }
    let Some(cluster) = vm.cluster_of_answer(name, now) else { return };
    let oldest_rule = vm.oldest_rule();
    let Some(growth) = cluster_states::grow_totals(name, hosts, asked_at, now) else { return };
    let changed = vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, context| {
        (
            cluster::on_host_list(state, hosts, &growth, asked_at, context),
            cluster::ask_again_in(state, context),
            cluster::wants_counts(state, now),
            // Without traffic, nothing depends on the rule.
            state.wants_rule(if state.is_counted(now) { oldest_rule } else { Millis::MAX }, now),
        )
    });
    let (events, wait, wants_count, wants_rule) = changed.unwrap_or_default();
    vm.report(&events);
    unseen::recover_aggregates(vm, name, &growth, now);
    if vm.sees_failures_only_of(cluster) {
        unseen::count_successes(vm, name, &growth);
        if growth.have_changed {
            unseen::share_members(vm, cluster, hosts, now);
        }
    }
    follow_up.ask_again(name, wait);
    if wants_count {
        follow_up.uncounted.push(name.to_owned());
    }
    if wants_rule {
        follow_up.without_rule.push(name.to_owned());
    }
}

/// Shares which member of an aggregate cluster each host belongs to.
fn set_owners(vm: &mut Vm, lists: &Lists, now: Millis) {
    let mut troubled = Vec::new();
    for (aggregate, members) in vm.known.aggregates() {
        let list_of = |name: &String| lists.iter().find(|(known, _)| known == name);
        let hosts: Vec<_> = members.iter().filter_map(list_of).collect();
        if hosts.is_empty() {
            continue;
        }
        let hash_all = |hosts: &[HostStatus]| hosts.iter().map(|host| endpoint_hash(&host.address)).collect();
        let mut owners = owners::read(aggregate);
        owners.members.retain(|(name, _)| members.contains(name) && !hosts.iter().any(|(known, _)| known == name));
        owners.members.extend(hosts.iter().map(|(name, hosts)| (name.clone(), hash_all(hosts))));
        if cluster_states::read(aggregate).is_some_and(|state| state.open_findings() > 0) {
            let mut owned: Vec<u32> = owners.members.iter().flat_map(|(_, hosts)| hosts.iter().copied()).collect();
            order::sort(&mut owned, |a, b| a < b);
            troubled.extend(vm.known.index(aggregate).map(|index| (index, owned)));
        }
        owners::set(aggregate, Owners { ..owners });
    }
    for (aggregate, owned) in troubled {
        let moment = Moment { now, has_witness: true };
        vm.change_cluster(aggregate, moment, |state, _| cluster::on_owned(state, &owned));
    }
}
