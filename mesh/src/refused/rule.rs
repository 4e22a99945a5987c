//! DestinationRules: istiod's `ValidateDestinationRule`.

use std::collections::BTreeSet;

use super::refusal::{Refusal, What};
use super::{locality, names};
use crate::outlier;
use crate::yaml::node::{Node, Value};

/// The fields of which a policy must have one; the webhook counts no others.
const OF_POLICY: [&str; 8] = [
    "loadBalancer",
    "connectionPool",
    "outlierDetection",
    "tls",
    "portLevelSettings",
    "tunnel",
    "proxyProtocol",
    "retryBudget",
];
/// The same for the settings of a port.
const OF_PORT: [&str; 4] = ["loadBalancer", "connectionPool", "outlierDetection", "tls"];

/// A traffic policy or the settings of a port, and where they are.
pub(super) struct Place<'a> {
    pub(super) path: String,
    pub(super) node: &'a Node,
    is_of_port: bool,
}

/// The policies of a rule: of the host, of its subsets, of ports.
pub(super) fn policies(rule: &Node) -> Vec<Place<'_>> {
    let of_subsets = (0..rule.list("spec.subsets").len()).map(|index| format!("spec.subsets[{index}].trafficPolicy"));
    let mut found = Vec::new();
    for path in std::iter::once("spec.trafficPolicy".to_owned()).chain(of_subsets) {
        let Some(node) = rule.at(&path) else { continue };
        let of_port =
            |(index, node)| Place { path: format!("{path}.portLevelSettings[{index}]"), node, is_of_port: true };
        let ports: Vec<Place<'_>> = node.list("portLevelSettings").iter().enumerate().map(of_port).collect();
        found.push(Place { path: path.clone(), node, is_of_port: false });
        found.extend(ports);
    }
    found
}

/// Every reason for which a DestinationRule is refused.
pub(super) fn check(rule: &Node) -> Vec<Refusal> {
    let mut found = Vec::new();
    let host = rule.text("spec.host").unwrap_or_default();
    let fix = "write a service's name, its full name, or `*` with the end of names";
    found.extend(names::wildcard_problem(host).map(|problem| Refusal::new("spec.host", problem, fix)));
    subsets(rule, &mut found);
    selector(rule, "spec.workloadSelector.matchLabels", &mut found);
    for place in policies(rule) {
        policy(&place, &mut found);
    }
    found
}

/// Labels that select workloads: no stars, and no key without a sign.
pub(super) fn selector(node: &Node, path: &str, found: &mut Vec<Refusal>) {
    for (key, value) in node.map(path) {
        let value = value.text("").unwrap_or_default();
        let problem = match (key.as_str(), value) {
            ("", _) => "has a label without a name",
            _ if key.contains('*') || value.contains('*') => "has a star in a label, and labels are compared whole",
            _ if value.len() > 63 => "has a value of more than 63 signs",
            _ => continue,
        };
        found.push(Refusal::new(path, problem, "write the labels of the pods as they are"));
    }
}

fn subsets(rule: &Node, found: &mut Vec<Refusal>) {
    let mut seen = BTreeSet::new();
    for (index, subset) in rule.list("spec.subsets").iter().enumerate() {
        let path = format!("spec.subsets[{index}]");
        let name = subset.text("name").unwrap_or_default();
        let fix = "write a name of letters, digits and inner dashes, at most 63";
        if name.is_empty() {
            found.push(Refusal::new(&path, "has no name", fix));
        } else if !names::is_label(name) {
            found.push(Refusal::new(format!("{path}.name"), format!("`{name}` is no name of a subset"), fix));
        } else if !seen.insert(name) {
            let problem = format!("`{name}` is the name of an earlier subset too");
            found.push(Refusal::new(format!("{path}.name"), problem, "give each subset a name of its own"));
        }
        labels(subset, &format!("{path}.labels"), found);
    }
}

/// Labels that Kubernetes does not have.
pub(super) fn labels(node: &Node, path: &str, found: &mut Vec<Refusal>) {
    for (key, value) in node.map("labels") {
        if let Some(problem) = names::pair_problem(key, value.text("").unwrap_or_default()) {
            found.push(Refusal::new(path, problem, "write the labels of the pods as they are"));
        }
    }
}

