//! A round's set-up and its script, both from a seed.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::ingredient::Ingredient;
use super::mode::Mode;
use super::script::{Cast, Rates, Step, script};
use super::service::Service;
use crate::envoy::bootstrap::Retries;
use crate::envoy::outlier::seconds;

/// The plugin's failover window in scenes, short so that rounds are.
pub const WINDOW: Duration = Duration::from_secs(2);

/// How long home must be whole and traffic as usual for a failover to be over, in scenes.
pub const END_AFTER: Duration = Duration::from_secs(2);

/// The longest time between two questions to Envoy in scenes with a mirrored cluster, whose requests the HTTP filter
/// does not see.
pub const SHADOW_INTERVAL: Duration = Duration::from_secs(1);

/// Everything random about a round, decided before it begins.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The seed that everything is derived from.
    pub seed: u64,
    /// Where the filter runs in Envoy.
    pub mode: Mode,
    /// The Envoy; if absent, the one that set-up installed for the tests.
    pub envoy: Option<PathBuf>,
    /// Ingredients that it was to have in any case.
    pub with: BTreeSet<Ingredient>,
    /// What makes it more than a plain scene.
    pub ingredients: BTreeSet<Ingredient>,
    /// Its worker threads, 1 to 4.
    pub workers: u32,
    /// The clusters; the first is always there.
    pub services: Vec<Service>,
    /// Every endpoint of every cluster, in the clusters' order.
    pub endpoints: Vec<Place>,
    /// The routes' retries; `None` in [`Mode::Http`].
    pub retries: Option<Retries>,
    /// How long a request may take.
    pub route_timeout: Duration,
    /// The number of connections that send requests, independently of each other.
    pub connections: usize,
    /// A connection's pause between two requests.
    pub pause: Duration,
    /// The share of clients that leave before the answer, in percent.
    pub leaving: u32,
    /// What happens, in order; after it, everything is repaired.
    pub script: Vec<Step>,
}

/// Where an endpoint belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of its cluster.
    pub service: usize,
    /// The index of its zone.
    pub zone: usize,
}

impl Scene {
    /// The scene for this seed, with these ingredients as far as the mode can have them.
    pub fn from_seed(seed: u64, mode: Mode, envoy: Option<PathBuf>, with: &BTreeSet<Ingredient>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut ingredients = Ingredient::draw(mode, with, &mut rng);
        let services = services(&ingredients, mode, &mut rng);
        // Not every cluster gets everything, so there may be none that did.
        let is_there = |ingredient: &Ingredient| match ingredient {
            Ingredient::EdsChurn => services.iter().any(|service| service.discovered),
            Ingredient::HealthChecks => services.iter().any(|service| service.health_checks.is_some()),
            _ => true,
        };
        ingredients.retain(is_there);
        let places = services
            .iter()
            .enumerate()
            .flat_map(|(service, s)| s.zones.iter().map(move |zone| Place { service, zone: *zone }));
        let endpoints: Vec<Place> = places.collect();
        let workers = rng.u32(1..=4);
        let route_timeout = Duration::from_millis(rng.u64(80..=300));
        // Every cluster has clients of its own.
        let connections = rng.usize(2..=8).max(2 * services.len());
        let pause = Duration::from_micros(rng.u64(1_000..=8_000));
        let leaving = [0, 0, 2, 10][rng.usize(0..4)];
        let script = script(&cast(&ingredients, &services, &endpoints), &mut rng);
        let retries = (mode != Mode::Http).then(|| retries(&mut rng, route_timeout));
        Self {
            seed,
            mode,
            envoy,
            with: with.clone(),
            ingredients,
            workers,
            services,
            endpoints,
            retries,
            route_timeout,
            connections,
            pause,
            leaving,
            script,
        }
    }

    /// Whether it has this ingredient.
    pub fn has(&self, ingredient: Ingredient) -> bool {
        self.ingredients.contains(&ingredient)
    }

    /// The command that runs this round again.
    pub fn again(&self) -> String {
        let envoy = self.envoy.as_ref().map(|path| format!(" --envoy {}", path.display())).unwrap_or_default();
        let with: String = self.with.iter().map(|ingredient| format!(" --with {}", ingredient.option())).collect();
        format!("judge --seed {} --rounds 1 --mode {}{with}{envoy}", self.seed, self.mode.as_str())
    }

