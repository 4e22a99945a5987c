//! Rules for which proxies get a DestinationRule, and which rule they get instead (FL108, FL115 to FL118).

use std::collections::BTreeSet;

use super::finding::{Draft, Finding, Severity};
use super::known::Known;
use super::rules::{self, FL108, FL118};
use mesh::lookup::Merged;
use mesh::policy::HostRules;
use mesh::services::Discovery;
use mesh::{Mesh, Resource, dns_name};

/// Every finding that one DestinationRule has by itself.
pub(super) fn of_rule(rule: &Resource, mesh: &Mesh, known: &Known<'_>) -> Vec<Draft> {
    let mut found = Vec::new();
    found.extend(without_namespace(rule, mesh));
    let host = dns_name::full(rule.node.text("spec.host").unwrap_or_default(), rule.namespace(), known.domain);
    found.extend(in_third_namespace(rule, &host, known));
    found.extend(unmoved(rule, &host, known));
    found.extend(passed_through(rule));
    found
}

/// FL116: a short host name in a rule that names no namespace.
fn without_namespace(rule: &Resource, mesh: &Mesh) -> Option<Draft> {
    let host = rule.node.text("spec.host").filter(|host| !host.contains('.') && *host != "*")?;
    if rule.namespace.is_some() {
        return None;
    }
    let services = mesh.resources.iter().filter(|it| it.kind == "Service" && it.group.is_empty() && it.name == host);
    let namespaces: BTreeSet<&str> = services.map(Resource::namespace).collect();
    let elsewhere = !namespaces.is_empty() && !namespaces.contains("default");
    let (severity, there) = match elsewhere {
        true => {
            let list: Vec<&str> = namespaces.into_iter().collect();
            (Severity::Warning, format!("; these files have a service `{host}` in {}", list.join(", ")))
        }
        false => (Severity::Note, String::new()),
    };
    let problem =
        format!("`{host}` is completed by the rule's namespace, and none is named: taken is `default`{there}");
    let words = [
        problem.as_str(),
        "the rule holds for the service of this name in the namespace in which it is applied, and in no other",
        "write `metadata.namespace`, or the full name; or give --namespace as in `kubectl apply --namespace`",
    ];
    Some(Draft::new(rules::FL116, severity, "spec.host".into(), words))
}

/// FL115: a rule in a namespace in which most proxies do not look.
fn in_third_namespace(rule: &Resource, host: &str, known: &Known<'_>) -> Option<Draft> {
    let namespace = rule.namespace();
    let own = known.services.namespaces_of(host, known.domain);
    let private = |to: &str| to == "." || to == namespace;
    let export = rule.node.list("spec.exportTo");
    let is_meant = !export.is_empty() && export.iter().filter_map(|to| to.text("")).all(private);
    let selects = !rule.node.map("spec.workloadSelector.matchLabels").is_empty();
    // Without a namespace, that is FL116.
    if rule.namespace.is_none()
        || own.is_empty()
        || own.contains(&namespace)
        || namespace == known.lookup.root
        || is_meant
        || selects
    {
        return None;
    }
    let problem = format!("`{host}` is a service of {}, and the rule is in {namespace}", own.join(", "));
    let at_run_time = format!(
        "Istio looks in the namespace of the calling proxy, of the service, and in {}: proxies in {namespace} alone \
         get the rule, for all others it is not there",
        known.lookup.root
    );
    let fix = format!(
        "move it to {}; for the whole mesh to {}; if it is for the callers in {namespace}, say so with `exportTo: \
         [\".\"]`",
        own.join(" or "),
        known.lookup.root
    );
    Some(Draft::new(rules::FL115, Severity::Warning, "metadata.namespace".into(), [&problem, &at_run_time, &fix]))
}

