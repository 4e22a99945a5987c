//! Which callers a bypass brings back, and which not (HS201 to HS205).
//!
//! A caller without a proxy speaks plaintext and reaches the application as soon as the pod is ready. Where the proxy
//! requires mTLS or an identity it is none: before, it was refused, and a bypass does not bring it back but lets it in.
//! A caller with a proxy asks istiod how to speak to each endpoint: the label `security.istio.io/tlsMode` of the pod
//! decides, unless a DestinationRule does, or the Service is headless.

use std::collections::BTreeSet;

use mesh::Resource;
use mesh::lookup::Client;

use super::finding::{Draft, Severity, plural, some_of};
use super::known::Case;
use super::mtls::{Mode, Mtls};
use super::policies::{self, Asks};
use super::rules::{HS201, HS202, HS203, HS204, HS205};
use super::scope;
use super::services::{Port, Service};

/// What is brought back, in words, and what not.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pub(super) restored: Vec<String>,
    pub(super) found: Vec<Draft>,
}

/// Judges what comes to the pods.
pub(super) fn check(case: &Case<'_, '_>) -> Inbound {
    let mtls = case.known.peers.for_pods(case.workload.namespace(), &case.workload.labels);
    let mut inbound = Inbound::default();
    inbound.found.extend(without_service(case));
    inbound.found.extend(moved(case));
    inbound.found.extend(tunnel(case));
    if case.services.is_empty() {
        if lets_in_anybody(case) && mtls.on(0).0 != Mode::Strict {
            inbound.restored.push("callers that connect to the pod's address and speak plaintext".to_owned());
        }
        return inbound;
    }
    inbound.restored.extend(without_proxy(case, &mtls));
    let insisting = insisting(case);
    let headless = headless(case, &mtls);
    let ports: usize = case.services.iter().map(|service| service.ports.len()).sum();
    let lost = insisting.iter().filter(|it| it.is_all).count() + headless.len();
    if lost < ports {
        let how = match case.known.is_auto_mtls() {
            true => "once istiod has told them that the pod takes plaintext (label `security.istio.io/tlsMode`)",
            false => "which speak plaintext unless a DestinationRule says otherwise",
        };
        let rest = if lost == 0 && insisting.is_empty() { "" } else { "other " };
        inbound.restored.push(format!("{rest}callers in the mesh, {how}"));
    }
    inbound.found.extend(insist_on_mtls(case, &insisting, lost >= ports, &mtls));
    inbound.found.extend(by_no_endpoint(&headless));
    inbound
}

/// Whether callers without an identity are let in, at least to a part.
fn lets_in_anybody(case: &Case<'_, '_>) -> bool {
    let asking = case.known.policies.authorization(case.workload.namespace(), &case.workload.labels);
    policies::asks(&asking).0 != Asks::Everybody
}

/// The callers without a proxy that are callers when it lives, in words: of the ports that take plaintext from anybody.
fn without_proxy(case: &Case<'_, '_>, mtls: &Mtls<'_>) -> Option<String> {
    if !lets_in_anybody(case) {
        return None;
    }
    let is_open = |port: &Port<'_>| {
        let target = port.target.in_pods_of(case.workload).unwrap_or(port.number);
        mtls.on(target).0 != Mode::Strict
    };
    let of_service = |service: &&Service<'_>| {
        let open: Vec<&Port<'_>> = service.ports.iter().filter(|port| is_open(port)).collect();
        match open.len() == service.ports.len() {
            true => vec![service.name()],
            false => open.into_iter().map(|port| service.at(*port)).collect(),
        }
    };
    let names: Vec<String> = case.services.iter().flat_map(of_service).collect();
    (!names.is_empty()).then(|| format!("callers without a proxy, by {}", some_of(&names)))
}

/// A port whose callers insist on mTLS.
struct Insisting<'k, 'a> {
    service: &'k Service<'a>,
    port: Port<'a>,
    /// Whether it is so for callers in every namespace.
    is_all: bool,
    namespaces: BTreeSet<&'k str>,
    rules: Vec<&'a Resource>,
}

/// The ports for which a DestinationRule says ISTIO_MUTUAL, or MUTUAL with a certificate of its own.
fn insisting<'k, 'a>(case: &Case<'k, 'a>) -> Vec<Insisting<'k, 'a>> {
    let mut all = Vec::new();
    if !case.known.insists {
        return all;
    }
    for service in &case.services {
        for port in &service.ports {
            let mut own =
                Insisting { service, port: *port, is_all: true, namespaces: BTreeSet::new(), rules: Vec::new() };
            for namespace in &case.known.callers {
                let (rules, is_all) = case.known.insisting(namespace, service, port.number, &case.workload.labels);
                own.is_all &= is_all;
                if !rules.is_empty() {
                    own.namespaces.insert(*namespace);
                    own.rules.extend(rules);
                }
            }
            if !own.namespaces.is_empty() {
                all.push(own);
            }
        }
    }
    all
}

