//! What happened, by service, over all proxies: facts only. The words that go with them are in `view`.
//!
//! JSON writes these types as they are, so the keys in their `serde` attributes are public.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Add;

use filter_core::time::Millis;
use serde::{Serialize, Serializer};

use super::bypass::Bypasses;
use super::failure::Failure;
use super::logs::event::{Event, Name, Received};
use super::logs::processes::Processes;
use super::logs::reader::Counts;
use super::span::Span;
use super::units::Clock;
use super::written::{alike, few, seconds, time};

/// All that the logs tell.
#[derive(Debug)]
pub(crate) struct Incident {
    /// The first event; none if nothing happened.
    pub(crate) first: Option<Millis>,
    /// The last event.
    pub(crate) last: Option<Millis>,
    /// When the log ends, as far as its lines tell; what is open is open until then.
    pub(crate) log_ends: Option<Millis>,
    /// From when on events were wanted; none if from the beginning.
    pub(crate) since: Option<Millis>,
    /// Until when; none if to the end.
    pub(crate) until: Option<Millis>,
    /// Lines read.
    pub(crate) lines: u64,
    /// Events, each once per proxy.
    pub(crate) events: usize,
    /// The proxies whose logs were read.
    pub(crate) proxies: Vec<String>,
    /// How many proxies would tell if they saw something: those whose logs were read. 0 where nobody knows: an engine
    /// gives the logs of those that tell something.
    pub(crate) audience: usize,
    /// By service; the one that had trouble first comes first.
    pub(crate) services: Vec<Service>,
    /// What hot-switch did.
    pub(crate) bypasses: Bypasses,
    /// What happened, in order.
    pub(crate) timeline: Vec<Moment>,
    /// What the logs do not hold.
    pub(crate) gaps: Vec<Gap>,
}

impl Incident {
    /// How its times are written.
    pub(crate) fn clock(&self) -> Clock {
        let first = self.services.iter().map(|service| service.first).chain(self.first).min().unwrap_or_default();
        let last = self.services.iter().map(|service| service.last).chain(self.last).max().unwrap_or_default();
        Clock::over(first, last)
    }
}

/// One cluster of Envoy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    /// A short name for people.
    pub(crate) name: String,
    /// Envoy's name.
    pub(crate) cluster: String,
    /// The first event.
    #[serde(serialize_with = "time")]
    pub(crate) first: Millis,
    /// The last event.
    #[serde(serialize_with = "time")]
    pub(crate) last: Millis,
    /// The proxies with an event about it, by name.
    #[serde(serialize_with = "few")]
    pub(crate) proxies: Vec<String>,
    /// Times of failover, in order.
    pub(crate) failovers: Vec<Failover>,
    /// Times without any healthy endpoint.
    pub(crate) outages: Vec<Outage>,
    /// Endpoints that had trouble, in order of locality and address.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One time in which traffic left a locality, over all proxies that saw it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failover {
    /// The locality that lost.
    pub(crate) from: String,
    /// When.
    #[serde(flatten)]
    pub(crate) period: Period,
    /// What kept traffic from home: `ejected`, `unhealthy`, `endpoints_left`; empty in logs of older versions.
    pub(crate) causes: BTreeSet<String>,
    /// Where to, in order of time.
    #[serde(rename = "legs")]
    pub(crate) destinations: Vec<Destination>,
    /// What each locality received, most requests first, of the proxies whose failover is over; empty in logs of older
    /// versions.
    #[serde(rename = "destinations")]
    pub(crate) received: Vec<Received>,
    /// Requests served away, of the proxies whose failover is over.
    pub(crate) requests_away: u64,
    /// Errors among them.
    pub(crate) errors_away: u64,
    /// How many proxies' failovers were over when the log ended; only these count their requests.
    pub(crate) ended: usize,
    /// How they ended: `recovered`, `topology`; `proxy_restarted` where nobody saw the end.
    pub(crate) because: BTreeSet<String>,
}

/// A locality that received the traffic for a time.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Destination {
    /// The locality that received most.
    pub(crate) to: String,
    /// How far it is: `same_zone`, `same_region`, `elsewhere`.
    pub(crate) tier: String,
    /// The greatest share that any proxy reported as it began, 0 to 1.
    pub(crate) share: f64,
    /// Whether less may have gone there for a part of the time: no event tells that a share shrinks.
    pub(crate) is_peak: bool,
    /// Not over at the end of the log.
    pub(crate) open: bool,
    /// When.
    #[serde(flatten)]
    pub(crate) span: Span,
}

/// A time without any healthy endpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outage {
    /// When.
    #[serde(flatten)]
    pub(crate) period: Period,
}

