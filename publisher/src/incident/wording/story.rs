//! What the incident was in a sentence, and where to look first.

use filter_core::time::Millis;
use serde::Serialize;

use super::incident::{Endpoint, Failover, Incident, Service, time};
use super::input::Input;
use super::words;

/// As many endpoints are named as worth looking at; what failed first and most is among them.
const MOST_LOOKED_AT: usize = 8;

/// An endpoint to look at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// The service's short name.
    pub service: String,
    /// `ip:port`
    pub endpoint: String,
    /// `region/zone/subzone`
    pub locality: String,
    /// `name.namespace`
    pub workload: String,
    /// Times of trouble, each counted at every proxy.
    pub failures: usize,
    /// How many proxies had trouble with it.
    pub proxies: usize,
    /// Its first trouble.
    #[serde(serialize_with = "time")]
    pub first: Millis,
    /// Whether no other endpoint of the service had trouble earlier.
    pub was_first: bool,
    /// Its first failure, in words.
    pub first_error: String,
    /// Its last failure, in words.
    pub last_error: String,
    /// What the last one may mean.
    pub advice: &'static str,
}

/// The whole in a sentence or two.
pub fn headline(incident: &Incident) -> String {
    let Some(first) = incident.services.first() else {
        return match incident.events {
            0 => "Nothing happened that faultline would tell.".to_owned(),
            n => format!("No service had trouble; {} about the filter itself.", words::count(n as u64, "event")),
        };
    };
    let mut told = of_service(first);
    let others: Vec<&str> = incident.services.iter().skip(1).map(|service| service.name.as_str()).collect();
    match others.as_slice() {
        [] => {}
        [one] => told.push_str(&format!(" {one} had trouble too.")),
        [some @ .., last] if others.len() <= 4 => {
            told.push_str(&format!(" {} and {last} had trouble too.", some.join(", ")));
        }
        _ => told.push_str(&format!(" {} more services had trouble too.", others.len())),
    }
    let open = incident.services.iter().skip(1).filter(|service| service.open() != (0, 0, 0));
    let open: Vec<&str> = open.map(|service| service.name.as_str()).take(4).collect();
    if !open.is_empty() {
        told.push_str(&format!(" Not over when the log ended: {}.", open.join(", ")));
    }
    told
}

/// What happened to one service, in a sentence or two.
pub fn of_service(service: &Service) -> String {
    let mut parts = Vec::new();
    let failover = service.failovers.iter().max_by_key(|failover| failover.period.total);
    // The endpoint that failed first, at home if traffic left.
    let at_home = |e: &&Endpoint| failover.is_none_or(|f| e.locality == f.from);
    let culprit = service.endpoints.iter().filter(at_home).min_by_key(|endpoint| endpoint.first);
    let culprit = culprit.or_else(|| service.endpoints.iter().min_by_key(|endpoint| endpoint.first));
    match (culprit, failover) {
        (Some(endpoint), _) => {
            let error = endpoint.first_error();
            let error = if error.is_empty() { error } else { format!(" ({error})") };
            let at = words::clock_seconds(endpoint.first);
            parts.push(format!("{} in {} failed at {at}{error}", service.name, words::place(&endpoint.locality)));
        }
        (None, Some(failover)) => {
            let at = words::clock_seconds(failover.period.span.from);
            parts.push(format!("Traffic of {} left {} at {at}", service.name, words::place(&failover.from)));
        }
        (None, None) => {
            parts.push(format!("{} had trouble at {}", service.name, words::clock_seconds(service.first)));
        }
    }
    match failover {
        Some(failover) => parts.push(traffic(service, failover)),
        None => {
            let out: Vec<_> = service.endpoints.iter().filter(|e| !e.ejections.is_empty()).collect();
            let blocked = service.endpoints.iter().filter(|e| !e.blocked.is_empty()).count();
            match out.as_slice() {
                [] if blocked > 0 => parts.push("Envoy kept it in rotation".to_owned()),
                [] => {}
                [one] => parts.push(format!(
                    "it was out of rotation for {}",
                    words::duration(one.ejections.iter().map(|e| e.period.total).sum())
                )),
                many => parts.push(format!("{} endpoints were out of rotation", many.len())),
            }
        }
    }
    let nothing: Millis = service.outages.iter().map(|outage| outage.period.total).sum();
    if !service.outages.is_empty() {
        parts.push(format!("for {} no endpoint was healthy", words::duration(nothing)));
    }
    if service.open() != (0, 0, 0) {
        parts.push("it was not over when the log ended".to_owned());
    }
    format!("{}.", parts.join("; "))
}

