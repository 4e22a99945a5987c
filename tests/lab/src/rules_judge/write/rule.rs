//! Random DestinationRules: for whom, in which namespace, seen by whom.

use serde_json::{Value, json};

use super::pen::Pen;
use super::service::Service;
use crate::rules_judge::ingredient::Ingredient;
use crate::rules_judge::places::{NAMESPACES, ROOT};

impl Pen<'_> {
    /// The rules for these services.
    pub(super) fn rules(&mut self, services: &[Service]) -> Vec<Value> {
        let mut rules = Vec::new();
        for service in services {
            if self.chance(85) {
                let host = self.host(service, service.namespace);
                rules.push(self.rule(&format!("{}-a", service.name), service.namespace, &host));
            }
            if self.uses(Ingredient::SeveralRules, 60) {
                rules.push(self.rule(&format!("{}-b", service.name), service.namespace, &service.host));
            }
            if self.uses(Ingredient::ClientsNamespace, 60) {
                let namespace = self.one(&NAMESPACES);
                rules.push(self.rule(&format!("{}-c", service.name), namespace, &service.host));
            }
            if self.uses(Ingredient::RootNamespace, 50) {
                rules.push(self.rule(&format!("{}-r", service.name), ROOT, &service.host));
            }
        }
        if self.ingredients.contains(&Ingredient::Wildcard) {
            for number in 0..self.rng.usize(1..=2) {
                let namespace = self.one(&[ROOT, NAMESPACES[0], NAMESPACES[1], services[0].namespace]);
                let suffix = format!("*.{}.svc.cluster.local", services[0].namespace);
                let host = self.one(&["*.local".to_owned(), "*.example.com".to_owned(), "*".to_owned(), suffix]);
                rules.push(self.rule(&format!("any-{number}"), namespace, &host));
            }
        }
        rules
    }

    /// A service's name as a rule in this namespace may write it.
    fn host(&mut self, service: &Service, namespace: &str) -> String {
        if !service.is_kubernetes() {
            return service.host.clone();
        }
        if self.uses(Ingredient::ShortHost, 40) {
            return self.one(&[
                format!("{}.{}", service.name, service.namespace),
                format!("{}.{}.svc", service.name, service.namespace),
            ]);
        }
        if namespace == service.namespace && self.chance(30) { service.name.clone() } else { service.host.clone() }
    }

    fn rule(&mut self, name: &str, namespace: &str, host: &str) -> Value {
        let mut spec = json!({ "host": host });
        if self.chance(90) {
            spec["trafficPolicy"] = self.host_policy();
        }
        if self.uses(Ingredient::Subsets, 70) {
            spec["subsets"] = self.subsets();
        }
        if self.uses(Ingredient::Selector, 50) {
            let app = self.one(&["client", "other"]);
            spec["workloadSelector"] = json!({ "matchLabels": { "app": app } });
        } else if self.uses(Ingredient::ExportTo, 60) {
            let others: Vec<&str> = NAMESPACES.into_iter().filter(|other| *other != namespace).collect();
            let other = self.one(&others);
            spec["exportTo"] =
                self.one(&[json!(["."]), json!(["*"]), json!([other]), json!([".", other]), json!([namespace])]);
        }
        if self.uses(Ingredient::UnknownField, 30) {
            // What other versions and other resources have here.
            let (at, field) =
                self.one(&[("outlierDetection", json!({ "consecutive5xxErrors": 1 })), ("http", json!({}))]);
            spec[at] = field;
        }
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        })
    }

    fn subsets(&mut self) -> Value {
        let count = self.rng.usize(1..=2);
        let subset = |version: &&str| {
            let mut subset = json!({ "name": version, "labels": { "version": version } });
            if self.chance(60) {
                subset["trafficPolicy"] = self.host_policy();
            }
            subset
        };
        ["v1", "v2"][..count].iter().map(subset).collect()
    }
}