/// When something was so, over all proxies that saw it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Period {
    /// From when to when.
    #[serde(flatten)]
    pub(crate) span: Span,
    /// Time in which at least one proxy saw it.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub(crate) total: Millis,
    /// Not over at the end of the log.
    pub(crate) open: bool,
    /// Began before the log does; the beginning is calculated from the end.
    pub(crate) began_earlier: bool,
    /// How many proxies saw it.
    pub(crate) proxies: usize,
}

/// An endpoint that had trouble.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    /// `ip:port`
    pub(crate) address: String,
    /// `region/zone/subzone`
    pub(crate) locality: String,
    /// `name.namespace`
    pub(crate) workload: String,
    /// Times out of rotation.
    pub(crate) ejections: Vec<Ejection>,
    /// Streaks of errors.
    #[serde(serialize_with = "alike_streaks")]
    pub(crate) streaks: Vec<Streak>,
    /// Times at which Envoy kept it in rotation at the threshold, and why.
    #[serde(serialize_with = "alike_blocked")]
    pub(crate) blocked: Vec<Blocked>,
    /// When a proxy told last that it fails, of those that tell nothing of it after that; none if there is no such one.
    #[serde(skip)]
    pub(crate) failing: Option<Millis>,
    /// How many proxies had trouble with it.
    pub(crate) proxies: usize,
    /// Its first trouble.
    #[serde(serialize_with = "time")]
    pub(crate) first: Millis,
    /// Its last failure, if the log has any.
    #[serde(rename = "lastError", serialize_with = "words_or_nothing")]
    pub(crate) last_failure: Option<Failure>,
}

/// One time out of rotation, over all proxies that saw it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ejection {
    /// When.
    #[serde(flatten)]
    pub(crate) period: Period,
    /// Why: `consecutive_5xx` and the like.
    pub(crate) reasons: BTreeSet<String>,
    /// How that is known: `inferred`, `witnessed`.
    pub(crate) basis: BTreeSet<String>,
    /// How it ended at the proxies where it did.
    pub(crate) ended: BTreeSet<EjectionEnd>,
}

/// How an ejection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EjectionEnd {
    /// The endpoint came back into rotation.
    Returned,
    /// It left the cluster, or a new host took its address.
    Removed,
}

/// A streak of errors that reached its threshold at one proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Streak {
    /// When it did.
    #[serde(serialize_with = "time")]
    pub(crate) at: Millis,
    /// `5xx`, `gateway_error`, `local_origin`
    pub(crate) kind: String,
    /// Errors in a row.
    pub(crate) errors: u64,
    /// The last one.
    #[serde(rename = "error")]
    pub(crate) failure: Failure,
}

/// A threshold that was reached without an ejection, at one proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blocked {
    /// When.
    #[serde(serialize_with = "time")]
    pub(crate) at: Millis,
    /// `max_ejection_percent` or `not_enforced`
    pub(crate) reason: String,
    /// The cap in force, in percent, and of how many endpoints.
    #[serde(skip)]
    pub(crate) cap: (u64, u64),
}

/// Something that happened, at one proxy or several.
#[derive(Debug)]
pub(crate) struct Moment {
    /// When the last proxy reported it; the first one did at [`Event::at`].
    pub(crate) until: Millis,
    /// The service's short name; empty for the filter itself.
    pub(crate) service: String,
    /// The first proxy's event, with the requests of all.
    pub(crate) event: Event,
    /// The proxies that reported it, by name.
    pub(crate) proxies: Vec<String>,
}

