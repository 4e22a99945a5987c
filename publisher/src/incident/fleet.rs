//! A fleet's story in numbers: one incident for each service and Kubernetes cluster. The numbers come from all events
//! that were read, or from an engine that computes them where there are too many to be read.
//!
//! JSON writes these types as they are, so the keys in their `serde` attributes are public.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use filter_core::time::Millis;
use serde::Serialize;

use super::logs::event::{Event, Kind, Name, Route};
use super::logs::input::{Input, ProxyIndex};
use super::names;
use super::window::Window;
use super::written::time;

/// From so many proxies on it is a fleet, as it is with several Kubernetes clusters.
const LEAST_PROXIES: u64 = 100;

/// Of the endpoints that were ejected, so many are named.
pub(crate) const MOST_ENDPOINTS: usize = 5;

/// The whole.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fleet {
    /// Events in all.
    pub(crate) events: u64,
    /// Proxies with an event.
    pub(crate) proxies: u64,
    /// Proxies that were heard of, with an event or without.
    pub(crate) proxies_heard_of: u64,
    /// Whether an engine told of them, which knows only those of whose filter there is a line.
    #[serde(skip)]
    pub(crate) is_of_engine: bool,
    /// How many proxies' whole logs were read; everything but these numbers is of them alone.
    pub(crate) timeline_of: u64,
    /// The engine's query for all of it, as an address; empty without an engine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) link: String,
    /// Hit worst first.
    pub(crate) incidents: Vec<FleetIncident>,
    /// How many more there are.
    pub(crate) more_incidents: u64,
}

/// What happened to one service in one Kubernetes cluster.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FleetIncident {
    /// A short name for people.
    pub(crate) service: String,
    /// Envoy's name.
    pub(crate) cluster: String,
    /// Where the proxies are; empty where nothing tells.
    pub(crate) kubernetes_cluster: String,
    /// How many of them saw it.
    pub(crate) proxies: u64,
    /// How many of them were heard of at all. How many talk to the service is not known.
    pub(crate) proxies_heard_of: u64,
    /// Events about it.
    pub(crate) events: u64,
    /// The first event.
    #[serde(serialize_with = "time")]
    pub(crate) first: Millis,
    /// The last event.
    #[serde(serialize_with = "time")]
    pub(crate) last: Millis,
    /// Requests served away, of the proxies whose failover is over.
    pub(crate) requests_away: u64,
    /// Errors among them.
    pub(crate) errors_away: u64,
    /// How many proxies' failovers were not over at the end.
    pub(crate) open: u64,
    /// How many proxies found no healthy endpoint.
    pub(crate) without_healthy: u64,
    /// Where traffic went, most proxies first.
    pub(crate) failovers: Vec<FleetRoute>,
    /// How many endpoints were ejected.
    pub(crate) ejected_endpoints: u64,
    /// Those that most proxies ejected.
    pub(crate) endpoints: Vec<FleetEndpoint>,
    /// The engine's query for its events, as an address; empty without an engine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) link: String,
}

/// A way that traffic went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FleetRoute {
    /// The locality that lost.
    pub(crate) from: String,
    /// The one that received most.
    pub(crate) to: String,
    /// How far it is: `same_zone`, `same_region`, `elsewhere`.
    pub(crate) tier: String,
    /// How many proxies went that way.
    pub(crate) proxies: u64,
    /// The greatest share that a proxy told, 0 to 1.
    pub(crate) worst_share: f64,
    /// The median of the shares that were told.
    pub(crate) median_share: f64,
}

/// An endpoint that was ejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FleetEndpoint {
    /// `ip:port`
    pub(crate) address: String,
    /// `region/zone/subzone`
    pub(crate) locality: String,
    /// How many proxies ejected it.
    pub(crate) proxies: u64,
    /// Whether that is an estimate of the engine's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) estimated: bool,
    /// The first time.
    #[serde(serialize_with = "time")]
    pub(crate) first: Millis,
}

impl Fleet {
    /// Whether there is more than one picks up at a glance.
    pub(crate) fn is_large(&self) -> bool {
        let clusters: BTreeSet<&str> = self.incidents.iter().map(|one| one.kubernetes_cluster.as_str()).collect();
        clusters.len() > 1 || self.proxies > LEAST_PROXIES
    }

