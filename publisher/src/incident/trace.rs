//! What each proxy saw of each cluster: events become things with a beginning and an end.
//!
//! A log may begin in the middle and stop before the end, and lines may be missing. What ends without having begun is reckoned
//! back from its own duration; what begins again without having ended is ended there; each is said in [`Trace::gaps`].

use std::collections::{BTreeMap, BTreeSet};

use filter_core::time::Millis;

use super::event::{Event, Kind, Route, millis};
use super::incident::{Blocked, Ejection, Endpoint, Leg, Period, Seen, Streak, TimeSpan};
use super::input::Input;
use super::span::{Span, grouped};
use super::words;

/// Everything that the proxies saw.
#[derive(Debug, Default)]
pub struct Trace {
    /// By the cluster's name.
    pub clusters: BTreeMap<String, ClusterTrace>,
    /// What is missing, in sentences.
    pub gaps: Vec<String>,
}

/// What the proxies saw of one cluster.
#[derive(Debug, Default)]
pub struct ClusterTrace {
    /// The first event.
    pub first: Millis,
    /// The last event.
    pub last: Millis,
    /// Which proxies told of it.
    pub proxies: BTreeSet<usize>,
    /// By address.
    pub endpoints: BTreeMap<String, Host>,
    /// Each proxy's failovers.
    pub failovers: Vec<Away>,
    /// Each proxy's times without a healthy endpoint.
    pub outages: Vec<Seen>,
}

/// An endpoint as the proxies saw it.
#[derive(Debug, Default)]
pub struct Host {
    address: String,
    locality: String,
    workload: String,
    ejections: Vec<Out>,
    streaks: Vec<Streak>,
    blocked: Vec<Blocked>,
    proxies: BTreeSet<usize>,
    first: Millis,
}

#[derive(Debug)]
struct Out {
    seen: Seen,
    reason: String,
    basis: String,
}

/// A failover of one proxy.
#[derive(Debug)]
pub struct Away {
    /// From the start to the last request that was served away.
    pub seen: Seen,
    /// The locality that lost.
    pub from: String,
    /// Where to.
    pub legs: Vec<Leg>,
    /// Requests served away.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
    /// How it ended; empty while it has not.
    pub because: String,
}

/// How often each kind of gap was met.
#[derive(Default)]
struct Missing {
    beginnings: u64,
    ends: u64,
    suppressed: u64,
    suppressing: BTreeSet<usize>,
    rejected: BTreeMap<String, BTreeSet<usize>>,
}

impl Trace {
    /// Follows every proxy through the input.
    pub fn of(input: &Input) -> Self {
        let mut trace = Self::default();
        let mut missing = Missing::default();
        for record in &input.records {
            let (proxy, event) = (record.proxy, &record.event);
            match &event.kind {
                Kind::EventsSuppressed { count, .. } => {
                    missing.suppressed = missing.suppressed.saturating_add(*count);
                    missing.suppressing.insert(proxy);
                }
                Kind::ConfigRejected { error } => {
                    missing.rejected.entry(error.clone()).or_default().insert(proxy);
                }
                _ => {
                    let fresh = || ClusterTrace { first: event.at, ..ClusterTrace::default() };
                    let cluster = trace.clusters.entry(event.cluster.clone()).or_insert_with(fresh);
                    cluster.last = event.at;
                    cluster.proxies.insert(proxy);
                    cluster.follow(proxy, event, &mut missing);
                }
            }
        }
        for cluster in trace.clusters.values_mut() {
            cluster.close(input.ends.unwrap_or_default());
        }
        trace.gaps = missing.told();
        trace
    }
}

