//! ServiceEntries and WorkloadEntries: istiod's `ValidateServiceEntry` and `ValidateWorkloadEntry`.

use std::collections::BTreeSet;

use super::refusal::{Refusal, texts};
use super::{names, rule};
use crate::yaml::node::Node;

/// Protocols that istiod knows, in small letters, and whether a proxy can tell hosts apart by them.
const PROTOCOLS: [(&str, bool); 12] = [
    ("http", true),
    ("http2", true),
    ("http_proxy", true),
    ("https", true),
    ("tls", true),
    ("grpc", true),
    ("grpc-web", true),
    ("tcp", false),
    ("udp", false),
    ("mongo", false),
    ("redis", false),
    ("mysql", false),
];

/// Every reason for which a ServiceEntry is refused.
pub(super) fn check(entry: &Node) -> Vec<Refusal> {
    let mut found = Vec::new();
    let resolution = entry.text("spec.resolution").unwrap_or("NONE");
    hosts(entry, resolution, &mut found);
    addresses(entry, resolution, &mut found);
    ports(entry, resolution, &mut found);
    rule::selector(entry, "spec.workloadSelector.labels", &mut found);
    let endpoints = entry.list("spec.endpoints");
    let has_field = entry.at("spec.endpoints").is_some();
    if has_field && entry.at("spec.workloadSelector").is_some() {
        let fix = "keep one: endpoints, or labels that select them";
        found.push(Refusal::new("spec.endpoints", "stand together with a workloadSelector", fix));
    }
    match resolution {
        "NONE" if has_field => {
            let fix = "set `resolution: STATIC` for addresses or `DNS` for names; without it the default is NONE";
            found.push(Refusal::new("spec.endpoints", "stand in an entry with `resolution: NONE`", fix));
        }
        "DNS_ROUND_ROBIN" if endpoints.len() > 1 => {
            let problem = format!("has {} endpoints, and the resolution is DNS_ROUND_ROBIN", endpoints.len());
            found.push(Refusal::new("spec.endpoints", problem, "keep one endpoint, or set `resolution: DNS`"));
        }
        "DYNAMIC_DNS" if !endpoints.is_empty() => {
            found.push(Refusal::new(
                "spec.endpoints",
                "stand in an entry with `resolution: DYNAMIC_DNS`",
                "remove them",
            ));
        }
        _ => {}
    }
    let known: BTreeSet<&str> = entry.list("spec.ports").iter().filter_map(|port| port.text("name")).collect();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("spec.endpoints[{index}]");
        workload(endpoint, &path, Some(resolution), &mut found);
        let ports = entry.list("spec.ports").len();
        let is_socket = endpoint.text("address").is_some_and(|address| address.starts_with("unix://"));
        if is_socket && resolution == "STATIC" && ports != 1 {
            let problem = format!("is a unix socket, and the entry has {ports} ports");
            found.push(Refusal::new(format!("{path}.address"), problem, "name one port for it"));
        }
        let stranger = endpoint.map("ports").iter().find(|(name, _)| !known.contains(name.as_str()));
        if let Some((name, _)) = stranger.filter(|_| resolution != "NONE") {
            let problem = format!("`{name}` is the name of no port of the entry");
            found.push(Refusal::new(format!("{path}.ports"), problem, "name ports as `spec.ports` does"));
        }
    }
    found
}

/// Every reason for which a WorkloadEntry is refused.
pub(super) fn of_workload(entry: &Node) -> Vec<Refusal> {
    let mut found = Vec::new();
    match entry.field("spec") {
        Some(spec) => workload(spec, "spec", None, &mut found),
        None => found.push(Refusal::new("spec", "is missing", "write the workload's address")),
    }
    found
}

fn hosts(entry: &Node, resolution: &str, found: &mut Vec<Refusal>) {
    let hosts = texts(entry, "spec.hosts");
    if hosts.is_empty() {
        found.push(Refusal::new("spec.hosts", "names no host", "name one host at least"));
    }
    let by_dns = ["DNS", "DNS_ROUND_ROBIN"].contains(&resolution) && entry.list("spec.endpoints").is_empty();
    for (index, host) in hosts.iter().enumerate() {
        let path = format!("spec.hosts[{index}]");
        if *host == "*" {
            found.push(Refusal::new(path, "`*` is every host", "name hosts, or `*.` with the end of their names"));
        } else if let Some(problem) = names::wildcard_problem(host) {
            found.push(Refusal::new(path, problem, "write a host name, without scheme, port and path"));
        } else if by_dns && names::name_problem(host).is_some() {
            let problem = format!("`{host}` has a star, and nothing else says what DNS is to be asked for");
            found.push(Refusal::new(path, problem, "name endpoints, or set `resolution: NONE` or `DYNAMIC_DNS`"));
        } else if resolution == "DYNAMIC_DNS" && !host.contains('*') {
            let problem = format!("`{host}` has no star, and the resolution is DYNAMIC_DNS");
            found.push(Refusal::new(path, problem, "set `resolution: DNS` for single names"));
        }
    }
}

