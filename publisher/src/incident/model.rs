//! What happened, by service: the model that the text, the page and the JSON are all written from.
//!
//! What one proxy saw is in [`super::trace`]; here it is put together. An endpoint that three proxies ejected is one endpoint, out
//! for the union of the three; requests served away are summed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use filter_core::time::{Millis, rfc3339};
use serde::{Serialize, Serializer};

use super::event::Last;
use super::input::Input;
use super::span::{Span, grouped, total};
use super::story::Look;
use super::timeline::Moment;
use super::trace::{Away, Host, Trace};
use super::{story, timeline, words};

/// All that a report tells.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// The whole in a sentence or two.
    pub headline: String,
    /// The first event; none if nothing happened.
    #[serde(serialize_with = "optional_time")]
    pub first: Option<Millis>,
    /// The last event.
    #[serde(serialize_with = "optional_time")]
    pub last: Option<Millis>,
    /// When the log ends, as far as its lines tell; what is open is open until then.
    #[serde(serialize_with = "optional_time")]
    pub log_ends: Option<Millis>,
    /// Lines read.
    pub lines: u64,
    /// Events told, each once per proxy.
    pub events: usize,
    /// The proxies whose logs were read.
    pub proxies: Vec<String>,
    /// By service, the one that had trouble first comes first.
    pub services: Vec<Service>,
    /// Endpoints to look at first, the likeliest first.
    pub look_first: Vec<Look>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// What the reader must know about what the logs do not hold.
    pub gaps: Vec<String>,
}

/// One cluster of Envoy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// A short name for people.
    pub name: String,
    /// Envoy's name.
    pub cluster: String,
    /// The first event.
    #[serde(serialize_with = "time")]
    pub first: Millis,
    /// The last event.
    #[serde(serialize_with = "time")]
    pub last: Millis,
    /// Which proxies told of it, by name.
    pub proxies: Vec<String>,
    /// Times of failover, in order.
    pub failovers: Vec<Failover>,
    /// Times without any healthy endpoint.
    pub outages: Vec<Outage>,
    /// Endpoints that had trouble, in order of locality and name.
    pub endpoints: Vec<Endpoint>,
}

/// One time in which traffic left a locality, over all proxies that saw it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// The locality that lost.
    pub from: String,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub period: Period,
    /// Where to, and when.
    pub legs: Vec<Leg>,
    /// Requests served away, of the proxies whose failover is over.
    pub requests_away: u64,
    /// Errors among them.
    pub errors_away: u64,
    /// Failovers that were over when the log ended; only these told of their requests.
    pub ended: usize,
    /// How they ended: `recovered`, `topology`.
    pub because: BTreeSet<String>,
}

/// A time in which the traffic went to one locality.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// The locality that received most.
    pub to: String,
    /// How far it is: `same_zone`, `same_region`, `elsewhere`.
    pub tier: String,
    /// The greatest share that any proxy told as it began, 0 to 1.
    pub share: f64,
    /// Not over at the end of the log.
    pub open: bool,
    /// When.
    #[serde(flatten)]
    pub span: TimeSpan,
}

/// A time without any healthy endpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub period: Period,
}

/// When something was so, over all proxies that saw it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Period {
    /// From when to when.
    #[serde(flatten)]
    pub span: TimeSpan,
    /// Seconds in which at least one proxy saw it.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub total: Millis,
    /// Not over at the end of the log.
    pub open: bool,
    /// Began before the log does; the beginning is reckoned from the end.
    pub began_earlier: bool,
    /// How many proxies saw it.
    pub proxies: usize,
}

/// A [`Span`] that is written as two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TimeSpan {
    /// Its beginning.
    #[serde(serialize_with = "time", rename = "start")]
    pub from: Millis,
    /// Its end.
    #[serde(serialize_with = "time", rename = "end")]
    pub to: Millis,
}

/// An endpoint that had trouble.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// `ip:port`
    pub address: String,
    /// `region/zone/subzone`
    pub locality: String,
    /// `name.namespace`
    pub workload: String,
    /// Times out of rotation.
    pub ejections: Vec<Ejection>,
    /// Streaks of errors.
    pub streaks: Vec<Streak>,
    /// Times at which Envoy kept it in rotation at the threshold, and why.
    pub blocked: Vec<Blocked>,
    /// How many proxies had trouble with it.
    pub proxies: usize,
    /// Its first trouble.
    #[serde(serialize_with = "time")]
    pub first: Millis,
    /// Its last failure, in words; empty if the log has none.
    pub last_error: String,
}

