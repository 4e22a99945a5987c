//! The incident and single events as JSON: public, so keys and their order stay as they are.

use filter_core::time::Millis;
use serde::Serialize;
use serde_json::Value;

use crate::incident::live::News;
use crate::incident::model::Service;
use crate::incident::view::{MomentView, Suspect, View};
use crate::incident::written::{optional_time, time};

/// The incident, to be serialised.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    headline: &'a str,
    #[serde(serialize_with = "optional_time")]
    first: Option<Millis>,
    #[serde(serialize_with = "optional_time")]
    last: Option<Millis>,
    #[serde(serialize_with = "optional_time")]
    log_ends: Option<Millis>,
    lines: u64,
    events: usize,
    proxies: &'a [String],
    services: &'a [Service],
    look_first: &'a [Suspect<'a>],
    timeline: Vec<Moment<'a>>,
    gaps: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Moment<'a> {
    #[serde(serialize_with = "time")]
    at: Millis,
    #[serde(serialize_with = "time")]
    until: Millis,
    service: &'a str,
    event: &'a str,
    text: &'a str,
    proxies: &'a [String],
}

/// The incident as one JSON object.
pub(crate) fn report(view: &View<'_>) -> impl Serialize {
    let incident = view.incident;
    Report {
        headline: &view.headline,
        first: incident.first,
        last: incident.last,
        log_ends: incident.log_ends,
        lines: incident.lines,
        events: incident.events,
        proxies: &incident.proxies,
        services: &incident.services,
        look_first: &view.suspects,
        timeline: view.timeline.iter().map(moment).collect(),
        gaps: &view.gaps,
    }
}

fn moment<'a>(view: &'a MomentView<'a>) -> Moment<'a> {
    let moment = view.moment;
    Moment {
        at: moment.event.at,
        until: moment.until,
        service: &moment.service,
        event: &moment.event.name,
        text: &view.phrase.text,
        proxies: &moment.proxies,
    }
}

/// The event on one line as it was logged, with the key `proxy` added if the proxy is known.
pub(crate) fn event(news: News) -> String {
    let mut json = news.event.json;
    if let Value::Object(object) = &mut json
        && !news.proxy.is_empty()
    {
        object.insert("proxy".into(), news.proxy.into());
    }
    json.to_string()
}
