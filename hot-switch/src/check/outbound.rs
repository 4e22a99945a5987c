//! Which peers the application reaches past its proxy, and which not (HS301 to HS306).
//!
//! Its connections then go where they are addressed to, in plaintext. Whom it really calls is in no file: what is said
//! is said of every Service and ServiceEntry that its proxy knows.

use mesh::lookup::Client;
use mesh::yaml::node::Node;
use mesh::{Resource, dns_name};

use super::finding::{Draft, Severity, some_of};
use super::known::{Assumed, Case};
use super::mtls::Mode;
use super::policies::{self, Asks};
use super::rules::{HS301, HS302, HS303, HS304, HS305, HS306};
use super::scope;
use super::services::{Port, Service, Target};
use super::sidecar::{self, Sidecar};
use super::workload::{Pairs, Workload};

/// What is brought back, in words, and what not.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pub(super) restored: Vec<String>,
    pub(super) found: Vec<Draft>,
}

/// Names, and the resources that are the reason.
#[derive(Default)]
struct Lost<'a> {
    names: Vec<String>,
    because: Vec<&'a Resource>,
}

impl<'a> Lost<'a> {
    fn add(&mut self, name: String, because: impl IntoIterator<Item = &'a Resource>) {
        self.names.push(name);
        self.because.extend(because);
    }

    fn draft(self, rule: super::rules::Rule, problem: &str, meaning: &str, fix: &str) -> Option<Draft> {
        if self.names.is_empty() {
            return None;
        }
        let problem = problem.replace("{}", &some_of(&self.names));
        let draft = Draft::new(rule, Severity::Warning, [&problem, meaning, fix]);
        Some(draft.affects(self.names).because(self.because))
    }
}

/// Judges what the pods call.
pub(super) fn check(case: &Case<'_, '_>, assumed: &mut Assumed) -> Outbound {
    let mut outbound = Outbound::default();
    let scope = scope::of(case.workload, case.known.mesh);
    let (mut strict, mut asking, mut tls) = (Lost::default(), Lost::default(), Lost::default());
    let (mut ports, mut lost) = (0, 0);
    for service in known_services(case, scope) {
        let behind = case.known.behind(service);
        for port in &service.ports {
            ports += 1;
            let before = strict.names.len() + asking.names.len() + tls.names.len();
            of_port(case, service, *port, &behind, [&mut strict, &mut asking], assumed);
            started_here(case, &service.host, service.resource.namespace(), port.number, &mut tls);
            lost += usize::from(strict.names.len() + asking.names.len() + tls.names.len() > before);
        }
    }
    let names = of_entries(case, scope, &mut tls);
    if ports > lost {
        let which = if scope.is_some() { "that its Sidecar resource imports" } else { "of these files" };
        outbound.restored.push(format!("{} of {ports} ports of Services {which}", ports - lost));
    }
    outbound.restored.push("what is outside the mesh and is called by a name that DNS knows".to_owned());
    outbound.found.extend(strict.draft(
        HS301,
        "{} take mTLS only",
        "the application speaks plaintext past its proxy, and they close the connection",
        "nothing on this pod can change it. Where reaching a peer matters more, make its port PERMISSIVE; else \
         `directions: inbound`",
    ));
    outbound.found.extend(asking.draft(
        HS302,
        "{} let in only callers with an identity",
        "a caller past its proxy has none: they answer `RBAC: access denied` (403), or close the connection",
        "nothing on this pod can change it; where reaching a peer matters more, give its AuthorizationPolicy a rule that \
         names no caller",
    ));
    outbound.found.extend(tls.draft(
        HS304,
        "its proxy starts TLS to {}",
        "the application sends plaintext to a port that expects TLS, or that is there for the proxy alone; requests \
         fail",
        "let the application itself speak TLS there",
    ));
    outbound.found.extend(names);
    outbound.found.extend(routes(case));
    outbound.found.extend(scope.and_then(own_listeners));
    outbound
}

/// The Services that the proxy knows, without those that are the workload itself.
fn known_services<'k, 'a>(case: &Case<'k, 'a>, scope: Option<&'a Resource>) -> impl Iterator<Item = &'k Service<'a>> {
    let known = case.known;
    let workload = case.workload;
    known.services.iter().filter(move |service| {
        !service.selects(workload) && scope::knows(scope, workload, service.resource.namespace(), &service.host)
    })
}

/// HS301, HS302: what the pods behind a port want of a caller.
fn of_port<'a>(
    case: &Case<'_, 'a>,
    service: &Service<'a>,
    port: Port<'a>,
    behind: &[&Workload<'a>],
    [strict, asking]: [&mut Lost<'a>; 2],
    assumed: &mut Assumed,
) {
    if service.selector.is_empty() {
        return; // its endpoints are written by hand: no proxy is known there
    }
    let namespace = service.resource.namespace();
    let judge = |labels: &Pairs<'_>, target: Option<u64>| {
        let (mode, by) = case.known.peers.for_pods(namespace, labels).on(target.unwrap_or_default());
        let policies = case.known.policies.authorization(namespace, labels);
        (mode == Mode::Strict, by, policies::asks(&policies))
    };
    let with_proxy = |peer: &&&Workload<'_>| {
        let sidecar = sidecar::of(peer, case.known.mesh);
        !matches!(sidecar, Sidecar::None(_)) || sidecar::is_ambient(peer, case.known.mesh)
    };
    let mut verdicts: Vec<_> =
        behind.iter().filter(with_proxy).map(|peer| judge(&peer.labels, port.target.in_pods_of(peer))).collect();
    if behind.is_empty() {
        assumed.of("Service without its workload among the files, taken for pods with a sidecar", service.name());
        let target = match port.target {
            Target::Number(number) => Some(number),
            Target::Name(_) => None,
        };
        verdicts.push(judge(&service.selector, target));
    }
    if let Some((_, by, _)) = verdicts.iter().find(|(is_strict, ..)| *is_strict) {
        strict.add(service.at(port), *by);
    }
    if let Some((.., (asks, who))) = verdicts.into_iter().find(|(.., (asks, _))| *asks != Asks::Nobody) {
        let some = if asks == Asks::Some { " (on some paths)" } else { "" };
        asking.add(format!("{}{some}", service.at(port)), who);
    }
}

