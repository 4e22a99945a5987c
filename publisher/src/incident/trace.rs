//! What each proxy saw of each cluster: events become things with a beginning and an end.
//!
//! A log may begin in the middle and stop before the end, and lines may be missing. What ends without having begun is
//! calculated back from its own duration; what begins again without having ended is ended there. Both are counted in
//! [`Trace::gaps`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use filter_core::time::Millis;

use super::away::{self, Home, PROXY_RESTARTED, ProxyFailover, TOLD_AFTER_MS};
use super::failure::Failure;
use super::logs::event::{Event, Kind, Last, Name, Route, millis};
use super::logs::input::{Input, ProxyIndex};
use super::model::{Blocked, EjectionEnd, Gap, Streak};
use super::observation::Observation;
use super::restarts::Restart;
use super::span::Span;
use super::window::Window;

/// Everything that the proxies saw.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// By the cluster's name.
    pub(super) clusters: BTreeMap<Name, ClusterTrace>,
    /// What is missing.
    pub(super) gaps: Vec<Gap>,
}

/// What the proxies saw of one cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterTrace {
    /// The first event.
    pub(super) first: Millis,
    /// The last event.
    pub(super) last: Millis,
    /// The proxies with an event about it.
    pub(super) proxies: BTreeSet<ProxyIndex>,
    /// By address.
    pub(super) endpoints: BTreeMap<Name, EndpointTrace>,
    /// Each proxy's failovers.
    pub(super) failovers: Vec<ProxyFailover>,
    /// Which of them is each proxy's latest: no other of its can be open.
    latest_failover: HashMap<ProxyIndex, usize>,
    /// Each proxy's times without a healthy endpoint.
    pub(super) outages: Vec<Observation>,
    latest_outage: HashMap<ProxyIndex, usize>,
    /// The last failure that was concluded, and from what: the proxies of a fleet tell the same one after the other.
    concluded: Option<((Name, Last), Failure)>,
}

/// An endpoint as the proxies saw it.
#[derive(Debug, Default)]
pub(super) struct EndpointTrace {
    /// `ip:port`
    pub(super) address: String,
    /// `region/zone/subzone`
    pub(super) locality: String,
    /// `name.namespace`
    pub(super) workload: String,
    /// Each proxy's ejections.
    pub(super) ejections: Vec<ProxyEjection>,
    latest_ejection: HashMap<ProxyIndex, usize>,
    /// Each proxy's streaks, in order of time.
    pub(super) streaks: Vec<Streak>,
    /// Each proxy's blocked ejections, in order of time.
    pub(super) blocked: Vec<Blocked>,
    /// The proxies whose last word is that it fails, and when they told it: no event ends a streak without an ejection.
    pub(super) failing: BTreeMap<ProxyIndex, Millis>,
    /// The proxies that had trouble with it.
    pub(super) proxies: BTreeSet<ProxyIndex>,
    /// Its first trouble.
    pub(super) first: Millis,
}

/// One proxy's ejection of an endpoint.
#[derive(Debug)]
pub(super) struct ProxyEjection {
    /// When.
    pub(super) seen: Observation,
    /// `consecutive_5xx` and the like; empty if the log does not have its beginning.
    pub(super) reason: Name,
    /// `inferred`, `witnessed` or empty.
    pub(super) basis: Name,
    /// How it ended; none while it has not, or if the log does not tell.
    pub(super) ended: Option<EjectionEnd>,
}

/// How often each kind of gap was met.
#[derive(Default)]
struct Missing {
    /// From when on there are events because no earlier ones were asked for.
    since: Option<Millis>,
    /// As [`away::told_after`] has it.
    told_after: Option<Millis>,
    beginnings: u64,
    /// Those of failovers among them.
    failovers: u64,
    ends: u64,
    suppressed: u64,
    suppressing: BTreeSet<ProxyIndex>,
    rejected: BTreeMap<String, BTreeSet<ProxyIndex>>,
}