/// One time out of rotation, over all proxies that saw it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ejection {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub period: Period,
    /// Why: `consecutive_5xx` and the like.
    pub reasons: BTreeSet<String>,
    /// How that is known: `inferred`, `witnessed`.
    pub basis: BTreeSet<String>,
}

/// A streak of errors that reached its threshold at one proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Streak {
    /// When it did.
    #[serde(serialize_with = "time")]
    pub at: Millis,
    /// `5xx`, `gateway_error`, `local_origin`
    pub kind: String,
    /// Errors in a row.
    pub errors: u64,
    /// The last one, in words.
    pub error: String,
    /// The last one as Envoy told it.
    #[serde(skip)]
    pub last: Last,
}

/// A threshold that was reached without an ejection, at one proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// When.
    #[serde(serialize_with = "time")]
    pub at: Millis,
    /// `max_ejection_percent` or `not_enforced`
    pub reason: String,
}

impl Incident {
    /// Tells what the input holds.
    pub fn of(input: &Input) -> Self {
        let trace = Trace::of(input);
        let short = words::names(trace.clusters.keys().map(String::as_str));
        let mut gaps = trace.gaps;
        gaps.extend(story::gaps_of(input));
        let services = trace.clusters.into_iter().map(|(cluster, of)| {
            let (mut first, mut last) = (of.first, of.last);
            let failovers: Vec<Failover> = by_key(of.failovers, |away| away.from.clone())
                .into_iter()
                .flat_map(|(from, all)| grouped(all, |away| away.seen.span).into_iter().map(move |g| (from.clone(), g)))
                .map(|(from, (_, all))| failover(from, &all))
                .collect();
            let mut failovers = failovers;
            failovers.sort_by_key(|failover| failover.period.span.from);
            let outages: Vec<Outage> = grouped(of.outages, |seen| seen.span)
                .into_iter()
                .map(|(_, all)| Outage { period: Period::of(all.iter()) })
                .collect();
            let mut endpoints: Vec<Endpoint> = of.endpoints.into_values().map(Host::told).collect();
            endpoints.sort_by(|a, b| (&a.locality, &a.address).cmp(&(&b.locality, &b.address)));
            for period in failovers.iter().map(|f| &f.period).chain(outages.iter().map(|o| &o.period)) {
                first = first.min(period.span.from);
                last = last.max(period.span.to);
            }
            for period in endpoints.iter().flat_map(|e| &e.ejections).map(|e| &e.period) {
                first = first.min(period.span.from);
                last = last.max(period.span.to);
            }
            Service {
                name: short.get(cluster.as_str()).cloned().unwrap_or_else(|| cluster.clone()),
                proxies: of.proxies.iter().filter_map(|p| input.proxies.get(*p).cloned()).collect(),
                cluster,
                first,
                last,
                failovers,
                outages,
                endpoints,
            }
        });
        let mut services: Vec<Service> = services.collect();
        services.sort_by(|a, b| (a.first, &a.cluster).cmp(&(b.first, &b.cluster)));
        let mut incident = Self {
            headline: String::new(),
            first: input.records.first().map(|record| record.event.at),
            last: input.records.last().map(|record| record.event.at),
            log_ends: input.ends,
            lines: input.lines,
            events: input.records.len(),
            proxies: input.proxies.clone(),
            look_first: Vec::new(),
            timeline: timeline::of(input, &short),
            services,
            gaps,
        };
        incident.headline = story::headline(&incident);
        incident.look_first = story::look_first(&incident.services);
        incident
    }
}

impl Service {
    /// The localities that play a part, by name: of endpoints, and those that traffic left or went to.
    pub fn localities(&self) -> BTreeSet<&str> {
        let of_failovers =
            self.failovers.iter().flat_map(|f| f.legs.iter().map(|leg| leg.to.as_str()).chain([f.from.as_str()]));
        self.endpoints.iter().map(|endpoint| endpoint.locality.as_str()).chain(of_failovers).collect()
    }

    /// At most so many endpoints of a locality, in order of their first trouble, and how many more there are. Those that failed and
    /// stayed in rotation go before others, and those that failed often before those that failed seldom.
    pub fn worst(&self, locality: &str, most: usize) -> (Vec<&Endpoint>, usize) {
        let mut endpoints: Vec<&Endpoint> = self.endpoints.iter().filter(|e| e.locality == locality).collect();
        let more = endpoints.len().saturating_sub(most);
        endpoints.sort_by_key(|endpoint| (Reverse((endpoint.blocked.len(), endpoint.failures())), endpoint.first));
        endpoints.truncate(most);
        endpoints.sort_by_key(|endpoint| endpoint.first);
        (endpoints, more)
    }

