//! Random traffic policies.

use serde_json::{Map, Value, json};

use super::pen::Pen;
use crate::rules_judge::ingredient::Ingredient;

/// The policy of a host or a subset.
pub(super) fn host_policy(pen: &mut Pen<'_>) -> Value {
    let mut policy = plain_policy(pen);
    if pen.uses(Ingredient::PortSettings, 60) {
        let mut settings = plain_policy(pen);
        settings["port"] = json!({ "number": pen.one(&[80, 8080]) });
        policy["portLevelSettings"] = json!([settings]);
    }
    policy
}

fn plain_policy(pen: &mut Pen<'_>) -> Value {
    let mut policy = json!({});
    if pen.chance(85) {
        policy["outlierDetection"] = detection(pen);
    }
    if let Some(balancer) = balancer(pen) {
        policy["loadBalancer"] = balancer;
    }
    // Istio takes no policy without a field.
    if pen.chance(20) || policy.as_object().is_some_and(Map::is_empty) {
        policy["connectionPool"] = json!({ "http": { "maxRetries": 7 } });
    }
    policy
}

fn detection(pen: &mut Pen<'_>) -> Value {
    let mut fields = Map::new();
    let mut maybe = |pen: &mut Pen<'_>, name: &str, percent: u32, values: &[Value]| {
        if pen.chance(percent) {
            fields.insert(name.to_owned(), pen.one(values));
        }
    };
    maybe(pen, "consecutive5xxErrors", 60, &[json!(0), json!(1), json!(2), json!(7)]);
    maybe(pen, "consecutiveGatewayErrors", 40, &[json!(0), json!(1), json!(3)]);
    maybe(pen, "interval", 50, &[json!("1s"), json!("10s"), json!("500ms"), json!("1m"), json!("1m30s")]);
    maybe(pen, "baseEjectionTime", 50, &[json!("30s"), json!("1m"), json!("3m"), json!("10m")]);
    if pen.uses(Ingredient::Caps, 70) {
        let percents = [json!(0), json!(1), json!(10), json!(50), json!(100)];
        maybe(pen, "maxEjectionPercent", 70, &percents);
        maybe(pen, "minHealthPercent", 50, &percents);
    }
    if pen.uses(Ingredient::RemovedField, 60) {
        maybe(pen, "consecutiveErrors", 100, &[json!(1), json!(3)]);
    }
    if pen.uses(Ingredient::UnknownField, 40) {
        let (name, value) = pen.one(&[
            ("maxEjectionTime", json!("5m")),
            ("consecutive5xxerrors", json!(1)),
            ("enforcingConsecutive5xx", json!(100)),
            ("http", json!({ "consecutiveErrors": 1 })),
        ]);
        fields.insert(name.to_owned(), value);
    }
    if pen.chance(20) {
        fields.insert("splitExternalLocalOriginErrors".to_owned(), true.into());
        if pen.chance(60) {
            fields.insert("consecutiveLocalOriginFailures".to_owned(), pen.one(&[json!(0), json!(2)]));
        }
    }
    if pen.uses(Ingredient::Refused, 40) {
        let (name, value) = pen.one(&[
            ("maxEjectionPercent", json!(101)),
            ("minHealthPercent", json!(-1)),
            ("consecutiveLocalOriginFailures", json!(2)),
            ("interval", json!("1")),
            ("interval", json!("0s")),
            ("baseEjectionTime", json!("500us")),
            ("consecutive5xxErrors", json!("5")),
            ("consecutiveGatewayErrors", json!(-1)),
        ]);
        fields.insert(name.to_owned(), value);
    }
    fields.into()
}

fn balancer(pen: &mut Pen<'_>) -> Option<Value> {
    if pen.uses(Ingredient::Passthrough, 40) {
        return Some(json!({ "simple": "PASSTHROUGH" }));
    }
    let mut settings = Map::new();
    if pen.uses(Ingredient::Distribute, 50) {
        let to = pen.one(&[json!({ "r1/*": 100 }), json!({ "r1/z1/*": 30, "r2/*": 70 }), json!({ "r3/z1": 100 })]);
        settings.insert("distribute".to_owned(), json!([{ "from": pen.one(&["r1/*", "r1/z1/*", "*"]), "to": to }]));
    } else if pen.uses(Ingredient::FailoverPriority, 50) {
        let labels = pen.one(&[
            json!(["topology.kubernetes.io/region", "topology.kubernetes.io/zone"]),
            json!(["version"]),
            json!(["version=v2", "topology.kubernetes.io/region"]),
        ]);
        settings.insert("failoverPriority".to_owned(), labels);
    } else if pen.uses(Ingredient::Failover, 50) {
        let failover = pen.one(&[json!([{ "from": "r1", "to": "r2" }]), json!([{ "from": "r2", "to": "r3" }])]);
        settings.insert("failover".to_owned(), failover);
    }
    if pen.uses(Ingredient::LocalityOff, 40) {
        settings.insert("enabled".to_owned(), false.into());
    }
    let mut balancer = json!({});
    if !settings.is_empty() {
        balancer["localityLbSetting"] = settings.into();
    }
    if pen.uses(Ingredient::Warmup, 60) {
        balancer["warmup"] = json!({ "duration": "60s" });
    }
    if pen.chance(20) {
        balancer["simple"] = pen.one(&["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"]).into();
    }
    (!balancer.as_object().is_some_and(Map::is_empty)).then_some(balancer)
}
