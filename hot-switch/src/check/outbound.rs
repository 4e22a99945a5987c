//! Which peers the application reaches past its proxy, and which not (HS301 to HS306).
//!
//! Its connections then go where they are addressed to, in plaintext. Whom it really calls is in no file: what is said
//! is said of every Service and ServiceEntry that its proxy knows.

use findings::rule::Rule;
use mesh::lookup::Client;
use mesh::yaml::node::Node;
use mesh::{Resource, dns_name};

use super::finding::{Draft, Severity, some_of};
use super::known::Case;
use super::peers::{Peers, Wants};
use super::policies::Asks;
use super::rules::{HS301, HS302, HS303, HS304, HS305, HS306};
use super::scope;

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

    fn draft(self, rule: Rule, problem: &str, meaning: &str, fix: &str) -> Option<Draft> {
        if self.names.is_empty() {
            return None;
        }
        let problem = problem.replace("{}", &some_of(&self.names));
        let draft = Draft::new(rule, Severity::Warning, [&problem, meaning, fix]);
        Some(draft.affects(self.names).because(self.because))
    }
}

/// Judges what the pods call.
pub(super) fn check<'a>(case: &Case<'_, 'a>, peers: &Peers<'a>) -> Outbound {
    let mut outbound = Outbound::default();
    let scope = scope::of(case.workload, case.known.mesh);
    let mut lost = Losses::default();
    let (mut ports, mut closed) = (0, 0);
    for (service, wants) in peers.services(case.known) {
        let namespace = service.resource.namespace();
        if service.selects(case.workload) || !scope::knows(scope, case.workload, namespace, &service.host) {
            continue;
        }
        for (port, wants) in service.ports.iter().zip(wants) {
            ports += 1;
            let before = lost.count();
            lost.add(service.at(*port), wants);
            started_here(case, &service.host, namespace, port.number, &mut lost.tls);
            closed += usize::from(lost.count() > before);
        }
    }
    let names = of_entries(case, scope, &mut lost.tls);
    if ports > closed {
        let which = if scope.is_some() { "that its Sidecar resource imports" } else { "of these files" };
        outbound.restored.push(format!("{} of {ports} ports of Services {which}", ports - closed));
    }
    outbound.restored.push("what is outside the mesh and is called by a name that DNS knows".to_owned());
    outbound.found.extend(lost.drafts());
    outbound.found.extend(names);
    outbound.found.extend(routes(case));
    outbound.found.extend(scope.and_then(own_listeners));
    outbound
}

/// What is lost of the ports of Services.
#[derive(Default)]
struct Losses<'a> {
    strict: Lost<'a>,
    asking: Lost<'a>,
    tls: Lost<'a>,
}

impl<'a> Losses<'a> {
    fn count(&self) -> usize {
        self.strict.names.len() + self.asking.names.len() + self.tls.names.len()
    }

    /// HS301, HS302: a port, by what it wants of a caller.
    fn add(&mut self, name: String, wants: &Wants<'a>) {
        if let Some(by) = wants.strict {
            self.strict.add(name.clone(), by);
        }
        if let Some((asks, who)) = &wants.asks {
            let some = if *asks == Asks::Some { " (on some paths)" } else { "" };
            self.asking.add(format!("{name}{some}"), who.iter().copied());
        }
    }

    fn drafts(self) -> impl Iterator<Item = Draft> {
        let strict = self.strict.draft(
            HS301,
            "{} take mTLS only",
            "the application speaks plaintext past its proxy, and they close the connection",
            "nothing on this pod can change it. Where reaching a peer matters more, make its port PERMISSIVE; else \
             `directions: inbound`",
        );
        let asking = self.asking.draft(
            HS302,
            "{} let in only callers with an identity",
            "a caller past its proxy has none: they answer `RBAC: access denied` (403), or close the connection",
            "nothing on this pod can change it; where reaching a peer matters more, give its AuthorizationPolicy a \
             rule that names no caller",
        );
        let tls = self.tls.draft(
            HS304,
            "its proxy starts TLS to {}",
            "the application sends plaintext to a port that expects TLS, or that is there for the proxy alone; \
             requests fail",
            "let the application itself speak TLS there",
        );
        [strict, asking, tls].into_iter().flatten()
    }
}

/// HS304: a port to which the proxy speaks TLS that the application knows nothing of.
fn started_here<'a>(case: &Case<'_, 'a>, host: &str, namespace: &str, port: u64, lost: &mut Lost<'a>) {
    if !case.known.starts_tls {
        return;
    }
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
        "give the name a record in DNS that leads to the endpoints, if the application must reach them without its \
         proxy",
    )
}

/// HS305: VirtualServices that send a host's requests to another host.
fn routes(case: &Case<'_, '_>) -> Option<Draft> {
    let mut lost = Lost::default();
    let domain = case.known.domain;
    let all = case.known.mesh.distinct("VirtualService");
    for route in &all {
        let node = &route.node;
        // One without hosts has what others delegate to it.
        if node.list("spec.hosts").is_empty() {
            continue;
        }
        let gateways = node.list("spec.gateways");
        if !gateways.is_empty() && !gateways.iter().any(|gateway| gateway.text("") == Some("mesh")) {
            continue;
        }
        let full = |host: &str| dns_name::full(host, route.namespace(), domain);
        let hosts: Vec<String> = node.list("spec.hosts").iter().filter_map(|it| Some(full(it.text("")?))).collect();
        let routes = ["http", "tcp", "tls"].into_iter().flat_map(|kind| node.list(&format!("spec.{kind}")));
        let routes: Vec<&Node> = routes.collect();
        let ends = |routes: &[&'_ Node], namespace: &str| -> Vec<String> {
            let ends = routes.iter().flat_map(|it| it.list("route")).filter_map(|it| it.text("destination.host"));
            ends.map(|host| dns_name::full(host, namespace, domain)).collect()
        };
        let mut elsewhere = ends(&routes, route.namespace());
        for delegate in routes.iter().filter_map(|it| it.field("delegate")) {
            let namespace = delegate.text("namespace").unwrap_or(route.namespace());
            let is_it =
                |it: &&&Resource| Some(it.name.as_str()) == delegate.text("name") && it.namespace() == namespace;
            let found = all.iter().find(is_it);
            let own: Vec<&Node> = found.iter().flat_map(|it| it.node.list("spec.http")).collect();
            elsewhere.extend(ends(&own, namespace));
        }
        elsewhere.retain(|end| !hosts.contains(end));
        if let Some(end) = elsewhere.first() {
            let short = |name: &str| name.strip_suffix(&format!(".svc.{domain}")).unwrap_or(name).to_owned();
            let names: Vec<String> = hosts.iter().map(|host| short(host)).collect();
            lost.add(format!("{} (to {})", names.join(", "), short(end)), [*route]);
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
        "nobody listens there while the proxy is dead; a bypass cannot bring it back, as the application knows no \
         other address",
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
