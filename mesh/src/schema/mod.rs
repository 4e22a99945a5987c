//! The fields of the resources that are read, and what each may hold.
//!
//! Of DestinationRules, ServiceEntries and WorkloadEntries the table has every field (istio/api and its CRDs, v1): what
//! is not in it, the API server drops. Of other kinds it has what some rule looks into.

mod routing;
mod types;

use types::Type::{Any, Duration, DurationOrNone, Flag, Integer, List, Map, Number, Object, OneOf, Text};
use types::{COUNT, LABELS, PERCENT, PORT, TEXTS, UINT};
pub use types::{Field, Type};

/// The objects without whose table is whole: what is not in it does not exist.
const WHOLE: [(&str, &[Field]); 24] = [
    (
        "DestinationRule",
        &[
            ("host", Text),
            ("trafficPolicy", Object("TrafficPolicy")),
            ("subsets", List(&Object("Subset"))),
            ("exportTo", TEXTS),
            ("workloadSelector", Object("WorkloadSelector")),
        ],
    ),
    ("Subset", &[("name", Text), ("labels", LABELS), ("trafficPolicy", Object("TrafficPolicy"))]),
    ("WorkloadSelector", &[("matchLabels", LABELS)]),
    (
        "TrafficPolicy",
        &[
            ("loadBalancer", Object("LoadBalancer")),
            ("connectionPool", Object("ConnectionPool")),
            ("outlierDetection", Object("OutlierDetection")),
            ("tls", Object("Tls")),
            ("portLevelSettings", List(&Object("PortTrafficPolicy"))),
            ("tunnel", Object("Tunnel")),
            ("proxyProtocol", Object("ProxyProtocol")),
            ("retryBudget", Object("RetryBudget")),
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
    ("Port", &[("number", UINT)]),
    ("Tunnel", &[("protocol", OneOf(&["CONNECT", "POST"])), ("targetHost", Text), ("targetPort", PORT)]),
    ("ProxyProtocol", &[("version", OneOf(&["V1", "V2"]))]),
    ("RetryBudget", &[("percent", Number), ("budgetInterval", DurationOrNone), ("minRetryConcurrency", UINT)]),
    (
        "OutlierDetection",
        &[
            ("consecutive5xxErrors", UINT),
            ("consecutiveErrors", Integer(i32::MIN as i64, i32::MAX as i64)),
            ("consecutiveGatewayErrors", UINT),
            ("consecutiveLocalOriginFailures", UINT),
            ("splitExternalLocalOriginErrors", Flag),
            ("interval", Duration),
            ("baseEjectionTime", Duration),
            ("maxEjectionPercent", PERCENT),
            ("minHealthPercent", PERCENT),
            ("outlierDetectionHttpErrorCodes", List(&Integer(100, 599))),
        ],
    ),
    (
        "LoadBalancer",
        &[
            ("simple", OneOf(&["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"])),
            ("consistentHash", Object("ConsistentHash")),
            ("localityLbSetting", Object("Locality")),
            ("zoneAwareLbSetting", Object("ZoneAware")),
            ("warmup", Object("Warmup")),
            ("warmupDurationSecs", Duration),
        ],
    ),
    (
        "Locality",
        &[
            ("enabled", Flag),
            ("distribute", List(&Object("Distribute"))),
            ("failover", List(&Object("Failover"))),
            ("failoverPriority", TEXTS),
        ],
    ),
    (
        "ZoneAware",
        &[
            ("enabled", Flag),
            ("failover", List(&Object("Failover"))),
            ("failoverPriority", TEXTS),
            ("minClusterSize", Integer(1, i64::MAX)),
        ],
    ),
    ("Distribute", &[("from", Text), ("to", Map(&UINT))]),
    ("Failover", &[("from", Text), ("to", Text)]),
    ("Warmup", &[("duration", Duration), ("minimumPercent", Number), ("aggression", Number)]),
    ("ConnectionPool", &[("tcp", Object("Tcp")), ("http", Object("Http"))]),
    (
        "Tcp",
        &[
            ("maxConnections", COUNT),
            ("connectTimeout", Duration),
            ("tcpKeepalive", Object("Keepalive")),
            ("maxConnectionDuration", Duration),
            ("idleTimeout", DurationOrNone),
        ],
    ),
    (
        "Http",
        &[
            ("http1MaxPendingRequests", COUNT),
            ("http2MaxRequests", COUNT),
            ("maxRequestsPerConnection", COUNT),
            ("maxRetries", COUNT),
            ("idleTimeout", Duration),
            ("h2UpgradePolicy", OneOf(&["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"])),
            ("useClientProtocol", Flag),
            ("maxConcurrentStreams", COUNT),
            ("http2KeepAlive", Object("Http2KeepAlive")),
        ],
    ),
    (
        "Tls",
        &[
            ("mode", OneOf(&["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"])),
            ("clientCertificate", Text),
            ("privateKey", Text),
            ("caCertificates", Text),
            ("credentialName", Text),
            ("subjectAltNames", TEXTS),
            ("sni", Text),
            ("insecureSkipVerify", Flag),
            ("caCrl", Text),
        ],
    ),
    (
        "ServiceEntry",
        &[
            ("hosts", TEXTS),
            ("addresses", TEXTS),
            ("ports", List(&Object("EntryPort"))),
            ("location", OneOf(&["MESH_EXTERNAL", "MESH_INTERNAL"])),
            ("resolution", OneOf(&["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"])),
            ("endpoints", List(&Object("WorkloadEntry"))),
            ("workloadSelector", Object("EntrySelector")),
            ("exportTo", TEXTS),
            ("subjectAltNames", TEXTS),
        ],
    ),
    ("EntryPort", &[("number", PORT), ("protocol", Text), ("name", Text), ("targetPort", PORT)]),
    ("EntrySelector", &[("labels", LABELS)]),
    (
        "WorkloadEntry",
        &[
            ("address", Text),
            ("ports", Map(&PORT)),
            ("labels", LABELS),
            ("network", Text),
            ("locality", Text),
            ("weight", UINT),
            ("serviceAccount", Text),
        ],
    ),
];

/// The objects of which the table has some fields.
const PARTS: [(&str, &[Field]); 30] = [
    ("Metadata", &[("name", Text), ("namespace", Text), ("labels", LABELS), ("annotations", LABELS)]),
    (
        "ConsistentHash",
        &[
            ("httpHeaderName", Text),
            ("httpCookie", Object("Cookie")),
            ("useSourceIp", Flag),
            ("httpQueryParameterName", Text),
            ("minimumRingSize", Integer(0, i64::MAX)),
            ("ringHash", Object("Ring")),
            ("maglev", Object("Maglev")),
        ],
    ),
    ("Cookie", &[("name", Text), ("path", Text), ("ttl", DurationOrNone), ("attributes", List(&Object("Attribute")))]),
    ("Attribute", &[("name", Text), ("value", Text)]),
    ("Ring", &[("minimumRingSize", Integer(0, i64::MAX))]),
    ("Maglev", &[("tableSize", Integer(0, i64::MAX))]),
    ("Keepalive", &[("probes", UINT), ("time", Duration), ("interval", Duration)]),
    ("Http2KeepAlive", &[("interval", Duration), ("timeout", Duration)]),
    ("Selected", &[("selector", Object("WorkloadSelector"))]),
    ("EnvoyFilter", &[("workloadSelector", Object("EntrySelector"))]),
    (
        "PeerAuthentication",
        &[("selector", Object("WorkloadSelector")), ("mtls", Object("Mtls")), ("portLevelMtls", Map(&Object("Mtls")))],
    ),
    ("Mtls", &[("mode", Text)]),
    (
        "AuthorizationPolicy",
        &[
            ("selector", Object("WorkloadSelector")),
            ("action", OneOf(&["ALLOW", "DENY", "AUDIT", "CUSTOM"])),
            ("rules", List(&Object("Rule"))),
        ],
    ),
    ("Rule", &[("from", List(&Object("From"))), ("to", List(&Object("To"))), ("when", List(&Object("When")))]),
    ("From", &[("source", Object("Source"))]),
    ("To", &[("operation", Any)]),
    ("When", &[("key", Text), ("values", TEXTS), ("notValues", TEXTS)]),
    (
        "Source",
        &[
            ("principals", TEXTS),
            ("notPrincipals", TEXTS),
            ("namespaces", TEXTS),
            ("notNamespaces", TEXTS),
            ("serviceAccounts", TEXTS),
            ("notServiceAccounts", TEXTS),
        ],
    ),
    ("Service", &[("ports", List(&Object("ServicePort"))), ("selector", LABELS), ("clusterIP", Text), ("type", Text)]),
    ("ServicePort", &[("name", Text), ("port", PORT), ("protocol", Text)]),
    ("Workload", &[("replicas", COUNT), ("template", Object("Template"))]),
    ("Template", &[("metadata", Object("Metadata")), ("spec", Object("Pod"))]),
    (
        "Pod",
        &[
            ("hostNetwork", Flag),
            ("containers", List(&Object("Container"))),
            ("initContainers", List(&Object("Container"))),
        ],
    ),
    ("Container", &[("name", Text), ("ports", List(&Object("ContainerPort")))]),
    ("ContainerPort", &[("name", Text), ("containerPort", PORT)]),
    (
        "Slices",
        &[
            ("addresses", List(&Text)),
            ("conditions", Object("Conditions")),
            ("hostname", Text),
            ("nodeName", Text),
            ("targetRef", Object("Target")),
            ("zone", Text),
        ],
    ),
    ("Conditions", &[("ready", Flag), ("serving", Flag), ("terminating", Flag)]),
    ("Target", &[("name", Text)]),
    ("Subsets", &[("addresses", List(&Object("Slices")))]),
    ("Nothing", &[]),
];

/// The blocks of a MeshConfig that faultline reads.
pub const OF_MESH: [(&str, &str); 3] = [
    ("localityLbSetting", "Locality"),
    ("zoneAwareLbSetting", "ZoneAware"),
    ("defaultTrafficPolicy.outlierDetection", "OutlierDetection"),
];

/// The kinds: group, kind, what `spec` holds, and what stands beside it.
const KINDS: [(&str, &str, &str, &[Field]); 27] = [
    (ISTIO, "DestinationRule", "DestinationRule", &[]),
    (ISTIO, "ServiceEntry", "ServiceEntry", &[]),
    (ISTIO, "WorkloadEntry", "WorkloadEntry", &[]),
    (ISTIO, "Sidecar", "Sidecar", &[]),
    (ISTIO, "VirtualService", "VirtualService", &[]),
    (ISTIO, "Gateway", "Gateway", &[]),
    (ISTIO, "WorkloadGroup", "WorkloadGroup", &[]),
    (ISTIO, "ProxyConfig", "ProxyConfig", &[]),
    (ISTIO, "EnvoyFilter", "EnvoyFilter", &[]),
    ("extensions.istio.io", "WasmPlugin", "Selected", &[]),
    ("extensions.istio.io", "TrafficExtension", "Selected", &[]),
    ("telemetry.istio.io", "Telemetry", "Selected", &[]),
    ("security.istio.io", "PeerAuthentication", "PeerAuthentication", &[]),
    ("security.istio.io", "AuthorizationPolicy", "AuthorizationPolicy", &[]),
    ("security.istio.io", "RequestAuthentication", "Selected", &[]),
    ("", "Service", "Service", &[]),
    ("", "ConfigMap", "Nothing", &[("data", LABELS)]),
    ("", "Namespace", "Nothing", &[]),
    ("", "Node", "Nothing", &[]),
    ("", "Pod", "Pod", &[]),
    ("", "Endpoints", "Nothing", &[("subsets", List(&Object("Subsets")))]),
    ("discovery.k8s.io", "EndpointSlice", "Nothing", &[("addressType", Text), ("endpoints", List(&Object("Slices")))]),
    ("apps", "Deployment", "Workload", &[]),
    ("apps", "StatefulSet", "Workload", &[]),
    ("apps", "DaemonSet", "Workload", &[]),
    ("apps", "ReplicaSet", "Workload", &[]),
    ("gateway.envoyproxy.io", "BackendTrafficPolicy", "Nothing", &[]),
];

const ISTIO: &str = "networking.istio.io";

/// All objects.
fn objects() -> impl Iterator<Item = &'static (&'static str, &'static [Field])> {
    WHOLE.iter().chain(&PARTS).chain(&routing::ROUTING)
}

/// The fields of the object with this name.
pub fn fields_of(object: &str) -> &'static [Field] {
    objects().find(|(name, _)| *name == object).map_or(&[], |(_, fields)| fields)
}

/// What an object's field may hold; `None` if the table does not have it.
pub fn field_of(object: &str, name: &str) -> Option<Type> {
    fields_of(object).iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Whether the table has every field of an object, so that there are no others.
pub fn is_whole(object: &str) -> bool {
    WHOLE.iter().any(|(name, _)| *name == object)
}

/// What the `spec` of a kind holds, and what stands beside it; `None`: the kind is not in the table.
pub fn of_kind(group: &str, kind: &str) -> Option<(&'static str, &'static [Field])> {
    let found = KINDS.iter().find(|(own, name, ..)| *own == group && *name == kind);
    found.map(|(_, _, spec, beside)| (*spec, *beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(kind: Type) -> bool {
        match kind {
            Object(name) => objects().any(|(known, _)| *known == name),
            List(inner) | Map(inner) => is_there(*inner),
            _ => true,
        }
    }

    #[test]
    fn every_object_that_is_named_is_in_the_table() {
        for (name, fields) in objects() {
            assert!(fields.iter().all(|(_, kind)| is_there(*kind)), "{name}");
        }
        assert!(KINDS.iter().all(|(_, _, spec, _)| is_there(Object(spec))));
    }
}
