//! What the incident was, in a sentence or two.

use std::cmp::Reverse;

use crate::incident::model::{Ejection, Endpoint, Failover, Incident, Outage, Service};
use crate::incident::names;
use crate::incident::units::{self, Clock, count, duration};

use super::endpoint::first_error;
use super::{bypass, gaps, period, phrase};

/// At most so many other services are named.
const MOST_SERVICES: usize = 4;

/// The whole in a sentence or two.
pub(super) fn headline(incident: &Incident) -> String {
    let bypassed = bypass::headline(&incident.bypasses);
    let Some((first, others)) = incident.services.split_first() else {
        let lost = gaps::lost(&incident.gaps);
        if let Some(bypassed) = bypassed {
            return lost.map_or(bypassed.clone(), |lost| format!("{bypassed} Not all is known: {lost}."));
        }
        return match (incident.events, lost) {
            (0, None) => "Nothing happened that faultline would tell.".to_owned(),
            (0, Some(lost)) => format!("What happened is not known: {lost}."),
            (n, lost) => {
                let lost = lost.map_or(String::new(), |lost| format!(" Not all is known: {lost}."));
                format!("No service had trouble; {} about the filter itself.{lost}", count(n as u64, "event"))
            }
        };
    };
    let (emptied, others): (Vec<&Service>, Vec<&Service>) =
        others.iter().partition(|service| !service.outages.is_empty());
    let mut parts = vec![summary(first, incident)];
    // Nothing is worse, so it comes first where the service that had trouble first was spared it.
    let at = usize::from(!first.outages.is_empty());
    parts.splice(at..at, others_emptied(emptied.clone(), incident.clock()));
    let mut told = parts.join(" ");
    let names: Vec<&str> = others.iter().map(|service| service.name.as_str()).collect();
    match names.as_slice() {
        [] => {}
        [one] => told.push_str(&format!(" {one} had trouble too.")),
        [some @ .., last] if names.len() <= MOST_SERVICES => {
            told.push_str(&format!(" {} and {last} had trouble too.", some.join(", ")));
        }
        many => told.push_str(&format!(" {} more services had trouble too.", many.len())),
    }
    let open = emptied.iter().chain(&others).filter(|service| !service.is_over());
    let open: Vec<&str> = open.map(|service| service.name.as_str()).take(MOST_SERVICES).collect();
    if !open.is_empty() {
        told.push_str(&format!(" Not over when {}: {}.", end(incident), open.join(", ")));
    }
    if let Some(bypassed) = bypassed {
        told.push_str(&format!(" {bypassed}"));
    }
    if let Some(lost) = gaps::lost(&incident.gaps) {
        told.push_str(&format!(" Not all is known: {lost}."));
    }
    told
}

/// The services that nothing healthy was left of for a time, the longest first, in a sentence; none if there are none.
fn others_emptied(mut services: Vec<&Service>, clock: Clock) -> Option<String> {
    services.sort_by_key(|service| Reverse(service.without_healthy()));
    let more = services.len().saturating_sub(MOST_SERVICES);
    let told = services.iter().take(MOST_SERVICES).filter_map(|service| {
        let from = clock.seconds(service.outages.first()?.period.span.from);
        let still = if service.outages.iter().any(|outage| outage.period.open) { ", not over" } else { "" };
        let took = duration(service.without_healthy());
        Some(format!("{} had no healthy endpoint for {took} from {from}{still}", service.name))
    });
    let mut told: Vec<String> = told.collect();
    if more > 0 {
        told.push(format!("{} had none for a time", count(more as u64, "more service")));
    }
    (!told.is_empty()).then(|| format!("{}.", told.join("; ")))
}

/// What happened to one service, in a sentence or two.
pub(super) fn summary(service: &Service, incident: &Incident) -> String {
    let clock = incident.clock();
    let failover = service.failovers.iter().max_by_key(|failover| failover.period.total);
    let mut parts = vec![beginning(service, failover, clock)];
    match failover {
        Some(failover) => parts.push(traffic(service, failover)),
        None => parts.extend(out_of_rotation(service)),
    }
    if !service.outages.is_empty() {
        parts.push(nothing_healthy(service));
    }
    if !service.is_over() {
        parts.push(format!("it was not over when {}", end(incident)));
    } else if service.open().failing > 0 {
        parts.push("these logs tell no end of it".to_owned());
    }
    format!("{}.", parts.join("; "))
}

