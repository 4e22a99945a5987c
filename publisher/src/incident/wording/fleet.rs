//! A fleet's story in words: a few lines for each service and Kubernetes cluster, hit worst first.

use crate::incident::fleet::{Fleet, FleetIncident, FleetRoute};
use crate::incident::names;
use crate::incident::units::{Clock, count, number, share};

/// So many incidents are told, unless all are asked for.
const MOST_INCIDENTS: usize = 8;

/// The headline where only some proxies' logs were read, so that no sentence about those stands for all.
pub(crate) fn headline(fleet: &Fleet) -> String {
    let Some(worst) = fleet.incidents.first() else {
        return "No service had trouble.".to_owned();
    };
    let of_service = || fleet.incidents.iter().filter(|one| one.cluster == worst.cluster);
    let sum = |n: fn(&FleetIncident) -> u64| of_service().map(n).fold(0, u64::saturating_add);
    let first = of_service().map(|one| one.first).min().unwrap_or(worst.first);
    let clusters = of_service().filter(|one| !one.kubernetes_cluster.is_empty()).count() as u64;
    let clusters = if clusters == 0 { String::new() } else { format!(" in {}", count(clusters, "Kubernetes cluster")) };
    let proxies = count(sum(|one| one.proxies), "proxy");
    let mut told = format!("{} had trouble at {proxies}{clusters} from {}", worst.service, clock(fleet).seconds(first));
    if let Some(route) = worst.failovers.first() {
        let most = of_service().flat_map(|one| &one.failovers).map(|route| route.worst_share).fold(0.0, f64::max);
        told.push_str(&format!("; {} of its traffic went to {}", share(most, true), names::locality(&route.to)));
        told.push_str(&format!("; {} away from home", count(sum(|one| one.errors_away), "error")));
    }
    told.push('.');
    let more: std::collections::BTreeSet<&str> =
        fleet.incidents.iter().map(|one| one.cluster.as_str()).filter(|cluster| *cluster != worst.cluster).collect();
    if !more.is_empty() {
        told.push_str(&format!(" {} had trouble too.", count(more.len() as u64, "other service")));
    }
    told
}

/// What the numbers are of, and what the rest is of.
pub(crate) fn scope(fleet: &Fleet) -> String {
    format!("Numbers of all {}, timeline of {}.", count(fleet.proxies, "proxy"), number(fleet.timeline_of))
}

/// Each incident as a heading and its lines; after those that are told, how many more there are.
pub(crate) fn incidents(fleet: &Fleet, all: bool) -> (Vec<(String, Vec<String>)>, Option<String>) {
    let most = if all { usize::MAX } else { MOST_INCIDENTS };
    let clock = clock(fleet);
    let told = fleet.incidents.iter().take(most).map(|one| (heading(one, clock), lines(one))).collect();
    let more = fleet.incidents.len().saturating_sub(most) as u64 + fleet.more_incidents;
    let more = (more > 0).then(|| format!("and {}; `--details` prints them", count(more, "more incident")));
    (told, more)
}

fn clock(fleet: &Fleet) -> Clock {
    let (first, last) = fleet.times().unwrap_or_default();
    Clock::over(first, last)
}

fn heading(one: &FleetIncident, clock: Clock) -> String {
    let place = match one.kubernetes_cluster.as_str() {
        "" => String::new(),
        place => format!(" in {place}"),
    };
    let (first, last) = (clock.seconds(one.first), clock.seconds(one.last));
    format!("{}{place}: seen by {}, {first} to {last}", one.service, count(one.proxies, "proxy"))
}

fn lines(one: &FleetIncident) -> Vec<String> {
    let mut lines: Vec<String> = one.failovers.iter().take(3).map(route).collect();
    if one.failovers.len() > 3 {
        lines.push(format!("and {}", count(one.failovers.len() as u64 - 3, "more way")));
    }
    if !one.failovers.is_empty() {
        let (requests, errors) = (count(one.requests_away, "request"), number(one.errors_away));
        let open = if one.open == 0 { "over".to_owned() } else { format!("not over at {}", count(one.open, "proxy")) };
        lines.push(format!("{requests} away, {errors} failed; {open}"));
    }
    if one.without_healthy > 0 {
        lines.push(format!("no healthy endpoint at {}", count(one.without_healthy, "proxy")));
    }
    if let Some(worst) = one.endpoints.first() {
        let by = count(worst.proxies, "proxy");
        let ejected = count(one.ejected_endpoints, "endpoint");
        let (address, place) = (&worst.address, names::locality(&worst.locality));
        lines.push(format!("{ejected} ejected, most often {address} in {place}: by {by}"));
    }
    if !one.link.is_empty() {
        lines.push(one.link.clone());
    }
    lines
}

/// `eu-west-1a → eu-west-1b (same region): 500 proxies; share at worst 98 %, in the median 55 %`
fn route(route: &FleetRoute) -> String {
    let tier = match route.tier.as_str() {
        "" => String::new(),
        tier => format!(" ({})", tier.replace('_', " ")),
    };
    format!(
        "{} → {}{tier}: {}; share at worst {}, in the median {}",
        names::locality(&route.from),
        names::locality(&route.to),
        count(route.proxies, "proxy"),
        share(route.worst_share, false),
        share(route.median_share, false)
    )
}