impl ClusterTrace {
    fn follow(&mut self, proxy: usize, event: &Event, missing: &mut Missing) {
        let at = event.at;
        let began = Seen { proxy, span: Span::new(at, at), open: true, began_earlier: false };
        let ended = |lasted: Millis| Seen {
            proxy,
            span: Span::new(at.saturating_sub(lasted), at),
            open: false,
            began_earlier: true,
        };
        match &event.kind {
            Kind::ErrorStreak { kind, streak, last, .. } => {
                let error = words::cause(kind, last);
                let streak = Streak { at, kind: kind.clone(), errors: *streak, error, last: last.clone() };
                self.host(proxy, event).streaks.push(streak);
            }
            Kind::EjectionBlocked { reason, .. } => {
                self.host(proxy, event).blocked.push(Blocked { at, reason: reason.clone() });
            }
            Kind::EndpointEjected { reason, .. } => {
                let host = self.host(proxy, event);
                if let Some(open) = host.ejections.iter_mut().find(|out| out.seen.proxy == proxy && out.seen.open) {
                    open.seen.end(at);
                    missing.ends += 1;
                }
                host.ejections.push(Out { seen: began, reason: reason.clone(), basis: event.basis.clone() });
            }
            Kind::EndpointReturned { ejected_seconds } => {
                let host = self.host(proxy, event);
                match host.ejections.iter_mut().find(|out| out.seen.proxy == proxy && out.seen.open) {
                    Some(open) => open.seen.end(at),
                    None => {
                        let (seen, basis) = (ended(millis(*ejected_seconds)), event.basis.clone());
                        host.first = host.first.min(seen.span.from);
                        host.ejections.push(Out { seen, reason: String::new(), basis });
                        missing.beginnings += 1;
                    }
                }
            }
            Kind::FailoverStarted(route) => {
                if let Some(open) = self.failovers.iter_mut().find(|away| away.seen.proxy == proxy && away.seen.open) {
                    open.end(at);
                    missing.ends += 1;
                }
                self.failovers.push(Away::along(began, route, at));
            }
            Kind::FailoverChanged(route) => {
                match self.failovers.iter_mut().find(|away| away.seen.proxy == proxy && away.seen.open) {
                    Some(open) => open.turn(route, at),
                    None => {
                        missing.beginnings += 1;
                        self.failovers.push(Away::along(Seen { began_earlier: true, ..began }, route, at));
                    }
                }
            }
            Kind::FailoverEnded { from, to, seconds, requests_away, errors_away, because } => {
                let lasted = millis(*seconds);
                let open = self.failovers.iter_mut().find(|away| away.seen.proxy == proxy && away.seen.open);
                let away = match open {
                    Some(away) => {
                        // It is over when it is seen to be; traffic went away until then or earlier.
                        let from = away.seen.span.from;
                        let until = if away.seen.began_earlier { at } else { at.min(from.saturating_add(lasted)) };
                        away.end(until);
                        Some(away)
                    }
                    None => {
                        missing.beginnings += 1;
                        let seen = ended(lasted);
                        let route = Route { from: from.clone(), to: to.clone(), ..Route::default() };
                        let mut away = Away::along(seen, &route, seen.span.from);
                        away.end(at);
                        self.failovers.push(away);
                        self.failovers.last_mut()
                    }
                };
                if let Some(away) = away {
                    (away.requests, away.errors) = (*requests_away, *errors_away);
                    away.because = if because.is_empty() { "ended".into() } else { because.clone() };
                }
            }
            Kind::NoHealthyUpstream { .. } => {
                if !self.outages.iter().any(|seen| seen.proxy == proxy && seen.open) {
                    self.outages.push(began);
                }
            }
            Kind::UpstreamRecovered { seconds } => {
                match self.outages.iter_mut().find(|seen| seen.proxy == proxy && seen.open) {
                    Some(open) => open.end(at),
                    None => {
                        missing.beginnings += 1;
                        self.outages.push(ended(millis(*seconds)));
                    }
                }
            }
            Kind::ConfigRejected { .. } | Kind::EventsSuppressed { .. } | Kind::Unknown => {}
        }
    }

    fn host(&mut self, proxy: usize, event: &Event) -> &mut Host {
        let fresh = || Host { address: event.endpoint.clone(), first: event.at, ..Host::default() };
        let host = self.endpoints.entry(event.endpoint.clone()).or_insert_with(fresh);
        host.proxies.insert(proxy);
        for (known, told) in [(&mut host.locality, &event.locality), (&mut host.workload, &event.workload)] {
            if !told.is_empty() {
                known.clone_from(told);
            }
        }
        host
    }