/// What has ended where something has not.
fn end(incident: &Incident) -> &'static str {
    if incident.until.is_some() { "the window ended" } else { "the log ended" }
}

/// How long no endpoint was healthy. What failed then went nowhere, so that no failover counts it.
fn nothing_healthy(service: &Service) -> String {
    let within = |outage: &Outage| {
        let span = outage.period.span;
        service.failovers.iter().any(|f| f.period.span.from <= span.from && span.to <= f.period.span.to)
    };
    let of_it = if service.outages.iter().all(within) { " of that time" } else { "" };
    format!(
        "for {}{of_it} no endpoint was healthy: requests then failed and are not counted",
        duration(service.without_healthy())
    )
}

/// What failed first, and when.
fn beginning(service: &Service, failover: Option<&Failover>, clock: Clock) -> String {
    // The endpoint that failed first, at home if traffic left.
    let at_home = |e: &&Endpoint| failover.is_none_or(|f| e.locality == f.from);
    let first = service.endpoints.iter().filter(at_home).min_by_key(|endpoint| endpoint.first);
    // Where endpoints are unready or gone, traffic leaves without any that failed; what failed elsewhere is not why.
    let may_be_elsewhere = failover.is_none_or(|f| f.causes.is_empty() || f.causes.contains("ejected"));
    let anywhere = || service.endpoints.iter().filter(|_| may_be_elsewhere).min_by_key(|endpoint| endpoint.first);
    let first = first.or_else(anywhere);
    let name = &service.name;
    match (first, failover) {
        (Some(endpoint), _) => {
            let error = first_error(endpoint);
            let error = if error.is_empty() { error } else { format!(" ({error})") };
            let (locality, at) = (names::locality(&endpoint.locality), clock.seconds(endpoint.first));
            format!("{name} in {locality} failed at {at}{error}")
        }
        (None, Some(failover)) => {
            let (from, at) = (names::locality(&failover.from), clock.seconds(failover.period.span.from));
            let why = match phrase::why(&failover.causes) {
                words if words.is_empty() => words,
                words => format!(" ({words})"),
            };
            format!("Traffic of {name} left {from} at {at}{why}")
        }
        (None, None) => format!("{name} had trouble at {}", clock.seconds(service.first)),
    }
}

/// What was out of rotation, where no traffic left.
fn out_of_rotation(service: &Service) -> Option<String> {
    let out: Vec<&Endpoint> = service.endpoints.iter().filter(|e| !e.ejections.is_empty()).collect();
    match out.as_slice() {
        [] if service.endpoints.iter().any(|e| !e.blocked.is_empty()) => Some("Envoy kept it in rotation".to_owned()),
        [] => None,
        [one] => {
            let total = one.ejections.iter().map(|ejection| ejection.period.total).sum();
            let left = one.ejections.last().is_some_and(Ejection::is_by_removal);
            let until = if left { ", until it left the cluster" } else { "" };
            Some(format!("it was out of rotation for {}{until}", duration(total)))
        }
        many => Some(format!("{} endpoints were out of rotation", many.len())),
    }
}

/// Where the traffic went.
fn traffic(service: &Service, longest: &Failover) -> String {
    // Only what is about the same locality can be summed up in one clause.
    let same = || service.failovers.iter().filter(|failover| failover.from == longest.from);
    let destinations = || same().flat_map(|failover| &failover.destinations);
    let share = destinations().map(|destination| destination.share).fold(0.0, f64::max);
    let is_peak = destinations().any(|destination| destination.is_peak || destination.share < share);
    let mut localities: Vec<&str> = Vec::new();
    for destination in destinations() {
        let locality = names::locality(&destination.to);
        if !localities.contains(&locality) {
            localities.push(locality);
        }
    }
    let share = if share > 0.0 { units::share(share, is_peak) } else { "some".to_owned() };
    let times = match same().count() {
        1 => String::new(),
        n => format!(" in {n} failovers"),
    };
    let took = period::away_for(same());
    let errors = same().fold(0_u64, |sum, failover| sum.saturating_add(failover.errors_away));
    let told = match same().any(|failover| failover.ended > 0) {
        true => format!("; {} away from home", count(errors, "error")),
        false => String::new(),
    };
    let until = period::until_restart(same());
    format!("{share} of its traffic went to {}{times} {took}{until}{told}", localities.join(", then "))
}