/// What is wrong with a policy, or with the settings of a port.
fn policy(place: &Place<'_>, found: &mut Vec<Refusal>) {
    let Place { path, node, is_of_port } = place;
    let fix = "remove it, or write what it is to set";
    let fields: &[&str] = if *is_of_port { &OF_PORT } else { &OF_POLICY };
    if let Some(problem) = without(node, fields) {
        found.push(Refusal::new(path, problem, fix));
    }
    if *is_of_port && node.field("port").is_none() {
        found.push(Refusal::new(path, "names no port", "write `port: {number: 80}`"));
    }
    found.extend(others(node).map(|(field, problem, fix)| Refusal::new(format!("{path}{field}"), problem, fix)));
    let pool = node.field("connectionPool").and_then(|pool| without(pool, &["tcp", "http"]));
    found.extend(pool.map(|problem| Refusal::new(format!("{path}.connectionPool"), problem, fix)));
    let of_http = node.at("connectionPool.http").and_then(http);
    found.extend(
        of_http.map(|(field, problem)| Refusal::new(format!("{path}.connectionPool.http{field}"), problem, fix)),
    );
    if let Some(balancer) = node.field("loadBalancer") {
        let path = format!("{path}.loadBalancer");
        found.extend(
            balancing(balancer).map(|(field, problem, fix)| Refusal::new(format!("{path}{field}"), problem, fix)),
        );
        locality::check(balancer, &path, found);
    }
    detection(place, found);
    let tls = node.field("tls").and_then(tls);
    found.extend(tls.map(|(problem, fix)| Refusal::new(format!("{path}.tls"), problem, fix)));
}

/// Values of outlier detection.
fn detection(place: &Place<'_>, found: &mut Vec<Refusal>) {
    let Some(Err(problems)) = place.node.field("outlierDetection").map(outlier::translate) else { return };
    for (field, problem) in problems {
        // Of the right type, it is refused for what is missing beside it.
        let is_split = field == "consecutiveLocalOriginFailures";
        let (what, fix) = match is_split {
            true => (What::Split, "add `splitExternalLocalOriginErrors: true`, or remove this threshold"),
            false => (What::Value, "write durations such as `30s`, counts without quotes, percentages from 0 to 100"),
        };
        found.push(Refusal::new(format!("{}.outlierDetection.{field}", place.path), problem, fix).of(what));
    }
}

/// What is wrong with a block that must have one of these fields.
fn without(block: &Node, fields: &[&str]) -> Option<&'static str> {
    let Value::Map(own) = &block.value else { return None };
    let has = fields.iter().any(|field| block.field(field).is_some());
    let problem = if own.is_empty() { "is empty" } else { "has none of the fields that count" };
    (!has).then_some(problem)
}

fn http(http: &Node) -> Option<(&'static str, &'static str)> {
    if http.text("h2UpgradePolicy") == Some("UPGRADE") && http.flag("useClientProtocol") == Some(true) {
        return Some((".useClientProtocol", "stands together with `h2UpgradePolicy: UPGRADE`"));
    }
    let alive = http.field("http2KeepAlive")?;
    let lacks = ["interval", "timeout"].iter().any(|field| alive.field(field).is_none());
    lacks.then_some((".http2KeepAlive", "needs both an interval and a timeout"))
}

type Problem = (&'static str, &'static str, &'static str);

fn balancing(balancer: &Node) -> Option<Problem> {
    if let Some(warmup) = balancer.field("warmup") {
        if warmup.field("duration").is_none() {
            return Some((".warmup", "has no duration", "write `duration: 30s`, or remove `warmup`"));
        }
        let number = |name: &str| match &warmup.at(name)?.value {
            Value::Scalar(serde_json::Value::Number(number)) => number.as_f64(),
            _ => None,
        };
        if number("minimumPercent").is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Some((".warmup.minimumPercent", "is not from 0 to 100", "write a percentage from 0 to 100"));
        }
        if number("aggression").is_some_and(|aggression| aggression <= 0.0) {
            return Some((".warmup.aggression", "is not more than 0", "write a number above 0, or remove it"));
        }
    }
    if balancer.field("simple").is_some() && balancer.field("consistentHash").is_some() {
        return Some((".simple", "stands together with consistentHash", "keep one"));
    }
    if balancer.field("localityLbSetting").is_some() && balancer.field("zoneAwareLbSetting").is_some() {
        return Some((".zoneAwareLbSetting", "stands together with localityLbSetting", "keep one"));
    }
    balancer.field("consistentHash").and_then(hashing)
}

