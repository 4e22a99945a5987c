//! What is open while logs are followed, and what has been seen so far.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use filter_core::time::Millis;

use super::logs::event::{Event, Kind, Name, Switched};
use super::logs::found::What;
use super::logs::reader::{Counts, Told};
use super::logs::remark::{Remark, Said};
use super::model::Gap;
use super::names;
use super::units::{Clock, clock_seconds, count, day, share};
use super::view::Phrase;
use super::wording::{gaps, phrase};

/// Events that are remembered, so that what comes again after a broken connection is not shown again.
const MOST_REMEMBERED: usize = 300_000;

/// What is shown before anything has happened.
pub(crate) const NO_EVENT_YET: &str = "no event yet; times are UTC";

/// An endpoint that fails without an ejection is shown for so long after it was told last: no event tells its end.
const SHOWN_FAILING_MS: Millis = 10 * 60_000;

/// As many names are written out; of more, only these.
const MOST_NAMES: usize = 2;

/// An event that was not seen before.
#[derive(Debug)]
pub(crate) struct News {
    /// The proxy's name, by its line or else by its file; empty if neither names one.
    pub(crate) proxy: String,
    /// Its day, if it is another one than that of the event before.
    pub(crate) new_day: Option<String>,
    /// What happened.
    pub(crate) event: Event,
    /// The event as it was logged.
    pub(crate) json: String,
    /// What it means.
    pub(crate) phrase: Phrase,
}

impl News {
    /// The proxy's name, or this one if none is known.
    pub(crate) fn proxy_or<'a>(&'a self, other: &'a str) -> &'a str {
        if self.proxy.is_empty() { other } else { &self.proxy }
    }
}

/// What has been seen and what is open.
#[derive(Default)]
pub(crate) struct Live {
    remembered: HashSet<(String, u64)>,
    oldest_first: VecDeque<(String, u64)>,
    proxies: BTreeSet<String>,
    /// Events that could not be read.
    unread: Counts,
    /// What was read of the logs that have ended.
    counts: Counts,
    events: u64,
    /// The times of the earliest event and of the latest.
    first: Option<Millis>,
    latest: Millis,
    /// The latest time that any record tells, event or not.
    now: Millis,
    /// What the filter warned of, and where.
    warnings: BTreeMap<Name, BTreeSet<String>>,
    day: Option<String>,
    ejections: u64,
    failovers: u64,
    open: Open,
    /// What was open at proxies that have stopped: nobody sees how it goes on there.
    at_stop: Open,
    /// Pods whose traffic goes past their proxies.
    bypassed: BTreeSet<Name>,
    /// The proxies that rejected a configuration. No event tells that a later one was accepted.
    rejecting: BTreeSet<String>,
}

/// What has begun at proxies and has not ended.
#[derive(Default)]
struct Open {
    ejected: BTreeSet<ProxyEndpoint>,
    /// Where to, and the share that was told last: no event tells that less goes away.
    away: BTreeMap<ProxyCluster, (String, f64)>,
    without_healthy: BTreeSet<ProxyCluster>,
    /// Endpoints that failed as often as it takes, without being ejected for it; with the last such time. No event
    /// tells that one serves again.
    kept: BTreeMap<ProxyEndpoint, Millis>,
}

/// A cluster as one proxy sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ProxyCluster {
    proxy: String,
    cluster: String,
}

/// An endpoint as one proxy sees it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ProxyEndpoint {
    of: ProxyCluster,
    endpoint: String,
}

impl Live {
    /// Takes in what a record told. `file` names the proxy where the record does not.
    pub(crate) fn take(&mut self, file: &str, told: Told) -> Option<News> {
        let found = match told {
            Told::Found(found) => found,
            Told::Time(at) => {
                self.now = self.now.max(at);
                return None;
            }
            _ => return None,
        };
        let source = found.source();
        let logged_at = found.logged_at();
        let (event, json) = match found.what {
            What::Event(event, json) => (*event, json),
            What::Remark(remark) => {
                let proxy = source.map_or_else(|| file.to_owned(), |source| source.path());
                let at = remark.at.or(logged_at).unwrap_or(self.latest);
                return self.remark(proxy, &remark, at);
            }
            What::Malformed | What::Timeless(_) => {
                self.unread.malformed += 1;
                return None;
            }
            What::Cut => {
                self.unread.cut += 1;
                return None;
            }
            What::LookAlike => {
                self.unread.look_alikes += 1;
                return None;
            }
        };
        let proxy = source.map_or_else(|| file.to_owned(), |source| source.path());
        if !self.remember((proxy.clone(), event.mark)) {
            return None;
        }
        self.proxies.insert(proxy.clone());
        self.first = Some(self.first.map_or(event.at, |first| first.min(event.at)));
        self.latest = self.latest.max(event.at);
        self.now = self.now.max(event.at);
        self.follow(&proxy, &event);
        Some(self.news(proxy, event, json))
    }

