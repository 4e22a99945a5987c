//! Rules for locality load balancing (FL203, FL205 to FL207), in DestinationRules and in the MeshConfig. What Istio
//! refuses there is said in [`super::webhook`].

use std::collections::BTreeSet;

use super::finding::{Draft, Severity};
use super::known::{Known, is_in};
use super::rules;
use mesh::lookup::Client;
use mesh::services::{Discovery, Endpoint, Service};
use mesh::yaml::node::{Node, Value};

/// Every finding about one `localityLbSetting`; `service`: the one that it is for, if the files have it.
pub(crate) fn check(settings: &Node, service: Option<&Service>, known: &Known<'_>) -> Vec<Draft> {
    let mut found = Vec::new();
    if settings.flag("enabled") == Some(false) {
        found.extend(switched_off(settings));
        return found;
    }
    nothing_stands_in(settings, service, &mut found);
    halves(settings, &mut found);
    names(settings, service, known, &mut found);
    if let Some(service) = service {
        found.extend(left_out(settings, service));
        found.extend(somewhere(settings, service, known));
    }
    found
}

/// What becomes of a cluster that a distribution leaves without endpoints.
const EMPTIED: &str = "Istio takes every endpoint out of the cluster for the proxies that `from` covers: their \
    requests are answered with 503 (`UH`)";
/// The same of a cluster that Envoy does not take without an endpoint.
const REJECTED: &str = "Istio takes the only endpoint out of the cluster, and Envoy rejects a DNS_ROUND_ROBIN cluster \
    that has none: a proxy keeps what it had before, and a new one never gets the cluster";
/// What becomes of endpoints without a locality.
const LEFT_OUT: &str = "an endpoint without a locality is in none that `to` names, so Istio takes it out of the \
    cluster for every proxy that `from` covers; without any left, requests are answered with 503 (`UH`)";

/// FL207: locality settings that are switched off.
fn switched_off(settings: &Node) -> Option<Draft> {
    let unused: Vec<&str> = ["failover", "failoverPriority", "distribute"]
        .into_iter()
        .filter(|name| {
            settings.at(name).is_some_and(|node| !matches!(&node.value, Value::List(items) if items.is_empty()))
        })
        .collect();
    let words = [
        &*format!("is false, so {} is never used", unused.join(" and ")),
        "Istio gives endpoints neither priorities nor weights: traffic is spread over all localities, and nothing \
            fails over",
        "remove `enabled: false`, or the settings beside it",
    ];
    (!unused.is_empty()).then(|| Draft::new(rules::FL207, Severity::Warning, "enabled".into(), words))
}

/// FL205: a distribution to one locality, or within one region, for which nothing stands in.
fn nothing_stands_in(settings: &Node, service: Option<&Service>, found: &mut Vec<Draft>) {
    for (index, distribute) in settings.list("distribute").iter().enumerate() {
        let to = distribute.map("to");
        let region = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
        let regions: BTreeSet<String> = to.iter().map(|(name, _)| region(name)).collect();
        let Some(only) = regions.first().filter(|only| regions.len() == 1 && *only != "*") else { continue };
        let (severity, problem) = match to {
            [(name, _)] => {
                (Severity::Warning, format!("all of the traffic goes to `{name}`, and distribute never fails over"))
            }
            // Where there is no other region, none could stand in.
            _ if service
                .and_then(Service::localities)
                .is_some_and(|all| all.iter().all(|one| region(one) == *only)) =>
            {
                continue;
            }
            _ => (Severity::Note, format!("every share stays in `{only}`, and distribute never fails over")),
        };
        let words = [
            problem.as_str(),
            "Istio takes the endpoints of every other locality out of the cluster: when those that are left are \
                ejected or gone, requests are answered with 503 (`UH`)",
            "use `failover` if another locality is to take over; or name it here too, with a share of its own",
        ];
        found.push(Draft::new(rules::FL205, severity, format!("distribute[{index}].to"), words));
    }
}

/// Whether an entry of `distribute` names localities, and so leaves out what has none.
fn is_by_name(entry: &Node) -> bool {
    let to = entry.map("to");
    !to.is_empty() && to.iter().all(|(name, _)| name.split('/').next() != Some("*"))
}

