//! The incident in words: the view model that text and page are laid out from.
//!
//! Each part borrows the facts it is about, for positions and order; every sentence, label and cell is made once, in
//! `wording`. Nothing here is escaped: each renderer knows what is dangerous where it writes.

use std::cmp::Reverse;

use filter_core::time::Millis;
use serde::Serialize;

use super::model::{Destination, Ejection, Endpoint, Failover, Incident, Moment, Outage, Service};
use super::units::{Clock, count};
use super::written::time;

/// The whole incident.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// The facts.
    pub(crate) incident: &'a Incident,
    /// How its times are written.
    pub(crate) clock: Clock,
    /// `Incident of 2026-11-20`
    pub(crate) title: String,
    /// The whole in a sentence or two.
    pub(crate) headline: String,
    /// When it was; none if nothing happened.
    pub(crate) times: Option<Times>,
    /// What was read: `23 events of 1 proxy, in 43 lines`.
    pub(crate) read: String,
    /// Where it was read: `43 lines of mocka.log`.
    pub(crate) source: String,
    /// What is open at the end of the log: `2 ejected endpoints, 1 failover`.
    pub(crate) still_open: String,
    /// `2 of 3 proxies`
    pub(crate) seen_by: String,
    /// How many events there are.
    pub(crate) events: String,
    /// By service; the one that had trouble first comes first.
    pub(crate) services: Vec<ServiceView<'a>>,
    /// What was going on when the window begins that was asked for.
    pub(crate) going_on: Option<GoingOn>,
    /// What hot-switch did, in sentences.
    pub(crate) bypasses: Vec<String>,
    /// Endpoints to look at first, the likeliest first.
    pub(crate) suspects: Vec<Suspect<'a>>,
    /// What happened, in order.
    pub(crate) timeline: Vec<MomentView<'a>>,
    /// What the reader must know about what the logs do not hold, in sentences.
    pub(crate) gaps: Vec<String>,
}

/// What began before a window and goes on in it.
#[derive(Debug)]
pub(crate) struct GoingOn {
    /// What it is, with the window's beginning.
    pub(crate) heading: String,
    /// Each thing, the worst first.
    pub(crate) sentences: Vec<String>,
}

/// When an incident was, in UTC.
#[derive(Debug)]
pub(crate) struct Times {
    /// Day and time of the first event.
    pub(crate) first: String,
    /// Time of the last event, after its day if that is another one.
    pub(crate) last: String,
    /// From the first to the last.
    pub(crate) lasted: String,
}

/// One service.
#[derive(Debug)]
pub(crate) struct ServiceView<'a> {
    /// The facts.
    pub(crate) service: &'a Service,
    /// What happened to it, in a sentence or two.
    pub(crate) summary: String,
    /// `2026-11-20`, or `2026-11-20 to 2026-11-21`.
    pub(crate) days: String,
    /// `2 of 3 proxies`
    pub(crate) seen_by: String,
    /// What happened in a row of a table: the time without a healthy endpoint, failovers, the longest, requests away,
    /// errors away, endpoints, seen by.
    pub(crate) row: [String; 7],
    /// `over`, or what is still open.
    pub(crate) state: String,
    /// Times of failover, in order.
    pub(crate) failovers: Vec<FailoverView<'a>>,
    /// Times without any healthy endpoint.
    pub(crate) outages: Vec<OutageView<'a>>,
    /// The localities that play a part, by name, each with its endpoints.
    pub(crate) localities: Vec<LocalityView<'a>>,
}

/// When something was, and how it ended.
#[derive(Debug)]
pub(crate) struct PeriodView {
    /// `before 15:43:09.567`
    pub(crate) began: String,
    /// `12.7 s`
    pub(crate) lasted: String,
    /// How it ended.
    pub(crate) ended: String,
    /// How many proxies saw it.
    pub(crate) proxies: usize,
}

/// One time of failover.
#[derive(Debug)]
pub(crate) struct FailoverView<'a> {
    /// The facts.
    pub(crate) failover: &'a Failover,
    /// The whole in a sentence, which goes on from `traffic`.
    pub(crate) sentence: String,
    /// The locality that lost.
    pub(crate) from: &'a str,
    /// Where to, with shares.
    pub(crate) to: String,
    /// What the endpoints at home were; empty if the log does not tell.
    pub(crate) cause: String,
    /// When.
    pub(crate) period: PeriodView,
    /// Requests served away.
    pub(crate) requests_away: String,
    /// Errors among them.
    pub(crate) errors_away: String,
    /// Where to, one by one.
    pub(crate) destinations: Vec<DestinationView<'a>>,
}

/// A locality that received the traffic for a time.
#[derive(Debug)]
pub(crate) struct DestinationView<'a> {
    /// The facts.
    pub(crate) destination: &'a Destination,
    /// As the locality that lost sees it.
    pub(crate) leaving: Caption,
    /// As the locality that receives sees it.
    pub(crate) arriving: Caption,
}

/// Words at a bar in a picture.
#[derive(Clone, Debug)]
pub(crate) struct Caption {
    /// The longest first; the first that there is room for is shown.
    pub(crate) labels: Vec<String>,
    /// All of it, for the one who points at the bar.
    pub(crate) tip: String,
}