    /// What is not over at the end of the log: ejected endpoints, failovers, and 1 if the service has nothing healthy.
    pub fn open(&self) -> (usize, usize, usize) {
        let ejected = self.endpoints.iter().filter(|e| e.ejections.iter().any(|x| x.period.open)).count();
        let failovers = self.failovers.iter().filter(|f| f.period.open).count();
        (ejected, failovers, usize::from(self.outages.iter().any(|o| o.period.open)))
    }
}

impl Endpoint {
    /// Times of trouble, each counted at every proxy. A streak leads to an ejection, or to none where that is blocked; retries
    /// hide streaks, and blocked ones are told once, so it is as many as either shows.
    pub fn failures(&self) -> usize {
        let ejected: usize = self.ejections.iter().map(|ejection| ejection.period.proxies).sum();
        self.streaks.len().max(ejected + self.blocked.len())
    }

    /// How it failed first, in words, as far as the log knows; empty if it does not. A streak that came later, as may be when
    /// retries hid the first, is not how it failed first.
    pub fn first_error(&self) -> String {
        // An ejection follows its streak within two seconds.
        let streak = self.streaks.first().filter(|streak| streak.at.abs_diff(self.first) < 2_000);
        let ejection = self.ejections.iter().min_by_key(|ejection| ejection.period.span.from);
        let reason = ejection.map_or("", |ejection| words::reason(&ejection.reasons));
        streak.map_or_else(|| reason.to_owned(), |streak| streak.error.clone())
    }
}

/// A time that one proxy saw.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Which proxy.
    pub proxy: usize,
    /// From when to when.
    pub span: Span,
    /// Not over at the end of the log.
    pub open: bool,
    /// Began before the log does.
    pub began_earlier: bool,
}

impl Period {
    /// What several proxies saw, as one. There must be at least one.
    pub fn of<'a>(seen: impl Iterator<Item = &'a Seen> + Clone) -> Self {
        let spans: Vec<Span> = seen.clone().map(|s| s.span).collect();
        let whole = spans.iter().copied().reduce(Span::with).unwrap_or(Span::new(0, 0));
        Self {
            span: TimeSpan { from: whole.from, to: whole.to },
            total: total(spans),
            open: seen.clone().any(|s| s.open),
            began_earlier: seen.clone().any(|s| s.began_earlier && s.span.from == whole.from),
            proxies: seen.map(|s| s.proxy).collect::<BTreeSet<_>>().len(),
        }
    }
}

fn failover(from: String, all: &[Away]) -> Failover {
    let legs = by_key(all.iter().flat_map(|away| away.legs.iter().cloned()), |leg| leg.to.clone());
    let mut legs: Vec<Leg> = legs
        .into_values()
        .flat_map(|legs| grouped(legs, |leg| Span::new(leg.span.from, leg.span.to)))
        .filter_map(|(span, legs)| {
            let share = legs.iter().map(|leg| leg.share).fold(0.0, f64::max);
            let open = legs.iter().any(|leg| leg.open);
            let leg = legs.into_iter().next()?;
            Some(Leg { share, open, span: TimeSpan { from: span.from, to: span.to }, ..leg })
        })
        .collect();
    legs.sort_by_key(|leg| leg.span.from);
    Failover {
        from,
        period: Period::of(all.iter().map(|away| &away.seen)),
        legs,
        requests_away: all.iter().fold(0, |sum, away| sum.saturating_add(away.requests)),
        errors_away: all.iter().fold(0, |sum, away| sum.saturating_add(away.errors)),
        ended: all.iter().filter(|away| !away.because.is_empty()).count(),
        because: all.iter().map(|away| away.because.clone()).filter(|because| !because.is_empty()).collect(),
    }
}

fn by_key<T>(things: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> BTreeMap<String, Vec<T>> {
    let mut by: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for thing in things {
        by.entry(key(&thing)).or_default().push(thing);
    }
    by
}

/// Writes a time as events do.
///
/// # Errors
/// The serializer's.
pub fn time<S: Serializer>(at: &Millis, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

fn optional_time<S: Serializer>(at: &Option<Millis>, to: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(to)
}

fn seconds<S: Serializer>(millis: &Millis, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(*millis as f64 / 1000.0)
}