/// FL118: outlier detection or failover for a service whose requests Envoy does not move.
fn unmoved(rule: &Resource, host: &str, known: &Known<'_>) -> Option<Draft> {
    let asks = |policy: &str| {
        let at = |field: &str| rule.node.at(&format!("{policy}.{field}")).is_some();
        at("outlierDetection") || at("loadBalancer.localityLbSetting")
    };
    let own = |index: usize| format!("spec.trafficPolicy.portLevelSettings[{index}]");
    let of_port = (0..rule.node.list("spec.trafficPolicy.portLevelSettings").len()).any(|index| asks(&own(index)));
    let of_subset =
        (0..rule.node.list("spec.subsets").len()).any(|index| asks(&format!("spec.subsets[{index}].trafficPolicy")));
    if !asks("spec.trafficPolicy") && !of_port && !of_subset {
        return None;
    }
    let (host, discovery) = reached(rule, host, known)?;
    let (problem, at_run_time, fix) = match discovery {
        Discovery::Endpoints => return None,
        Discovery::Headless => (
            "is a headless Service, and outlier detection and failover work for gateways only",
            "a sidecar connects to the address that the client chose (ORIGINAL_DST): there are no priorities, nothing \
                fails over, and an ejected endpoint still gets its requests",
            "give the Service an address (remove `clusterIP: None`), or let clients call one that has",
        ),
        Discovery::Passthrough => (
            "is a ServiceEntry with `resolution: NONE`, the default",
            "Envoy connects to the address that the client chose (ORIGINAL_DST): there are no priorities, nothing \
                fails over, and an ejected endpoint still gets its requests",
            "set `resolution: STATIC` or `DNS` in the ServiceEntry, and list its endpoints",
        ),
        Discovery::OneOfDns => (
            "is a ServiceEntry with `resolution: DNS_ROUND_ROBIN`",
            "for Envoy, all that DNS tells is one endpoint: there is nothing to fail over to, and ejecting it leaves \
                none",
            "set `resolution: DNS`, with which each address is an endpoint of its own",
        ),
        Discovery::Alias => (
            "is a Service of type ExternalName, and no rule holds for one",
            "Istio takes it for another name of what `externalName` names, and makes no cluster of its own: requests \
                go by the rules of that host",
            "write the rule for the host that `externalName` names; if it is outside the mesh, add a ServiceEntry",
        ),
    };
    let problem = format!("`{host}` {problem}");
    Some(Draft::new(rules::FL118, Severity::Warning, "spec.host".into(), [&problem, at_run_time, fix]))
}

/// The service that a rule's host stands for, and how its endpoints are found. Of the services that a wildcard covers,
/// the first whose requests do not move and which no rule names that its proxies find first.
fn reached<'a>(rule: &Resource, host: &'a str, known: &'a Known<'_>) -> Option<(&'a str, Discovery)> {
    if !host.starts_with('*') {
        return Some((host, known.services.get(host)?.discovery));
    }
    let is_first = |other: &Merged<'_>| match other.namespace == rule.namespace() {
        true => other.selector.is_none(),
        false => rule.namespace() == known.lookup.root && other.is_for_all(),
    };
    let is_named = |name: &str| known.lookup.rules().any(|other| other.host == name && is_first(other));
    let covered = known.services.all().filter(|(name, _)| dns_name::covers(host, name));
    let mut unmoved = covered.filter(|(_, service)| service.discovery != Discovery::Endpoints);
    unmoved.find(|(name, _)| !is_named(name)).map(|(name, service)| (name, service.discovery))
}

/// FL118, by the rule itself: outlier detection together with the load balancer `PASSTHROUGH`.
fn passed_through(rule: &Resource) -> Vec<Draft> {
    let rules = HostRules::of(&rule.node);
    let of_scope = |(port, subset)| {
        rules.block("outlierDetection", port, subset)?;
        let balancer = rules.block("loadBalancer", port, subset)?;
        (balancer.node.text("simple") == Some("PASSTHROUGH")).then_some(balancer.path)
    };
    let paths: BTreeSet<String> = rules.scopes().into_iter().filter_map(of_scope).collect();
    let words = [
        "is PASSTHROUGH, together with outlierDetection",
        "Envoy connects to the address that the client chose (ORIGINAL_DST): there are no priorities, nothing fails \
         over, and an ejected endpoint still gets its requests",
        "choose another load balancer, such as `LEAST_REQUEST`, or remove the outlier detection",
    ];
    let draft = |path: String| Draft::new(FL118, Severity::Warning, format!("{path}.simple"), words);
    paths.into_iter().map(draft).collect()
}

/// Every finding that comes of several rules together.
pub(super) fn of_rules(known: &Known<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut told: Vec<*const Resource> = Vec::new();
    for merged in known.lookup.rules() {
        // What others see may be another mixture of the same rules.
        let is_new = |rule: &&Resource| !told.contains(&std::ptr::from_ref(*rule));
        if merged.rules.iter().skip(1).any(is_new) {
            found.extend(several(merged));
            told.extend(merged.rules.iter().skip(1).map(|rule| std::ptr::from_ref(*rule)));
        }
        found.extend(hides(merged, known));
    }
    found
}