/// HS304: a port to which the proxy speaks TLS that the application knows nothing of.
fn started_here<'a>(case: &Case<'_, 'a>, host: &str, namespace: &str, port: u64, lost: &mut Lost<'a>) {
    let client: Client<'_> = case.client();
    if let Some((rules, tls)) = case.known.tls(client, host, namespace, port)
        && matches!(tls.text("mode"), Some("SIMPLE" | "MUTUAL"))
    {
        let short = host.strip_suffix(&format!(".svc.{}", case.known.domain)).unwrap_or(host);
        lost.add(format!("{short}:{port}"), rules);
    }
}

/// HS303: names of ServiceEntries that DNS does not know, or knows otherwise; and of HS304 their share.
fn of_entries<'a>(case: &Case<'_, 'a>, scope: Option<&'a Resource>, tls: &mut Lost<'a>) -> Option<Draft> {
    let mut lost = Lost::default();
    for entry in case.known.mesh.distinct("ServiceEntry") {
        let node = &entry.node;
        let selects = !node.map("spec.workloadSelector.labels").is_empty();
        let own_endpoints = !node.list("spec.endpoints").is_empty() || selects;
        let by_dns =
            matches!(node.text("spec.resolution"), None | Some("NONE" | "DNS" | "DNS_ROUND_ROBIN" | "DYNAMIC_DNS"));
        for host in node.list("spec.hosts").iter().filter_map(|host| host.text("")) {
            if !scope::knows(scope, case.workload, entry.namespace(), host) {
                continue;
            }
            if own_endpoints || !by_dns {
                lost.add(host.to_owned(), [entry]);
            }
            for port in node.list("spec.ports").iter().filter_map(|port| port.number("number")) {
                started_here(case, host, entry.namespace(), port, tls);
            }
        }
    }
    lost.draft(
        HS303,
        "{} stand for endpoints that only Istio knows",
        "without the proxy the name is what DNS says: nothing at all, or the address that Istio's DNS gave out \
         (240.240.0.0/16), where nobody is",
        "give the name a record in DNS that leads to the endpoints, if the application must reach them without its proxy",
    )
}

/// HS305: VirtualServices that send a host's requests to another host.
fn routes(case: &Case<'_, '_>) -> Option<Draft> {
    let mut lost = Lost::default();
    let domain = case.known.domain;
    for route in case.known.mesh.distinct("VirtualService") {
        let node = &route.node;
        let gateways = node.list("spec.gateways");
        if !gateways.is_empty() && !gateways.iter().any(|gateway| gateway.text("") == Some("mesh")) {
            continue;
        }
        let full = |host: &str| dns_name::full(host, route.namespace(), domain);
        let hosts: Vec<String> = node.list("spec.hosts").iter().filter_map(|it| Some(full(it.text("")?))).collect();
        let routes = ["http", "tcp", "tls"].into_iter().flat_map(|kind| node.list(&format!("spec.{kind}")));
        let ends = routes.flat_map(|it| it.list("route")).filter_map(|it| it.text("destination.host"));
        let elsewhere: Vec<String> = ends.map(full).filter(|end| !hosts.contains(end)).collect();
        if let Some(end) = elsewhere.first() {
            let short = |name: &str| name.strip_suffix(&format!(".svc.{domain}")).unwrap_or(name).to_owned();
            let names: Vec<String> = hosts.iter().map(|host| short(host)).collect();
            lost.add(format!("{} (to {})", names.join(", "), short(end)), [route]);
        }
    }
    let found = lost.draft(
        HS305,
        "a route sends {} elsewhere",
        "past the proxy, requests go to the host that they name, if DNS knows it: not to the version, gateway or \
         service that the route chooses",
        "nothing is to be done where that host serves them too; an egress gateway that must be passed needs a \
         NetworkPolicy beside the route",
    )?;
    Some(Draft { severity: Severity::Note, ..found })
}

/// HS306: addresses that only the sidecar serves.
fn own_listeners(scope: &Resource) -> Option<Draft> {
    let mut lost = Lost::default();
    for address in scope::own_listeners(scope) {
        lost.add(address, [scope]);
    }
    lost.draft(
        HS306,
        "the application may connect to {}, where its sidecar listens",
        "nobody listens there while the proxy is dead; a bypass cannot bring it back, as the application knows no other \
         address",
        "let the application use the peer's own name, and the sidecar capture its traffic (no `bind`, no `captureMode: \
         NONE`)",
    )
}

/// Whether egress is controlled by the proxy: the resource that says so.
pub(super) fn egress_control<'a>(case: &Case<'_, 'a>) -> Option<&'a Resource> {
    const MODE: &str = "outboundTrafficPolicy.mode";
    let only = |node: &Node, path: &str| node.text(path).map(|mode| mode == "REGISTRY_ONLY");
    let mesh = case.known.mesh;
    let scope = scope::of(case.workload, mesh);
    match scope.and_then(|it| only(&it.node, &format!("spec.{MODE}")).map(|only| (it, only))) {
        Some((it, is_only)) => is_only.then_some(it),
        None => mesh.mesh_configs().find(|it| only(&it.node, MODE) == Some(true)),
    }
}
