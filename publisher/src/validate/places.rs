//! Where in a proxy faultline stands: among the HTTP filters or in a log, in which traffic, and whether what passes
//! there is counted.

use filter_core::config::{self, Attempts};
use mesh::Resource;
use mesh::yaml::node::Node;

use super::carrier::{has_plugin, is_ours, of_envoy};

/// A place in filter chains.
pub(super) struct Place {
    /// Which.
    pub(super) position: Position,
    /// Whether attempts are counted that are seen there: each position has its `attempts`, and is silent with another.
    counts: bool,
    /// In which traffic.
    pub(super) traffic: Traffic,
    /// The field with the plugin's configuration.
    pub(super) path: String,
}

/// A part of a filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Among the HTTP filters.
    Filter,
    /// In the router's log, which has a line for each attempt.
    AttemptLog,
    /// In the connection manager's log, which has a line for each request.
    RequestLog,
}

/// What two places do to the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Double {
    /// It passes two filters, of which one counts it.
    Passes,
    /// Both count its errors.
    Counts,
}

impl Place {
    fn of(position: Position, traffic: Traffic, path: String, text: Option<&str>) -> Self {
        let parsed = config::parse(text.unwrap_or_default().as_bytes());
        // What is no configuration is refused, and the defaults hold.
        let attempts = parsed.map_or(Attempts::Final, |parsed| parsed.config.attempts);
        let counts = (attempts == Attempts::Final) == (position == Position::Filter);
        Self { position, counts, traffic, path }
    }

    /// What happens where both are in one filter chain.
    pub(super) fn with(&self, other: &Self) -> Option<Double> {
        let filters = [self, other].into_iter().filter(|place| place.position == Position::Filter).count();
        let both_count = self.counts && other.counts;
        match filters {
            2 => Some(Double::Passes),
            1 => both_count.then_some(Double::Counts),
            _ => (both_count && self.position == other.position).then_some(Double::Counts),
        }
    }
}

/// The places where a resource of Istio puts faultline.
pub(super) fn of_resource(resource: &Resource) -> Vec<Place> {
    let of_plugin = |path: &str| {
        let code = resource.node.at(path).filter(|code| is_ours(resource, code));
        code.map_or_else(Vec::new, |code| of_matches(resource, path, code))
    };
    match (resource.kind.as_str(), resource.group.as_str()) {
        ("WasmPlugin", "extensions.istio.io") => of_plugin("spec"),
        ("TrafficExtension", "extensions.istio.io") => of_plugin("spec.wasm"),
        ("EnvoyFilter", "networking.istio.io") => of_patches(resource),
        _ => Vec::new(),
    }
}

/// The places of a plugin that istiod puts among the filters: one for each `match`, or everywhere.
fn of_matches(resource: &Resource, path: &str, code: &Node) -> Vec<Place> {
    let text = code.field("pluginConfig").map(|node| node.json().to_string());
    let place = |traffic| Place::of(Position::Filter, traffic, format!("{path}.pluginConfig"), text.as_deref());
    match resource.node.list("spec.match") {
        [] => vec![place(Traffic::default())],
        matches => matches.iter().map(|item| place(Traffic::of_match(item))).collect(),
    }
}

/// The places where an EnvoyFilter's patches put the plugin: as a filter, itself or by the name under which another
/// patch delivers it, or in a log.
fn of_patches(filter: &Resource) -> Vec<Place> {
    let patches = filter.node.list("spec.configPatches");
    let delivered = |name: &str| {
        patches.iter().find(|patch| {
            patch.text("applyTo") == Some("EXTENSION_CONFIG")
                && patch.text("patch.value.name") == Some(name)
                && has_plugin(patch)
        })
    };
    let mut found = Vec::new();
    for (index, patch) in patches.iter().enumerate() {
        let operation = patch.text("patch.operation").unwrap_or_default();
        let applies_to = patch.text("applyTo").unwrap_or_default();
        if operation == "REMOVE" || applies_to == "EXTENSION_CONFIG" {
            continue;
        }
        let path = format!("spec.configPatches[{index}]");
        let adds = operation == "ADD" || operation.starts_with("INSERT_");
        let name = patch.text("patch.value.name").filter(|_| adds && applies_to == "HTTP_FILTER");
        let at = name.and_then(delivered).unwrap_or(patch);
        of_envoy(at, &path, &mut |_, field, text| match log_in(&field) {
            Some((log, _)) => found.push(Place::of(log, Traffic::of_patch(patch), path.clone(), text.as_deref())),
            None if adds && applies_to == "HTTP_FILTER" => {
                found.push(Place::of(Position::Filter, Traffic::of_patch(patch), path.clone(), text.as_deref()));
            }
            None => {}
        });
    }
    found
}

