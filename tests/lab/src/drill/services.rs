//! mocka, mockb and mockc: three services that call each other, one instance of each in every zone, and a sidecar for each
//! instance that calls somebody.
//!
//! An instance answers with the chain of who served the call, `mocka(zone) -> mockb(zone) -> mockc(zone)`, and hands on an
//! error that it gets. Every sidecar knows all three services, by discovery from files. What comes in does not pass a
//! sidecar: the filter stands where calls go out.

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

/// The services, in the order in which they call each other.
pub(super) const SERVICES: [&str; 3] = ["mocka", "mockb", "mockc"];

/// The path whose requests are not retried.
pub(super) const ONCE: &str = "/once";

/// Sidecars that are started at the same time.
const AT_A_TIME: usize = 2;

/// All instances.
#[derive(Debug)]
pub(super) struct Services {
    // By service, then by zone.
    instances: Vec<Vec<Upstream>>,
}

impl Services {
    /// Starts them, healthy. They call nobody before [`Services::connect`].
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) fn start() -> Result<Self> {
        let in_zones = |service: &&str| ZONES.iter().map(|zone| Upstream::start(&name(service, zone))).collect();
        Ok(Self { instances: SERVICES.iter().map(in_zones).collect::<Result<_>>()? })
    }

    /// The instance of a service in a zone, by their indices.
    pub(super) fn at(&self, service: usize, zone: usize) -> &Upstream {
        &self.instances[service][zone]
    }

    /// Starts a sidecar for each instance that calls somebody: mocka's in the order of the zones, then mockb's, each behind
    /// its name.
    ///
    /// # Errors
    /// When one does not start.
    pub(super) fn start_sidecars(
        &self,
        module: &Path,
        program: Option<PathBuf>,
        rules: &OutlierDetection,
    ) -> Result<Vec<(String, Envoy)>> {
        let start = |service: usize, zone: usize| {
            let clusters = (0..SERVICES.len()).map(|called| self.cluster(called, rules)).collect();
            let config = json!({
                "outlierDetection": rules.to_istio(),
                "failover": { "window": "1s", "endAfter": "1s" },
                "witness": {},
            });
            let mut bootstrap = Bootstrap::new(&Locality::new(ZONES[zone]), clusters);
            bootstrap = bootstrap.with_filter(module, &config.to_string());
            bootstrap.clusters_discovered = true;
            bootstrap.retries = Some(Retries::istio_default());
            bootstrap.program = program.clone();
            let name = format!("{}'s sidecar in {}", SERVICES[service], short(ZONES[zone]));
            Ok((name.clone(), Envoy::start(&bootstrap).with_context(|| name)?))
        };
        let start = &start;
        let places: Vec<(usize, usize)> =
            (0..SERVICES.len() - 1).flat_map(|service| (0..ZONES.len()).map(move |zone| (service, zone))).collect();
        let mut sidecars = Vec::new();
        // Each compiles the filter for each of its threads: more at a time would only wait for each other.
        for some in places.chunks(AT_A_TIME) {
            let started: Vec<Result<(String, Envoy)>> = thread::scope(|scope| {
                let starting: Vec<_> = some.iter().map(|place| scope.spawn(move || start(place.0, place.1))).collect();
                starting
                    .into_iter()
                    .map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a start panicked"))))
                    .collect()
            });
            for sidecar in started {
                sidecars.push(sidecar?);
            }
        }
        Ok(sidecars)
    }

    /// Lets every instance call the next service through its sidecar.
    pub(super) fn connect(&self, sidecars: &[(String, Envoy)]) {
        for service in 0..SERVICES.len() {
            for zone in 0..ZONES.len() {
                let sidecar = sidecars.get(service * ZONES.len() + zone);
                run(self.at(service, zone), service, sidecar.map(|(_, envoy)| envoy));
            }
        }
    }

    /// Replaces an instance by a new one at another address, which calls through the same sidecar; nobody has heard of it
    /// before its endpoints are delivered.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) fn replace(&mut self, service: usize, zone: usize, sidecar: Option<&Envoy>) -> Result<Upstream> {
        let new = Upstream::start(&name(SERVICES[service], ZONES[zone]))?;
        run(&new, service, sidecar);
        Ok(std::mem::replace(&mut self.instances[service][zone], new))
    }

    /// A service's endpoints.
    pub(super) fn endpoints(&self, service: usize) -> Vec<Endpoint> {
        let endpoint = |(upstream, zone): (&Upstream, &&str)| Endpoint {
            address: upstream.address(),
            locality: Locality::new(zone),
        };
        self.instances[service].iter().zip(&ZONES).map(endpoint).collect()
    }

    fn cluster(&self, service: usize, rules: &OutlierDetection) -> Cluster {
        let name = cluster_name(service);
        let mut cluster = Cluster::new(&name, self.endpoints(service), Some(rules.clone()));
        cluster.discovered = true;
        cluster.routes =
            vec![json!({ "name": "once", "match": { "prefix": ONCE }, "route": { "cluster": name, "timeout": "0s" } })];
        cluster
    }
}

/// A service's cluster, as Istio names it.
pub(super) fn cluster_name(service: usize) -> String {
    format!("outbound|8000||{}", host(service))
}

/// The host that callers of a service ask for.
pub(super) fn host(service: usize) -> String {
    format!("{}.default.svc.cluster.local", SERVICES[service])
}

/// The chain of a call that was served in these zones, by index.
pub(super) fn chain(zones: [usize; 3]) -> String {
    let links: Vec<String> = SERVICES.iter().zip(zones).map(|(service, zone)| name(service, ZONES[zone])).collect();
    links.join(" -> ")
}

/// The zone without its region.
pub(super) fn short(locality: &str) -> &str {
    locality.rsplit('/').next().unwrap_or(locality)
}

fn name(service: &str, locality: &str) -> String {
    format!("{service}({})", short(locality))
}

/// Lets an instance answer, after it has called the next service through its sidecar, if it has one.
fn run(instance: &Upstream, service: usize, sidecar: Option<&Envoy>) {
    let own = instance.name().to_owned();
    let Some(sidecar) = sidecar else {
        instance.run(move |_| (200, format!("{own}\n")));
        return;
    };
    let (target, host) = (sidecar.address(), host(service + 1));
    // Taken while in use, so that calls at the same time have connections of their own; several, for Envoy's workers.
    let idle = Mutex::new((0..4).map(|_| Client::new(target, &host)).collect::<std::collections::VecDeque<_>>());
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