/// FL206, as a note: a distribution to several regions for endpoints of which the files do not tell where they are.
/// Within one region it is FL205.
fn somewhere(settings: &Node, service: &Service, known: &Known<'_>) -> Option<Draft> {
    let is_unknown = |endpoint: &Endpoint| endpoint.locality.is_none() && !endpoint.is_nowhere;
    if known.all_localities || !service.endpoints.iter().flatten().any(is_unknown) {
        return None;
    }
    let regions = |entry: &Node| -> usize {
        let names = entry.map("to").iter().map(|(name, _)| name.split('/').next().unwrap_or_default());
        names.collect::<BTreeSet<_>>().len()
    };
    let mut entries = settings.list("distribute").iter();
    let index = entries.position(|entry| is_by_name(entry) && regions(entry) > 1)?;
    let words = [
        "it names localities, and the files do not tell where the service's endpoints are",
        "Istio takes every endpoint that is in none of them out of the cluster for the proxies that `from` covers; if \
            all are elsewhere, requests are answered with 503 (`UH`)",
        "to have it checked, give the Nodes too (`kubectl get nodes -o yaml`)",
    ];
    Some(Draft::new(rules::FL206, Severity::Note, format!("distribute[{index}].to"), words))
}

/// Whether an entry of `distribute` leaves the service without any endpoint, as far as can be told for certain.
fn empties(entry: &Node, service: &Service) -> bool {
    let is_out = |endpoint: &Endpoint| match &endpoint.locality {
        Some(locality) => !entry.map("to").iter().any(|(name, _)| is_in(locality, name)),
        None => endpoint.is_nowhere,
    };
    let endpoints = service.endpoints.as_ref().filter(|endpoints| !endpoints.is_empty());
    is_by_name(entry) && endpoints.is_some_and(|endpoints| endpoints.iter().all(is_out))
}

/// FL206: endpoints without a locality, which a distribution leaves out; and a cluster that Envoy rejects because a
/// distribution leaves it without its only endpoint. Others without any endpoint in the named localities are FL203.
fn left_out(settings: &Node, service: &Service) -> Option<Draft> {
    let all = service.endpoints.as_ref()?;
    let nowhere = all.iter().filter(|endpoint| endpoint.is_nowhere).count();
    let of_entry = |(index, entry): (usize, &Node)| {
        let is_emptied = empties(entry, service);
        let is_rejected = is_emptied && service.discovery == Discovery::OneOfDns;
        if !is_by_name(entry) || (nowhere == 0 && !is_rejected) {
            return None;
        }
        let problem = match nowhere {
            n if n == all.len() => "the service's endpoints have no locality".to_owned(),
            _ if is_emptied => "none of the service's endpoints is in a locality that it names".to_owned(),
            1 => format!("1 of the service's {} endpoints has no locality", all.len()),
            n => format!("{n} of the service's {} endpoints have no locality", all.len()),
        };
        let (severity, at_run_time) = match is_rejected {
            true => (Severity::Error, REJECTED),
            false => (Severity::Warning, LEFT_OUT),
        };
        let fix = "give the endpoints a `locality` that it names, or the service a rule of its own with \
            `localityLbSetting: {enabled: false}`";
        let path = format!("distribute[{index}].to");
        Some(Draft::new(rules::FL206, severity, path, [&problem, at_run_time, fix]))
    };
    settings.list("distribute").iter().enumerate().find_map(of_entry)
}

/// FL206, of the mesh's settings: the services that they leave out, as no rule has settings of its own for them.
pub(crate) fn left_out_of_mesh(settings: &Node, known: &Known<'_>) -> Vec<Draft> {
    if settings.flag("enabled") == Some(false) {
        return Vec::new();
    }
    let entries = settings.list("distribute");
    let Some(entry) = entries.iter().position(is_by_name) else { return Vec::new() };
    let has_own = |host: &str| {
        let namespaces = known.services.namespaces_of(host, known.domain);
        let rule = known.lookup.rule_for(Client::default(), host, namespaces.into_iter());
        let balancer = rule.and_then(|rule| rule.policy().block("loadBalancer", None, None));
        balancer.is_some_and(|balancer| balancer.node.field("localityLbSetting").is_some())
    };
    let is_rejected = |service: &Service| {
        service.discovery == Discovery::OneOfDns && entries.get(entry).is_some_and(|entry| empties(entry, service))
    };
    let is_nowhere = |service: &Service| service.endpoints.iter().flatten().any(|endpoint| endpoint.is_nowhere);
    let of = |severity, at_run_time, what, is_it: &dyn Fn(&Service) -> bool| {
        let its = known.services.all().filter(|(host, service)| is_it(service) && !has_own(host));
        let hosts: Vec<&str> = its.map(|(host, _)| host).collect();
        let (first, more) = hosts.split_first()?;
        let others = match more.len() {
            0 => String::new(),
            1 => " and 1 more service".to_owned(),
            n => format!(" and {n} more services"),
        };
        let problem = format!("endpoints of `{first}`{others} {what}");
        let fix = "give the endpoints a `locality` that it names, or the service a DestinationRule with \
            `localityLbSetting: {enabled: false}`";
        let path = format!("distribute[{entry}].to");
        Some(Draft::new(rules::FL206, severity, path, [&problem, at_run_time, fix]))
    };
    let rejected = of(Severity::Error, REJECTED, "are in no locality that it names", &is_rejected);
    let others = |service: &Service| is_nowhere(service) && !is_rejected(service);
    rejected.into_iter().chain(of(Severity::Warning, LEFT_OUT, "have no locality", &others)).collect()
}

