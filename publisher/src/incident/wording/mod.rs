//! Puts an incident into words, once for all renderers: facts in ([`model`](super::model)), a view model out
//! ([`view`](super::view)).

mod bypass;
mod endpoint;
pub(crate) mod fleet;
pub(crate) mod gaps;
mod going_on;
mod period;
pub(crate) mod phrase;
mod service;
mod story;
mod suspects;

use std::collections::BTreeSet;

use filter_core::time::Millis;

use super::fleet::Fleet;
use super::model::{Incident, Moment, Open};
use super::units::{SeenBy, clock, count, day, duration, number};
use super::view::{MomentView, Times, View};

/// As many names are written out; of more, only these.
const MOST_NAMES: usize = 10;

/// The incident in words.
pub(crate) fn view(incident: &Incident) -> View<'_> {
    let all = incident.audience;
    let seeing: BTreeSet<&String> = incident.services.iter().flat_map(|service| &service.proxies).collect();
    let lines = count(incident.lines, "line");
    let clock = incident.clock();
    View {
        incident,
        clock,
        title: match incident.first.or(incident.services.first().map(|service| service.first)) {
            Some(first) => format!("Incident of {}", day(first)),
            None if gaps::lost(&incident.gaps).is_some() => "Nothing could be read".to_owned(),
            None => "Nothing happened".to_owned(),
        },
        headline: story::headline(incident),
        times: incident.first.zip(incident.last).map(|(first, last)| times(first, last)),
        read: format!(
            "{} of {}, in {lines}",
            count(incident.events as u64, "event"),
            count(incident.proxies.len() as u64, "proxy")
        ),
        source: format!("{lines} of {}", some_of(&incident.proxies)),
        still_open: period::still_open(
            incident.services.iter().fold(Open::default(), |sum, service| sum + service.open()),
        ),
        seen_by: SeenBy { proxies: seeing.len(), of: all }.to_string(),
        events: number(incident.events as u64),
        services: incident.services.iter().map(|service| service::view(service, incident)).collect(),
        going_on: going_on::of(incident),
        bypasses: bypass::sentences(&incident.bypasses, clock),
        suspects: suspects::of(&incident.services, all, clock),
        timeline: timeline(incident),
        gaps: incident.gaps.iter().map(gaps::sentence).collect(),
    }
}

/// The incident in words where it is that of some proxies of a fleet: what is said of the whole is said of all.
pub(crate) fn view_of_some<'a>(incident: &'a Incident, fleet: &Fleet) -> View<'a> {
    let mut view = view(incident);
    view.headline = fleet::headline(fleet);
    view.read = fleet::scope(fleet);
    view.times = fleet.times().map(|(first, last)| times(first, last));
    view.still_open = fleet::still_open(fleet);
    view.seen_by = fleet::proxies(fleet);
    view.events = number(fleet.events);
    let some = count(fleet.timeline_of, "proxy");
    view.gaps.insert(
        0,
        format!("Bars, timeline and what to look at first are of {some}; the numbers by service are of all."),
    );
    view
}

/// From the first time to the last.
fn times(first: Millis, last: Millis) -> Times {
    Times {
        first: format!("{} {}", day(first), clock(first)),
        last: if day(first) == day(last) { clock(last) } else { format!("{} {}", day(last), clock(last)) },
        lasted: duration(last.saturating_sub(first)),
    }
}

fn timeline(incident: &Incident) -> Vec<MomentView<'_>> {
    // On several days, the first is named as well.
    let mut today = incident.first.map(day).filter(|first| incident.last.map(day).as_ref() == Some(first));
    let view = |moment| {
        let mut view = moment_view(moment, incident.audience);
        let day = Some(day(view.moment.event.at));
        if day != today {
            view.new_day.clone_from(&day);
            today = day;
        }
        view
    };
    incident.timeline.iter().map(view).collect()
}

fn moment_view(moment: &Moment, all_proxies: usize) -> MomentView<'_> {
    MomentView {
        moment,
        new_day: None,
        clock: clock(moment.event.at),
        phrase: phrase::of(&moment.event),
        reported_by: match moment.proxies.len() {
            1 if all_proxies == 1 => None,
            1 => Some(moment.proxies.join("")),
            n => Some(format!("{}, to {}", count(n as u64, "proxy"), clock(moment.until))),
        },
        proxies: some_of(&moment.proxies),
    }
}

/// Names, of many only the first.
fn some_of(names: &[String]) -> String {
    match names {
        [] => "no proxy".to_owned(),
        many if many.len() > MOST_NAMES => {
            format!("{} and {} more", many[..MOST_NAMES].join(", "), many.len() - MOST_NAMES)
        }
        few => few.join(", "),
    }
}