    /// Draws what is open out to the end of the log.
    fn close(&mut self, end: Millis) {
        let outs = self.endpoints.values_mut().flat_map(|host| host.ejections.iter_mut().map(|out| &mut out.seen));
        for seen in outs.chain(&mut self.outages).chain(self.failovers.iter_mut().map(|away| &mut away.seen)) {
            if seen.open {
                seen.span = Span::new(seen.span.from, end);
            }
        }
        for away in self.failovers.iter_mut().filter(|away| away.seen.open) {
            away.draw_out(end);
        }
    }
}

impl Host {
    /// What all proxies saw of it, together.
    pub fn told(self) -> Endpoint {
        let ejections = grouped(self.ejections, |out| out.seen.span).into_iter().map(|(_, all)| Ejection {
            period: Period::of(all.iter().map(|out| &out.seen)),
            reasons: all.iter().map(|out| out.reason.clone()).filter(|reason| !reason.is_empty()).collect(),
            basis: all.iter().map(|out| out.basis.clone()).filter(|basis| !basis.is_empty()).collect(),
        });
        Endpoint {
            last_error: self.streaks.last().map(|streak| streak.error.clone()).unwrap_or_default(),
            address: self.address,
            locality: self.locality,
            workload: self.workload,
            ejections: ejections.collect(),
            streaks: self.streaks,
            blocked: self.blocked,
            proxies: self.proxies.len(),
            first: self.first,
        }
    }
}

impl Seen {
    fn end(&mut self, at: Millis) {
        self.span = Span::new(self.span.from, at);
        self.open = false;
    }
}

impl Away {
    fn along(seen: Seen, route: &Route, at: Millis) -> Self {
        let mut away =
            Self { seen, from: route.from.clone(), legs: Vec::new(), requests: 0, errors: 0, because: String::new() };
        away.turn(route, at);
        away
    }

    /// Goes on to another destination.
    fn turn(&mut self, route: &Route, at: Millis) {
        self.leave(at);
        let span = TimeSpan { from: at, to: at };
        self.legs.push(Leg { to: route.to.clone(), tier: route.tier.clone(), share: route.share, open: true, span });
    }

    /// Ends with the last request that was served away. A move is told when it has lasted for a while, which can be later than
    /// that; it is then no part of the picture.
    fn end(&mut self, at: Millis) {
        self.seen.end(at);
        while self.legs.len() > 1 && self.legs.last().is_some_and(|leg| leg.span.from >= at) {
            self.legs.pop();
        }
        self.leave(at);
    }

    /// Ends the last leg.
    fn leave(&mut self, at: Millis) {
        self.draw_out(at);
        if let Some(leg) = self.legs.last_mut() {
            leg.open = false;
        }
    }

    fn draw_out(&mut self, at: Millis) {
        if let Some(leg) = self.legs.last_mut() {
            leg.span.to = at.max(leg.span.from);
        }
    }
}

impl Missing {
    fn told(self) -> Vec<String> {
        let mut gaps = Vec::new();
        if self.suppressed > 0 {
            gaps.push(format!(
                "The filter held back {} at {} (limits.eventsPerSecond): some of what happened is not told here; the metrics have it.",
                words::count(self.suppressed, "event"),
                words::count(self.suppressing.len() as u64, "proxy"),
            ));
        }
        if self.beginnings > 0 {
            gaps.push(format!(
                "{} ended without having begun: the log begins later, or lines are missing. Their beginnings are reckoned from their durations.",
                words::count(self.beginnings, "thing"),
            ));
        }
        if self.ends > 0 {
            gaps.push(format!(
                "{} began again without having ended: lines are missing, or the lines of several proxies came without their pods' names (use `kubectl logs --prefix`).",
                words::count(self.ends, "thing"),
            ));
        }
        for (error, proxies) in self.rejected {
            let proxies = words::count(proxies.len() as u64, "proxy");
            gaps.push(format!(
                "The filter's configuration was rejected at {proxies} and is not in force there: {error}"
            ));
        }
        gaps
    }
}
