//! The fields of Istio's resources, as far as faultline reads those: which exist, and which are read no more.
//!
//! The API server drops a field that the schema does not have, so what was meant by it is not in force. The table is
//! that of istio/api (DestinationRule and ServiceEntry, v1).

use super::{MESH_CONFIG, Resource};
use crate::yaml::node::{Node, Value};

/// A field that Istio does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stray {
    /// There is no such field.
    Unknown {
        /// Where it is written.
        path: String,
        /// What to write instead.
        remedy: String,
    },
    /// The schema has it, and istiod ignores it.
    Removed {
        /// Where it is written.
        path: String,
    },
}

impl Stray {
    /// Where it is written.
    pub fn path(&self) -> &str {
        match self {
            Self::Unknown { path, .. } | Self::Removed { path } => path,
        }
    }
}

/// The type of a field's value, as far as it is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// Anything: a scalar, labels, or what faultline has no rule about.
    Any,
    /// An object with the fields of this name in [`OBJECTS`], or a list of such.
    Object(&'static str),
}

use Type::{Any, Object};

/// The fields of each object.
const OBJECTS: [(&str, &[(&str, Type)]); 22] = [
    (
        "DestinationRule",
        &[
            ("host", Any),
            ("trafficPolicy", Object("TrafficPolicy")),
            ("subsets", Object("Subset")),
            ("exportTo", Any),
            ("workloadSelector", Object("WorkloadSelector")),
        ],
    ),
    ("Subset", &[("name", Any), ("labels", Any), ("trafficPolicy", Object("TrafficPolicy"))]),
    ("WorkloadSelector", &[("matchLabels", Any)]),
    (
        "TrafficPolicy",
        &[
            ("loadBalancer", Object("LoadBalancer")),
            ("connectionPool", Object("ConnectionPool")),
            ("outlierDetection", Object("OutlierDetection")),
            ("tls", Object("Tls")),
            ("portLevelSettings", Object("PortTrafficPolicy")),
            ("tunnel", Any),
            ("proxyProtocol", Any),
            ("retryBudget", Any),
        ],
    ),
    (
        "PortTrafficPolicy",
        &[
            ("port", Object("Port")),
            ("loadBalancer", Object("LoadBalancer")),
            ("connectionPool", Object("ConnectionPool")),
            ("outlierDetection", Object("OutlierDetection")),
            ("tls", Object("Tls")),
        ],
    ),
    ("Port", &[("number", Any)]),
    (
        "OutlierDetection",
        &[
            ("consecutive5xxErrors", Any),
            ("consecutiveErrors", Any),
            ("consecutiveGatewayErrors", Any),
            ("consecutiveLocalOriginFailures", Any),
            ("splitExternalLocalOriginErrors", Any),
            ("interval", Any),
            ("baseEjectionTime", Any),
            ("maxEjectionPercent", Any),
            ("minHealthPercent", Any),
            ("outlierDetectionHttpErrorCodes", Any),
        ],
    ),
    (
        "LoadBalancer",
        &[
            ("simple", Any),
            ("consistentHash", Any),
            ("localityLbSetting", Object("Locality")),
            ("zoneAwareLbSetting", Object("ZoneAware")),
            ("warmup", Object("Warmup")),
            ("warmupDurationSecs", Any),
        ],
    ),
    (
        "Locality",
        &[
            ("enabled", Any),
            ("distribute", Object("Distribute")),
            ("failover", Object("Failover")),
            ("failoverPriority", Any),
        ],
    ),
    (
        "ZoneAware",
        &[("enabled", Any), ("failover", Object("Failover")), ("failoverPriority", Any), ("minClusterSize", Any)],
    ),
    ("Distribute", &[("from", Any), ("to", Any)]),
    ("Failover", &[("from", Any), ("to", Any)]),
    ("Warmup", &[("duration", Any), ("minimumPercent", Any), ("aggression", Any)]),
    ("ConnectionPool", &[("tcp", Object("Tcp")), ("http", Object("Http"))]),
    (
        "Tcp",
        &[
            ("maxConnections", Any),
            ("connectTimeout", Any),
            ("tcpKeepalive", Any),
            ("maxConnectionDuration", Any),
            ("idleTimeout", Any),
        ],
    ),
    (
        "Http",
        &[
            ("http1MaxPendingRequests", Any),
            ("http2MaxRequests", Any),
            ("maxRequestsPerConnection", Any),
            ("maxRetries", Any),
            ("idleTimeout", Any),
            ("h2UpgradePolicy", Any),
            ("useClientProtocol", Any),
            ("maxConcurrentStreams", Any),
            ("http2KeepAlive", Any),
        ],
    ),
    (
        "Tls",
        &[
            ("mode", Any),
            ("clientCertificate", Any),
            ("privateKey", Any),
            ("caCertificates", Any),
            ("credentialName", Any),
            ("subjectAltNames", Any),
            ("sni", Any),
            ("insecureSkipVerify", Any),
            ("caCrl", Any),
        ],
    ),
    (
        "ServiceEntry",
        &[
            ("hosts", Any),
            ("addresses", Any),
            ("ports", Object("ServicePort")),
            ("location", Any),
            ("resolution", Any),
            ("endpoints", Object("WorkloadEntry")),
            ("workloadSelector", Object("EntrySelector")),
            ("exportTo", Any),
            ("subjectAltNames", Any),
        ],
    ),
    ("ServicePort", &[("number", Any), ("protocol", Any), ("name", Any), ("targetPort", Any)]),
    ("EntrySelector", &[("labels", Any)]),
    (
        "WorkloadEntry",
        &[
            ("address", Any),
            ("ports", Any),
            ("labels", Any),
            ("network", Any),
            ("locality", Any),
            ("weight", Any),
            ("serviceAccount", Any),
        ],
    ),
    ("Top", &[("apiVersion", Any), ("kind", Any), ("metadata", Any), ("spec", Any), ("status", Any)]),
];