/// By what a hash is made, and how it is used.
fn hashing(hash: &Node) -> Option<Problem> {
    let count = |names: &[&str]| names.iter().filter(|name| hash.field(name).is_some()).count();
    if count(&["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"]) > 1 {
        return Some((".consistentHash", "names several things to hash by", "keep one"));
    }
    if count(&["ringHash", "maglev"]) > 1 || count(&["minimumRingSize"]) + count(&["ringHash", "maglev"]) > 1 {
        return Some((".consistentHash", "names several ways to hash", "keep `ringHash` or `maglev`"));
    }
    let size = hash.field("maglev").map(|maglev| maglev.number("tableSize").unwrap_or(0));
    if size.is_some_and(|size| size >= 5_000_011 || !is_prime(size)) {
        return Some((".consistentHash.maglev", "has a tableSize that is no prime below 5000011", "write one: 65537"));
    }
    let cookie = hash.field("httpCookie")?;
    let of = |node: &Node| node.text("name").unwrap_or_default().to_owned();
    if of(cookie).is_empty() {
        return Some((".consistentHash.httpCookie", "has no name", "write the name of the cookie"));
    }
    let mut seen = BTreeSet::new();
    let is_odd = cookie.list("attributes").iter().map(of).any(|name| name.is_empty() || !seen.insert(name));
    is_odd.then_some((".consistentHash.httpCookie.attributes", "have no name, or the same", "name each once"))
}

fn is_prime(size: u64) -> bool {
    size > 0 && (2..).take_while(|factor| factor * factor <= size).all(|factor| !size.is_multiple_of(factor))
}

/// A tunnel, or a budget of retries.
fn others(policy: &Node) -> Option<Problem> {
    if let Some(tunnel) = policy.field("tunnel") {
        if policy.field("proxyProtocol").is_some() {
            return Some((".tunnel", "stands together with proxyProtocol", "keep one"));
        }
        let host = tunnel.text("targetHost").unwrap_or_default();
        if names::name_problem(host).is_some() && !names::is_address(host) {
            return Some((".tunnel.targetHost", "is neither a host name nor an IP address", "write where it leads"));
        }
        if tunnel.field("targetPort").is_none() {
            return Some((".tunnel", "has no targetPort", "write `targetPort: 443`"));
        }
    }
    let Value::Scalar(serde_json::Value::Number(percent)) = &policy.at("retryBudget.percent")?.value else {
        return None;
    };
    let is_odd = percent.as_f64().is_none_or(|percent| !(0.0..=100.0).contains(&percent));
    is_odd.then_some((".retryBudget.percent", "is not from 0 to 100", "write a percentage from 0 to 100"))
}

/// istiod's `ValidateTLS`.
fn tls(tls: &Node) -> Option<(&'static str, &'static str)> {
    let has = |name: &str| tls.text(name).is_some_and(|text| !text.is_empty());
    let mode = tls.text("mode").unwrap_or("DISABLE");
    let starts = ["SIMPLE", "MUTUAL"].contains(&mode);
    if tls.flag("insecureSkipVerify") == Some(true) && starts {
        let names = !tls.list("subjectAltNames").is_empty();
        if has("caCertificates") || names || (mode == "SIMPLE" && has("credentialName")) {
            return Some(("skips the check, and names what to check by", "remove `insecureSkipVerify`, or the rest"));
        }
    }
    if starts && has("credentialName") {
        let others = ["clientCertificate", "privateKey", "caCertificates", "caCrl"];
        let both = others.iter().any(|name| has(name));
        return both.then_some(("names a credential and files too", "keep `credentialName`, or the files"));
    }
    let lacks = mode == "MUTUAL" && !(has("clientCertificate") && has("privateKey"));
    lacks.then_some((
        "is MUTUAL without a certificate and a key",
        "name both, or a `credentialName`; Istio's own certificates are ISTIO_MUTUAL",
    ))
}
