//! A service's trouble in words: its failovers, its outages, and its endpoints by locality.

use std::collections::BTreeMap;

use crate::incident::model::{Destination, Failover, Incident, Open, Outage, Service};
use crate::incident::names;
use crate::incident::units::{self, Clock, SeenBy, count, day, duration, number};
use crate::incident::view::{Caption, DestinationView, FailoverView, LocalityView, OutageView, ServiceView};

use super::period::{lasted, still_open};
use super::{endpoint, period, phrase, story};

/// A service in words.
pub(super) fn view<'a>(service: &'a Service, incident: &Incident) -> ServiceView<'a> {
    let (all_proxies, clock) = (incident.audience, incident.clock());
    let (first, last) = (day(service.first), day(service.last));
    ServiceView {
        service,
        summary: story::summary(service, incident),
        days: if first == last { first } else { format!("{first} to {last}") },
        seen_by: SeenBy { proxies: service.proxies.len(), of: all_proxies }.to_string(),
        state: state(service, clock),
        failovers: service.failovers.iter().map(|failover| failover_view(failover, all_proxies, clock)).collect(),
        outages: service.outages.iter().map(|outage| outage_view(outage, clock)).collect(),
        localities: localities(service, clock),
        row: row(service, all_proxies),
    }
}

/// Whether it is over, as far as the logs tell.
fn state(service: &Service, clock: Clock) -> String {
    let open = service.open();
    if open == Open::default() {
        return "over".to_owned();
    }
    if !open.is_over() {
        return format!("still open: {}", still_open(open));
    }
    let last = service.endpoints.iter().filter_map(|endpoint| endpoint.failing).max().unwrap_or(service.last);
    format!(
        "no end is told of {} (last told at {}): streaks without ejection have none",
        count(open.failing as u64, "failing endpoint"),
        clock.seconds(last)
    )
}

/// What happened to it in one row of a table: the time without a healthy endpoint, failovers, the longest, requests
/// away, errors away, endpoints, seen by.
fn row(service: &Service, all_proxies: usize) -> [String; 7] {
    let longest = service.failovers.iter().map(|failover| failover.period.total).max();
    let sum = |n: fn(&Failover) -> u64| number(service.failovers.iter().map(n).fold(0, u64::saturating_add));
    [
        if service.outages.is_empty() { "-".to_owned() } else { duration(service.without_healthy()) },
        number(service.failovers.len() as u64),
        longest.map_or_else(|| "-".to_owned(), duration),
        sum(|failover| failover.requests_away),
        sum(|failover| failover.errors_away),
        number(service.endpoints.len() as u64),
        SeenBy { proxies: service.proxies.len(), of: all_proxies }.to_string(),
    ]
}

fn localities(service: &Service, clock: Clock) -> Vec<LocalityView<'_>> {
    let mut endpoints: BTreeMap<&str, Vec<_>> =
        service.localities().into_iter().map(|name| (name, Vec::new())).collect();
    for one in &service.endpoints {
        endpoints.entry(&one.locality).or_default().push(endpoint::view(one, clock));
    }
    let views = endpoints.into_iter();
    views.map(|(locality, endpoints)| LocalityView { locality, label: label(locality), endpoints }).collect()
}

fn label(locality: &str) -> &str {
    if locality.is_empty() { "(no locality)" } else { locality }
}

fn failover_view(failover: &Failover, all_proxies: usize, clock: Clock) -> FailoverView<'_> {
    let to = |destination: &Destination| match share(destination) {
        Some(share) => format!("{} ({share})", names::locality(&destination.to)),
        None => names::locality(&destination.to).to_owned(),
    };
    let to: Vec<String> = failover.destinations.iter().map(to).collect();
    let told = |n: u64| match failover.ended {
        0 if failover.period.open => "not told yet".to_owned(),
        0 => "not told".to_owned(),
        _ => number(n),
    };
    let because: Vec<String> = failover.because.iter().map(|one| one.replace('_', " ")).collect();
    FailoverView {
        failover,
        sentence: failover_sentence(failover, all_proxies, clock),
        from: names::locality(&failover.from),
        to: to.join(", then "),
        cause: phrase::causes(&failover.causes),
        period: period::view(&failover.period, &because.join(", "), clock),
        requests_away: told(failover.requests_away),
        errors_away: told(failover.errors_away),
        destinations: failover
            .destinations
            .iter()
            .map(|destination| destination_view(failover, destination, clock))
            .collect(),
    }
}

/// How much went there, where that is told.
fn share(destination: &Destination) -> Option<String> {
    (destination.share > 0.0).then(|| units::share(destination.share, destination.is_peak))
}

/// `at 15:43:09.575 left zone-a to zone-b (100 %, same region) for 12.7 s; 2313 requests away, 0 failed`
fn failover_sentence(failover: &Failover, all_proxies: usize, clock: Clock) -> String {
    let when = &failover.period;
    let to = |destination: &Destination| {
        let share = share(destination).map_or_else(String::new, |share| format!("{share}, "));
        let tier = match destination.tier.as_str() {
            "" => "distance not told".to_owned(),
            tier => tier.replace('_', " "),
        };
        format!("{} ({share}{tier})", names::locality(&destination.to))
    };
    let to: Vec<String> = failover.destinations.iter().map(to).collect();
    let why = match phrase::why(&failover.causes) {
        words if words.is_empty() => words,
        words => format!("; {words}"),
    };
    let told = match failover.ended {
        0 => String::new(),
        _ => {
            let (requests, shares) = (count(failover.requests_away, "request"), phrase::shares(&failover.received));
            format!("; {requests} away, {} failed{shares}", number(failover.errors_away))
        }
    };
    let seen = match all_proxies {
        1 => String::new(),
        of => format!("; seen by {}", SeenBy { proxies: when.proxies, of }),
    };
    format!(
        "{} {} left {} to {} {}{}{}{why}{told}{seen}",
        if when.began_earlier { "before" } else { "at" },
        clock.time(when.span.from),
        names::locality(&failover.from),
        to.join(", then "),
        period::away_for(std::iter::once(failover)),
        if when.open { " and does still" } else { "" },
        period::until_restart(std::iter::once(failover)),
    )
}

fn destination_view<'a>(failover: &Failover, destination: &'a Destination, clock: Clock) -> DestinationView<'a> {
    let span = destination.span;
    let share = share(destination).unwrap_or_else(|| "traffic".to_owned());
    let took = duration(span.length());
    let (from, to) = (names::locality(&failover.from), names::locality(&destination.to));
    let caption = |labels: [String; 3]| Caption {
        tip: format!("{}: from {} to {}, {took}", labels[0], clock.time(span.from), clock.time(span.to)),
        labels: labels.into(),
    };
    DestinationView {
        destination,
        leaving: caption([format!("{share} → {to}"), format!("→ {to}"), share.clone()]),
        arriving: caption([format!("{share} of {from}, {took}"), format!("{share}, {took}"), share]),
    }
}

fn outage_view(outage: &Outage, clock: Clock) -> OutageView<'_> {
    let label = format!("no healthy endpoint, {}", lasted(&outage.period));
    OutageView {
        outage,
        period: period::view(&outage.period, "recovered", clock),
        tip: format!("{label}, from {}", clock.time(outage.period.span.from)),
        label,
    }
}
