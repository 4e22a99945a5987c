//! Rules for `maxEjectionPercent` (FL102, FL119): does the cap ever allow an ejection, and all those that a failover
//! needs. Envoy compares with the hosts of one cluster, and a subset is a cluster of its own.

use std::collections::{BTreeMap, BTreeSet};

use filter_core::config::OutlierDetection;

use super::finding::{Draft, Severity};
use super::known::{Known, is_in};
use super::rules;
use mesh::policy::Subset;
use mesh::services::Service;
use mesh::yaml::node::Node;

/// If the number of endpoints is unknown, a cap is reported only if it needs more than this: many services have three.
const USUAL_ENDPOINTS: u64 = 3;

/// What an `outlierDetection` block is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Of<'a> {
    /// The host's full name; empty: the whole mesh.
    pub(crate) host: &'a str,
    /// The subset.
    pub(crate) subset: Option<&'a Subset<'a>>,
    /// The locality settings that hold with it.
    pub(crate) settings: Option<&'a Node>,
}

/// What is wrong with the cap, if anything.
pub(super) fn check(block: &Node, rules: &OutlierDetection, of: Of<'_>, known: &Known<'_>) -> Option<Draft> {
    let percent = u64::from(rules.max_ejection_percent);
    let service = known.services.get(of.host);
    let count = service.and_then(|service| match of.subset {
        Some(subset) => service.count_with(&subset.labels),
        None => service.count(),
    });
    let written = match block.number("maxEjectionPercent") {
        None | Some(0) => "is not set, which is 10".to_owned(),
        Some(percent) => format!("is {percent}"),
    };
    let needed = 100_u64.div_ceil(percent.max(1));
    let severity = severity(service, of);
    match (count, service) {
        (Some(0), _) => None,
        (Some(count), _) if (count as u64) < needed => {
            let subset = of.subset.map_or_else(String::new, |subset| format!(" in subset `{}`", subset.name));
            let endpoints = if count == 1 { "1 endpoint".to_owned() } else { format!("{count} endpoints") };
            let rests =
                if severity == Severity::Error { "" } else { " in these files: if these are all, it never ejects" };
            Some(never(
                severity,
                &format!("{written}, and `{}` has {endpoints}{subset}{rests}", of.host),
                needed,
                percent,
            ))
        }
        (Some(count), Some(service)) if of.subset.is_none() => {
            share(&written, percent, count as u64, service, of, known)
        }
        (None, _) if needed > USUAL_ENDPOINTS => Some(never(Severity::Warning, &written, needed, percent)),
        _ => None,
    }
}

/// An error where the files list all endpoints; a note where the rule itself speaks of endpoints elsewhere, so that
/// another cluster has some too.
fn severity(service: Option<&Service>, of: Of<'_>) -> Severity {
    if service.is_some_and(|service| service.is_complete) {
        return Severity::Error;
    }
    let list = |name: &'static str| of.settings.into_iter().flat_map(move |settings| settings.list(name));
    let endpoints = service.into_iter().flat_map(|service| service.endpoints.iter().flatten());
    let here: BTreeSet<&str> = endpoints.filter_map(|endpoint| endpoint.locality.as_deref()).collect();
    let shares = list("distribute").flat_map(|entry| entry.map("to")).map(|(place, _)| place.as_str());
    let mut places = list("failover").filter_map(|entry| entry.text("to")).chain(shares);
    let speaks_of_others = places.any(|place| !here.iter().any(|locality| is_in(locality, place)))
        || (list("failoverPriority").next().is_some() && here.len() < 2);
    if speaks_of_others { Severity::Note } else { Severity::Warning }
}

/// FL102: a percent cap that never ejects.
fn never(severity: Severity, problem: &str, needed: u64, percent: u64) -> Draft {
    let at_run_time = format!(
        "one endpoint of fewer than {needed} is more than {percent} %, so Envoy never ejects any: it counts \
         `ejections_overflow`, and traffic does not fail over"
    );
    let fix = "set `maxEjectionPercent: 100`, or at least 100 divided by the number of endpoints, rounded up";
    Draft::new(rules::FL102, severity, "maxEjectionPercent".into(), [problem, &at_run_time, fix])
}

/// FL119: a cap below the share of the endpoints that one locality has: when all of these fail, some stay in rotation.
fn share(written: &str, percent: u64, count: u64, service: &Service, of: Of<'_>, known: &Known<'_>) -> Option<Draft> {
    let is_off = of.settings.and_then(|settings| settings.flag("enabled")).map_or(known.locality_off, |on| !on);
    let distributes = of.settings.is_some_and(|settings| !settings.list("distribute").is_empty());
    let mut at: BTreeMap<&str, u64> = BTreeMap::new();
    for endpoint in service.endpoints.iter().flatten() {
        *at.entry(endpoint.locality.as_deref()?).or_default() += 1;
    }
    let allowed = percent * count / 100;
    let (place, most) = at.iter().max_by_key(|(_, count)| **count)?;
    if is_off || distributes || at.len() < 2 || *most <= allowed {
        return None;
    }
    let severity = if service.is_complete { Severity::Warning } else { Severity::Note };
    let problem = format!("{written}: at most {allowed} of {count} endpoints, and `{place}` has {most}");
    let stay = match most - allowed {
        1 => "1 of its endpoints stays in rotation and goes".to_owned(),
        n => format!("{n} of its endpoints stay in rotation and go"),
    };
    let at_run_time = format!(
        "when all of `{place}` fails, {stay} on failing requests of the proxies there, as traffic moves only as far \
         as endpoints are ejected"
    );
    let fix = "set `maxEjectionPercent: 100`, or at least the largest share that one locality has";
    Some(Draft::new(rules::FL119, severity, "maxEjectionPercent".into(), [&problem, &at_run_time, fix]))
}
