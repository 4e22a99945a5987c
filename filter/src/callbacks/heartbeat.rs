//! Periodic work: counts go into shared data, ejections and failovers end, notices are logged, and questions and
//! notifications that are due are sent.

use crate::host;
use crate::output::remark::Remark;
use crate::shared::open_findings::OpenFindings;
use crate::shared::{claims, cluster_states, owners, question};
use crate::vm::home::Home;
use crate::vm::known::{self, ClusterIndex};
use crate::vm::notice::Notice;
use crate::vm::state::{Moment, Vm};
use crate::vm::{asking, notifying, tick};
use filter_core::cluster as core_cluster;
use filter_core::endpoint::outcome::Outcome;
use filter_core::event::{Event, EventKind};
use filter_core::time::Millis;

/// After this many heartbeats, a cluster's endpoints are shared again even if they have not changed.
const SHARE_MEMBERS_BEATS: u32 = 30;
/// While anything is open in the proxy: the number of heartbeats between two checks of a cluster that had nothing open
/// when last checked.
const RECHECK_CLUSTER_BEATS: u32 = 10;
/// After this many heartbeats, the proxy's own locality is read again.
const REREAD_HOME_BEATS: u32 = 60;
/// For how long, in milliseconds, other workers do not repeat a notice about a configuration that one worker has
/// logged.
const NOTICE_ONCE_WITHIN_MS: Millis = 10_000;
/// One heartbeat.
#[derive(Clone, Copy, Debug)]
struct Beat {
    moment: Moment,
    /// The number of heartbeats so far, including this one.
    number: u32,
    /// When the one before was; 0 if there was none.
    before: Millis,
    /// Whether anything is open in the proxy.
    is_open: bool,
}

/// A root context ticks.
pub(crate) fn on_tick(vm: &mut Vm, root: u32) {
    let Ok(now) = host::now() else { return };
    vm.roots.note_tick(root, now);
    if !vm.heartbeat.accepts_tick(root, now) {
        if vm.roots.slow_down(root) {
            tick::slow_down();
        }
        return;
    }
    vm.roots.drive(root);
    let open = OpenFindings::total();
    if vm.config.witness.is_some() {
        note_new(vm, now);
    }
    if vm.heartbeat.is_beat(now) {
        on_heartbeat(vm, open, now);
    }
    let due = [asking::ask_if_due(vm, now), notifying::send_if_due(vm, now)].into_iter().flatten().min();
    vm.heartbeat.set_pace(due, open > 0);
}

fn on_heartbeat(vm: &mut Vm, open: u64, now: Millis) {
    vm.reporter.open_findings.show(open);
    let number = vm.known.next_beat();
    if vm.home.locality.is_unknown() || number.is_multiple_of(REREAD_HOME_BEATS) {
        vm.home = Home::read();
    }
    vm.twins.on_heartbeat();
    count_skipped(vm, now);
    watch_configurations(vm, now);
    vm.reporter.show_version();
    log_notices(vm, now);
    let moment = Moment { now, has_witness: vm.has_witness() };
    let before = vm.known.start_counting(now);
    let beat = Beat { moment, number, before, is_open: open > 0 };
    let mut wanted = Wanted::default();
    for cluster in vm.known.indices() {
        share_members(vm, cluster, beat);
        share_counts(vm, cluster, beat, &mut wanted);
    }
    vm.home.remark(&vm.reporter, wanted.is_blind, now);
    if vm.config.witness.is_some() {
        wanted.share();
    }
    vm.reporter.show_tracked_endpoints(cluster_states::tracked_endpoints());
    vm.reporter.report_held_back(now, &vm.config);
}

/// Counts the healthy requests that were not read.
fn count_skipped(vm: &mut Vm, now: Millis) {
    for configuration in vm.roots.living(now) {
        let mut sampling = configuration.sampling.get();
        if let Some(((cluster, locality), skipped)) = sampling.on_heartbeat() {
            vm.known.count_attempts(cluster, locality, Outcome::Success, skipped);
        }
        configuration.sampling.set(sampling);
    }
}

/// Follows the configurations that are in force: old ones end with the last of their root contexts.
fn watch_configurations(vm: &mut Vm, now: Millis) {
    if !vm.roots.has_several() {
        return;
    }
    if let Some((count, in_two_positions)) = vm.roots.lasting_overlap(now)
        && claims::claim("overlap", 0, now, NOTICE_ONCE_WITHIN_MS)
    {
        vm.reporter.remark(Remark::SeveralConfigurations { count });
        if in_two_positions {
            vm.reporter.remark(Remark::TwoPositions);
        }
    }
    vm.roots.refresh(now);
    if !vm.roots.has_several() {
        vm.adopt_configurations(now);
    }
}

fn log_notices(vm: &mut Vm, now: Millis) {
    for (configuration, notice) in vm.notices.take() {
        if !claims::claim(notice.key(), configuration, now, NOTICE_ONCE_WITHIN_MS) {
            continue;
        }
        match notice {
            Notice::Rejected(error) => {
                vm.report(&[Event::of_cluster(now, "", EventKind::ConfigRejected { error })]);
            }
            Notice::InForce(unknown_fields) => {
                vm.reporter.remark(Remark::InForce);
                unknown_fields.iter().for_each(|field| vm.reporter.remark(Remark::UnknownField(field)));
            }
        }
    }
}