    /// Takes in what is no event. The first start of a proxy is none that one waits for.
    fn remark(&mut self, proxy: String, remark: &Remark, at: Millis) -> Option<News> {
        let event = remark.event(at);
        if !self.remember((proxy.clone(), event.mark)) {
            return None;
        }
        if remark.said == Said::Warning {
            if !remark.is_harmless() {
                self.warnings.entry(remark.text.clone()).or_default().insert(proxy.clone());
            }
        } else {
            let was_seen = self.proxies.contains(&proxy);
            let open = self.end_of_process(&proxy, remark.said);
            if !was_seen {
                return None;
            }
            let mut news = self.news(proxy, event, remark.json(at));
            if remark.said == Said::Stopped && !open.is_empty() {
                news.phrase.text = format!("{}; open then: {}", news.phrase.text, open.join("; "));
            }
            return Some(news);
        }
        let json = remark.json(at);
        Some(self.news(proxy, event, json))
    }

    /// A process has ended or begun: what it saw before, no event will end. Returns what that is, in words.
    fn end_of_process(&mut self, proxy: &str, said: Said) -> Vec<String> {
        self.rejecting.remove(proxy);
        let left = self.open.take_of(proxy);
        let told = left.parts(self.now.saturating_sub(SHOWN_FAILING_MS));
        if said == Said::Stopped {
            self.at_stop.add(left);
        } else {
            // The next process begins with nothing, and tells itself what is so.
            self.at_stop.take_of(proxy);
        }
        told
    }

    fn news(&mut self, proxy: String, event: Event, json: String) -> News {
        let phrase = phrase::of(&event);
        let today = day(event.at);
        let before = self.day.replace(today.clone());
        let new_day = before.filter(|before| *before != today).map(|_| today);
        News { proxy, new_day, event, json, phrase }
    }

    /// Takes in how much of a log was read that has ended.
    pub(crate) fn ended(&mut self, counts: Counts) {
        self.counts.add(counts);
    }

    /// What could not be read: of the logs that have ended all, of the others the events.
    pub(crate) fn unread(&self) -> Vec<Gap> {
        let Counts { cut, malformed, look_alikes, .. } = self.unread;
        let counts = Counts { cut, malformed, look_alikes, ..self.counts.clone() };
        Gap::of_counts(&counts)
    }

    /// Whether it is new.
    fn remember(&mut self, mark: (String, u64)) -> bool {
        if !self.remembered.insert(mark.clone()) {
            return false;
        }
        self.oldest_first.push_back(mark);
        if self.oldest_first.len() > MOST_REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.remembered.remove(&oldest);
        }
        true
    }

    fn follow(&mut self, proxy: &str, event: &Event) {
        self.events += 1;
        let cluster = ProxyCluster { proxy: proxy.to_owned(), cluster: event.cluster.to_string() };
        let endpoint = ProxyEndpoint { of: cluster.clone(), endpoint: event.endpoint.to_string() };
        // What a proxy tells while it stops may end what was open then.
        for open in [&mut self.open, &mut self.at_stop] {
            open.end(&cluster, &endpoint, &event.kind);
        }
        match &event.kind {
            // Where it is out, its return ends that too: what fails then was under way.
            Kind::ErrorStreak { ejects: false, .. } | Kind::EjectionBlocked { .. }
                if !self.open.ejected.contains(&endpoint) =>
            {
                self.open.kept.insert(endpoint, event.at);
            }
            Kind::EndpointEjected { .. } => {
                self.ejections += 1;
                self.open.ejected.insert(endpoint);
            }
            Kind::FailoverStarted(route) => {
                self.failovers += 1;
                self.open.away.insert(cluster, (route.to.to_string(), route.share));
            }
            Kind::FailoverChanged(route) => {
                self.open.away.insert(cluster, (route.to.to_string(), route.share));
            }
            Kind::NoHealthyUpstream { .. } => {
                self.open.without_healthy.insert(cluster);
            }
            Kind::ConfigRejected { .. } => {
                self.rejecting.insert(proxy.to_owned());
            }
            Kind::HotSwitch(switch) => match &switch.what {
                Switched::Bypassed { .. } | Switched::Adopted { .. } => drop(self.bypassed.insert(switch.pod.clone())),
                Switched::Restored { .. } => drop(self.bypassed.remove(&switch.pod)),
                _ => {}
            },
            _ => {}
        }
    }

    /// What is open, each endpoint and service once, however many proxies see it so.
    pub(crate) fn status(&self) -> String {
        let shown_since = self.now.saturating_sub(SHOWN_FAILING_MS);
        let mut open = self.open.parts(shown_since);
        if !self.bypassed.is_empty() {
            open.push(format!("bypassed: {}", some_of(self.bypassed.iter().map(|pod| &**pod))));
        }
        if !self.rejecting.is_empty() {
            open.push(format!("configuration rejected by {}", count(self.rejecting.len() as u64, "proxy")));
        }
        let at_stop = self.at_stop.parts(shown_since);
        if !at_stop.is_empty() {
            let stopped = count(self.at_stop.proxies() as u64, "proxy");
            open.push(format!("open when {stopped} stopped: {}", at_stop.join("; ")));
        }
        match open.is_empty() {
            true if self.events == 0 => NO_EVENT_YET.to_owned(),
            true => "all is well".to_owned(),
            false => open.join("; "),
        }
    }

    /// Where to look for the reason, if there was no event at all.
    pub(crate) fn no_events(&self) -> Option<String> {
        let warnings = self.warnings.iter().map(|(text, proxies)| (text.clone(), proxies.len())).collect();
        let all = || [self.unread(), Gap::of_warnings(&warnings)].concat();
        (self.events == 0).then(|| gaps::no_events(self.counts.lines, &all()))
    }

    /// What has been seen in all, and what is open now.
    pub(crate) fn summary(&self) -> String {
        let first = self.first.unwrap_or(self.latest);
        let clock = Clock::over(first, self.latest);
        let [begin, end] = [first, self.latest].map(|at| clock.seconds(at));
        let when = if begin == end { format!("at {begin}") } else { format!("{begin} to {end}") };
        format!(
            "{} of {}, {when} UTC: {}, {}; now: {}",
            count(self.events, "event"),
            count(self.proxies.len() as u64, "proxy"),
            count(self.ejections, "ejection"),
            count(self.failovers, "failover"),
            self.status()
        )
    }
}