impl Trace {
    /// Follows every proxy through the window, and what was going on in it from its beginning.
    pub(super) fn of(input: &Input, window: &Window) -> Self {
        let mut trace = Self::default();
        let mut missing = Missing { since: input.since, told_after: window.told_after, ..Missing::default() };
        let mut next = window.restarts.iter().peekable();
        for record in window.before.iter().chain(&input.records) {
            let (proxy, event) = (record.proxy, &record.event);
            while let Some(restart) = next.next_if(|restart| restart.at <= event.at) {
                trace.clusters.values_mut().for_each(|cluster| cluster.end_of_process(restart));
            }
            match &event.kind {
                Kind::EventsSuppressed { count, .. } => {
                    missing.suppressed = missing.suppressed.saturating_add(*count);
                    missing.suppressing.insert(proxy);
                }
                Kind::ConfigRejected { error } => {
                    missing.rejected.entry(error.to_string()).or_default().insert(proxy);
                }
                // It is about a pod and no cluster.
                Kind::HotSwitch(_) => {}
                _ => {
                    let cluster = trace.cluster(proxy, event, event.at);
                    cluster.last = event.at;
                    cluster.follow(proxy, event, &mut missing);
                }
            }
        }
        for record in &window.after {
            let cluster = trace.cluster(record.proxy, &record.event, window.until.unwrap_or(record.event.at));
            cluster.ends_later(record.proxy, &record.event, &mut missing);
        }
        for cluster in trace.clusters.values_mut() {
            next.clone().for_each(|restart| cluster.end_of_process(restart));
            cluster.extend_open(input.ends.unwrap_or_default());
        }
        trace.gaps = missing.gaps();
        trace
    }

    /// What is known of an event's cluster; if it is the first event about it, that was then.
    fn cluster(&mut self, proxy: ProxyIndex, event: &Event, at: Millis) -> &mut ClusterTrace {
        let new = || ClusterTrace { first: at, last: at, ..ClusterTrace::default() };
        let cluster = self.clusters.entry(Name::clone(&event.cluster)).or_insert_with(new);
        cluster.proxies.insert(proxy);
        cluster
    }
}

