//! Random traffic policies.

use serde_json::{Map, Value, json};

use super::pen::Pen;
use crate::rules_judge::ingredient::Ingredient;

impl Pen<'_> {
    /// The policy of a host or a subset.
    pub(super) fn host_policy(&mut self) -> Value {
        let mut policy = self.policy();
        if self.uses(Ingredient::PortSettings, 60) {
            let mut settings = self.policy();
            settings["port"] = json!({ "number": self.one(&[80, 8080]) });
            policy["portLevelSettings"] = json!([settings]);
        }
        policy
    }

    fn policy(&mut self) -> Value {
        let mut policy = json!({});
        if self.chance(85) {
            policy["outlierDetection"] = self.detection();
        }
        if let Some(balancer) = self.balancer() {
            policy["loadBalancer"] = balancer;
        }
        // Istio takes no policy without a field.
        if self.chance(20) || policy.as_object().is_some_and(Map::is_empty) {
            policy["connectionPool"] = json!({ "http": { "maxRetries": 7 } });
        }
        policy
    }

    fn detection(&mut self) -> Value {
        let mut fields = Map::new();
        let mut maybe = |pen: &mut Self, name: &str, percent: u32, values: &[Value]| {
            if pen.chance(percent) {
                fields.insert(name.to_owned(), pen.one(values));
            }
        };
        maybe(self, "consecutive5xxErrors", 60, &[json!(0), json!(1), json!(2), json!(7)]);
        maybe(self, "consecutiveGatewayErrors", 40, &[json!(0), json!(1), json!(3)]);
        maybe(self, "interval", 50, &[json!("1s"), json!("10s"), json!("500ms"), json!("1m"), json!("1m30s")]);
        maybe(self, "baseEjectionTime", 50, &[json!("30s"), json!("1m"), json!("3m"), json!("10m")]);
        if self.uses(Ingredient::Caps, 70) {
            let percents = [json!(0), json!(1), json!(10), json!(50), json!(100)];
            maybe(self, "maxEjectionPercent", 70, &percents);
            maybe(self, "minHealthPercent", 50, &percents);
        }
        if self.uses(Ingredient::RemovedField, 60) {
            maybe(self, "consecutiveErrors", 100, &[json!(1), json!(3)]);
        }
        if self.uses(Ingredient::UnknownField, 40) {
            let (name, value) = self.one(&[
                ("maxEjectionTime", json!("5m")),
                ("consecutive5xxerrors", json!(1)),
                ("enforcingConsecutive5xx", json!(100)),
                ("http", json!({ "consecutiveErrors": 1 })),
            ]);
            fields.insert(name.to_owned(), value);
        }
        if self.chance(20) {
            fields.insert("splitExternalLocalOriginErrors".to_owned(), true.into());
            if self.chance(60) {
                fields.insert("consecutiveLocalOriginFailures".to_owned(), self.one(&[json!(0), json!(2)]));
            }
        }
        if self.uses(Ingredient::Refused, 40) {
            let (name, value) = self.one(&[
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

    fn balancer(&mut self) -> Option<Value> {
        if self.uses(Ingredient::Passthrough, 40) {
            return Some(json!({ "simple": "PASSTHROUGH" }));
        }
        let mut settings = Map::new();
        if self.uses(Ingredient::Distribute, 50) {
            let to = self.one(&[json!({ "r1/*": 100 }), json!({ "r1/z1/*": 30, "r2/*": 70 }), json!({ "r3/z1": 100 })]);
            settings
                .insert("distribute".to_owned(), json!([{ "from": self.one(&["r1/*", "r1/z1/*", "*"]), "to": to }]));
        } else if self.uses(Ingredient::FailoverPriority, 50) {
            let labels = self.one(&[
                json!(["topology.kubernetes.io/region", "topology.kubernetes.io/zone"]),
                json!(["version"]),
                json!(["version=v2", "topology.kubernetes.io/region"]),
            ]);
            settings.insert("failoverPriority".to_owned(), labels);
        } else if self.uses(Ingredient::Failover, 50) {
            let failover = self.one(&[json!([{ "from": "r1", "to": "r2" }]), json!([{ "from": "r2", "to": "r3" }])]);
            settings.insert("failover".to_owned(), failover);
        }
        if self.uses(Ingredient::LocalityOff, 40) {
            settings.insert("enabled".to_owned(), false.into());
        }
        let mut balancer = json!({});
        if !settings.is_empty() {
            balancer["localityLbSetting"] = settings.into();
        }
        if self.uses(Ingredient::Warmup, 60) {
            balancer["warmup"] = json!({ "duration": "60s" });
        }
        if self.chance(20) {
            balancer["simple"] = self.one(&["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"]).into();
        }
        (!balancer.as_object().is_some_and(Map::is_empty)).then_some(balancer)
    }
}
