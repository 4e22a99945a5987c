//! Puts together what the proxies saw. An endpoint that three proxies ejected is one endpoint, out for the union of the
//! three times; requests served away are summed.

use std::collections::{BTreeMap, BTreeSet};

use super::away::ProxyFailover;
use super::bypass::Bypasses;
use super::logs::event::{Name, Received};
use super::logs::input::Input;
use super::model::{Destination, Ejection, Endpoint, Failover, Gap, Incident, Outage, Period, Service};
use super::observation::Observation;
use super::restarts::Restart;
use super::span::{Span, grouped, total};
use super::trace::{ClusterTrace, EndpointTrace, Trace};
use super::window::Window;
use super::{names, timeline};

/// The incident that the logs tell of a window.
pub(crate) fn incident(input: &Input, window: &Window) -> Incident {
    let trace = Trace::of(input, window);
    let restarts = window.restarts_within();
    let names = names::of_clusters(trace.clusters.keys().map(|cluster| &**cluster));
    let name = |cluster: &str| names.get(cluster).map_or(cluster, String::as_str).to_owned();
    let services =
        trace.clusters.into_iter().map(|(cluster, seen)| service(name(&cluster), cluster.to_string(), seen, input));
    let mut services: Vec<Service> = services.collect();
    services.sort_by(|a, b| (a.first, &a.cluster).cmp(&(b.first, &b.cluster)));
    let name_of = |restart: &Restart| input.name(restart.proxy).cloned().unwrap_or_default();
    let mut gaps = gaps_of_restarts(&restarts, &name_of);
    gaps.extend(trace.gaps);
    gaps.extend(gaps_of(input));
    Incident {
        first: input.records.first().map(|record| record.event.at),
        last: input.records.last().map(|record| record.event.at),
        log_ends: input.ends,
        since: window.since,
        until: window.until,
        lines: input.counts.lines,
        events: input.records.len(),
        proxies: input.proxies.clone(),
        audience: if input.is_of_engine { 0 } else { input.proxies.len() },
        services,
        bypasses: Bypasses::of(input),
        timeline: timeline::of(input, &names, &restarts),
        gaps,
    }
}

fn service(name: String, cluster: String, seen: ClusterTrace, input: &Input) -> Service {
    let mut failovers: Vec<Failover> = by_key(seen.failovers, |failover| failover.from.to_string())
        .into_iter()
        .flat_map(|(from, all)| {
            let groups = grouped(all, |failover| failover.seen.span);
            groups.into_iter().map(move |(_, group)| failover(from.clone(), &group))
        })
        .collect();
    failovers.sort_by_key(|failover| failover.period.span.from);
    let outages: Vec<Outage> = grouped(seen.outages, |seen| seen.span)
        .into_iter()
        .map(|(_, group)| Outage { period: period(group.iter()) })
        .collect();
    let mut endpoints: Vec<Endpoint> = seen.endpoints.into_values().map(endpoint).collect();
    endpoints.sort_by(|a, b| (&a.locality, &a.address).cmp(&(&b.locality, &b.address)));
    let periods = failovers.iter().map(|failover| &failover.period).chain(outages.iter().map(|outage| &outage.period));
    let ejected = endpoints.iter().flat_map(|endpoint| &endpoint.ejections).map(|ejection| &ejection.period);
    let (first, last) = periods
        .chain(ejected)
        .fold((seen.first, seen.last), |(first, last), period| (first.min(period.span.from), last.max(period.span.to)));
    Service {
        name,
        proxies: seen.proxies.iter().filter_map(|proxy| input.name(*proxy).cloned()).collect(),
        cluster,
        first,
        last,
        failovers,
        outages,
        endpoints,
    }
}

/// What all proxies saw of an endpoint.
fn endpoint(seen: EndpointTrace) -> Endpoint {
    let ejections = grouped(seen.ejections, |ejection| ejection.seen.span).into_iter().map(|(_, group)| Ejection {
        period: period(group.iter().map(|ejection| &ejection.seen)),
        reasons: told(group.iter().map(|ejection| &ejection.reason)),
        basis: told(group.iter().map(|ejection| &ejection.basis)),
        ended: group.iter().filter_map(|ejection| ejection.ended).collect(),
    });
    Endpoint {
        last_failure: seen.streaks.last().map(|streak| streak.failure),
        address: seen.address,
        locality: seen.locality,
        workload: seen.workload,
        ejections: ejections.collect(),
        streaks: seen.streaks,
        blocked: seen.blocked,
        failing: seen.failing.into_values().max(),
        proxies: seen.proxies.len(),
        first: seen.first,
    }
}

