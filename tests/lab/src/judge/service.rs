//! A cluster of a scene: where its endpoints are, how Envoy ejects, and what the plugin is told of that.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::ingredient::Ingredient;
use super::mode::Mode;
use crate::endpoints::HEALTH_PATH;
use crate::envoy::bootstrap::Cluster;
use crate::envoy::outlier::{OutlierDetection, seconds};
use crate::envoy::topology::Endpoint;
use crate::zones::{CLUSTER, ZONES};

/// How a cluster gets its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Through a route.
    Routed,
    /// It has no endpoints; it consists of the first two clusters.
    Aggregate,
    /// It gets copies of the first cluster's requests.
    Shadow,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How it gets requests.
    pub role: Role,
    /// For each endpoint, the index of its zone in [`ZONES`].
    pub zones: Vec<usize>,
    /// Its outlier detection, if any, as far as Istio has words for it.
    pub rules: Option<OutlierDetection>,
    /// Further fields of Envoy's `config.cluster.v3.OutlierDetection`; they replace those of `rules`.
    pub more_rules: Map<String, Value>,
    /// What the plugin is told.
    pub told: Option<OutlierDetection>,
    /// Whether its endpoints come by discovery.
    pub discovered: bool,
    /// The interval of its active health checks, if it has any.
    pub health_checks: Option<Duration>,
}

impl Service {
    /// The first cluster of a scene, or a further one.
    pub(super) fn draw(index: usize, has: &dyn Fn(Ingredient) -> bool, mode: Mode, rng: &mut Rng) -> Self {
        let count = if rng.bool() { rng.usize(3..=6) } else { rng.usize(7..=20) };
        // Further clusters are smaller: all share the traffic.
        let count = if index == 0 { count } else { rng.usize(2..=6) };
        let nearest = if index > 0 && rng.u32(0..5) == 0 { 1 } else { 0 };
        let zone = |i: usize, rng: &mut Rng| {
            if i == 0 || rng.bool() { nearest } else { rng.usize(nearest..ZONES.len()) }
        };
        let zones = (0..count).map(|i| zone(i, rng)).collect();
        let mut rules = rules(rng);
        if !mode.has_witness() {
            // Envoy may take a second (its `update_merge_window`) to keep traffic away from an ejected endpoint. An
            // ejection that is over sooner leaves no trace in traffic, so nothing that sees only traffic can report it
            // correctly.
            rules.base_ejection_time += Duration::from_millis(1_100);
            // Under a cap, the endpoint that is ejected next depends on the millisecond at which another returned,
            // which traffic does not show either.
            rules.max_ejection_percent = 100;
        }
        let more_rules = more_rules(&mut rules, has, rng);
        let told = if has(Ingredient::RulesAbsent) {
            None
        } else if has(Ingredient::RulesDiffer) {
            Some(other_rules(rng))
        } else {
            Some(rules.clone())
        };
        let checked = has(Ingredient::HealthChecks) && rng.u32(0..3) > 0;
        Self {
            name: name(index),
            role: Role::Routed,
            zones,
            rules: Some(rules),
            more_rules,
            told,
            discovered: has(Ingredient::EdsChurn) && (rng.u32(0..3) > 0 || index == 0),
            health_checks: checked.then(|| Duration::from_millis(rng.u64(300..=1_000))),
        }
    }

    /// This cluster, for copies of requests. Its ejections last longer than the time `unseen` in which nobody asks.
    pub(super) fn mirrored(mut self, unseen: Duration) -> Self {
        self.role = Role::Shadow;
        for rules in [&mut self.rules, &mut self.told].into_iter().flatten() {
            rules.base_ejection_time += unseen + Duration::from_millis(500);
        }
        self
    }

    /// A cluster of the first two.
    pub(super) fn aggregate() -> Self {
        Self {
            name: "outbound|8000||all.default.svc.cluster.local".to_owned(),
            role: Role::Aggregate,
            zones: Vec::new(),
            rules: None,
            more_rules: Map::new(),
            told: None,
            discovered: false,
            health_checks: None,
        }
    }

    /// The authority of its requests.
    pub fn host(&self) -> &str {
        self.name.rsplit('|').next().unwrap_or(&self.name)
    }

    /// Whether consecutive errors of any kind eject.
    pub fn ejects_streaks(&self) -> bool {
        let detection = self.detection().unwrap_or_default();
        let share = |kind: &str| detection[&format!("enforcing_{kind}")].as_u64().unwrap_or(0) > 0;
        let splits = detection["split_external_local_origin_errors"] == true;
        share("consecutive_5xx")
            || share("consecutive_gateway_failure")
            || (splits && share("consecutive_local_origin_failure"))
    }

    /// How many consecutive errors of this kind, as events name it, eject; `None` if none do.
    pub fn threshold(&self, kind: &str) -> Option<u64> {
        let kind = match kind {
            "5xx" => "consecutive_5xx",
            "gateway_error" => "consecutive_gateway_failure",
            _ => "consecutive_local_origin_failure",
        };
        let detection = self.detection()?;
        let is_enforced = detection[&format!("enforcing_{kind}")].as_u64().unwrap_or(0) > 0;
        detection[kind].as_u64().filter(|_| is_enforced)
    }

    /// Envoy's outlier detection.
    fn detection(&self) -> Option<Value> {
        let mut detection = self.rules.as_ref()?.to_envoy();
        for (field, value) in &self.more_rules {
            detection[field] = value.clone();
        }
        Some(detection)
    }

