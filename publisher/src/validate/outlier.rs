//! Rules for outlier detection in DestinationRules (FL101 to FL107, FL111; caps are in [`cap`]).
//! [`super::locality`] checks locality settings.

use filter_core::config::OutlierDetection;
use findings::rule::Rule;

use super::cap::{self, Of};
use super::finding::{Draft, Severity};
use super::known::Known;
use super::rules;
use mesh::Resource;
use mesh::dns_name;
use mesh::fields::{self, Stray};
use mesh::outlier::translate;
use mesh::policy::{HostRules, Policy};
use mesh::services::Service;
use mesh::yaml::node::Node;

/// Every finding about the outlier detection of a DestinationRule.
pub(crate) fn check(rule: &Resource, known: &Known<'_>) -> Vec<Draft> {
    let rules = HostRules::of(&rule.node);
    let name = dns_name::full(rule.node.text("spec.host").unwrap_or_default(), rule.namespace(), known.domain);
    // Subsets take what they have not from the host, so that its settings may hold for them.
    let holds_nowhere =
        rules.subsets.is_empty() && known.services.get(&name).is_some_and(|service| rules.settles_each(&service.ports));
    let mut found = Vec::new();
    for (port, subset) in rules.scopes() {
        let settings = rules.locality(port, subset);
        match rules.block("outlierDetection", port, subset) {
            None if port.is_none() && subset.is_none() && holds_nowhere => {}
            None => found.extend(settings.and_then(|settings| without_detection(&settings, known))),
            Some(block) => {
                let of = Of { host: &name, subset, settings: settings.as_ref().map(|settings| settings.node) };
                found.extend(of_block(block.node, of, known).into_iter().map(|draft| draft.inside(&block.path)));
                // Settings that the host has and a subset drops are FL114, those in a wrong place FL112.
                let is_it = |stray: &Stray| stray.path().to_ascii_lowercase().contains("localitylbsetting");
                let is_misplaced = || fields::strays(rule).iter().any(is_it);
                if settings.is_none() && rules.locality(None, None).is_none() && !is_misplaced() {
                    found.extend(pins_to_zone(&name, known).map(|draft| draft.inside(&block.path)));
                }
            }
        }
    }
    found
}

/// Every finding about one `outlierDetection` block.
pub(crate) fn of_block(block: &Node, of: Of<'_>, known: &Known<'_>) -> Vec<Draft> {
    match translate(block) {
        Err(problems) => problems.iter().map(|(field, problem)| refused(field, problem, block)).collect(),
        Ok(rules) => {
            let mut found: Vec<Draft> = never(&rules).into_iter().collect();
            found.extend(cap::check(block, &rules, of, known));
            found.extend(times(&rules, false));
            found
        }
    }
}

/// FL103 and FL111: values that Istio refuses.
fn refused(field: &str, problem: &str, block: &Node) -> Draft {
    let is_count = block.number(field).is_some();
    if field == "consecutiveLocalOriginFailures" && is_count {
        return draft(
            rules::FL103,
            Severity::Error,
            field,
            problem,
            "Istio refuses the DestinationRule; without the split, failures to reach an endpoint count as 5xx and \
                gateway errors",
            "add `splitExternalLocalOriginErrors: true`, or remove this threshold",
        );
    }
    draft(
        rules::FL111,
        Severity::Error,
        field,
        problem,
        "the API server or Istio refuses the resource; what was applied before it stays in force",
        "write durations such as `30s`, counts without quotes, and percentages from 0 to 100",
    )
}

fn draft(rule: Rule, severity: Severity, path: &str, problem: &str, at_run_time: &str, fix: &str) -> Draft {
    let (path, problem, at_run_time, fix) =
        (path.to_owned(), problem.to_owned(), at_run_time.to_owned(), fix.to_owned());
    Draft { rule, severity, path, problem, at_run_time, fix }
}

/// FL101: failover without outlier detection.
pub(super) fn without_detection(settings: &Policy<'_>, known: &Known<'_>) -> Option<Draft> {
    let node = settings.node;
    let field = ["failover", "failoverPriority"].into_iter().find(|name| !node.list(name).is_empty());
    let is_off = node.flag("enabled") == Some(false);
    let distributes = field.is_none() && !node.list("distribute").is_empty();
    if is_off || distributes || known.mesh_detects {
        return None;
    }
    let path = field.map_or_else(|| settings.path.clone(), |field| format!("{}.{field}", settings.path));
    Some(draft(
        rules::FL101,
        Severity::Error,
        &path,
        "failover is wanted, and the same policy has no outlierDetection",
        "Istio makes no priorities without outlier detection: traffic is spread over all localities, and nothing fails \
            over",
        "add `outlierDetection` to the same policy (of the host, the subset or the port)",
    ))
}

/// FL107: outlier detection that never ejects.
fn never(rules: &OutlierDetection) -> Option<Draft> {
    let split = rules.split_external_local_origin_errors;
    let counts = rules.consecutive5xx_errors > 0 || rules.consecutive_gateway_errors > 0 || split;
    (!counts).then(|| {
        draft(
            rules::FL107,
            Severity::Warning,
            "consecutive5xxErrors",
            "is 0, and no other threshold is set",
            "Envoy never ejects an endpoint, while Istio still keeps traffic in the zone as it does with outlier \
                detection",
            "set `consecutive5xxErrors`, or `consecutiveGatewayErrors` to count 502, 503 and 504 only",
        )
    })
}

/// FL104: outlier detection that keeps traffic in the zone.
fn pins_to_zone(host: &str, known: &Known<'_>) -> Option<Draft> {
    let localities = known.services.get(host).and_then(Service::localities);
    let one_place = localities.is_some_and(|localities| localities.len() < 2);
    if known.locality_off || one_place {
        return None;
    }
    Some(draft(
        rules::FL104,
        Severity::Note,
        ".",
        "turns on locality failover, as localityLbSetting is not set",
        "each proxy sends to endpoints of its own zone only, while about 70 % of them or more are healthy; a zone with \
            few endpoints \
         and many callers is overloaded",
        "if that is meant, say so with `loadBalancer.localityLbSetting: {enabled: true}`; if not, with `{enabled: \
            false}`",
    ))
}

/// FL105 and FL106: ejections that do not grow longer, an interval longer than the ejection. `has_max`: whether the
/// block has a `maxEjectionTime`; the plugin's configuration has one, Istio's does not.
pub(crate) fn times(rules: &OutlierDetection, has_max: bool) -> Vec<Draft> {
    let (interval, base, max) = (rules.interval, rules.base_ejection_time, rules.max_ejection_time);
    let mut found = Vec::new();
    if base.millis() > max.millis() {
        let (severity, why) = match has_max {
            true => (Severity::Warning, format!("{base} is more than maxEjectionTime, {max}")),
            false => (
                Severity::Note,
                format!("{base} is more than {max}, the longest that Istio's proxies let ejections grow"),
            ),
        };
        found.push(draft(
            rules::FL105,
            severity,
            "baseEjectionTime",
            &why,
            &format!("Envoy takes the longer of the two: every ejection lasts {base}, the first as well as the tenth"),
            &format!("choose a shorter base time; the n-th ejection lasts n times as long, up to {max}"),
        ));
    }
    if interval.millis() > base.millis() {
        found.push(draft(
            rules::FL106,
            Severity::Warning,
            "interval",
            &format!("{interval} is more than baseEjectionTime, {base}"),
            &format!(
                "Envoy looks every {interval} whether an ejection is over, so endpoints stay out for up to \
                {interval} longer than asked"
            ),
            "make the interval a fraction of the ejection time",
        ));
    }
    found
}