impl Open {
    /// Takes out what one proxy saw.
    fn take_of(&mut self, proxy: &str) -> Self {
        Self {
            ejected: self.ejected.extract_if(.., |ejected| ejected.of.proxy == proxy).collect(),
            away: self.away.extract_if(.., |of, _| of.proxy == proxy).collect(),
            without_healthy: self.without_healthy.extract_if(.., |of| of.proxy == proxy).collect(),
            kept: self.kept.extract_if(.., |kept, _| kept.of.proxy == proxy).collect(),
        }
    }

    fn add(&mut self, mut other: Self) {
        self.ejected.append(&mut other.ejected);
        self.away.append(&mut other.away);
        self.without_healthy.append(&mut other.without_healthy);
        self.kept.append(&mut other.kept);
    }

    /// Takes out what an event ends.
    fn end(&mut self, cluster: &ProxyCluster, endpoint: &ProxyEndpoint, by: &Kind) {
        match by {
            Kind::EndpointEjected { .. } => drop(self.kept.remove(endpoint)),
            Kind::EndpointReturned { .. } | Kind::EndpointRemoved { .. } => {
                self.kept.remove(endpoint);
                self.ejected.remove(endpoint);
            }
            Kind::FailoverEnded { .. } => drop(self.away.remove(cluster)),
            Kind::UpstreamRecovered { .. } => {
                self.without_healthy.remove(cluster);
                // Nothing healthy was left, so that no endpoint stayed in rotation.
                self.kept.retain(|kept, _| kept.of != *cluster);
            }
            _ => {}
        }
    }

    /// How many proxies see something open.
    fn proxies(&self) -> usize {
        let of_endpoints = self.ejected.iter().chain(self.kept.keys()).map(|endpoint| &endpoint.of);
        let of_clusters = self.away.keys().chain(&self.without_healthy);
        of_endpoints.chain(of_clusters).map(|of| of.proxy.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// Each endpoint and service once, however many proxies see it so; of those that fail without an ejection the ones
    /// that were told of since then.
    fn parts(&self, shown_since: Millis) -> Vec<String> {
        let ejected: BTreeSet<&str> = self.ejected.iter().map(|ejected| ejected.endpoint.as_str()).collect();
        let away = self.away();
        let without: BTreeSet<&str> = self.without_healthy.iter().map(|of| names::service(&of.cluster)).collect();
        let mut open = Vec::new();
        if !away.is_empty() {
            open.push(format!("away: {}", some_of(away.iter().map(String::as_str))));
        }
        if !ejected.is_empty() {
            open.push(format!("{} ejected", count(ejected.len() as u64, "endpoint")));
        }
        let shown = || self.kept.iter().filter(|(_, last)| **last >= shown_since);
        let kept: BTreeSet<&str> = shown().map(|(kept, _)| kept.endpoint.as_str()).collect();
        if let Some(last) = shown().map(|(_, last)| last).max() {
            let failing = some_of(kept.iter().copied());
            open.push(format!("failing without ejection: {failing} (last told at {})", clock_seconds(*last)));
        }
        if !without.is_empty() {
            open.push(format!("nothing healthy: {}", some_of(without.iter().copied())));
        }
        open
    }

    /// `mockb.default → ap-northeast-1b (up to 100 %)`, each once, with the greatest share of all proxies.
    fn away(&self) -> Vec<String> {
        let mut shares: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for (of, (to, share)) in &self.away {
            let known = shares.entry((names::service(&of.cluster), names::locality(to))).or_default();
            *known = known.max(*share);
        }
        let told = |((service, to), of): ((&str, &str), f64)| match of {
            of if of > 0.0 => format!("{service} → {to} ({})", share(of, true)),
            _ => format!("{service} → {to}"),
        };
        shares.into_iter().map(told).collect()
    }
}

/// The first few names, so that a line stays a line.
fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let all = names.len();
    let few: Vec<&str> = names.take(MOST_NAMES).collect();
    if all > few.len() { format!("{} and {} more", few.join(", "), all - few.len()) } else { few.join(", ") }
}