impl ClusterTrace {
    fn follow(&mut self, proxy: ProxyIndex, event: &Event, missing: &mut Missing) {
        match &event.kind {
            Kind::ErrorStreak { kind, streak, last, .. } => {
                let failure = self.failure(kind, last);
                let streak = Streak { at: event.at, kind: kind.to_string(), errors: *streak, failure };
                self.endpoint(proxy, event).fails(proxy, event.at).streaks.push(streak);
            }
            Kind::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
                let (reason, cap) = (reason.to_string(), (*max_ejection_percent, *endpoints));
                self.endpoint(proxy, event).fails(proxy, event.at).blocked.push(Blocked { at: event.at, reason, cap });
            }
            Kind::EndpointEjected { reason, .. } => self.endpoint(proxy, event).eject(proxy, event, reason, missing),
            Kind::EndpointReturned { ejected_seconds } => {
                self.comes_home(proxy, event);
                let end = (EjectionEnd::Returned, millis(*ejected_seconds));
                self.endpoint(proxy, event).uneject(proxy, event, end, missing);
            }
            Kind::EndpointRemoved { ejected_seconds } => {
                self.comes_home(proxy, event);
                let end = (EjectionEnd::Removed, millis(*ejected_seconds));
                self.endpoint(proxy, event).uneject(proxy, event, end, missing);
            }
            Kind::FailoverStarted(route) => self.start_failover(proxy, event.at, route, missing),
            Kind::FailoverChanged(route) => self.change_failover(proxy, event.at, route, missing),
            Kind::FailoverEnded { .. } => self.end_failover(proxy, event, missing),
            Kind::NoHealthyUpstream { .. } => {
                if let Some(failover) = self.open_failover(proxy) {
                    failover.may_shrink(event.at);
                }
                if self.open_outage(proxy).is_none() {
                    self.add_outage(Observation::beginning(proxy, event.at));
                }
            }
            Kind::UpstreamRecovered { seconds } => {
                match self.open_outage(proxy) {
                    Some(open) => open.end(event.at),
                    None => {
                        missing.beginnings += 1;
                        self.add_outage(Observation::ending(proxy, event.at, millis(*seconds)));
                    }
                }
                // Nothing healthy was left, so that no endpoint stayed in rotation.
                for endpoint in self.endpoints.values_mut() {
                    endpoint.failing.remove(&proxy);
                }
            }
            _ => {}
        }
    }

    /// What an event ends after the window, and has no beginning, is open in it.
    fn ends_later(&mut self, proxy: ProxyIndex, event: &Event, missing: &mut Missing) {
        self.follow(proxy, event, missing);
        match &event.kind {
            Kind::FailoverEnded { .. } => self.failovers.last_mut().into_iter().for_each(ProxyFailover::reopen),
            Kind::UpstreamRecovered { .. } => self.outages.last_mut().into_iter().for_each(|seen| seen.open = true),
            _ => {
                let endpoint = self.endpoint(proxy, event);
                if let Some(ejection) = endpoint.ejections.last_mut() {
                    ejection.seen.open = true;
                    ejection.ended = None;
                    endpoint.first = endpoint.first.min(ejection.seen.span.from);
                }
            }
        }
    }

    fn failure(&mut self, kind: &Name, last: &Last) -> Failure {
        match &self.concluded {
            Some(((of_kind, of_last), failure)) if of_kind == kind && of_last == last => *failure,
            _ => {
                let failure = Failure::of(kind, last);
                self.concluded = Some(((Name::clone(kind), last.clone()), failure));
                failure
            }
        }
    }

    /// Nobody sees what goes on after a process has ended, and the next one begins with nothing.
    fn end_of_process(&mut self, restart: &Restart) {
        let (proxy, at) = (restart.proxy, restart.lived_until);
        for endpoint in self.endpoints.values_mut() {
            if let Some(open) = endpoint.open_ejection(proxy) {
                open.seen.end(at);
            }
        }
        if let Some(open) = self.open_failover(proxy) {
            open.end(at);
            open.because = PROXY_RESTARTED.into();
        }
        if let Some(open) = self.open_outage(proxy) {
            open.end(at);
        }
    }

    fn start_failover(&mut self, proxy: ProxyIndex, at: Millis, route: &Route, missing: &mut Missing) {
        if let Some(open) = self.open_failover(proxy) {
            open.end(at);
            missing.ends += 1;
        }
        let home = self.home(proxy, route);
        self.add_failover(ProxyFailover::along(Observation::beginning(proxy, at), route, at, home));
    }

    fn change_failover(&mut self, proxy: ProxyIndex, at: Millis, route: &Route, missing: &mut Missing) {
        let home = self.home(proxy, route);
        match self.open_failover(proxy) {
            Some(open) => open.turn(route, at, home),
            None => {
                missing.beginnings += 1;
                missing.failovers += 1;
                let seen = Observation { began_earlier: true, ..Observation::beginning(proxy, at) };
                self.add_failover(ProxyFailover::along(seen, route, at, home));
            }
        }
    }

    fn end_failover(&mut self, proxy: ProxyIndex, event: &Event, missing: &mut Missing) {
        let Kind::FailoverEnded { from, to, seconds, requests_away, errors_away, destinations, because } = &event.kind
        else {
            return;
        };
        let (at, lasted) = (event.at, millis(*seconds));
        // Home is watched for a while before the end is told; where it has changed, that is told at once.
        let last_away = away::last_away(at, because, missing.told_after.unwrap_or(TOLD_AFTER_MS));
        if self.open_failover(proxy).is_none() {
            missing.beginnings += 1;
            missing.failovers += 1;
            let seen = Observation::ending(proxy, last_away, lasted);
            let route = Route { from: from.clone(), to: to.clone(), ..Route::default() };
            let began = Observation { open: true, ..seen };
            let began = ProxyFailover::along(began, &route, seen.span.from, Home::Other);
            self.add_failover(began);
        }
        let Some(failover) = self.open_failover(proxy) else { return };
        // It is over when it is seen to be; traffic went away until then or earlier.
        let end = if failover.seen.began_earlier {
            let from = failover.seen.span.from.min(last_away.saturating_sub(lasted));
            failover.seen.span = Span::new(from, failover.seen.span.to);
            last_away
        } else {
            at.min(failover.seen.span.from.saturating_add(lasted))
        };
        failover.end(end);
        (failover.requests, failover.errors) = (*requests_away, *errors_away);
        failover.received.clone_from(destinations);
        failover.because = if because.is_empty() { "ended".into() } else { because.clone() };
    }

    /// What is left at home, as this proxy's events tell.
    fn home(&mut self, proxy: ProxyIndex, route: &Route) -> Home {
        let nothing_else = route.share > 0.999 && route.healthy_at_home == 0 && route.endpoints_at_home > 0;
        if !nothing_else || self.open_outage(proxy).is_some() {
            return Home::Other;
        }
        let at_home = self.endpoints.values().filter(|endpoint| *endpoint.locality == *route.from);
        let out = at_home.filter(|endpoint| endpoint.is_out(proxy)).count() as u64;
        if out == route.endpoints_at_home { Home::AllOut } else { Home::Other }
    }

    /// An endpoint is ejected no more; where it is at home, traffic may come home.
    fn comes_home(&mut self, proxy: ProxyIndex, event: &Event) {
        if let Some(failover) = self.open_failover(proxy).filter(|failover| failover.from == event.locality) {
            failover.may_shrink(event.at);
        }
    }

    fn add_failover(&mut self, failover: ProxyFailover) {
        self.latest_failover.insert(failover.seen.proxy, self.failovers.len());
        self.failovers.push(failover);
    }

    fn add_outage(&mut self, seen: Observation) {
        self.latest_outage.insert(seen.proxy, self.outages.len());
        self.outages.push(seen);
    }

    fn open_failover(&mut self, proxy: ProxyIndex) -> Option<&mut ProxyFailover> {
        let latest = self.latest_failover.get(&proxy)?;
        self.failovers.get_mut(*latest).filter(|failover| failover.seen.open)
    }

    fn open_outage(&mut self, proxy: ProxyIndex) -> Option<&mut Observation> {
        let latest = self.latest_outage.get(&proxy)?;
        self.outages.get_mut(*latest).filter(|seen| seen.open)
    }

    fn endpoint(&mut self, proxy: ProxyIndex, event: &Event) -> &mut EndpointTrace {
        let new = || EndpointTrace { address: event.endpoint.to_string(), first: event.at, ..EndpointTrace::default() };
        let endpoint = self.endpoints.entry(Name::clone(&event.endpoint)).or_insert_with(new);
        endpoint.proxies.insert(proxy);
        for (known, told) in [(&mut endpoint.locality, &event.locality), (&mut endpoint.workload, &event.workload)] {
            if !told.is_empty() && **known != **told {
                *known = told.to_string();
            }
        }
        endpoint
    }

    /// Extends what is open to the end of the log.
    fn extend_open(&mut self, end: Millis) {
        let ejections =
            self.endpoints.values_mut().flat_map(|e| e.ejections.iter_mut().map(|ejection| &mut ejection.seen));
        for seen in ejections.chain(&mut self.outages).filter(|seen| seen.open) {
            seen.span = Span::new(seen.span.from, end);
        }
        for failover in self.failovers.iter_mut().filter(|failover| failover.seen.open) {
            failover.extend(end);
        }
    }
}