/// The kinds that are looked into.
const KINDS: [&str; 3] = ["DestinationRule", "ServiceEntry", "WorkloadEntry"];

/// The blocks of a MeshConfig that faultline reads.
const OF_MESH: [(&str, &str); 2] =
    [("localityLbSetting", "Locality"), ("defaultTrafficPolicy.outlierDetection", "OutlierDetection")];

/// Fields that the schema has and istiod ignores.
const REMOVED: [&str; 1] = ["outlierDetection.consecutiveErrors"];

fn fields_of(object: &str) -> &'static [(&'static str, Type)] {
    OBJECTS.iter().find(|(name, _)| *name == object).map_or(&[], |(_, fields)| fields)
}

/// Every field of a resource that Istio does not read; none for kinds without a table.
pub fn strays(resource: &Resource) -> Vec<Stray> {
    let mut found = Vec::new();
    if resource.kind == MESH_CONFIG {
        of_mesh(&resource.node, &mut found);
        return found;
    }
    let Some(kind) = KINDS.into_iter().find(|kind| resource.is_istio(kind)) else { return found };
    let mut look = Look { kind, found: &mut found };
    look.object(&resource.node, "Top", "");
    if let Some(spec) = resource.node.field("spec") {
        look.object(spec, kind, "spec");
    }
    found
}

/// The blocks of a MeshConfig that faultline reads, and names that are all but theirs.
fn of_mesh(config: &Node, found: &mut Vec<Stray>) {
    let mut look = Look { kind: "MeshTrafficPolicy", found };
    for (path, object) in OF_MESH {
        if let Some(block) = config.at(path) {
            look.object(block, object, path);
        }
    }
    let tops = ["localityLbSetting", "defaultTrafficPolicy"];
    for (name, _) in config.map("") {
        // The names of the schema's own language, with underscores, are known too.
        let is_other = tops.iter().all(|top| plain(top) != plain(name) || !(name == top || name.contains('_')));
        if let Some(top) = tops.into_iter().find(|top| is_other && distance(&plain(top), &plain(name)) < 3) {
            look.found.push(Stray::Unknown { path: name.clone(), remedy: format!("write `{top}`") });
        }
    }
}

/// A name without what people get wrong in one.
pub(super) fn plain(text: &str) -> String {
    text.to_ascii_lowercase().replace(['_', '-'], "")
}

struct Look<'a> {
    kind: &'static str,
    found: &'a mut Vec<Stray>,
}

impl Look<'_> {
    fn object(&mut self, node: &Node, object: &'static str, path: &str) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.object(item, object, &format!("{path}[{index}]"));
                }
            }
            Value::Map(fields) => {
                for (name, value) in fields {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    match fields_of(object).iter().find(|(known, _)| known == name) {
                        Some((_, Object(object))) => self.object(value, object, &inner),
                        Some((_, Any)) if REMOVED.iter().any(|removed| inner.ends_with(removed)) => {
                            // A 0 asks for nothing.
                            if value.number("") != Some(0) {
                                self.found.push(Stray::Removed { path: inner });
                            }
                        }
                        Some(_) => {}
                        // The MeshConfig may have the names of the schema's own language.
                        None if self.kind == "MeshTrafficPolicy" && name.contains('_') => {}
                        None => {
                            let remedy = self.remedy(name, value, object, path);
                            self.found.push(Stray::Unknown { path: inner, remedy });
                        }
                    }
                }
            }
        }
    }

    /// What to write instead of an unknown field.
    fn remedy(&self, name: &str, value: &Node, object: &str, path: &str) -> String {
        let known = fields_of(object);
        let of_parent = |field: &str| known.iter().any(|(known, _)| *known == field);
        if let Value::Map(inner) = &value.value
            && !inner.is_empty()
            && inner.iter().all(|(field, _)| of_parent(field))
        {
            return format!("write its fields into `{path}` itself");
        }
        let near = |known: &&str| {
            let (known, name) = (plain(known), plain(name));
            distance(&known, &name) < 3 || (name.len() > 5 && (known.starts_with(&name) || name.starts_with(&known)))
        };
        let mut beside = known.iter().map(|(known, _)| *known);
        let same = beside.clone().find(|known| plain(known) == plain(name));
        if let Some(known) = same.or_else(|| beside.find(near)) {
            let inner = if path.is_empty() { known.to_owned() } else { format!("{path}.{known}") };
            return format!("write `{inner}`");
        }
        match self.search(name) {
            Some(place) => format!("it belongs to `{place}`: move it there"),
            None => "remove it, or set what is meant by the fields that Istio has".to_owned(),
        }
    }

    /// The shortest path at which the resource has a field of this name.
    fn search(&self, name: &str) -> Option<String> {
        let mut next = vec![(self.kind, "spec".to_owned())];
        for _ in 0..5 {
            let mut deeper = Vec::new();
            for (object, path) in next {
                for (known, kind) in fields_of(object) {
                    let inner = format!("{path}.{known}");
                    if known.eq_ignore_ascii_case(name) {
                        return Some(inner);
                    }
                    if let Object(object) = kind {
                        deeper.push((*object, inner));
                    }
                }
            }
            next = deeper;
        }
        None
    }
}

/// How many letters must be changed, added or removed to make one word of the other.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row.get(j).copied().unwrap_or(0) + usize::from(x != *y);
            let removed = row.get(j + 1).copied().unwrap_or(0) + 1;
            let added = next.last().copied().unwrap_or(0) + 1;
            next.push(replaced.min(removed).min(added));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
