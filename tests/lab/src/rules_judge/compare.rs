//! Compares what istiod made of a set with what faultline says of it.

use std::fmt;

use serde_json::Value;

use super::derived::{Derived, Finding};
use super::seen::Seen;
use super::stage::{Refusal, View, title};
use super::write::{Endpoint, RuleSet, Service};

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    /// When endpoints are ejected.
    Detection,
    /// The panic threshold.
    Panic,
    /// Whether there are several priorities.
    Priorities,
    /// How many endpoints there are.
    Endpoints,
    /// Whether the cluster is there.
    Cluster,
    /// Whether Istio takes an object.
    Refusal,
}

/// A difference between istiod and faultline.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// The cluster and the namespace of the Envoy that has it, or the object.
    pub(super) place: String,
    pub(super) aspect: Aspect,
    pub(super) istiod: String,
    pub(super) faultline: String,
    /// What says it.
    pub(super) said: Option<String>,
    /// Titles of the objects that it is about.
    pub(super) concerns: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, aspect, istiod, faultline, said, .. } = self;
        write!(f, "{aspect:?} of {place}: istiod: {istiod}; faultline: {faultline}")?;
        said.as_ref().map_or(Ok(()), |said| write!(f, "; said: {said}"))
    }
}

/// What was compared of one Envoy.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// How many clusters.
    pub(super) clusters: usize,
    pub(super) differences: Vec<Difference>,
}

/// Words of a remark that says that something is left open.
const OPEN: [&str; 8] = [
    "left out",
    "not looked at",
    "taken for every proxy",
    "assumed",
    "ambiguous",
    "cannot be told",
    "several namespaces",
    "holds for the proxies",
];

/// Rules of `validate` that say that Istio refuses an object.
const REFUSED: [&str; 5] = ["FL103", "FL111", "FL201", "FL202", "FL204"];

/// Rules of `validate` that say that endpoints are not in tiers, or are not in the cluster.
const WITHOUT_TIERS: [&str; 6] = ["FL101", "FL118", "FL203", "FL205", "FL206", "FL207"];

/// Whether Istio took what faultline says it takes, and refused what faultline says it refuses.
pub(super) fn refusals(set: &RuleSet, refused: &[Refusal], findings: &[Finding]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for name in set.objects().iter().map(title) {
        let refusal = refused.iter().find(|refusal| refusal.title == name);
        let is_error = |finding: &&Finding| finding.resource == name && finding.severity == "error";
        let error = findings.iter().find(is_error);
        let says_refused = findings.iter().filter(is_error).find(|finding| REFUSED.contains(&finding.code.as_str()));
        let (istiod, faultline) = match (refusal, error, says_refused) {
            (Some(refusal), None, _) => (format!("refused: {}", refusal.why), "no error".to_owned()),
            (None, _, Some(finding)) => ("taken".to_owned(), format!("{} {}", finding.code, finding.text)),
            _ => continue,
        };
        let concerns = vec![name.clone()];
        differences.push(Difference { place: name, aspect: Aspect::Refusal, istiod, faultline, said: None, concerns });
    }
    differences
}

/// Compares every cluster of the set's services in one Envoy.
pub(super) fn view(
    set: &RuleSet,
    refused: &[Refusal],
    view: &View,
    derived: &Derived,
    findings: &[Finding],
) -> Compared {
    let mut compared = Compared::default();
    let is_refused = |object: &Value| refused.iter().any(|refusal| refusal.title == title(object));
    let rules: Vec<&Value> = set.rules.iter().filter(|rule| !is_refused(rule)).collect();
    for service in set.services.iter().filter(|service| !service.objects.iter().any(is_refused)) {
        let rules: Vec<&Value> = rules.iter().copied().filter(|rule| speaks_of(rule, service)).collect();
        let scope = Scope { service, rules: &rules, view, derived, findings };
        for port in &service.ports {
            let name = format!("outbound|{port}||{}", service.host);
            if !view.clusters.contains_key(&name) {
                compared.differences.extend(scope.difference(&name, Aspect::Cluster, ["none", "a cluster"]));
            }
        }
        let of_service = view.clusters.values().filter(|seen| seen.name.ends_with(&format!("|{}", service.host)));
        for seen in of_service {
            compared.clusters += 1;
            compared.differences.extend(scope.cluster(seen));
        }
    }
    compared
}

/// A service in one Envoy, and all that may be said about it.
struct Scope<'a> {
    service: &'a Service,
    rules: &'a [&'a Value],
    view: &'a View,
    derived: &'a Derived,
    findings: &'a [Finding],
}