fn addresses(entry: &Node, resolution: &str, found: &mut Vec<Refusal>) {
    let addresses = texts(entry, "spec.addresses");
    for (index, address) in addresses.iter().enumerate().filter(|(_, address)| !names::is_subnet(address)) {
        let problem = format!("`{address}` is neither an IP address nor a block of them");
        found.push(Refusal::new(format!("spec.addresses[{index}]"), problem, "write `192.0.2.1` or `192.0.2.0/24`"));
    }
    let has_block = addresses.iter().any(|address| address.contains('/'));
    if has_block && !["NONE", "STATIC"].contains(&resolution) {
        let problem = format!("has a block of addresses, and the resolution is {resolution}");
        found.push(Refusal::new("spec.addresses", problem, "write single addresses, or set `resolution: NONE`"));
    } else if resolution == "DYNAMIC_DNS" && !addresses.is_empty() {
        found.push(Refusal::new("spec.addresses", "stand in an entry with `resolution: DYNAMIC_DNS`", "remove them"));
    }
}

fn ports(entry: &Node, resolution: &str, found: &mut Vec<Refusal>) {
    let (mut numbers, mut named) = (BTreeSet::new(), BTreeSet::new());
    let many = entry.list("spec.hosts").len() > 1 && resolution != "NONE";
    for (index, port) in entry.list("spec.ports").iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let name = port.text("name").unwrap_or_default();
        if name.is_empty() {
            found.push(Refusal::new(&path, "has no name", "write one, such as `name: http`"));
        } else if !names::is_label(name) {
            let fix = "write a name of letters, digits and inner dashes";
            found.push(Refusal::new(format!("{path}.name"), format!("`{name}` is no name of a port"), fix));
        } else if !named.insert(name) {
            let problem = format!("`{name}` is the name of an earlier port too");
            found.push(Refusal::new(format!("{path}.name"), problem, "give each port a name of its own"));
        }
        match port.number("number") {
            None => found.push(Refusal::new(&path, "has no number", "write one, such as `number: 443`")),
            Some(number) if !numbers.insert(number) => {
                let problem = format!("{number} is the number of an earlier port too");
                found.push(Refusal::new(format!("{path}.number"), problem, "name each port once"));
            }
            Some(_) => {}
        }
        let protocol = port.text("protocol").unwrap_or_default().to_ascii_lowercase();
        let known = PROTOCOLS.iter().find(|(known, _)| *known == protocol);
        let problem = match known {
            None if !protocol.is_empty() => format!("`{protocol}` is no protocol of Istio's"),
            _ if resolution == "DYNAMIC_DNS" && !["http", "http2", "grpc", "tls"].contains(&&*protocol) => {
                "is none of HTTP, HTTP2, GRPC and TLS, and the resolution is DYNAMIC_DNS".to_owned()
            }
            _ if many && !known.is_some_and(|(_, tells_hosts)| *tells_hosts) => {
                "is neither HTTP nor TLS, so that a proxy could not tell the entry's hosts apart".to_owned()
            }
            _ => continue,
        };
        let fix = "write a protocol such as HTTP, HTTP2, GRPC, HTTPS, TLS or TCP; for TCP, an entry for each host";
        found.push(Refusal::new(format!("{path}.protocol"), problem, fix));
    }
}

/// An endpoint, of an entry with some resolution or by itself.
fn workload(node: &Node, path: &str, resolution: Option<&str>, found: &mut Vec<Refusal>) {
    let is_looked_up = resolution.is_some_and(|resolution| resolution.starts_with("DNS"));
    let address = node.text("address").unwrap_or_default();
    let at = || format!("{path}.address");
    if let Some(socket) = address.strip_prefix("unix://").filter(|_| !is_looked_up) {
        let is_file = socket.starts_with('/') && !socket.ends_with('/');
        if !socket.starts_with('@') && !is_file {
            found.push(Refusal::new(at(), format!("`{socket}` is no file"), "write `unix:///absolute/path`"));
        }
        if node.field("ports").is_some() {
            found.push(Refusal::new(format!("{path}.ports"), "stand beside a unix socket", "remove them"));
        }
    } else if address.is_empty() {
        if node.text("network").unwrap_or_default().is_empty() {
            found.push(Refusal::new(path, "has no address", "write its address"));
        }
    } else if !names::is_address(address) {
        let fix = "write an IP address; for names, set `resolution: DNS`";
        if resolution == Some("STATIC") {
            let problem = format!("`{address}` is no IP address, and the resolution is STATIC");
            found.push(Refusal::new(at(), problem, fix));
        } else if names::name_problem(address).is_some() {
            let problem = format!("`{address}` is neither an IP address nor a host name");
            found.push(Refusal::new(at(), problem, "write it without scheme, port and path"));
        }
    }
    for (name, _) in node.map("ports").iter().filter(|(name, _)| !names::is_label(name)) {
        let problem = format!("`{name}` is no name of a port");
        found.push(Refusal::new(format!("{path}.ports"), problem, "write names of letters, digits and inner dashes"));
    }
    rule::labels(node, &format!("{path}.labels"), found);
}
