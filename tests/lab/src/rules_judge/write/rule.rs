//! Random DestinationRules: for whom, in which namespace, seen by whom.

use serde_json::{Value, json};

use super::pen::Pen;
use super::policy::host_policy;
use super::service::Service;
use crate::rules_judge::ingredient::Ingredient;
use crate::rules_judge::places::{NAMESPACES, ROOT};

/// The rules for these services.
pub(super) fn rules(pen: &mut Pen<'_>, services: &[Service]) -> Vec<Value> {
    let mut rules = Vec::new();
    for service in services {
        if pen.chance(85) {
            let host = host(pen, service, service.namespace);
            rules.push(rule(pen, &format!("{}-a", service.name), service.namespace, &host));
        }
        if pen.uses(Ingredient::SeveralRules, 60) {
            rules.push(rule(pen, &format!("{}-b", service.name), service.namespace, &service.host));
        }
        if pen.uses(Ingredient::ClientsNamespace, 60) {
            let namespace = pen.one(&NAMESPACES);
            rules.push(rule(pen, &format!("{}-c", service.name), namespace, &service.host));
        }
        if pen.uses(Ingredient::RootNamespace, 50) {
            rules.push(rule(pen, &format!("{}-r", service.name), ROOT, &service.host));
        }
    }
    if pen.ingredients.contains(&Ingredient::Wildcard) {
        for number in 0..pen.rng.usize(1..=2) {
            let namespace = pen.one(&[ROOT, NAMESPACES[0], NAMESPACES[1], services[0].namespace]);
            let suffix = format!("*.{}.svc.cluster.local", services[0].namespace);
            let host = pen.one(&["*.local".to_owned(), "*.example.com".to_owned(), "*".to_owned(), suffix]);
            rules.push(rule(pen, &format!("any-{number}"), namespace, &host));
        }
    }
    rules
}

/// A service's name as a rule in this namespace may write it.
fn host(pen: &mut Pen<'_>, service: &Service, namespace: &str) -> String {
    if !service.is_kubernetes() {
        return service.host.clone();
    }
    if pen.uses(Ingredient::ShortHost, 40) {
        return pen.one(&[
            format!("{}.{}", service.name, service.namespace),
            format!("{}.{}.svc", service.name, service.namespace),
        ]);
    }
    if namespace == service.namespace && pen.chance(30) { service.name.clone() } else { service.host.clone() }
}

fn rule(pen: &mut Pen<'_>, name: &str, namespace: &str, host: &str) -> Value {
    let mut spec = json!({ "host": host });
    if pen.chance(90) {
        spec["trafficPolicy"] = host_policy(pen);
    }
    if pen.uses(Ingredient::Subsets, 70) {
        spec["subsets"] = subsets(pen);
    }
    if pen.uses(Ingredient::Selector, 50) {
        let app = pen.one(&["client", "other"]);
        spec["workloadSelector"] = json!({ "matchLabels": { "app": app } });
    } else if pen.uses(Ingredient::ExportTo, 60) {
        let others: Vec<&str> = NAMESPACES.into_iter().filter(|other| *other != namespace).collect();
        let other = pen.one(&others);
        spec["exportTo"] =
            pen.one(&[json!(["."]), json!(["*"]), json!([other]), json!([".", other]), json!([namespace])]);
    }
    if pen.uses(Ingredient::UnknownField, 30) {
        // What other versions and other resources have here.
        let (at, field) = pen.one(&[("outlierDetection", json!({ "consecutive5xxErrors": 1 })), ("http", json!({}))]);
        spec[at] = field;
    }
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": { "name": name, "namespace": namespace },
        "spec": spec,
    })
}

fn subsets(pen: &mut Pen<'_>) -> Value {
    let count = pen.rng.usize(1..=2);
    let subset = |version: &&str| {
        let mut subset = json!({ "name": version, "labels": { "version": version } });
        if pen.chance(60) {
            subset["trafficPolicy"] = host_policy(pen);
        }
        subset
    };
    ["v1", "v2"][..count].iter().map(subset).collect()
}