/// What a cluster wants to be asked.
#[derive(Clone, Copy, Debug, Default)]
struct Asks {
    list: bool,
    rule: bool,
    /// Whether it cannot be told which of its localities is home.
    is_blind: bool,
}

/// What the clusters of a heartbeat want to be asked.
#[derive(Debug, Default)]
struct Wanted {
    lists: Vec<String>,
    rules: Vec<String>,
    is_blind: bool,
}

impl Wanted {
    fn note(&mut self, name: &str, asks: Asks) {
        if asks.list {
            self.lists.push(name.to_owned());
        }
        if asks.rule {
            self.rules.push(name.to_owned());
        }
        self.is_blind |= asks.is_blind;
    }

    /// Puts it on the agenda that the workers share.
    fn share(self) {
        if self.lists.is_empty() && self.rules.is_empty() {
            return;
        }
        question::change(|question| {
            self.lists.iter().for_each(|name| question.calm.add(name));
            self.rules.iter().for_each(|name| question.without_rule.add(name));
        });
    }
}

/// Has the rules of clusters that were just met read, all together.
fn note_new(vm: &mut Vm, now: Millis) {
    let mut wanted = Wanted::default();
    for cluster in vm.known.take_new() {
        let Some(known) = vm.known.get(cluster) else { continue };
        if cluster_states::read(&known.name).is_none_or(|state| state.wants_rule(vm.oldest_rule(), now)) {
            wanted.rules.push(known.name.clone());
        }
    }
    wanted.share();
}

/// Merges the endpoints that this VM has seen into the shared list.
fn share_members(vm: &mut Vm, cluster: ClusterIndex, beat: Beat) {
    let Some(known) = vm.known.get_mut(cluster).filter(|known| known.is_watched()) else { return };
    if !known.members_changed && !beat.number.is_multiple_of(SHARE_MEMBERS_BEATS) {
        return;
    }
    known.members_changed = false;
    let (name, total) = (known.name.clone(), known.endpoint_count);
    let limit = vm.config.limits.endpoints;
    let seen = known.take_seen();
    if seen.is_empty() {
        // Without traffic, the count is an old one: endpoints that came since would make it seem that others have left.
        return;
    }
    let merged = cluster_states::merge_members(&name, &seen, total, limit, beat.moment.now);
    let Some((left, counts)) = merged else { return };
    // Those that have left cannot be told from the others while all were seen just now.
    let members: u32 = counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
    if let Some(known) = vm.known.get_mut(cluster) {
        known.members_changed |= total.is_some_and(|total| total < members);
    }
    let events = vm.change_cluster(cluster, beat.moment, |state, context| {
        core_cluster::set_members(state, total, &counts, &left, context)
    });
    vm.report(&events.unwrap_or_default());
}

/// Adds the counts to the shared state, and applies the passing of time to the cluster.
fn share_counts(vm: &mut Vm, cluster: ClusterIndex, beat: Beat, wanted: &mut Wanted) {
    let Some(known) = vm.known.get_mut(cluster) else { return };
    let counts = known.take_counts();
    let retried = std::mem::take(&mut known.retried);
    for (locality, outcome, count) in &counts {
        vm.reporter.count_attempts(&known.name, locality, *outcome, *count);
    }
    vm.reporter.count_retried_requests(&known.name, retried);
    let look = known.is_troubled
        || vm.reporter.has_raised_gauges(&known.name)
        || (beat.is_open && beat.number.is_multiple_of(RECHECK_CLUSTER_BEATS));
    if counts.is_empty() && !look {
        return;
    }
    let sums = known::charged(&counts);
    // Without traffic, nothing depends on the rule.
    let oldest_rule = if counts.is_empty() { Millis::MAX } else { vm.oldest_rule() };
    let longest = vm.config.witness.as_ref().map_or(Millis::MAX, |witness| witness.max_interval.millis());
    let changed = vm.change_cluster(cluster, beat.moment, |state, context| {
        core_cluster::add_traffic(state, &sums, beat.before, context);
        let events = core_cluster::on_tick(state, context);
        let asks = Asks {
            list: core_cluster::wants_list(state, longest, context),
            rule: state.wants_rule(oldest_rule, context.now),
            is_blind: state.failover_is_blind(context.home),
        };
        (events, state.open_findings() > 0, state.levels(context.cluster), asks, state.members().to_vec())
    });
    let Some((events, is_troubled, levels, asks, members)) = changed else { return };
    vm.known.set_members(cluster, &members);
    if !members.is_empty() {
        let owners = owners::read(&vm.known.get(cluster).map_or(String::new(), |known| known.name.clone()));
        vm.known.set_owners(cluster, &owners.members);
    }
    if let Some(known) = vm.known.get_mut(cluster) {
        wanted.note(&known.name, asks);
        vm.reporter.refresh_gauges(&known.name, &levels);
        known.is_troubled = is_troubled;
    }
    vm.report(&events);
}