/// FL203: a failover of which only one side is there, which Istio takes.
fn halves(settings: &Node, found: &mut Vec<Draft>) {
    for (index, failover) in settings.list("failover").iter().enumerate() {
        let is_there = |name: &str| failover.text(name).is_some_and(|text| !text.is_empty());
        let (lacks, at_run_time) = match (is_there("from"), is_there("to")) {
            (true, false) => (
                "to",
                "no endpoint gets the priority that is meant: when the region fails, traffic goes to every other alike",
            ),
            (false, true) => ("from", "the entry holds for proxies without a region alone, so for hardly any"),
            _ => continue,
        };
        let words = [&*format!("names no `{lacks}`"), at_run_time, "name both regions"];
        found.push(Draft::new(rules::FL203, Severity::Warning, format!("failover[{index}]"), words));
    }
}

/// FL203: a locality that names nothing. A source locality may have only callers, so it is just a note there; so it is
/// where another cluster of the mesh may have what these files lack.
fn names(settings: &Node, service: Option<&Service>, known: &Known<'_>, found: &mut Vec<Draft>) {
    let everywhere: BTreeSet<&str> = known.services.localities.iter().map(String::as_str).collect();
    let here = service.and_then(Service::localities);
    let is_certain = here.is_some() && service.is_some_and(|service| service.is_complete);
    let Some(targets) = here.or_else(|| known.all_localities.then(|| everywhere.clone())) else { return };
    let list = |localities: &BTreeSet<&str>| localities.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    let unless = if is_certain { "" } else { ", unless another cluster of the mesh has it" };
    let mut say = |severity, path: String, name: &str, localities: &BTreeSet<&str>, at_run_time: &str| {
        if !localities.iter().any(|locality| is_in(locality, name)) {
            found.push(Draft {
                rule: rules::FL203,
                severity: if is_certain { severity } else { Severity::Note },
                path,
                problem: format!("nothing in these files is in `{name}`; there is {}{unless}", list(localities)),
                at_run_time: at_run_time.to_owned(),
                fix: "write it as the endpoints' or nodes' labels have it, letter by letter".into(),
            });
        }
    };
    for (index, failover) in settings.list("failover").iter().enumerate() {
        if let Some(to) = failover.text("to").filter(|to| !to.is_empty() && !to.contains(['/', '*'])) {
            let lost = "no endpoint gets the priority that is meant for this region: when the region before fails, \
                traffic goes to every other region alike";
            say(Severity::Warning, format!("failover[{index}].to"), to, &targets, lost);
        }
        if let Some(from) = failover.text("from").filter(|from| !from.is_empty() && !from.contains(['/', '*'])) {
            let unused = "the entry holds for proxies in this region alone, and there may be none";
            say(Severity::Note, format!("failover[{index}].from"), from, &everywhere, unused);
        }
    }
    for (index, distribute) in settings.list("distribute").iter().enumerate() {
        let to = distribute.map("to");
        let has_none = |name: &str| !targets.iter().any(|locality| is_in(locality, name));
        if let Some(from) = distribute.text("from") {
            let unused = "the entry holds for proxies there alone, and there may be none";
            say(Severity::Note, format!("distribute[{index}].from"), from, &everywhere, unused);
        }
        let path = format!("distribute[{index}].to");
        let is_told = service.is_some_and(|it| it.discovery == Discovery::OneOfDns && empties(distribute, it));
        if to.iter().all(|(name, _)| has_none(name)) && !is_told {
            let names: Vec<&str> = to.iter().map(|(name, _)| name.as_str()).collect();
            say(Severity::Warning, path, &names.join("`, `"), &targets, EMPTIED);
        } else if !is_told {
            for (name, _) in to {
                let lost = "its share goes to no endpoint; the other localities get all of the traffic";
                say(Severity::Warning, format!("{path}.{name}"), name, &targets, lost);
            }
        }
    }
}