/// What the logs do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Events over the filter's limit, at so many proxies.
    Suppressed { events: u64, proxies: usize },
    /// Things that ended without having begun, failovers among them, from when on the user wanted to see any, and how
    /// long after its last request away the end of a failover is told, where the input tells that.
    MissingBeginnings { things: u64, failovers: u64, since: Option<Millis>, told_after: Option<Millis> },
    /// Things that began again without having ended.
    MissingEnds(u64),
    /// A proxy that began anew, and until when it lived before.
    Restarted { proxy: String, at: Millis, lived_until: Millis, was_told_to_stop: bool },
    /// More of the same.
    MoreRestarts(u64),
    /// What the filter itself warned of, at so many proxies.
    Warned { text: String, proxies: usize },
    /// More of the same.
    MoreWarnings(u64),
    /// A configuration that so many proxies rejected.
    ConfigRejected { error: String, proxies: usize },
    /// Events of which only the beginning is there.
    CutOff { events: u64 },
    /// Events without a time, or with values of wrong types.
    Malformed { events: u64 },
    /// Events that are written in another way than JSON.
    NotJson { events: u64 },
    /// Lines that were too long to be read.
    TooLong { lines: u64 },
    /// A file that ends in the middle, and why.
    Damaged { file: String, reason: String },
    /// A file that says itself that it holds a part of what was asked for, and why.
    Partial { file: String, reason: String },
    /// One of several files of which nothing could be read, and why.
    Unread { file: String, reason: String },
    /// Files of an archive that hold no text.
    NoText { files: u64 },
    /// Events that name no proxy, in a log in which others do.
    Unnamed { events: u64 },
    /// Pods and machines that may run a proxy or not: they are named without a container, and have no event.
    Doubtful { pods: u64 },
    /// Events that have the time of the record around them.
    AssumedTimes { events: u64 },
    /// Logs in which several Envoys wrote at once, and whose lines do not tell which.
    Mixed { files: u64 },
    /// Processes that were taken for one proxy, or for several, and on how many machines.
    Processes { processes: u64, machines: u64, at_once: bool },
    /// Events of a name that this version does not know.
    Unknown { name: String, events: u64 },
}

/// As many of the filter's warnings are told; the same text from many proxies is one.
const MOST_WARNINGS: usize = 12;

impl Gap {
    /// What the filter itself warned of, most proxies first.
    pub(crate) fn of_warnings(warnings: &BTreeMap<Name, usize>) -> Vec<Self> {
        let mut warnings: Vec<(&Name, usize)> = warnings.iter().map(|(text, proxies)| (text, *proxies)).collect();
        warnings.sort_by_key(|(_, proxies)| Reverse(*proxies));
        let more = warnings.len().saturating_sub(MOST_WARNINGS);
        let told = warnings.into_iter().take(MOST_WARNINGS);
        let told = told.map(|(text, proxies)| Self::Warned { text: text.to_string(), proxies });
        told.chain((more > 0).then_some(Self::MoreWarnings(more as u64))).collect()
    }

    /// What could not be read, or was assumed.
    pub(crate) fn of_counts(counts: &Counts) -> Vec<Self> {
        let of = |n: u64, gap: fn(u64) -> Self| (n > 0).then(|| gap(n));
        let counted = [
            of(counts.cut, |events| Self::CutOff { events }),
            of(counts.malformed, |events| Self::Malformed { events }),
            of(counts.look_alikes, |events| Self::NotJson { events }),
            of(counts.too_long, |lines| Self::TooLong { lines }),
            of(counts.unnamed, |events| Self::Unnamed { events }),
            of(counts.times_assumed, |events| Self::AssumedTimes { events }),
            of(counts.mixed, |files| Self::Mixed { files }),
            of(counts.no_text, |files| Self::NoText { files }),
        ];
        let damaged = counts.damaged.iter();
        let damaged = damaged.map(|(file, reason)| Self::Damaged { file: file.clone(), reason: reason.clone() });
        let unread = counts.unread.iter();
        let unread = unread.map(|(file, reason)| Self::Unread { file: file.clone(), reason: reason.clone() });
        let partial = counts.partial.iter();
        let partial = partial.map(|(file, reason)| Self::Partial { file: file.clone(), reason: reason.clone() });
        counted.into_iter().flatten().chain(damaged).chain(partial).chain(unread).collect()
    }

    /// What processes on one machine were taken for.
    pub(crate) fn of_processes(told: Processes) -> Vec<Self> {
        let Processes { in_turn, in_turn_on, at_once, at_once_on } = told;
        let of =
            |processes, machines, at_once| (processes > 0).then_some(Self::Processes { processes, machines, at_once });
        of(in_turn, in_turn_on, false).into_iter().chain(of(at_once, at_once_on, true)).collect()
    }

    /// Whether the filter itself says it.
    pub(crate) fn is_said_by_the_filter(&self) -> bool {
        matches!(self, Self::Warned { .. } | Self::MoreWarnings(_))
    }

    /// Whether something was in the logs that the result lacks.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::CutOff { .. }
                | Self::Malformed { .. }
                | Self::NotJson { .. }
                | Self::TooLong { .. }
                | Self::Damaged { .. }
                | Self::Partial { .. }
                | Self::Unread { .. }
                | Self::Mixed { .. }
                | Self::Unknown { .. }
        )
    }
}

/// How much is not over at the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Open {
    /// Ejected endpoints.
    pub(crate) ejected: usize,
    /// Failovers.
    pub(crate) failovers: usize,
    /// Services without a healthy endpoint.
    pub(crate) without_healthy: usize,
    /// Endpoints that failed without an ejection. Whether they still do, no event tells.
    pub(crate) failing: usize,
}