impl Scope<'_> {
    fn cluster(&self, seen: &Seen) -> Vec<Difference> {
        let derived = self.derived.of(&seen.name);
        let told = derived.as_ref().map(|(detection, _)| detection);
        let words = |detection: Option<&super::seen::Detection>| {
            detection.map_or("no outlier detection".to_owned(), ToString::to_string)
        };
        let mut found = Vec::new();
        if seen.detection.as_ref() != told {
            let both = [words(seen.detection.as_ref()), words(told)];
            found.push(self.difference(&seen.name, Aspect::Detection, [&both[0], &both[1]]));
        }
        if let (Some(_), Some((_, panic))) = (&seen.detection, &derived)
            && (seen.panic - panic).abs() > f64::EPSILON
        {
            let both = [seen.panic.to_string(), panic.to_string()];
            found.push(self.difference(&seen.name, Aspect::Panic, [&both[0], &both[1]]));
        }
        found.push(self.endpoints(seen, told.is_some()));
        found.into_iter().flatten().collect()
    }

    /// Differences in priorities and endpoints: who has outlier detection expects its endpoints in tiers by locality.
    fn endpoints(&self, seen: &Seen, detects: bool) -> Option<Difference> {
        let subset = seen.name.split('|').nth(2).unwrap_or_default();
        let chosen = |endpoint: &&Endpoint| subset.is_empty() || endpoint.version == subset;
        let written: Vec<&Endpoint> = self.service.endpoints.iter().filter(chosen).collect();
        let is_distributed = self.rules.iter().any(|rule| rule.to_string().contains("\"distribute\""));
        // What a distribution leaves is what it says; that it leaves nothing is not.
        let is_wanted = is_distributed && !seen.hosts.is_empty();
        if detects && seen.hosts.len() != written.len() && !is_wanted {
            let both = [format!("{} endpoints", seen.hosts.len()), format!("{} endpoints", written.len())];
            return self.difference(&seen.name, Aspect::Endpoints, [&both[0], &both[1]]);
        }
        let tiers = |mut all: Vec<u64>| {
            all.sort_unstable();
            all.dedup();
            all.len()
        };
        let own = self.view.client.locality;
        let wanted = tiers(written.iter().map(|endpoint| tier(own, endpoint.locality)).collect());
        let wanted = if detects { wanted } else { 1 };
        let has = tiers(seen.hosts.iter().map(|host| host.priority).collect());
        let differs = match has > 1 {
            true => wanted < 2 && !self.orders_endpoints(),
            false => wanted > 1 && !self.prioritises(),
        };
        let both = [has, wanted].map(|count| format!("{count} priorities"));
        if differs { self.difference(&seen.name, Aspect::Priorities, [&both[0], &both[1]]) } else { None }
    }

    /// Whether a rule orders endpoints by more than their locality's distance.
    fn orders_endpoints(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| ["\"failover\"", "\"failoverPriority\""].iter().any(|it| rule.to_string().contains(it)))
    }

    /// Whether a rule says itself that there are no tiers, or by which labels there are.
    fn prioritises(&self) -> bool {
        let own = ["\"distribute\"", "\"failoverPriority\"", "\"localityLbSetting\":{\"enabled\":false}"];
        self.rules.iter().any(|rule| own.iter().any(|words| rule.to_string().contains(words)))
    }

    fn difference(&self, cluster: &str, aspect: Aspect, [istiod, faultline]: [&str; 2]) -> Option<Difference> {
        let titles: Vec<String> = self.rules.iter().map(|rule| title(rule)).collect();
        let concerns = titles.iter().cloned().chain(self.service.objects.iter().map(title)).collect();
        let place = format!("{cluster} in {}", self.view.client.namespace);
        let said = self.said(&titles, aspect);
        Some(Difference { place, aspect, istiod: istiod.to_owned(), faultline: faultline.to_owned(), said, concerns })
    }

    /// What says that this may be different: a remark that leaves the host or one of its rules open, or a finding.
    fn said(&self, titles: &[String], aspect: Aspect) -> Option<String> {
        let names = |text: &str| text.contains(&self.service.host) || titles.iter().any(|title| text.contains(title));
        let is_open = |remark: &&String| OPEN.iter().any(|word| remark.contains(word)) && names(remark);
        let remark = self.derived.remarks.iter().find(is_open).filter(|_| aspect != Aspect::Endpoints);
        let of_service: Vec<String> = self.service.objects.iter().map(title).collect();
        let concerns =
            |finding: &&Finding| titles.contains(&finding.resource) || of_service.contains(&finding.resource);
        let is_about = |finding: &&Finding| match aspect {
            Aspect::Priorities | Aspect::Endpoints => WITHOUT_TIERS.contains(&finding.code.as_str()),
            _ => finding.text.contains("left out"),
        };
        let finding = self.findings.iter().filter(concerns).find(is_about);
        remark.cloned().or_else(|| finding.map(|finding| format!("{} {}", finding.code, finding.text)))
    }
}

/// Whether a rule may be meant for a service: its host, however it is completed, or a suffix of it.
fn speaks_of(rule: &Value, service: &Service) -> bool {
    let host = rule.pointer("/spec/host").and_then(Value::as_str).unwrap_or_default();
    match host.strip_prefix('*') {
        Some(end) => service.host.ends_with(end),
        None => host == service.host || (service.is_kubernetes() && host.split('.').next() == Some(&service.name)),
    }
}

/// How far an endpoint is from a client, as Istio counts it.
fn tier(own: &str, other: &str) -> u64 {
    let parts = |text: &str| {
        let (region, zone) = text.split_once('/').unwrap_or((text, ""));
        (region.to_owned(), zone.to_owned())
    };
    let ((region, zone), (other_region, other_zone)) = (parts(own), parts(other));
    match (region == other_region, zone == other_zone) {
        (true, true) => 0,
        (true, false) => 2,
        (false, _) => 3,
    }
}