fn traffic(service: &Service, longest: &Failover) -> String {
    // Only what is about the same locality can be summed up in one clause.
    let same = || service.failovers.iter().filter(|failover| failover.from == longest.from);
    let share = same().flat_map(|f| &f.legs).map(|leg| leg.share).fold(0.0, f64::max);
    let mut places: Vec<&str> = Vec::new();
    for leg in same().flat_map(|failover| &failover.legs) {
        let place = words::place(&leg.to);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let share = if share > 0.0 { words::percent(share) } else { "some".to_owned() };
    let times = match same().count() {
        1 => String::new(),
        n => format!(" in {n} failovers"),
    };
    let total: Millis = same().map(|failover| failover.period.total).sum();
    let errors = same().fold(0_u64, |sum, failover| sum.saturating_add(failover.errors_away));
    let told = if same().any(|failover| failover.ended > 0) {
        format!("; {} away", words::count(errors, "error"))
    } else {
        String::new()
    };
    format!("{share} of its traffic went to {}{times} for {}{told}", places.join(", then "), words::duration(total))
}

/// The endpoints that failed first in their service, then those that failed most.
pub fn look_first(services: &[Service]) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    for service in services {
        let earliest = service.endpoints.iter().map(|endpoint| endpoint.first).min();
        for endpoint in &service.endpoints {
            let last = endpoint.streaks.last();
            looks.push(Look {
                service: service.name.clone(),
                endpoint: endpoint.address.clone(),
                locality: endpoint.locality.clone(),
                workload: endpoint.workload.clone(),
                failures: endpoint.failures(),
                proxies: endpoint.proxies,
                first: endpoint.first,
                was_first: Some(endpoint.first) == earliest,
                first_error: endpoint.first_error(),
                last_error: endpoint.last_error.clone(),
                advice: last.map_or("", |streak| words::advice(&streak.kind, &streak.last)),
            });
        }
    }
    looks.sort_by(|a, b| {
        let rank = |look: &Look| (!look.was_first, usize::MAX - look.failures, look.first);
        (rank(a), &a.endpoint).cmp(&(rank(b), &b.endpoint))
    });
    looks.truncate(MOST_LOOKED_AT);
    looks
}

/// An endpoint to look at, in a sentence; `proxies` is how many there are in all.
pub fn sentence(look: &Look, proxies: usize) -> String {
    let workload = match look.workload.as_str() {
        "" => String::new(),
        workload if workload == look.service => String::new(),
        workload => format!(", {workload}"),
    };
    let first = if look.was_first { "was the first to fail" } else { "failed" };
    let errors = match (look.first_error.as_str(), look.last_error.as_str()) {
        ("", "") => "the log does not say how".to_owned(),
        (first, "") => first.to_owned(),
        ("", last) => format!("at last {last}: {}", look.advice),
        (first, last) if first == last => format!("{last}: {}", look.advice),
        (first, last) => format!("first {first}, at last {last}: {}", look.advice),
    };
    let seen =
        if proxies > 1 { format!(", told by {}", words::of_proxies(look.proxies, proxies)) } else { String::new() };
    format!(
        "{} ({} in {}{workload}) {first}, at {}; {} in all{seen}; {errors}",
        look.endpoint,
        look.service,
        words::place(&look.locality),
        words::clock_seconds(look.first),
        words::times(look.failures),
    )
}

/// What the input itself lacks.
pub fn gaps_of(input: &Input) -> Vec<String> {
    let mut gaps = Vec::new();
    if input.broken > 0 {
        gaps.push(format!(
            "{} cut off in the middle of an event and could not be read.",
            words::count(input.broken, "line")
        ));
    }
    for (name, n) in &input.unknown {
        gaps.push(format!(
            "{} `{name}` left out: this version does not know it; use the version that the filter has.",
            words::count(*n, "event")
        ));
    }
    gaps
}