    /// Whether some proxies' logs were not read.
    pub(crate) fn is_sampled(&self) -> bool {
        self.timeline_of < self.proxies
    }

    /// When the first and the last event were; none if there is no incident.
    pub(crate) fn times(&self) -> Option<(Millis, Millis)> {
        let first = self.incidents.iter().map(|one| one.first).min()?;
        Some((first, self.incidents.iter().map(|one| one.last).max()?))
    }

    /// Notes how many proxies were heard of in each Kubernetes cluster.
    pub(crate) fn hear(&mut self, of: &BTreeMap<String, u64>) {
        for one in &mut self.incidents {
            let heard_of = of.get(&one.kubernetes_cluster).copied().unwrap_or_default();
            // Between two questions to an engine more may have come.
            one.proxies_heard_of = heard_of.max(one.proxies);
        }
        self.proxies_heard_of = of.values().fold(0, |sum, n| u64::saturating_add(sum, *n)).max(self.proxies);
    }

    /// Leaves out all but so many incidents.
    pub(crate) fn shorten(&mut self, most: usize) {
        self.more_incidents = self.incidents.len().saturating_sub(most) as u64;
        self.incidents.truncate(most);
    }

    /// Puts what was hit worst first, and names the services.
    pub(crate) fn sort(&mut self) {
        for one in &mut self.incidents {
            one.service = names::service(&one.cluster).to_owned();
            one.failovers.sort_by_key(|route| Reverse(route.proxies));
            one.endpoints.sort_by(|a, b| (b.proxies, &a.address).cmp(&(a.proxies, &b.address)));
            one.endpoints.truncate(MOST_ENDPOINTS);
        }
        let key = |one: &FleetIncident| (one.without_healthy, one.errors_away, one.requests_away, one.proxies);
        self.incidents.sort_by(|a, b| {
            key(b)
                .cmp(&key(a))
                .then_with(|| (&a.cluster, &a.kubernetes_cluster).cmp(&(&b.cluster, &b.kubernetes_cluster)))
        });
    }

    /// The numbers of all that was read of a window.
    pub(crate) fn of(input: &Input, window: &Window) -> Self {
        let mut all: BTreeMap<(&str, Name), Seen<'_>> = BTreeMap::new();
        let mut proxies = BTreeSet::new();
        let mut bypassing = BTreeSet::new();
        for record in window.beside() {
            proxies.insert(record.proxy);
            let key = (input.kubernetes_cluster(record.proxy), Name::clone(&record.event.cluster));
            let seen = all.entry(key).or_default();
            seen.goes_on(record.proxy, &record.event, window.until);
        }
        for record in &input.records {
            // What hot-switch's agents write is no proxy's.
            let writers = if matches!(record.event.kind, Kind::HotSwitch(_)) { &mut bypassing } else { &mut proxies };
            writers.insert(record.proxy);
            if !record.event.cluster.is_empty() {
                let key = (input.kubernetes_cluster(record.proxy), Name::clone(&record.event.cluster));
                all.entry(key).or_default().take(record.proxy, &record.event);
            }
        }
        let incident = |((kubernetes_cluster, cluster), seen): ((&str, Name), Seen<'_>)| FleetIncident {
            cluster: cluster.to_string(),
            kubernetes_cluster: kubernetes_cluster.to_owned(),
            ..seen.incident()
        };
        let mut fleet = Self {
            events: input.records.len() as u64,
            proxies: proxies.len() as u64,
            is_of_engine: input.is_of_engine,
            timeline_of: proxies.len() as u64,
            incidents: all.into_iter().map(incident).collect(),
            ..Self::default()
        };
        let mut heard_of: BTreeMap<String, u64> = BTreeMap::new();
        for (proxy, kubernetes_cluster) in input.places() {
            if proxies.contains(&proxy) || !bypassing.contains(&proxy) {
                *heard_of.entry(kubernetes_cluster.to_owned()).or_default() += 1;
            }
        }
        fleet.hear(&heard_of);
        fleet.sort();
        fleet
    }
}

