//! mocka, mockb and mockc: three services that call each other, one instance of each in every zone, and a sidecar for
//! each instance that calls another service.
//!
//! An instance answers with the chain of instances that served the call, `mocka(zone) -> mockb(zone) -> mockc(zone)`,
//! and passes on any error that it gets. Every sidecar knows all three services, by discovery from files. Only outgoing
//! calls pass a sidecar, so the filter runs on the caller's side.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use crate::endpoints::Upstream;
use crate::envoy::bootstrap::{Bootstrap, Cluster, Retries};
use crate::envoy::outlier::OutlierDetection;
use crate::envoy::proxy::Envoy;
use crate::envoy::topology::{Endpoint, Locality};
use crate::net::http::Client;
use crate::zones::ZONES;

/// The path whose requests are not retried.
pub(super) const ONCE: &str = "/once";

/// Sidecars that are started at the same time.
const AT_A_TIME: usize = 2;

/// Connections that an instance keeps to its sidecar: several, for Envoy's workers.
const CONNECTIONS: usize = 4;

/// A service; each calls the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    MockA,
    MockB,
    MockC,
}

impl Service {
    pub(super) const ALL: [Self; 3] = [Self::MockA, Self::MockB, Self::MockC];

    pub(super) fn name(self) -> &'static str {
        ["mocka", "mockb", "mockc"][self as usize]
    }

    /// The service that this one calls.
    fn next(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }

    /// The service's cluster, as Istio names it.
    pub(super) fn cluster_name(self) -> String {
        format!("outbound|8000||{}", self.host())
    }

    /// The authority of requests to the service.
    pub(super) fn host(self) -> String {
        format!("{}.default.svc.cluster.local", self.name())
    }
}

/// One of [`ZONES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    ApNortheast1a,
    ApNortheast1b,
    HangzhouH,
    HangzhouK,
}

impl Zone {
    pub(super) const ALL: [Self; 4] = [Self::ApNortheast1a, Self::ApNortheast1b, Self::HangzhouH, Self::HangzhouK];

    /// The whole locality, `region/zone`.
    pub(super) fn locality(self) -> &'static str {
        ZONES[self as usize]
    }
}

/// All instances.
#[derive(Debug)]
pub(super) struct Services {
    // By service, then by zone.
    instances: Vec<Vec<Upstream>>,
}

impl Services {
    /// Starts all instances, healthy. They do not call other services before [`Services::connect`].
    ///
    /// # Errors
    /// If no port is free.
    pub(super) fn start() -> Result<Self> {
        let in_zones = |service: Service| Zone::ALL.iter().map(|zone| Upstream::start(&name(service, *zone))).collect();
        Ok(Self { instances: Service::ALL.into_iter().map(in_zones).collect::<Result<_>>()? })
    }

    /// The instance of a service in a zone.
    pub(super) fn at(&self, service: Service, zone: Zone) -> &Upstream {
        &self.instances[service as usize][zone as usize]
    }

    /// Starts a sidecar for each instance that calls another service: those of mocka in the order of the zones, then
    /// those of mockb. Each has its name.
    ///
    /// # Errors
    /// If one does not start.
    pub(super) fn start_sidecars(
        &self,
        module: &Path,
        program: Option<PathBuf>,
        rules: &OutlierDetection,
    ) -> Result<Vec<(String, Envoy)>> {
        let start = |(service, zone): (Service, Zone)| {
            let clusters = Service::ALL.into_iter().map(|called| self.cluster(called, rules)).collect();
            let config = json!({
                "outlierDetection": rules.to_istio(),
                "failover": { "window": "1s", "endAfter": "1s" },
                "witness": {},
            });
            let mut bootstrap = Bootstrap::new(&Locality::new(zone.locality()), clusters);
            bootstrap = bootstrap.with_filter(module, &config.to_string());
            bootstrap.clusters_discovered = true;
            bootstrap.retries = Some(Retries::istio_default());
            bootstrap.program = program.clone();
            let name = format!("{}'s sidecar in {}", service.name(), short(zone.locality()));
            Ok((name.clone(), Envoy::start(&bootstrap).with_context(|| name)?))
        };
        let start = &start;
        let calling = Service::ALL.into_iter().filter(|service| service.next().is_some());
        let instances: Vec<_> = calling.flat_map(|service| Zone::ALL.map(|zone| (service, zone))).collect();
        let mut sidecars = Vec::new();
        // Each compiles the filter for each of its threads: more at a time would only wait for each other.
        for some in instances.chunks(AT_A_TIME) {
            let started: Vec<Result<(String, Envoy)>> = thread::scope(|scope| {
                let starting: Vec<_> = some.iter().map(|instance| scope.spawn(move || start(*instance))).collect();
                let joined = starting.into_iter().map(|one| one.join());
                joined.map(|one| one.unwrap_or_else(|_| Err(anyhow!("a start panicked")))).collect()
            });
            for sidecar in started {
                sidecars.push(sidecar?);
            }
        }
        Ok(sidecars)
    }