/// One failover from what all proxies saw of it.
fn failover(from: String, all: &[ProxyFailover]) -> Failover {
    let by_locality = by_key(all.iter().flat_map(ProxyFailover::destinations), |destination| destination.to.clone());
    let mut destinations: Vec<Destination> = by_locality
        .into_values()
        .flat_map(|destinations| grouped(destinations, |destination| destination.span))
        .filter_map(|(span, group)| {
            let share = group.iter().map(|destination| destination.share).fold(0.0, f64::max);
            let is_peak = group.iter().any(|destination| destination.is_peak || destination.share < share);
            let open = group.iter().any(|destination| destination.open);
            let first = group.into_iter().next()?;
            Some(Destination { share, is_peak, open, span, ..first })
        })
        .collect();
    destinations.sort_by_key(|destination| destination.span.from);
    let mut received = Vec::new();
    all.iter().for_each(|failover| Received::add(&mut received, &failover.received));
    Failover {
        from,
        causes: all.iter().flat_map(|failover| failover.causes.iter().map(ToString::to_string)).collect(),
        received,
        period: period(all.iter().map(|failover| &failover.seen)),
        destinations,
        requests_away: all.iter().fold(0, |sum, failover| sum.saturating_add(failover.requests)),
        errors_away: all.iter().fold(0, |sum, failover| sum.saturating_add(failover.errors)),
        ended: all.iter().filter(|failover| failover.is_told_in_full()).count(),
        because: told(all.iter().map(|failover| &failover.because)),
    }
}

/// The union of what several proxies saw. There must be at least one.
fn period<'a>(seen: impl Iterator<Item = &'a Observation> + Clone) -> Period {
    let spans: Vec<Span> = seen.clone().map(|seen| seen.span).collect();
    let whole = spans.iter().copied().reduce(Span::with).unwrap_or(Span::at(0));
    Period {
        span: whole,
        total: total(spans),
        open: seen.clone().any(|seen| seen.open),
        began_earlier: seen.clone().any(|seen| seen.began_earlier && seen.span.from == whole.from),
        proxies: seen.map(|seen| seen.proxy).collect::<BTreeSet<_>>().len(),
    }
}

/// Each text once, without those that are empty.
fn told<'a>(texts: impl Iterator<Item = &'a Name>) -> BTreeSet<String> {
    let texts: BTreeSet<&Name> = texts.filter(|text| !text.is_empty()).collect();
    texts.into_iter().map(|text| text.to_string()).collect()
}

/// As many restarts are told one by one.
const MOST_RESTARTS: usize = 5;

fn gaps_of_restarts(restarts: &[Restart], name: &dyn Fn(&Restart) -> String) -> Vec<Gap> {
    let gap = |restart: &Restart| Gap::Restarted {
        proxy: name(restart),
        at: restart.at,
        lived_until: restart.lived_until,
        was_told_to_stop: restart.was_told_to_stop,
    };
    let more = restarts.len().saturating_sub(MOST_RESTARTS);
    restarts.iter().take(MOST_RESTARTS).map(gap).chain((more > 0).then_some(Gap::MoreRestarts(more as u64))).collect()
}

/// What the input itself lacks.
fn gaps_of(input: &Input) -> Vec<Gap> {
    let unknown = input.unknown.iter().map(|(name, events)| Gap::Unknown { name: name.clone(), events: *events });
    let doubtful = (input.doubtful > 0).then_some(Gap::Doubtful { pods: input.doubtful });
    Gap::of_counts(&input.counts)
        .into_iter()
        .chain(doubtful)
        .chain(Gap::of_processes(input.processes))
        .chain(unknown)
        .chain(Gap::of_warnings(&input.warnings))
        .collect()
}

fn by_key<T>(things: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> BTreeMap<String, Vec<T>> {
    let mut by: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for thing in things {
        by.entry(key(&thing)).or_default().push(thing);
    }
    by
}