/// HS201: callers whose DestinationRule says ISTIO_MUTUAL.
fn insist_on_mtls(
    case: &Case<'_, '_>,
    all: &[Insisting<'_, '_>],
    is_everybody: bool,
    mtls: &Mtls<'_>,
) -> Option<Draft> {
    if all.is_empty() {
        return None;
    }
    let whom = |it: &Insisting<'_, '_>| {
        let at = it.service.at(it.port);
        match it.is_all {
            true => at,
            false => {
                let names: Vec<String> = it.namespaces.iter().map(|name| (*name).to_owned()).collect();
                format!("{at} (from {})", some_of(&names))
            }
        }
    };
    let ports: Vec<String> = all.iter().map(whom).collect();
    let problem = format!("callers in the mesh speak mTLS to {}, whatever the pod's label says", some_of(&ports));
    // Where mTLS is required too, those without a proxy were no callers before.
    let is_strict = all
        .iter()
        .all(|it| it.port.target.in_pods_of(case.workload).is_some_and(|port| mtls.on(port).0 == Mode::Strict));
    let severity = if is_everybody && is_strict { Severity::Error } else { Severity::Warning };
    let words = [
        problem.as_str(),
        "their clusters have one TLS socket and no choice: they open TLS to a port that speaks plaintext, and every \
         request fails until the proxy is back",
        "remove `tls` from the DestinationRule: without it Istio speaks mTLS by itself to pods that take it, and \
         plaintext to those that do not; PeerAuthentication STRICT is what requires it",
    ];
    let rules: Vec<&Resource> = all.iter().flat_map(|it| it.rules.iter().copied()).collect();
    Some(Draft::new(HS201, severity, words).affects(ports).because(rules))
}

/// The ports of headless Services to which callers in the mesh speak mTLS.
fn headless<'k, 'a>(case: &Case<'k, 'a>, mtls: &Mtls<'_>) -> Vec<(&'k Service<'a>, Port<'a>)> {
    if !case.known.is_auto_mtls() {
        return Vec::new();
    }
    let headless = case.services.iter().filter(|service| service.is_headless);
    let ports = headless.flat_map(|service| service.ports.iter().map(|port| (*service, *port)));
    let is_mtls = |(service, port): &(&Service<'_>, Port<'_>)| {
        let target = port.target.in_pods_of(case.workload).unwrap_or(port.number);
        let client = Client { namespace: None, labels: &[] };
        let said = case.known.tls(client, &service.host, service.resource.namespace(), port.number);
        mtls.on(target).0 != Mode::Disable && said.is_none()
    };
    ports.filter(is_mtls).collect()
}

/// HS202: callers in the mesh that come by a headless Service.
fn by_no_endpoint(ports: &[(&Service<'_>, Port<'_>)]) -> Option<Draft> {
    if ports.is_empty() {
        return None;
    }
    let names: Vec<String> = ports.iter().map(|(service, port)| service.at(*port)).collect();
    let problem = format!("callers in the mesh reach it by the headless {}", some_of(&names));
    let words = [
        problem.as_str(),
        "a proxy connects to the address that the application chose (ORIGINAL_DST), where no endpoint has a label: it \
         goes on speaking mTLS, and every request fails until the proxy is back",
        "let callers use a Service with an address beside the headless one; or tell them to speak plaintext to this \
         one for good (DestinationRule, `tls.mode: DISABLE`), where that is allowed",
    ];
    let resources = ports.iter().map(|(service, _)| service.resource);
    Some(Draft::new(HS202, Severity::Warning, words).affects(names.clone()).because(resources))
}

/// HS203: ports that a Sidecar resource moves to another address of the application.
fn moved(case: &Case<'_, '_>) -> Option<Draft> {
    let scope = scope::of(case.workload, case.known.mesh)?;
    let moved: Vec<String> =
        scope::moved_ports(scope).into_iter().map(|(port, end)| format!("{port} (application: {end})")).collect();
    if moved.is_empty() {
        return None;
    }
    let problem = format!("the sidecar takes requests on {}", some_of(&moved));
    let words = [
        problem.as_str(),
        "past the proxy they come to a port on which nobody listens, and are refused",
        "let the application listen on the pod's address, on the port that callers use",
    ];
    Some(Draft::new(HS203, Severity::Warning, words).affects(moved.clone()).because([scope]))
}

/// HS204: nobody finds the pods by a Service.
fn without_service(case: &Case<'_, '_>) -> Option<Draft> {
    if !case.services.is_empty() {
        return None;
    }
    let read = case.known.services.iter().filter(|it| it.resource.namespace() == case.workload.namespace()).count();
    let problem = format!("no Service selects it, of {} in its namespace", plural(read, "Service"));
    let words = [
        problem.as_str(),
        "inbound, a bypass helps only who connects to the pod's own address",
        "give hot-switch the Services too; if there is none, `directions: outbound` is enough",
    ];
    Some(Draft::new(HS204, Severity::Note, words))
}

/// HS205: the label that tells peers to use a tunnel.
fn tunnel(case: &Case<'_, '_>) -> Option<Draft> {
    let label = "networking.istio.io/tunnel";
    if case.workload.labels.get(label) != Some(&"http") {
        return None;
    }
    let problem = format!("its pods have the label `{label}: http`");
    let words = [
        problem.as_str(),
        "callers in the mesh use the proxy's tunnel (HBONE, port 15008); hot-switch takes the label away for as long \
         as a bypass lasts: callers come back when istiod has told them, and without the tunnel",
        "nothing has to be done; remove the label where callers do without the tunnel anyhow",
    ];
    Some(Draft::new(HS205, Severity::Note, words).at(&case.at("metadata.labels")))
}
