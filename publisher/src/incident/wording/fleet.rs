//! A fleet's story in words: a few lines for each service and Kubernetes cluster, hit worst first.

use crate::incident::fleet::{Fleet, FleetIncident, FleetRoute};
use crate::incident::names;
use crate::incident::units::{Clock, SeenBy, count, day, number, share};
use crate::incident::view::Caption;

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

/// An incident in words.
pub(crate) struct Told<'a> {
    /// Which service, where, seen by whom, and when.
    pub(crate) heading: String,
    /// What happened.
    pub(crate) lines: Vec<String>,
    /// The engine's own page, as an address; empty without an engine.
    pub(crate) link: &'a str,
}

/// Each incident; after those that are told, how many more there are.
pub(crate) fn incidents(fleet: &Fleet, all: bool) -> (Vec<Told<'_>>, Option<String>) {
    let most = if all { usize::MAX } else { MOST_INCIDENTS };
    let clock = clock(fleet);
    let told = fleet.incidents.iter().take(most).map(|one| told(one, clock)).collect();
    let more = fleet.incidents.len().saturating_sub(most) as u64 + fleet.more_incidents;
    let more = (more > 0).then(|| format!("and {}; `--details` prints them", count(more, "more incident")));
    (told, more)
}

/// How times of all of it are written.
pub(crate) fn clock(fleet: &Fleet) -> Clock {
    let (first, last) = fleet.times().unwrap_or_default();
    Clock::over(first, last)
}

fn told(one: &FleetIncident, clock: Clock) -> Told<'_> {
    Told { heading: heading(one, clock), lines: lines(one), link: &one.link }
}

fn heading(one: &FleetIncident, clock: Clock) -> String {
    let place = match one.kubernetes_cluster.as_str() {
        "" => String::new(),
        place => format!(" in {place}"),
    };
    let (first, last) = (clock.seconds(one.first), clock.seconds(one.last));
    format!("{}{place}: seen by {}, {first} to {last}", one.service, seen_by(one))
}

/// `60 of 70 proxies`
fn seen_by(one: &FleetIncident) -> String {
    of_all(one.proxies, one.proxies_heard_of)
}

fn of_all(proxies: u64, of: u64) -> String {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    SeenBy { proxies: size(proxies), of: size(of) }.to_string()
}

/// How many proxies have an event, of those that were heard of.
pub(crate) fn proxies(fleet: &Fleet) -> String {
    of_all(fleet.proxies, fleet.proxies_heard_of)
}

/// What is open in all of it, as far as numbers tell.
pub(crate) fn still_open(fleet: &Fleet) -> String {
    match fleet.incidents.iter().map(|one| one.open).fold(0, u64::saturating_add) {
        0 => "no failover".to_owned(),
        open => format!("failovers at {}", count(open, "proxy")),
    }
}

/// Which proxies an incident's are some of.
pub(crate) fn audience(fleet: &Fleet) -> &'static str {
    if fleet.is_of_engine {
        "Of the proxies of that Kubernetes cluster of whose filter there is any line. How many talk to the service, \
         the logs do not tell."
    } else {
        "Of the proxies of that Kubernetes cluster whose logs were read. How many talk to the service, the logs do \
         not tell."
    }
}

/// A service in a picture of the fleet: its name, and a bar for each Kubernetes cluster.
pub(crate) struct Lane<'a> {
    /// Envoy's name.
    cluster: &'a str,
    /// The service's short name.
    pub(crate) service: &'a str,
    /// Hit worst first.
    pub(crate) bars: Vec<Bar<'a>>,
}

/// What happened to a service in one Kubernetes cluster, as a bar.
pub(crate) struct Bar<'a> {
    /// The facts.
    pub(crate) incident: &'a FleetIncident,
    /// The Kubernetes cluster.
    pub(crate) place: &'a str,
    /// Words at the bar.
    pub(crate) caption: Caption,
}

/// The services that were hit worst, with at most so many bars in all, and in words how many more there are.
pub(crate) fn lanes(fleet: &Fleet, most: usize) -> (Vec<Lane<'_>>, Option<String>) {
    let clock = clock(fleet);
    let mut lanes: Vec<Lane<'_>> = Vec::new();
    for incident in fleet.incidents.iter().take(most) {
        let place = match incident.kubernetes_cluster.as_str() {
            "" => "no Kubernetes cluster named",
            place => place,
        };
        let tip = format!("{}: {}", heading(incident, clock), lines(incident).join("; "));
        let bar = Bar { incident, place, caption: Caption { labels: labels(incident), tip } };
        match lanes.iter_mut().find(|lane| lane.cluster == incident.cluster) {
            Some(lane) => lane.bars.push(bar),
            None => lanes.push(Lane { cluster: &incident.cluster, service: &incident.service, bars: vec![bar] }),
        }
    }
    let more = fleet.incidents.len().saturating_sub(most) as u64 + fleet.more_incidents;
    (lanes, (more > 0).then(|| format!("and {}", count(more, "more incident"))))
}

/// Words at a bar, the longest first.
fn labels(one: &FleetIncident) -> Vec<String> {
    let seen_by = seen_by(one);
    let what = match one.failovers.first() {
        _ if one.without_healthy > 0 => format!("no healthy endpoint at {}", number(one.without_healthy)),
        Some(route) => format!("{} to {}", share(route.worst_share, true), names::locality(&route.to)),
        None if one.ejected_endpoints == 0 => "errors".to_owned(),
        None => format!("{} ejected", count(one.ejected_endpoints, "endpoint")),
    };
    vec![format!("{seen_by}; {what}"), seen_by]
}

/// When it was, on which days.
pub(crate) fn days(fleet: &Fleet) -> String {
    let (first, last) = fleet.times().unwrap_or_default();
    let (first, last) = (day(first), day(last));
    if first == last { first } else { format!("{first} to {last}") }
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
        let about = if worst.estimated { "about " } else { "" };
        let by = format!("{about}{}", count(worst.proxies, "proxy"));
        let ejected = count(one.ejected_endpoints, "endpoint");
        let (address, place) = (&worst.address, names::locality(&worst.locality));
        lines.push(format!("{ejected} ejected, most often {address} in {place}: by {by}"));
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