    /// The plugin's configuration: the clusters' rules as far as it is told any, quick failovers, and no limit on lines
    /// that could hide an event.
    pub fn plugin_config(&self) -> String {
        let mut config = json!({
            "failover": { "window": seconds(WINDOW), "endAfter": seconds(END_AFTER) },
            "limits": { "eventsPerSecond": 10_000 },
        });
        let told = |s: &Service| Some(json!({ "match": s.name, "outlierDetection": s.told.as_ref()?.to_istio() }));
        let clusters: Vec<Value> = self.services.iter().filter_map(told).collect();
        match (self.services.as_slice(), clusters.as_slice()) {
            (_, []) => {}
            ([_], [only]) => config["outlierDetection"] = only["outlierDetection"].clone(),
            _ => config["clusters"] = json!(clusters),
        }
        if self.mode.sees_attempts() {
            config["attempts"] = json!("upstreamLog");
        }
        if self.mode == Mode::Lean {
            config["attempts"] = json!("failed");
        }
        if self.mode.has_witness() {
            config["witness"] = json!({});
            if self.has(Ingredient::Mirror) {
                config["witness"]["maxInterval"] = json!(seconds(SHADOW_INTERVAL));
            }
        }
        config.to_string()
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  again:      {}", self.again())?;
        let ingredients: Vec<&str> = self.ingredients.iter().map(|i| i.as_str()).collect();
        writeln!(
            f,
            "  with:       {}",
            if ingredients.is_empty() { "nothing".to_owned() } else { ingredients.join(", ") }
        )?;
        writeln!(f, "  workers:    {}", self.workers)?;
        for service in &self.services {
            write!(f, "{service}")?;
        }
        let (connections, pause) = (self.connections, self.pause.as_secs_f64() * 1e3);
        writeln!(f, "  traffic:    {connections} connections, {pause:.1} ms pause, {} % leave early", self.leaving)?;
        writeln!(f, "  timeout:    {} ms; retries: {:?}", self.route_timeout.as_millis(), self.retries)?;
        for step in &self.script {
            writeln!(f, "  step:       {:?} {:?}, {} ms", step.endpoints, step.doing, step.lasts.as_millis())?;
        }
        Ok(())
    }
}

fn services(ingredients: &BTreeSet<Ingredient>, mode: Mode, rng: &mut Rng) -> Vec<Service> {
    let has = |ingredient: Ingredient| ingredients.contains(&ingredient);
    let count = if has(Ingredient::SeveralClusters) { rng.usize(2..=4) } else { 1 };
    let mut services: Vec<Service> = (0..count).map(|index| Service::draw(index, &has, mode, rng)).collect();
    if has(Ingredient::NoDetection) {
        let without = &mut services[rng.usize(0..count)];
        without.rules = None;
        if !has(Ingredient::RulesDiffer) {
            without.told = None;
        }
    }
    if has(Ingredient::Mirror) {
        services.push(Service::draw(count, &has, mode, rng).mirrored(SHADOW_INTERVAL));
    }
    if has(Ingredient::Aggregate) {
        // Envoy's aggregate clusters lose endpoints that are replaced: they answer 503 from then on (1.40.0).
        services.iter_mut().take(2).for_each(|member| member.discovered = false);
        services.push(Service::aggregate());
    }
    services
}

fn cast(ingredients: &BTreeSet<Ingredient>, services: &[Service], endpoints: &[Place]) -> Cast {
    let of = |wanted: &dyn Fn(&Service) -> bool| -> Vec<usize> {
        (0..endpoints.len()).filter(|i| wanted(&services[endpoints[*i].service])).collect()
    };
    let clusters = services.iter().map(|service| of(&|s: &Service| s.name == service.name));
    let by_rate = [Ingredient::SuccessRate, Ingredient::FailurePercentage].iter().any(|i| ingredients.contains(i));
    Cast {
        zones: endpoints.iter().map(|place| place.zone).collect(),
        clusters: clusters.collect(),
        discovered: of(&|s: &Service| s.discovered),
        checked: of(&|s: &Service| s.health_checks.is_some()),
        rates: if by_rate { Rates::Eject } else { Rates::Ignored },
    }
}

fn retries(rng: &mut Rng, route_timeout: Duration) -> Retries {
    let mut retries = Retries::istio_default();
    if rng.u32(0..3) == 0 {
        retries.retry_on.push_str(",5xx,reset");
    }
    if rng.u32(0..3) == 0 {
        retries.per_try_timeout = Some(route_timeout / 3);
    }
    retries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_scene_and_every_scene_can_be_played() {
        let with = BTreeSet::new();
        for seed in 0..500 {
            for mode in Mode::ALL {
                let scene = Scene::from_seed(seed, mode, None, &with);
                assert_eq!(format!("{scene:?}"), format!("{:?}", Scene::from_seed(seed, mode, None, &with)));
                assert!(scene.script.iter().flat_map(|s| &s.endpoints).all(|i| *i < scene.endpoints.len()), "{scene}");
                let mut names: Vec<&str> = scene.services.iter().map(Service::host).collect();
                names.dedup();
                assert_eq!(names.len(), scene.services.len(), "{scene}");
            }
        }
    }

    #[test]
    fn plain_scenes_are_frequent_and_every_ingredient_occurs() {
        let with = BTreeSet::new();
        let scenes: Vec<Scene> = (0..400).map(|seed| Scene::from_seed(seed, Mode::Both, None, &with)).collect();
        assert!(scenes.iter().filter(|scene| scene.ingredients.is_empty()).count() > 80);
        assert!(Ingredient::ALL.iter().all(|i| scenes.iter().any(|scene| scene.has(*i))));
        let blind = (0..400).map(|seed| Scene::from_seed(seed, Mode::Http, None, &with));
        let traffic_shows = [Ingredient::SeveralClusters, Ingredient::TwoListeners];
        let wanted = [Ingredient::Jitter].into();
        assert!((0..40).all(|seed| Scene::from_seed(seed, Mode::Both, None, &wanted).has(Ingredient::Jitter)));
        assert!(Ingredient::ALL.iter().all(|i| Ingredient::of_option(&i.option()) == Some(*i)));
        assert!(blind.flat_map(|scene| scene.ingredients).all(|i| traffic_shows.contains(&i)));
    }
}
