//! The fields of VirtualServices, Gateways, Sidecars, WorkloadGroups and ProxyConfigs: what routes, and what lies
//! around it.
//!
//! The API server refuses a value of another type than these, whatever faultline reads of it.

use super::types::Type::{DurationOrNone, Flag, Integer, List, Map, Number, Object, OneOf, Text};
use super::types::{Field, LABELS, PORT, TEXTS, Type, UINT};

/// protobuf's int32, with a sign.
const INT: Type = Integer(i32::MIN as i64, i32::MAX as i64);
const TLS_VERSION: Type = OneOf(&["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]);

/// The objects; of these, what is not in the table is not judged.
pub(super) const ROUTING: [(&str, &[Field]); 37] = [
    (
        "Sidecar",
        &[
            ("workloadSelector", Object("EntrySelector")),
            ("egress", List(&Object("Egress"))),
            ("ingress", List(&Object("Ingress"))),
            ("inboundConnectionPool", Object("ConnectionPool")),
            ("outboundTrafficPolicy", Object("OutboundPolicy")),
        ],
    ),
    ("Egress", &[("hosts", TEXTS), ("captureMode", Text), ("bind", Text), ("port", Object("ServerPort"))]),
    (
        "Ingress",
        &[
            ("port", Object("ServerPort")),
            ("bind", Text),
            ("captureMode", Text),
            ("defaultEndpoint", Text),
            ("tls", Object("ServerTls")),
            ("connectionPool", Object("ConnectionPool")),
        ],
    ),
    ("OutboundPolicy", &[("mode", Text), ("egressProxy", Object("Destination"))]),
    ("Gateway", &[("selector", LABELS), ("servers", List(&Object("Server")))]),
    (
        "Server",
        &[
            ("port", Object("ServerPort")),
            ("hosts", TEXTS),
            ("tls", Object("ServerTls")),
            ("bind", Text),
            ("defaultEndpoint", Text),
            ("name", Text),
        ],
    ),
    ("ServerPort", &[("number", UINT), ("protocol", Text), ("name", Text), ("targetPort", UINT)]),
    (
        "ServerTls",
        &[
            ("httpsRedirect", Flag),
            ("insecureSkipVerify", Flag),
            (
                "mode",
                OneOf(&["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]),
            ),
            ("minProtocolVersion", TLS_VERSION),
            ("maxProtocolVersion", TLS_VERSION),
            ("credentialName", Text),
            ("credentialNames", TEXTS),
            ("serverCertificate", Text),
            ("privateKey", Text),
            ("caCertificates", Text),
            ("subjectAltNames", TEXTS),
            ("cipherSuites", TEXTS),
        ],
    ),
    (
        "VirtualService",
        &[
            ("hosts", TEXTS),
            ("gateways", TEXTS),
            ("http", List(&Object("HttpRoute"))),
            ("tcp", List(&Object("StreamRoute"))),
            ("tls", List(&Object("StreamRoute"))),
            ("exportTo", TEXTS),
        ],
    ),
    (
        "HttpRoute",
        &[
            ("name", Text),
            ("match", List(&Object("HttpMatch"))),
            ("route", List(&Object("RouteDestination"))),
            ("redirect", Object("Redirect")),
            ("directResponse", Object("DirectResponse")),
            ("delegate", Object("Delegate")),
            ("rewrite", Object("Rewrite")),
            ("timeout", DurationOrNone),
            ("retries", Object("Retries")),
            ("fault", Object("Fault")),
            ("mirror", Object("Destination")),
            ("mirrors", List(&Object("Mirror"))),
            ("mirrorPercent", UINT),
            ("mirrorPercentage", Object("Percentage")),
            ("corsPolicy", Object("Cors")),
            ("headers", Object("Headers")),
        ],
    ),
    ("StreamRoute", &[("match", List(&Object("StreamMatch"))), ("route", List(&Object("RouteDestination")))]),
    (
        "StreamMatch",
        &[
            ("destinationSubnets", TEXTS),
            ("port", UINT),
            ("sourceLabels", LABELS),
            ("gateways", TEXTS),
            ("sourceNamespace", Text),
            ("sourceSubnet", Text),
            ("sniHosts", TEXTS),
        ],
    ),
    (
        "HttpMatch",
        &[
            ("name", Text),
            ("uri", Object("StringMatch")),
            ("scheme", Object("StringMatch")),
            ("method", Object("StringMatch")),
            ("authority", Object("StringMatch")),
            ("headers", Map(&Object("StringMatch"))),
            ("withoutHeaders", Map(&Object("StringMatch"))),
            ("queryParams", Map(&Object("StringMatch"))),
            ("port", UINT),
            ("sourceLabels", LABELS),
            ("gateways", TEXTS),
            ("ignoreUriCase", Flag),
            ("sourceNamespace", Text),
            ("statPrefix", Text),
        ],
    ),
    ("StringMatch", &[("exact", Text), ("prefix", Text), ("regex", Text)]),
    (
        "RouteDestination",
        &[
            ("destination", Object("Destination")),
            ("weight", Integer(0, i32::MAX as i64)),
            ("headers", Object("Headers")),
        ],
    ),
    ("Destination", &[("host", Text), ("subset", Text), ("port", Object("Port"))]),
    ("Mirror", &[("destination", Object("Destination")), ("percentage", Object("Percentage"))]),
    ("Percentage", &[("value", Number)]),
    (
        "Redirect",
        &[
            ("uri", Text),
            ("authority", Text),
            ("scheme", Text),
            ("port", UINT),
            ("derivePort", OneOf(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
            ("prefixRewrite", Text),
            ("redirectCode", UINT),
        ],
    ),
    ("DirectResponse", &[("status", UINT), ("body", Object("Body"))]),
    ("Body", &[("string", Text), ("bytes", Text)]),
    ("Delegate", &[("name", Text), ("namespace", Text)]),
    ("Rewrite", &[("uri", Text), ("authority", Text), ("uriRegexRewrite", Object("RegexRewrite"))]),
    ("RegexRewrite", &[("match", Text), ("rewrite", Text)]),
    (
        "Retries",
        &[
            ("attempts", INT),
            ("perTryTimeout", DurationOrNone),
            ("retryOn", Text),
            ("retryRemoteLocalities", Flag),
            ("retryIgnorePreviousHosts", Flag),
            ("backoff", DurationOrNone),
        ],
    ),
    ("Fault", &[("delay", Object("Delay")), ("abort", Object("Abort"))]),
    ("Delay", &[("percent", INT), ("percentage", Object("Percentage")), ("fixedDelay", DurationOrNone)]),
    ("Abort", &[("httpStatus", INT), ("grpcStatus", Text), ("http2Error", Text), ("percentage", Object("Percentage"))]),
    (
        "Cors",
        &[
            ("allowOrigin", TEXTS),
            ("allowOrigins", List(&Object("StringMatch"))),
            ("allowMethods", TEXTS),
            ("allowHeaders", TEXTS),
            ("exposeHeaders", TEXTS),
            ("maxAge", DurationOrNone),
            ("allowCredentials", Flag),
            ("unmatchedPreflights", OneOf(&["UNSPECIFIED", "FORWARD", "IGNORE"])),
        ],
    ),
    ("Headers", &[("request", Object("HeaderOperations")), ("response", Object("HeaderOperations"))]),
    ("HeaderOperations", &[("set", LABELS), ("add", LABELS), ("remove", TEXTS)]),
    (
        "WorkloadGroup",
        &[
            ("metadata", Object("GroupMetadata")),
            ("template", Object("GroupTemplate")),
            ("probe", Object("GroupProbe")),
        ],
    ),
    ("GroupMetadata", &[("labels", LABELS), ("annotations", LABELS)]),
    (
        "GroupTemplate",
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
    ("GroupProbe", &[("initialDelaySeconds", INT), ("timeoutSeconds", INT), ("periodSeconds", INT)]),
    (
        "ProxyConfig",
        &[
            ("selector", Object("WorkloadSelector")),
            ("concurrency", Integer(0, i32::MAX as i64)),
            ("environmentVariables", LABELS),
            ("image", Object("ProxyImage")),
        ],
    ),
    ("ProxyImage", &[("imageType", Text)]),
];
