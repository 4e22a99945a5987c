//! What only Envoy's lists show where of all attempts those that failed are seen (`attempts: failed`): the successes,
//! and which endpoints there are.

use crate::shared::cluster_states;
use crate::vm::known::ClusterIndex;
use crate::vm::state::{Moment, Vm};
use filter_core::admin::host_lists::HostStatus;
use filter_core::cluster;
use filter_core::cluster::host_totals::Growth;
use filter_core::cluster::members::endpoint_hash;
use filter_core::endpoint::outcome::Outcome;
use filter_core::time::Millis;

/// Counts the attempts that succeeded by Envoy's counts of the hosts of cluster `name`.
pub(super) fn count_successes(vm: &mut Vm, name: &str, growth: &Growth) {
    for (locality, count) in &growth.sums {
        vm.reporter.count_attempts(name, locality, Outcome::Success, count.served());
    }
}

/// A cluster that answers is a member of these aggregate clusters, which have then healthy endpoints again. Their own
/// answers count for the member.
pub(super) fn recover_aggregates(vm: &mut Vm, member: &str, growth: &Growth, now: Millis) {
    if !growth.is_served() {
        return;
    }
    let has_member = |(_, members): &(&str, &[String])| members.iter().any(|known| known == member);
    let aggregates: Vec<String> = vm.known.aggregates().filter(has_member).map(|(name, _)| name.to_owned()).collect();
    for aggregate in aggregates {
        let Some(cluster) = vm.known.index(&aggregate) else { continue };
        let moment = Moment { now, has_witness: true };
        let events = vm.change_cluster(cluster, moment, |state, context| cluster::on_served(state, growth, context));
        vm.report(&events.unwrap_or_default());
    }
}

/// Shares which endpoints a cluster has.
pub(super) fn share_members(vm: &mut Vm, cluster: ClusterIndex, hosts: &[HostStatus], now: Millis) {
    let Some(name) = vm.known.get(cluster).map(|known| known.name.clone()) else { return };
    let seen: Vec<_> = hosts.iter().map(|host| (endpoint_hash(&host.address), &host.locality)).collect();
    let total = u32::try_from(hosts.len()).ok();
    let limit = vm.config.limits.endpoints;
    let merged = cluster_states::merge_members(&name, &seen, total, limit, now);
    let Some((left, counts)) = merged else { return };
    let moment = Moment { now, has_witness: true };
    let events = vm
        .change_cluster(cluster, moment, |state, context| cluster::set_members(state, total, &counts, &left, context));
    vm.report(&events.unwrap_or_default());
}