impl EndpointTrace {
    /// It fails, and may stay in rotation.
    fn fails(&mut self, proxy: ProxyIndex, at: Millis) -> &mut Self {
        // Where it is out, its return ends that too: what fails then was under way.
        if !self.is_out(proxy) {
            self.failing.insert(proxy, at);
        }
        self
    }

    fn eject(&mut self, proxy: ProxyIndex, event: &Event, reason: &Name, missing: &mut Missing) {
        self.failing.remove(&proxy);
        if let Some(open) = self.open_ejection(proxy) {
            open.seen.end(event.at);
            missing.ends += 1;
        }
        let seen = Observation::beginning(proxy, event.at);
        let (reason, basis) = (Name::clone(reason), Name::clone(&event.basis));
        self.add_ejection(ProxyEjection { seen, reason, basis, ended: None });
    }

    /// Ends an ejection; `end` is how, and after which time by the event.
    fn uneject(&mut self, proxy: ProxyIndex, event: &Event, end: (EjectionEnd, Millis), missing: &mut Missing) {
        let (how, ejected_for) = end;
        self.failing.remove(&proxy);
        match self.open_ejection(proxy) {
            Some(open) => {
                open.seen.end(event.at);
                open.ended = Some(how);
            }
            None => {
                missing.beginnings += 1;
                let seen = Observation::ending(proxy, event.at, ejected_for);
                self.first = self.first.min(seen.span.from);
                let (reason, basis) = (Name::default(), Name::clone(&event.basis));
                self.add_ejection(ProxyEjection { seen, reason, basis, ended: Some(how) });
            }
        }
    }

    fn add_ejection(&mut self, ejection: ProxyEjection) {
        self.latest_ejection.insert(ejection.seen.proxy, self.ejections.len());
        self.ejections.push(ejection);
    }

    fn is_out(&self, proxy: ProxyIndex) -> bool {
        let latest = self.latest_ejection.get(&proxy).and_then(|latest| self.ejections.get(*latest));
        latest.is_some_and(|ejection| ejection.seen.open)
    }

    fn open_ejection(&mut self, proxy: ProxyIndex) -> Option<&mut ProxyEjection> {
        let latest = self.latest_ejection.get(&proxy)?;
        self.ejections.get_mut(*latest).filter(|ejection| ejection.seen.open)
    }
}

impl Missing {
    fn gaps(self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        if self.suppressed > 0 {
            gaps.push(Gap::Suppressed { events: self.suppressed, proxies: self.suppressing.len() });
        }
        if self.beginnings > 0 {
            let Self { beginnings, failovers, since, told_after, .. } = self;
            gaps.push(Gap::MissingBeginnings { things: beginnings, failovers, since, told_after });
        }
        if self.ends > 0 {
            gaps.push(Gap::MissingEnds(self.ends));
        }
        let rejected = self.rejected.into_iter();
        gaps.extend(rejected.map(|(error, proxies)| Gap::ConfigRejected { error, proxies: proxies.len() }));
        gaps
    }
}