/// What was seen of one service in one Kubernetes cluster.
#[derive(Default)]
struct Seen<'e> {
    incident: FleetIncident,
    proxies: BTreeSet<ProxyIndex>,
    open: BTreeSet<ProxyIndex>,
    without_healthy: BTreeSet<ProxyIndex>,
    /// By from, to and tier.
    routes: BTreeMap<[&'e str; 3], Told>,
    /// By address: the locality, the first time, the proxies.
    ejected: BTreeMap<&'e str, (&'e str, Millis, BTreeSet<ProxyIndex>)>,
}

/// Who went a way, and the shares that they told.
#[derive(Default)]
struct Told {
    proxies: BTreeSet<ProxyIndex>,
    shares: Vec<f64>,
}

impl<'e> Seen<'e> {
    /// What an event before the window began, or one after it ends.
    fn goes_on(&mut self, proxy: ProxyIndex, event: &'e Event, until: Option<Millis>) {
        let at = until.map_or(event.at, |until| event.at.min(until));
        match &event.kind {
            Kind::FailoverEnded { from, to, .. } => {
                self.open.insert(proxy);
                self.routes.entry([from, to, ""]).or_default().proxies.insert(proxy);
            }
            Kind::EndpointReturned { .. } | Kind::EndpointRemoved { .. } => self.ejects(proxy, event, at),
            Kind::UpstreamRecovered { .. } => drop(self.without_healthy.insert(proxy)),
            _ => self.follow(proxy, event),
        }
        self.is_about(proxy, at);
    }

    fn take(&mut self, proxy: ProxyIndex, event: &'e Event) {
        self.incident.events += 1;
        self.is_about(proxy, event.at);
        self.follow(proxy, event);
    }

    fn is_about(&mut self, proxy: ProxyIndex, at: Millis) {
        if self.proxies.is_empty() {
            self.incident.first = at;
        }
        self.incident.first = self.incident.first.min(at);
        self.incident.last = self.incident.last.max(at);
        self.proxies.insert(proxy);
    }

    fn ejects(&mut self, proxy: ProxyIndex, event: &'e Event, at: Millis) {
        let new = || (&*event.locality, at, BTreeSet::new());
        self.ejected.entry(&event.endpoint).or_insert_with(new).2.insert(proxy);
    }

    fn follow(&mut self, proxy: ProxyIndex, event: &'e Event) {
        let incident = &mut self.incident;
        match &event.kind {
            Kind::EndpointEjected { .. } => self.ejects(proxy, event, event.at),
            Kind::FailoverStarted(route) | Kind::FailoverChanged(route) => {
                self.open.insert(proxy);
                let Route { from, to, tier, share, .. } = route;
                let told = self.routes.entry([from, to, tier]).or_default();
                told.proxies.insert(proxy);
                told.shares.push(*share);
            }
            Kind::FailoverEnded { requests_away, errors_away, .. } => {
                self.open.remove(&proxy);
                incident.requests_away = incident.requests_away.saturating_add(*requests_away);
                incident.errors_away = incident.errors_away.saturating_add(*errors_away);
            }
            Kind::NoHealthyUpstream { .. } => {
                self.without_healthy.insert(proxy);
            }
            _ => {}
        }
    }

    fn incident(self) -> FleetIncident {
        let route = |([from, to, tier], mut told): ([&str; 3], Told)| {
            told.shares.sort_by(f64::total_cmp);
            FleetRoute {
                from: from.to_owned(),
                to: to.to_owned(),
                tier: tier.to_owned(),
                proxies: told.proxies.len() as u64,
                worst_share: told.shares.last().copied().unwrap_or_default(),
                median_share: told.shares.get(told.shares.len() / 2).copied().unwrap_or_default(),
            }
        };
        let endpoint = |(address, (locality, first, proxies)): (&str, (&str, Millis, BTreeSet<ProxyIndex>))| {
            let (address, locality) = (address.to_owned(), locality.to_owned());
            FleetEndpoint { address, locality, proxies: proxies.len() as u64, estimated: false, first }
        };
        FleetIncident {
            proxies: self.proxies.len() as u64,
            open: self.open.len() as u64,
            without_healthy: self.without_healthy.len() as u64,
            failovers: self.routes.into_iter().map(route).collect(),
            ejected_endpoints: self.ejected.len() as u64,
            endpoints: self.ejected.into_iter().map(endpoint).collect(),
            ..self.incident
        }
    }
}