    /// Lets every instance call the next service through its sidecar.
    pub(super) fn connect(&self, sidecars: &[(String, Envoy)]) {
        for service in Service::ALL {
            for zone in Zone::ALL {
                let sidecar = sidecars.get(sidecar_index(service, zone));
                run(self.at(service, zone), service, sidecar.map(|(_, envoy)| envoy));
            }
        }
    }

    /// Replaces an instance with a new one at another address, which calls through the same sidecar. No proxy knows the
    /// new instance before its endpoints are delivered. Returns the old one.
    ///
    /// # Errors
    /// If no port is free.
    pub(super) fn replace(&mut self, service: Service, zone: Zone, sidecar: Option<&Envoy>) -> Result<Upstream> {
        let new = Upstream::start(&name(service, zone))?;
        run(&new, service, sidecar);
        Ok(std::mem::replace(&mut self.instances[service as usize][zone as usize], new))
    }

    /// A service's endpoints.
    pub(super) fn endpoints(&self, service: Service) -> Vec<Endpoint> {
        let endpoint = |zone: Zone| Endpoint {
            address: self.at(service, zone).address(),
            locality: Locality::new(zone.locality()),
        };
        Zone::ALL.into_iter().map(endpoint).collect()
    }

    fn cluster(&self, service: Service, rules: &OutlierDetection) -> Cluster {
        let name = service.cluster_name();
        let mut cluster = Cluster::new(&name, self.endpoints(service), Some(rules.clone()));
        cluster.discovered = true;
        cluster.routes =
            vec![json!({ "name": "once", "match": { "prefix": ONCE }, "route": { "cluster": name, "timeout": "0s" } })];
        cluster
    }
}

/// The index of an instance's sidecar, in the order of [`Services::start_sidecars`].
pub(super) fn sidecar_index(service: Service, zone: Zone) -> usize {
    service as usize * Zone::ALL.len() + zone as usize
}

/// The chain of a call that was served in these zones.
pub(super) fn chain(zones: [Zone; 3]) -> String {
    let links: Vec<String> = Service::ALL.into_iter().zip(zones).map(|(service, zone)| name(service, zone)).collect();
    links.join(" -> ")
}

/// The zone without its region.
pub(super) fn short(locality: &str) -> &str {
    locality.rsplit('/').next().unwrap_or(locality)
}

fn name(service: Service, zone: Zone) -> String {
    format!("{}({})", service.name(), short(zone.locality()))
}

/// Makes an instance answer after calling the next service through its sidecar, if it has both.
fn run(instance: &Upstream, service: Service, sidecar: Option<&Envoy>) {
    let own = instance.name().to_owned();
    let (Some(sidecar), Some(next)) = (sidecar, service.next()) else {
        instance.run(move |_| (200, format!("{own}\n")));
        return;
    };
    let (target, host) = (sidecar.address(), next.host());
    // A connection is taken out while in use, so that simultaneous calls use different ones.
    let idle = Mutex::new((0..CONNECTIONS).map(|_| Client::new(target, &host)).collect::<VecDeque<_>>());
    instance.run(move |path| {
        let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut client = taken.unwrap_or_else(|| Client::new(target, &host));
        let (status, text) = match client.get(path) {
            Ok(answer) => (answer.status, answer.text()),
            Err(error) => (502, error.to_string()),
        };
        idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(client);
        (status, format!("{own} -> {}\n", text.trim_end()))
    });
}