/// A time without any healthy endpoint.
#[derive(Debug)]
pub(crate) struct OutageView<'a> {
    /// The facts.
    pub(crate) outage: &'a Outage,
    /// When.
    pub(crate) period: PeriodView,
    /// `no healthy endpoint, 6.8 s`
    pub(crate) label: String,
    /// The label, and since when.
    pub(crate) tip: String,
}

/// A locality of a service.
#[derive(Debug)]
pub(crate) struct LocalityView<'a> {
    /// `region/zone/subzone`
    pub(crate) locality: &'a str,
    /// What to call it; never empty.
    pub(crate) label: &'a str,
    /// Its endpoints that had trouble, by address.
    pub(crate) endpoints: Vec<EndpointView<'a>>,
}

/// An endpoint that had trouble.
#[derive(Debug)]
pub(crate) struct EndpointView<'a> {
    /// The facts.
    pub(crate) endpoint: &'a Endpoint,
    /// Its address; never empty.
    pub(crate) label: &'a str,
    /// The locality's short name.
    pub(crate) locality: &'a str,
    /// When its trouble began.
    pub(crate) first: String,
    /// Times of trouble, each counted at every proxy.
    pub(crate) failures: usize,
    /// How it failed last.
    pub(crate) last_error: String,
    /// How often it was ejected, and how often that was blocked.
    pub(crate) ejected: String,
    /// How long it was out of rotation; empty if it never was.
    pub(crate) out_for: String,
    /// How its ejections are known.
    pub(crate) basis: String,
    /// Times out of rotation.
    pub(crate) ejections: Vec<EjectionView<'a>>,
    /// Streaks of errors.
    pub(crate) streaks: Vec<Mark>,
    /// Blocked ejections.
    pub(crate) blocked: Vec<Mark>,
    /// How its last streak failed, to stand at its mark where no ejection says more.
    pub(crate) last_streak: Option<String>,
}

/// One time out of rotation.
#[derive(Debug)]
pub(crate) struct EjectionView<'a> {
    /// The facts.
    pub(crate) ejection: &'a Ejection,
    /// Words at its bar.
    pub(crate) caption: Caption,
}

/// A moment in a picture.
#[derive(Debug)]
pub(crate) struct Mark {
    /// When.
    pub(crate) at: Millis,
    /// What, for the one who points at it.
    pub(crate) tip: String,
}

/// An endpoint to look at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suspect<'a> {
    /// The service's short name.
    pub(crate) service: &'a str,
    /// `ip:port`
    pub(crate) endpoint: &'a str,
    /// `region/zone/subzone`
    pub(crate) locality: &'a str,
    /// `name.namespace`
    pub(crate) workload: &'a str,
    /// Times of trouble, each counted at every proxy.
    pub(crate) failures: usize,
    /// How many proxies had trouble with it.
    pub(crate) proxies: usize,
    /// Its first trouble.
    #[serde(serialize_with = "time")]
    pub(crate) first: Millis,
    /// Whether no other endpoint of the service failed earlier.
    pub(crate) was_first: bool,
    /// Its first failure; empty if the log does not have it.
    pub(crate) first_error: String,
    /// Its last failure; empty if the log does not have it.
    pub(crate) last_error: String,
    /// What the last one may mean, and what kept it in rotation.
    pub(crate) advice: String,
    /// All of it in a sentence, which goes on from the endpoint's address.
    #[serde(skip)]
    pub(crate) sentence: String,
}

/// Something that happened, at one proxy or several.
#[derive(Debug)]
pub(crate) struct MomentView<'a> {
    /// The facts.
    pub(crate) moment: &'a Moment,
    /// The day, if it is another one than that of the moment before.
    pub(crate) new_day: Option<String>,
    /// The time of day.
    pub(crate) clock: String,
    /// What it means.
    pub(crate) phrase: Phrase,
    /// The proxies that reported it, if more than one was read: `3 proxies, to 15:43:10.012`.
    pub(crate) reported_by: Option<String>,
    /// The names of the proxies; of many only the first.
    pub(crate) proxies: String,
}

/// What an event means, for the person on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// How the news is.
    pub(crate) tone: Tone,
    /// What it is, in one or two words.
    pub(crate) label: &'static str,
    /// The sentence, without the service's name.
    pub(crate) text: String,
}

impl Phrase {
    /// The longest label, in characters.
    pub(crate) const LABEL_WIDTH: usize = 16;
}

/// How the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something broke.
    Bad,
    /// Something is about to break, or traffic is not where it belongs.
    Warning,
    /// Something is well again.
    Good,
    /// Something to know.
    Note,
}

impl<'a> LocalityView<'a> {
    /// At most so many of its endpoints, in order of their first trouble, and in words how many more there are. Those
    /// that failed and stayed in rotation go before others, and those that failed often before those that failed
    /// seldom.
    pub(crate) fn worst(&self, most: usize) -> (Vec<&EndpointView<'a>>, Option<String>) {
        let mut endpoints: Vec<&EndpointView<'a>> = self.endpoints.iter().collect();
        let more = endpoints.len().saturating_sub(most);
        endpoints.sort_by_key(|view| (Reverse((view.endpoint.blocked.len(), view.failures)), view.endpoint.first));
        endpoints.truncate(most);
        endpoints.sort_by_key(|view| view.endpoint.first);
        (endpoints, (more > 0).then(|| format!("and {}", count(more as u64, "more endpoint"))))
    }
}
