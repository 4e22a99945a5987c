//! What was going on when the window begins, in sentences: the window's own events do not tell of it, or only its end.

use crate::incident::model::{Ejection, Endpoint, Failover, Incident, Period, Service};
use crate::incident::names;
use crate::incident::units::{Clock, count, duration};
use crate::incident::view::GoingOn;

/// So many things are told one by one.
const MOST_THINGS: usize = 12;

/// What began before the window and was not over at its beginning, the worst first; none if there is nothing.
pub(super) fn of(incident: &Incident) -> Option<GoingOn> {
    let since = incident.since?;
    let clock = incident.clock();
    let services = &incident.services;
    let outages = things(services, |service| {
        service.outages.iter().map(|outage| (&outage.period, "no healthy endpoint".to_owned())).collect()
    });
    let failovers = things(services, |service| {
        service.failovers.iter().map(|failover| (&failover.period, route(failover))).collect()
    });
    let ejections = things(services, |service| {
        let of = |endpoint| move |ejection| ejected(endpoint, ejection);
        service.endpoints.iter().flat_map(|endpoint| endpoint.ejections.iter().map(of(endpoint))).collect()
    });
    let goes_on = |period: &Period| period.span.from < since && (period.open || period.span.to >= since);
    let mut sentences: Vec<String> = outages
        .chain(failovers)
        .chain(ejections)
        .filter(|(_, period, _)| goes_on(period))
        .map(|(service, period, what)| sentence(service, period, &what, clock))
        .collect();
    let more = sentences.len().saturating_sub(MOST_THINGS);
    if more > 1 {
        sentences.truncate(MOST_THINGS);
        sentences.push(format!("and {}", count(more as u64, "more ejection")));
    }
    let heading = format!("Already going on when the window begins, {}", clock.seconds(since));
    (!sentences.is_empty()).then_some(GoingOn { heading, sentences })
}

/// Something of a service, as a clause.
type Thing<'a> = (&'a Period, String);

fn things<'a>(
    services: &'a [Service],
    of: impl Fn(&'a Service) -> Vec<Thing<'a>>,
) -> impl Iterator<Item = (&'a Service, &'a Period, String)> {
    services.iter().flat_map(move |service| of(service).into_iter().map(move |(period, what)| (service, period, what)))
}

fn route(failover: &Failover) -> String {
    let mut to: Vec<&str> = failover.destinations.iter().map(|one| names::locality(&one.to)).collect();
    to.dedup();
    format!("traffic of {} goes to {}", names::locality(&failover.from), to.join(", then "))
}

fn ejected<'a>(endpoint: &Endpoint, ejection: &'a Ejection) -> Thing<'a> {
    (&ejection.period, format!("{} in {} is ejected", endpoint.address, names::locality(&endpoint.locality)))
}

/// `mockb.shop: no healthy endpoint, since 15:05:00.000; until 15:20:00.000, 15 min in all`
fn sentence(service: &Service, period: &Period, what: &str, clock: Clock) -> String {
    let reckoned = if period.began_earlier { " (reckoned from its end)" } else { "" };
    let until = match period.open {
        true => "not over".to_owned(),
        false => format!("until {}, {} in all", clock.time(period.span.to), duration(period.total)),
    };
    format!("{}: {what}, since {}{reckoned}; {until}", service.name, clock.time(period.span.from))
}