    /// The cluster for Envoy, with its endpoints; `members` are the names of the first two clusters.
    pub(super) fn cluster(&self, endpoints: Vec<Endpoint>, members: &[&str], shadow: Option<&str>) -> Cluster {
        let mut cluster = Cluster::new(&self.name, endpoints, None);
        cluster.discovered = self.discovered;
        if let Some(detection) = self.detection() {
            cluster.more.insert("outlier_detection".to_owned(), detection);
        }
        if let Some(interval) = self.health_checks {
            cluster.more.insert("health_checks".to_owned(), json!([health_check(interval)]));
        }
        if self.role == Role::Aggregate {
            let aggregate = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig";
            let kind = json!({
                "name": "envoy.clusters.aggregate",
                "typed_config": { "@type": aggregate, "clusters": members },
            });
            cluster.more.insert("cluster_type".to_owned(), kind);
            cluster.more.insert("lb_policy".to_owned(), json!("CLUSTER_PROVIDED"));
            cluster.more.extend(["type", "load_assignment"].map(|field| (field.to_owned(), Value::Null)));
        }
        if let Some(shadow) = shadow {
            let mirror = json!([{ "cluster": shadow }]);
            cluster.route_action.insert("request_mirror_policies".to_owned(), mirror);
        }
        cluster
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones: Vec<String> = self.zones.iter().map(ToString::to_string).collect();
        writeln!(f, "  cluster:    {} ({:?}); endpoints in zones {}", self.name, self.role, zones.join(" "))?;
        let detection = self.detection().map_or("none".to_owned(), |detection| detection.to_string());
        writeln!(f, "    rule:     {detection}")?;
        if let Some(told) = &self.told {
            writeln!(f, "    told:     {}", told.to_istio())?;
        }
        if let Some(interval) = self.health_checks {
            writeln!(f, "    checked:  every {} ms", interval.as_millis())?;
        }
        if self.discovered {
            writeln!(f, "    endpoints by discovery")?;
        }
        Ok(())
    }
}

fn name(index: usize) -> String {
    match index {
        0 => CLUSTER.to_owned(),
        _ => format!("outbound|8000||mockb{index}.default.svc.cluster.local"),
    }
}

fn health_check(interval: Duration) -> Value {
    json!({
        "timeout": "0.5s",
        "interval": seconds(interval),
        // Else it is a minute before the first request.
        "no_traffic_interval": seconds(interval),
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": { "path": HEALTH_PATH },
    })
}

fn rules(rng: &mut Rng) -> OutlierDetection {
    let split = rng.bool();
    let consecutive_5xx_errors = rng.u32(0..=5);
    // Without any threshold there would be nothing to judge.
    let least = u32::from(consecutive_5xx_errors == 0);
    let consecutive_gateway_errors = if least == 1 || rng.bool() { rng.u32(least..=5) } else { 0 };
    OutlierDetection {
        consecutive_5xx_errors,
        consecutive_gateway_errors,
        split_external_local_origin_errors: split,
        consecutive_local_origin_failures: rng.u32(1..=5),
        interval: Duration::from_millis(500),
        base_ejection_time: Duration::from_millis(rng.u64(500..=1_300)),
        max_ejection_percent: if rng.u32(0..10) < 7 { 100 } else { [10, 30, 50, 67][rng.usize(0..4)] },
    }
}

/// Rules as someone who does not know Envoy's might configure them.
fn other_rules(rng: &mut Rng) -> OutlierDetection {
    let base_ejection_time = Duration::from_millis(rng.u64(200..=8_000));
    OutlierDetection { base_ejection_time, interval: Duration::from_millis(rng.u64(200..=3_000)), ..rules(rng) }
}

fn more_rules(rules: &mut OutlierDetection, has: &dyn Fn(Ingredient) -> bool, rng: &mut Rng) -> Map<String, Value> {
    let mut more = json!({});
    if has(Ingredient::SuccessRate) {
        more["enforcing_success_rate"] = json!(100);
        more["success_rate_minimum_hosts"] = json!(3);
        more["success_rate_request_volume"] = json!(5);
        more["success_rate_stdev_factor"] = json!(rng.u32(500..=1_900));
    }
    if has(Ingredient::FailurePercentage) {
        more["enforcing_failure_percentage"] = json!(100);
        more["failure_percentage_threshold"] = json!(rng.u32(30..=80));
        more["failure_percentage_minimum_hosts"] = json!(2);
        more["failure_percentage_request_volume"] = json!(5);
    }
    if has(Ingredient::Jitter) {
        more["max_ejection_time_jitter"] = json!(seconds(Duration::from_millis(rng.u64(100..=900))));
    }
    if has(Ingredient::AlwaysEjectOne) {
        rules.max_ejection_percent = rng.u32(0..=30);
        more["always_eject_one_host"] = json!(true);
    }
    if has(Ingredient::NotEnforced) {
        let kinds = ["consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure"];
        for kind in kinds.into_iter().filter(|_| rng.bool()) {
            more[format!("enforcing_{kind}")] = json!(0);
        }
    }
    if has(Ingredient::HealthChecks) && rng.bool() {
        more["successful_active_health_check_uneject_host"] = json!(false);
    }
    more.as_object().cloned().unwrap_or_default()
}
