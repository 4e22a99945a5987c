//! A scene that is played: its endpoints, its Envoy, and the control plane that delivers endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::ingredient::Ingredient;
use super::mode::Mode;
use super::observe::now;
use super::scene::Scene;
use super::script::Doing;
use super::service::{Role, Service};
use crate::endpoints::{Behaviour, Upstream};
use crate::envoy::bootstrap::{Bootstrap, Cluster};
use crate::envoy::proxy::Envoy;
use crate::envoy::tags;
use crate::envoy::topology::{EdsHealth, Endpoint, Locality};
use crate::programs::tools::Tool;
use crate::zones::{ZONES, Zones};

/// How long a replaced endpoint is away, so that Envoy does not take the new one for the old one.
const REPLACING: Duration = Duration::from_millis(100);

/// A change, for the picture of a round.
#[derive(Clone, Debug)]
pub struct Change {
    /// When the change was complete, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The indices of the endpoints that changed.
    pub endpoints: Vec<usize>,
    /// What they do from now on.
    pub doing: Doing,
}

/// What the control plane delivers of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delivered {
    zone: usize,
    health: EdsHealth,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    Gone,
}

/// A scene that is played.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) upstreams: Arc<Vec<Upstream>>,
    pub(super) envoy: Envoy,
    pub(super) changes: Vec<Change>,
    scene: Scene,
    delivered: Vec<Delivered>,
}

impl Stage {
    /// Starts the endpoints and Envoy.
    pub(super) fn start(scene: &Scene) -> Result<Self> {
        let name = |(index, place): (usize, &super::scene::Place)| format!("{}#{index}", ZONES[place.zone]);
        let upstreams =
            scene.endpoints.iter().enumerate().map(|e| Upstream::start(&name(e))).collect::<Result<Vec<_>>>()?;
        let here = |place: &super::scene::Place| Delivered {
            zone: place.zone,
            health: EdsHealth::Healthy,
            presence: Presence::Here,
        };
        let delivered: Vec<Delivered> = scene.endpoints.iter().map(here).collect();
        let envoy = Envoy::start(&bootstrap(scene, &upstreams, &delivered)?)?;
        Ok(Self { upstreams: Arc::new(upstreams), envoy, changes: Vec::new(), scene: scene.clone(), delivered })
    }

    /// Does something with these endpoints.
    pub(super) fn perform(&mut self, endpoints: &[usize], doing: Doing) -> Result<()> {
        match doing {
            Doing::Behave(behaviour) => self.each(endpoints, |upstream| upstream.set(behaviour))?,
            Doing::Ill => self.each(endpoints, |upstream| {
                upstream.set_ill(true);
                Ok(())
            })?,
            Doing::Recover => self.recover(endpoints)?,
            Doing::Leave => self.deliver(endpoints, |delivered| delivered.presence = Presence::Gone)?,
            Doing::Replace => {
                let mut back: Vec<Delivered> = endpoints.iter().map(|i| self.delivered[*i]).collect();
                back.iter_mut().for_each(|delivered| delivered.presence = Presence::Here);
                self.deliver(endpoints, |delivered| delivered.presence = Presence::Gone)?;
                thread::sleep(REPLACING);
                let mut back = back.into_iter();
                self.deliver(endpoints, |delivered| *delivered = back.next().unwrap_or(*delivered))?;
            }
            Doing::Move(zone) => self.deliver(endpoints, |delivered| delivered.zone = zone)?,
            Doing::Say(health) => self.deliver(endpoints, |delivered| delivered.health = health)?,
        }
        self.changes.push(Change { at: now(), endpoints: endpoints.to_vec(), doing });
        Ok(())
    }

    fn each(&self, endpoints: &[usize], change: impl Fn(&Upstream) -> Result<()>) -> Result<()> {
        endpoints.iter().try_for_each(|index| change(&self.upstreams[*index]))
    }

    fn recover(&mut self, endpoints: &[usize]) -> Result<()> {
        self.each(endpoints, |upstream| {
            upstream.set_ill(false);
            upstream.set(Behaviour::Answer(200))
        })?;
        let zones: Vec<usize> = self.scene.endpoints.iter().map(|place| place.zone).collect();
        let mut zones = endpoints.iter().map(|index| zones[*index]);
        self.deliver(endpoints, |delivered| {
            let zone = zones.next().unwrap_or(delivered.zone);
            *delivered = Delivered { zone, health: EdsHealth::Healthy, presence: Presence::Here };
        })
    }

    /// Changes what the control plane says of these endpoints, and delivers it to the clusters that it changes.
    fn deliver(&mut self, endpoints: &[usize], mut change: impl FnMut(&mut Delivered)) -> Result<()> {
        let mut services = Vec::new();
        for index in endpoints {
            let before = self.delivered[*index];
            change(&mut self.delivered[*index]);
            let service = self.scene.endpoints[*index].service;
            if self.delivered[*index] != before && !services.contains(&service) {
                services.push(service);
            }
        }
        for index in services {
            let cluster = cluster(&self.scene, index, &self.upstreams, &self.delivered);
            self.envoy.set_endpoints_and_health(&cluster.name, cluster.endpoints, cluster.health)?;
        }
        Ok(())
    }
}

fn bootstrap(scene: &Scene, upstreams: &[Upstream], delivered: &[Delivered]) -> Result<Bootstrap> {
    let clusters = (0..scene.services.len()).map(|index| cluster(scene, index, upstreams, delivered)).collect();
    let mut bootstrap =
        Bootstrap::new(&Zones::home(), clusters).with_filter(&Tool::Module.path()?, &scene.plugin_config());
    bootstrap.workers = scene.workers;
    bootstrap.retries = scene.retries.clone();
    bootstrap.route_timeout = Some(scene.route_timeout);
    bootstrap.filter_in_upstream_log = scene.mode.sees_attempts();
    bootstrap.is_lean = scene.mode == Mode::Lean;
    bootstrap.record_attempts = true;
    bootstrap.program = scene.envoy.clone();
    bootstrap.hides_home = scene.has(Ingredient::NoLocality);
    bootstrap.takes_long_expressions = scene.has(Ingredient::LongExpressions);
    bootstrap.listeners = if scene.has(Ingredient::TwoListeners) { 2 } else { 1 };
    if scene.has(Ingredient::NoStatistics) {
        let mut config = tags::istio();
        config["stats_matcher"] = json!({ "exclusion_list": { "patterns": [{ "contains": "outlier_detection" }] } });
        bootstrap.stats_config = config;
    }
    Ok(bootstrap)
}

fn cluster(scene: &Scene, index: usize, upstreams: &[Upstream], delivered: &[Delivered]) -> Cluster {
    let service = &scene.services[index];
    let own = |i: &usize| scene.endpoints[*i].service == index && delivered[*i].presence == Presence::Here;
    let own: Vec<usize> = (0..upstreams.len()).filter(own).collect();
    let endpoint =
        |i: &usize| Endpoint { address: upstreams[*i].address(), locality: Locality::new(ZONES[delivered[*i].zone]) };
    let unhealthy = own.iter().filter(|i| delivered[**i].health != EdsHealth::Healthy);
    let health: BTreeMap<_, _> = unhealthy.map(|i| (upstreams[*i].address(), delivered[*i].health)).collect();
    let names: Vec<&str> = scene.services.iter().map(|s| s.name.as_str()).take(2).collect();
    let shadow = scene.services.iter().find(|s| s.role == Role::Shadow).map(|s: &Service| s.name.as_str());
    let mut cluster = service.cluster(own.iter().map(endpoint).collect(), &names, shadow.filter(|_| index == 0));
    cluster.health = health;
    cluster
}
