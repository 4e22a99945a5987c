//! What happens with a finished attempt in either position: it is applied to its cluster's shared state, the resulting
//! events are reported, and Envoy is asked about it if necessary.
//!
//! Not here: how an attempt counts and what an observation means (`filter-core`).

use super::asking;
use super::known::{ClusterIndex, LocalityIndex, LocalityRead};
use super::state::{Moment, Vm};
use crate::host;
use crate::host::exchange;
use crate::shared::cluster_states;
use filter_core::cluster::{self, AttemptObservation};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::event::LastAttempt;
use filter_core::locality::Locality;
use filter_core::text::lossy;
use filter_core::time::Millis;

/// When an attempt is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeenAt {
    /// When its response headers pass, which is when Envoy charges it.
    Headers,
    /// When it is logged; its answer may have come long before.
    Log,
}

/// An attempt that Envoy charges to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChargedAttempt<'a> {
    pub(crate) cluster: ClusterIndex,
    /// Its address, as the attribute `upstream.address` has it.
    pub(crate) endpoint: &'a [u8],
    pub(crate) locality: LocalityIndex,
    pub(crate) input: DetectorInput,
    pub(crate) seen_at: SeenAt,
}

/// The locality of an attempt's endpoint, from Envoy or else from the configuration. Also reads Envoy's count of the
/// cluster's endpoints if that is due.
pub(crate) fn locality_of(
    vm: &mut Vm,
    cluster: ClusterIndex,
    endpoint: &[u8],
    which: LocalityRead,
) -> Option<LocalityIndex> {
    let config = &vm.current.config;
    let locality = vm.known.locality(cluster, endpoint, which, || {
        let locality = exchange::endpoint_locality();
        if !locality.is_unknown() {
            return locality;
        }
        Locality::parse(config.locality_of(&lossy(endpoint)).unwrap_or(""))
    });
    if let Some(locality) = locality
        && vm.known.note_use(cluster, locality)
    {
        on_use(vm, cluster, locality);
    }
    if let Some(known) = vm.known.get_mut(cluster).filter(|known| known.endpoint_count_is_old) {
        known.endpoint_count_is_old = false;
        let count = exchange::endpoint_count();
        known.members_changed |= count != known.endpoint_count;
        known.endpoint_count = count;
    }
    locality
}

/// Looks closer when an attempt goes to a locality that had none for a while: home may have nothing left in rotation,
/// and no request fails of that.
fn on_use(vm: &mut Vm, cluster: ClusterIndex, locality: LocalityIndex) {
    if vm.config.witness.is_none() {
        // Its endpoints may have left.
        if let Some(known) = vm.known.get_mut(cluster) {
            known.endpoint_count_is_old = true;
        }
    } else if is_news(vm, cluster, locality)
        && let Ok(now) = host::now()
    {
        asking::suspect(vm, cluster, now);
    }
}

/// Whether by all that is known of the cluster no attempt goes to a locality.
fn is_news(vm: &Vm, cluster: ClusterIndex, locality: LocalityIndex) -> bool {
    let Some(known) = vm.known.get(cluster) else { return false };
    let state = cluster_states::read(&known.name);
    state.zip(known.locality(locality)).is_some_and(|(state, at)| state.is_news(at, &state.home_in(&vm.home.locality)))
}

/// Applies an attempt that succeeded or at least was connected. Returns its locality, which was read again if it
/// matters where single attempts go.
pub(crate) fn success(vm: &mut Vm, attempt: ChargedAttempt<'_>) -> LocalityIndex {
    let ChargedAttempt { cluster, endpoint, .. } = attempt;
    // Even if one cluster has something open, most others have nothing.
    let open = vm.known.get(cluster).and_then(|known| cluster_states::read(&known.name));
    let Some(state) = open.filter(|state| state.open_findings() > 0) else { return attempt.locality };
    let needs_details = state.needs_details(&lossy(endpoint));
    let locality = match needs_details || state.is_away() {
        true => locality_of(vm, cluster, endpoint, LocalityRead::Fresh).unwrap_or(attempt.locality),
        false => attempt.locality,
    };
    let started = if needs_details { exchange::started_at() } else { None };
    charge(vm, ChargedAttempt { locality, ..attempt }, started, LastAttempt::default());
    locality
}

/// Applies an attempt that failed.
pub(crate) fn error(vm: &mut Vm, attempt: ChargedAttempt<'_>, last: LastAttempt) {
    if let Some(known) = vm.known.get_mut(attempt.cluster) {
        known.endpoint_count = exchange::endpoint_count();
    }
    let started = exchange::started_at();
    charge(vm, attempt, started, last);
}

/// Applies a request that found no healthy endpoint.
pub(crate) fn no_healthy_upstream(vm: &mut Vm, cluster: ClusterIndex) {
    let Some(moment) = vm.moment() else { return };
    if !vm.known.is_watched(cluster) {
        return;
    }
    let count = exchange::endpoint_count();
    let events =
        vm.change_cluster(cluster, moment, |state, context| cluster::on_no_healthy_upstream(state, count, context));
    vm.report(&events.unwrap_or_default());
}

fn charge(vm: &mut Vm, attempt: ChargedAttempt<'_>, started: Option<Millis>, last: LastAttempt) {
    let ChargedAttempt { cluster, input, seen_at, .. } = attempt;
    let has_witness = vm.has_witness();
    let Ok(now) = host::now_micros() else { return };
    let moment = Moment { now: now / 1_000, has_witness };
    let Some(known) = vm.known.get(cluster) else { return };
    let Some(locality) = known.locality(attempt.locality).cloned() else { return };
    let total = known.endpoint_count;
    let endpoint = lossy(attempt.endpoint);
    let workload = exchange::workload();
    // A logged attempt ended a moment ago.
    let over = if seen_at == SeenAt::Log { exchange::ended_at() } else { None };
    let ended = over.map_or(now, |over| over.min(now));
    let asks_for_connection = input.connected || input.failure.is_some();
    let connected = if asks_for_connection { exchange::connected_at() } else { None };
    // An answer that was not seen on arrival resets only the failures from before it can have arrived.
    let since = connected.or(started.map(|started| started.saturating_mul(1_000)));
    let answered = since.filter(|_| seen_at == SeenAt::Log).unwrap_or(ended);
    let times = AttemptTimes { connected: connected.unwrap_or(ended), answered, ended };
    let seen = AttemptObservation {
        endpoint: &endpoint,
        locality: &locality,
        workload: workload.as_deref(),
        input,
        times,
        started,
        last,
        total,
    };
    let changed = vm.change_cluster(cluster, moment, |state, context| {
        (cluster::on_attempt(state, &seen, context), cluster::asks_at_once(state, context))
    });
    let (events, asks) = changed.unwrap_or_default();
    vm.report(&events);
    vm.heartbeat.shorten_tick(None);
    if asks {
        asking::suspect(vm, cluster, moment.now);
    }
}
