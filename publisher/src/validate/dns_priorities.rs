//! The rule for a set of resources with which istiod ends (FL208).
//!
//! From Istio 1.30 on, istiod computes the priorities of `failoverPriority` for clusters whose endpoints are looked up
//! in DNS too, but hands over one locality of them and asks for each: with two, it reads past the end
//! (istio/istio#61857). Without outlier detection, and with `distribute`, it computes none.

use super::finding::{Draft, Severity};
use super::known::Known;
use super::rules;
use mesh::lookup::Client;
use mesh::policy::{HostRules, Subset};
use mesh::services::Service;
use mesh::yaml::node::Node;
use mesh::{Resource, dns_name};

/// The finding about one DestinationRule, if there is one.
pub(super) fn check(rule: &Resource, known: &Known<'_>) -> Option<Draft> {
    let rules = HostRules::of(&rule.node);
    let host = dns_name::full(rule.node.text("spec.host").unwrap_or_default(), rule.namespace(), known.domain);
    let (name, service) = looked_up(rule, &host, known)?;
    rules.scopes().into_iter().find_map(|(port, subset)| {
        let block = rules.block("outlierDetection", port, subset);
        if block.is_none() && !known.mesh_detects {
            return None;
        }
        let own = rules.locality(port, subset);
        let node = own.as_ref().map(|settings| settings.node).or(known.mesh_locality)?;
        if !orders_by_labels(node) || !is_in_several_places(service, subset) {
            return None;
        }
        let path = match (own, block) {
            (Some(settings), _) => format!("{}.failoverPriority", settings.path),
            (None, Some(block)) => block.path,
            (None, None) => "spec.host".to_owned(),
        };
        Some(draft(path, name))
    })
}

/// The finding about a MeshConfig whose own outlier detection and priorities meet in a service for which there is no
/// rule, if there is one.
pub(super) fn of_mesh(config: &Resource, known: &Known<'_>) -> Option<Draft> {
    if !known.mesh_detects || !config.node.field("localityLbSetting").is_some_and(orders_by_labels) {
        return None;
    }
    let has_rule = |name: &str| {
        let namespaces = known.services.namespaces_of(name, known.domain);
        known.lookup.rule_for(Client::default(), name, namespaces.into_iter()).is_some()
    };
    let mut looked_up = known.services.all().filter(|(_, service)| service.is_dns);
    let (name, _) = looked_up.find(|(name, service)| is_in_several_places(service, None) && !has_rule(name))?;
    Some(draft("localityLbSetting.failoverPriority".to_owned(), name))
}

fn draft(path: String, name: &str) -> Draft {
    let problem = format!(
        "`failoverPriority` holds with outlier detection for `{name}`, a ServiceEntry with `resolution: DNS` and \
         endpoints in several localities"
    );
    let words = [
        problem.as_str(),
        "istiod of Istio 1.30 and 1.31 ends with a panic when it makes the cluster, and again after each start: no \
            proxy of the mesh gets configuration any more (istio/istio#61857)",
        "use `failover`, or `resolution: STATIC` with addresses, or give the endpoints one locality",
    ];
    Draft::new(rules::FL208, Severity::Error, path, words)
}

/// Whether priorities are made by labels.
fn orders_by_labels(settings: &Node) -> bool {
    settings.flag("enabled") != Some(false)
        && settings.list("distribute").is_empty()
        && !settings.list("failoverPriority").is_empty()
}

fn is_in_several_places(service: &Service, subset: Option<&Subset<'_>>) -> bool {
    service.places_with(subset.map_or(&[][..], |subset| &subset.labels)).len() > 1
}

/// The service that is looked up in DNS and for which the rule holds: the host, or the first that a wildcard covers and
/// for which no other rule is found first.
fn looked_up<'a>(rule: &Resource, host: &'a str, known: &'a Known<'_>) -> Option<(&'a str, &'a Service)> {
    if !host.starts_with('*') {
        return Some((host, known.services.get(host).filter(|service| service.is_dns)?));
    }
    let client = Client { namespace: Some(rule.namespace()), labels: &[] };
    let is_found = |name: &str| {
        let namespaces = known.services.namespaces_of(name, known.domain);
        let found = known.lookup.rule_for(client, name, namespaces.into_iter());
        found.is_some_and(|found| found.rules.iter().any(|other| std::ptr::eq(*other, rule)))
    };
    let covered = known.services.all().filter(|(name, service)| service.is_dns && dns_name::covers(host, name));
    covered.into_iter().find(|(name, service)| service.places_with(&[]).len() > 1 && is_found(name))
}