/// FL108: several rules for one host that Istio merges; reported at every rule but the first. What an older one has
/// already is ignored; where each says something else, nothing is lost.
fn several(merged: &Merged<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, rule) in merged.rules.iter().enumerate().skip(1) {
        let older: Vec<&Resource> = merged.rules.iter().take(index).copied().collect();
        found.push(beside(rule, &older, &merged.host).in_resource(rule));
    }
    found
}

/// One rule beside the older ones for its host.
fn beside(rule: &Resource, older: &[&Resource], host: &str) -> Draft {
    let titles: Vec<String> = older.iter().map(|rule| rule.title()).collect();
    let problem = format!("{} speaks of `{host}` too", titles.join(", "));
    let policy = |rule: &&&Resource| rule.node.at("spec.trafficPolicy").is_some();
    let names = |rule: &Resource| -> BTreeSet<String> {
        rule.node.list("spec.subsets").iter().filter_map(|subset| subset.text("name").map(str::to_owned)).collect()
    };
    let own = names(rule);
    let mut ignored = Vec::new();
    if let Some(first) = older.iter().find(policy).filter(|_| policy(&&rule)) {
        ignored.push(format!("its trafficPolicy, as {} has one", first.title()));
    }
    for older in older {
        let twice = names(older).into_iter().filter(|name| own.contains(name));
        ignored.extend(twice.map(|name| format!("its subset `{name}`, as {} has it", older.title())));
    }
    if ignored.is_empty() {
        let words = [
            problem.as_str(),
            "Istio adds them together: one has the trafficPolicy, if any, each its own subsets, and nothing is ignored",
            "put both into one DestinationRule, or leave it: a trafficPolicy in both would hold for one of them only",
        ];
        return Draft::new(FL108, Severity::Note, "spec.host".into(), words);
    }
    let at_run_time = format!(
        "Istio takes each from the oldest rule that has it. Of this one it ignores {}; after all are deleted and \
         applied again, it may be the other way round",
        ignored.join("; ")
    );
    let words = [problem.as_str(), &at_run_time, "put both into one DestinationRule"];
    Draft::new(FL108, Severity::Warning, "spec.host".into(), words)
}

/// FL117: a rule without outlier detection that takes the place of one that has it.
fn hides(merged: &Merged<'_>, known: &Known<'_>) -> Option<Finding> {
    let policy = merged.policy();
    let first = merged.rules.first()?;
    // Where each port has settings of its own, those of the host hold for none.
    let ports = known.services.get(&merged.host).map(|service| &service.ports).filter(|own| policy.settles_each(own));
    let each_port = || ports.into_iter().flatten().copied();
    let everywhere = |has: &dyn Fn(Option<u64>) -> bool| match ports {
        Some(_) => each_port().all(|port| has(Some(port))),
        None => has(None),
    };
    let detects = everywhere(&|port| policy.block("outlierDetection", port, None).is_some());
    let settles = everywhere(&|port| policy.locality(port, None).is_some());
    if detects && settles {
        return None;
    }
    let has = |hidden: &&Merged<'_>| {
        let hidden = hidden.policy();
        let lists = |settings: &mesh::yaml::node::Node| {
            ["failover", "failoverPriority", "distribute"].iter().any(|name| !settings.list(name).is_empty())
        };
        let localities = hidden.locality(None, None).is_some_and(|settings| lists(settings.node));
        let detection = hidden.block("outlierDetection", None, None).is_some();
        (!detects && detection) || (detects && !settles && localities)
    };
    let hidden = known
        .lookup
        .hidden_by(merged, &known.services.namespaces_of(&merged.host, known.domain))
        .into_iter()
        .find(has)?;
    let (severity, what) = match detects {
        false => (Severity::Warning, "outlier detection"),
        true => (Severity::Note, "locality settings"),
    };
    let whom = match (&merged.selector, hidden.namespace == merged.namespace || hidden.namespace == known.lookup.root) {
        (None, true) => String::new(),
        _ => format!(" for proxies in {}", merged.namespace),
    };
    let problem = format!("takes the place of {} (`{}`){whom}, and has not its {what}", hidden.titles(), hidden.host);
    let words = [
        problem.as_str(),
        "rules are not inherited: where a nearer or more special rule is found, nothing of the others holds",
        "repeat the block in this rule",
    ];
    Some(Draft::new(rules::FL117, severity, "spec.trafficPolicy".into(), words).in_resource(first))
}