impl Open {
    /// Whether all that has an end has ended.
    pub(crate) fn is_over(self) -> bool {
        Self { failing: 0, ..self } == Self::default()
    }
}

impl Add for Open {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            ejected: self.ejected + other.ejected,
            failovers: self.failovers + other.failovers,
            without_healthy: self.without_healthy + other.without_healthy,
            failing: self.failing + other.failing,
        }
    }
}

impl Service {
    /// What of it is not over at the end of the log.
    pub(crate) fn open(&self) -> Open {
        Open {
            ejected: self.endpoints.iter().filter(|e| e.ejections.iter().any(|x| x.period.open)).count(),
            failovers: self.failovers.iter().filter(|f| f.period.open).count(),
            without_healthy: usize::from(self.outages.iter().any(|o| o.period.open)),
            failing: self.endpoints.iter().filter(|e| e.failing.is_some()).count(),
        }
    }

    /// How hard it was hit: the time without a healthy endpoint, errors and requests away, the time of failover and of
    /// ejections. The greater of two is worse.
    pub(crate) fn severity(&self) -> [u64; 5] {
        let of = |n: fn(&Failover) -> u64| self.failovers.iter().map(n).fold(0, u64::saturating_add);
        let ejections = self.endpoints.iter().flat_map(|endpoint| &endpoint.ejections);
        [
            self.without_healthy(),
            of(|failover| failover.errors_away),
            of(|failover| failover.period.total),
            of(|failover| failover.requests_away),
            ejections.map(|ejection| ejection.period.total).sum(),
        ]
    }

    /// Time without a healthy endpoint.
    pub(crate) fn without_healthy(&self) -> Millis {
        self.outages.iter().map(|outage| outage.period.total).sum()
    }

    /// Whether all of it that has an end is over at the end of the log.
    pub(crate) fn is_over(&self) -> bool {
        self.open().is_over()
    }

    /// The localities that play a part, by name: those of endpoints, and those that traffic left or went to.
    pub(crate) fn localities(&self) -> BTreeSet<&str> {
        let of_failovers =
            self.failovers.iter().flat_map(|f| f.destinations.iter().map(|d| d.to.as_str()).chain([f.from.as_str()]));
        self.endpoints.iter().map(|endpoint| endpoint.locality.as_str()).chain(of_failovers).collect()
    }

    /// All times at which something happened, in no order.
    pub(crate) fn busy(&self) -> Vec<Span> {
        let mut spans = vec![Span::at(self.first), Span::at(self.last)];
        spans.extend(self.failovers.iter().map(|failover| failover.period.span));
        spans.extend(self.outages.iter().map(|outage| outage.period.span));
        for endpoint in &self.endpoints {
            spans.extend(endpoint.ejections.iter().map(|ejection| ejection.period.span));
            spans.extend(endpoint.streaks.iter().map(|streak| Span::at(streak.at)));
            spans.extend(endpoint.blocked.iter().map(|blocked| Span::at(blocked.at)));
        }
        spans
    }
}

impl Ejection {
    /// Whether it ended, and with no return: the endpoint left the cluster or was replaced.
    pub(crate) fn is_by_removal(&self) -> bool {
        !self.period.open && self.ended.iter().eq(&[EjectionEnd::Removed])
    }
}

impl Endpoint {
    /// Times of trouble, each counted at every proxy. A streak leads to an ejection, or to none where that is blocked;
    /// retries hide streaks, and blocked ejections are reported once, so it is the greater of the two counts.
    pub(crate) fn failures(&self) -> usize {
        let ejected: usize = self.ejections.iter().map(|ejection| ejection.period.proxies).sum();
        self.streaks.len().max(ejected + self.blocked.len())
    }
}

/// Writes a failure's words, or an empty text.
fn words_or_nothing<S: Serializer>(failure: &Option<Failure>, to: S) -> Result<S::Ok, S::Error> {
    match failure {
        Some(failure) => failure.serialize(to),
        None => to.serialize_str(""),
    }
}

/// Writes streaks, those that are alike once.
fn alike_streaks<S: Serializer>(streaks: &[Streak], to: S) -> Result<S::Ok, S::Error> {
    alike(streaks, |a, b| a.kind == b.kind && a.failure == b.failure, |streak| streak.at, to)
}

/// Writes blocked ejections, those that are alike once.
fn alike_blocked<S: Serializer>(blocked: &[Blocked], to: S) -> Result<S::Ok, S::Error> {
    alike(blocked, |a, b| a.reason == b.reason, |blocked| blocked.at, to)
}
