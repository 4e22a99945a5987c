//! Which endpoints to look at first, and why.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::incident::model::{Endpoint, Service};
use crate::incident::names;
use crate::incident::units::{Clock, SeenBy, count, times};
use crate::incident::view::Suspect;

use super::endpoint::first_error;

/// As many endpoints are named as worth looking at; what failed first and most is among them.
const MOST_SUSPECTS: usize = 8;

/// The endpoints that failed first in their service, of the service that was hit worst first; then those that failed
/// most.
pub(super) fn of(services: &[Service], all_proxies: usize, clock: Clock) -> Vec<Suspect<'_>> {
    let mut suspects: Vec<Suspect<'_>> = Vec::new();
    for service in services {
        let earliest = service.endpoints.iter().map(|endpoint| endpoint.first).min();
        suspects.extend(
            service.endpoints.iter().map(|endpoint| suspect(service, endpoint, earliest == Some(endpoint.first))),
        );
    }
    let severities: HashMap<&str, [u64; 5]> =
        services.iter().map(|service| (service.name.as_str(), service.severity())).collect();
    suspects.sort_by(|a, b| {
        let severity = |suspect: &Suspect<'_>| Reverse(severities.get(suspect.service).copied().unwrap_or_default());
        let rank =
            |suspect: &Suspect<'_>| (!suspect.was_first, severity(suspect), Reverse(suspect.failures), suspect.first);
        (rank(a), &a.endpoint).cmp(&(rank(b), &b.endpoint))
    });
    suspects.truncate(MOST_SUSPECTS);
    // Only now: a mesh may have thousands of endpoints that are not named.
    for suspect in &mut suspects {
        suspect.sentence = sentence(suspect, all_proxies, clock);
    }
    suspects
}

fn suspect<'a>(service: &'a Service, endpoint: &'a Endpoint, was_first: bool) -> Suspect<'a> {
    Suspect {
        service: &service.name,
        endpoint: &endpoint.address,
        locality: &endpoint.locality,
        workload: &endpoint.workload,
        failures: endpoint.failures(),
        proxies: endpoint.proxies,
        first: endpoint.first,
        was_first,
        first_error: first_error(endpoint),
        last_error: endpoint.last_failure.map(|failure| failure.to_string()).unwrap_or_default(),
        advice: advice(endpoint),
        sentence: String::new(),
    }
}

/// What to look for, and what to change where Envoy was not free to eject.
fn advice(endpoint: &Endpoint) -> String {
    let failure = endpoint.last_failure.map(|failure| failure.advice().to_owned());
    let capped = endpoint.blocked.last().filter(|blocked| blocked.reason == "max_ejection_percent");
    let cap = capped.map(|blocked| {
        let (percent, endpoints) = blocked.cap;
        let of = count(endpoints, "endpoint");
        format!("Envoy may eject no more: raise maxEjectionPercent, {percent} % of {of} is in force")
    });
    failure.into_iter().chain(cap).collect::<Vec<_>>().join("; ")
}

fn sentence(suspect: &Suspect<'_>, all_proxies: usize, clock: Clock) -> String {
    let workload = match suspect.workload {
        "" => String::new(),
        workload if workload == suspect.service => String::new(),
        workload => format!(", {workload}"),
    };
    let first = if suspect.was_first { "was the first to fail" } else { "failed" };
    let errors = match (suspect.first_error.as_str(), suspect.last_error.as_str()) {
        ("", "") if suspect.advice.is_empty() => "the log does not say how".to_owned(),
        ("", "") => format!("the log does not say how; {}", suspect.advice),
        (first, "") if suspect.advice.is_empty() => first.to_owned(),
        (first, "") => format!("{first}; {}", suspect.advice),
        ("", last) => format!("at last {last}: {}", suspect.advice),
        (first, last) if first == last => format!("{last}: {}", suspect.advice),
        (first, last) => format!("first {first}, at last {last}: {}", suspect.advice),
    };
    let seen = match all_proxies {
        1 => String::new(),
        of => format!(", told by {}", SeenBy { proxies: suspect.proxies, of }),
    };
    format!(
        "({} in {}{workload}) {first}, at {}; {} in all{seen}; {errors}",
        suspect.service,
        names::locality(suspect.locality),
        clock.seconds(suspect.first),
        times(suspect.failures),
    )
}