/// The places in Envoy's own bootstrap, each with the path of the connection manager that it is in.
pub(super) fn of_bootstrap(bootstrap: &Node) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    of_envoy(bootstrap, "", &mut |_, field, text| {
        let filters = [".http_filters[", ".httpFilters["].into_iter().find_map(|name| field.rfind(name));
        let (position, manager) = match (log_in(&field), filters) {
            (Some((log, _)), Some(filters)) => (log, filters),
            (Some((log, at)), None) => (log, at),
            (None, Some(filters)) => (Position::Filter, filters),
            (None, None) => return,
        };
        let manager = field.get(..manager).unwrap_or_default().to_owned();
        found.push((manager, Place::of(position, Traffic::default(), field, text.as_deref())));
    });
    found
}

/// The log that a field is in, and where its name begins.
fn log_in(path: &str) -> Option<(Position, usize)> {
    let names = [
        (".upstream_log[", Position::AttemptLog),
        (".upstreamLog[", Position::AttemptLog),
        (".access_log[", Position::RequestLog),
        (".accessLog[", Position::RequestLog),
    ];
    names.into_iter().find_map(|(name, log)| Some((log, path.rfind(name)?)))
}

/// Traffic in which a plugin is; by default all.
#[derive(Default)]
pub(super) struct Traffic {
    /// The only direction, if there is one.
    direction: Option<Direction>,
    /// Whether it is in gateways alone, or in sidecars alone.
    is_gateway: Option<bool>,
    /// The only ports; none is every port.
    ports: Vec<u64>,
}

/// Seen from the workload.
#[derive(PartialEq, Eq)]
enum Direction {
    Outbound,
    Inbound,
}

impl Traffic {
    fn of_match(item: &Node) -> Self {
        let direction = match item.text("mode") {
            Some("CLIENT") => Some(Direction::Outbound),
            Some("SERVER") => Some(Direction::Inbound),
            _ => None,
        };
        let ports = item.list("ports").iter().filter_map(|port| port.number("number")).collect();
        Self { direction, is_gateway: None, ports }
    }

    fn of_patch(patch: &Node) -> Self {
        // A gateway's listeners count as a client's, as for a WasmPlugin.
        let (direction, is_gateway) = match patch.text("match.context") {
            Some("SIDECAR_OUTBOUND") => (Some(Direction::Outbound), Some(false)),
            Some("GATEWAY") => (Some(Direction::Outbound), Some(true)),
            Some("SIDECAR_INBOUND") => (Some(Direction::Inbound), Some(false)),
            _ => (None, None),
        };
        let ports = patch.at("match.listener").and_then(|it| it.number("portNumber")).into_iter().collect();
        Self { direction, is_gateway, ports }
    }

    /// Whether some traffic is that of both: the same direction, and a port of both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let same_port =
            self.ports.is_empty() || other.ports.is_empty() || self.ports.iter().any(|port| other.ports.contains(port));
        same_port
            && agree(self.direction.as_ref(), other.direction.as_ref())
            && agree(self.is_gateway.as_ref(), other.is_gateway.as_ref())
    }
}

/// Whether two limits leave something that is within both.
fn agree<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    a.is_none() || b.is_none() || a == b
}
