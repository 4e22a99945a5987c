//! Tests that values of a type which the API server refuses are found in what routes, as they are in the rules
//! themselves; that addresses and words are read as kubectl reads them; and that what does not say what it is, is told.

use crate::rules_as_istiod::found;

fn of(kind: &str, spec: &str) -> Vec<String> {
    let version = if kind == "ProxyConfig" { "v1beta1" } else { "v1" };
    let text = format!(
        "apiVersion: networking.istio.io/{version}\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\n\
         spec: {{{spec}}}\n"
    );
    found(&text)
}

#[test]
fn the_types_of_endpoints_are_kubernetes_own() {
    let slice = |endpoint: &str| {
        found(&format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: a, namespace: shop}}\n\
             addressType: IPv4\nendpoints: [{{{endpoint}}}]\n"
        ))
    };
    for (endpoint, path) in [
        ("addresses: 10.0.0.1", "addresses"),
        ("addresses: [1]", "addresses[0]"),
        ("addresses: [10.0.0.1], conditions: {ready: 'true'}", "conditions.ready"),
        ("addresses: [10.0.0.1], zone: 1", "zone"),
    ] {
        assert_eq!(slice(endpoint), [format!("FL111 error endpoints[0].{path}")], "{endpoint}");
    }
    assert_eq!(slice("addresses: [10.0.0.1], conditions: {ready: true}, zone: a"), [""; 0]);
}

#[test]
fn what_an_api_server_lists_is_of_the_lists_kind() {
    let list = |kind: &str, version: &str, item: &str| {
        found(&format!("kind: {kind}\napiVersion: {version}\nmetadata: {{resourceVersion: '1'}}\nitems:\n- {item}\n"))
    };
    let service = "{metadata: {name: a, namespace: shop}, spec: {ports: [{port: '80'}]}}";
    assert_eq!(list("ServiceList", "v1", service), ["FL111 error spec.ports[0].port"]);
    let rule = "{metadata: {name: a, namespace: shop}, spec: {host: a, subsets: {}}}";
    assert_eq!(list("DestinationRuleList", "networking.istio.io/v1", rule), ["FL111 error spec.subsets"]);
    assert_eq!(list("List", "v1", service), ["FL007 error ."], "a list of anything");
}

#[test]
fn what_routes_has_types_too() {
    for (kind, spec, path) in [
        ("VirtualService", "hosts: a", "hosts"),
        ("VirtualService", "exportTo: '*'", "exportTo"),
        ("VirtualService", "http: {route: []}", "http"),
        ("VirtualService", "http: [{route: {destination: {host: a}}}]", "http[0].route"),
        ("VirtualService", "http: [{match: {uri: {prefix: /}}}]", "http[0].match"),
        ("VirtualService", "http: [{match: [{uri: /a}]}]", "http[0].match[0].uri"),
        ("VirtualService", "http: [{match: [{headers: {x: y}}]}]", "http[0].match[0].headers.x"),
        ("VirtualService", "http: [{match: [{port: '80'}]}]", "http[0].match[0].port"),
        ("VirtualService", "http: [{timeout: 5}]", "http[0].timeout"),
        ("VirtualService", "http: [{retries: {attempts: '3'}}]", "http[0].retries.attempts"),
        ("VirtualService", "http: [{retries: {perTryTimeout: 2}}]", "http[0].retries.perTryTimeout"),
        ("VirtualService", "http: [{fault: []}]", "http[0].fault"),
        ("VirtualService", "http: [{mirrorPercentage: 10}]", "http[0].mirrorPercentage"),
        ("VirtualService", "http: [{headers: {request: {set: {x: 1}}}}]", "http[0].headers.request.set.x"),
        ("VirtualService", "tls: [{match: [{sniHosts: a.com}]}]", "tls[0].match[0].sniHosts"),
        ("Gateway", "selector: [istio]", "selector"),
        ("Gateway", "servers: {hosts: []}", "servers"),
        ("Gateway", "servers: [{port: 80}]", "servers[0].port"),
        ("Gateway", "servers: [{hosts: '*'}]", "servers[0].hosts"),
        ("Gateway", "servers: [{port: {number: '443'}}]", "servers[0].port.number"),
        ("Gateway", "servers: [{tls: {mode: simple}}]", "servers[0].tls.mode"),
        ("Gateway", "servers: [{tls: {httpsRedirect: 'true'}}]", "servers[0].tls.httpsRedirect"),
        ("Sidecar", "egress: {hosts: []}", "egress"),
        ("Sidecar", "ingress: [{port: {number: '80'}}]", "ingress[0].port.number"),
        ("Sidecar", "inboundConnectionPool: {http: {maxRetries: '1'}}", "inboundConnectionPool.http.maxRetries"),
        ("WorkloadGroup", "template: {ports: {http: '80'}}", "template.ports.http"),
        ("ProxyConfig", "concurrency: '2'", "concurrency"),
        ("ProxyConfig", "environmentVariables: {A: 1}", "environmentVariables.A"),
    ] {
        assert_eq!(of(kind, spec), [format!("FL111 error spec.{path}")], "{kind}: {spec}");
    }
    for (kind, spec) in [
        (
            "VirtualService",
            "hosts: [a], http: [{timeout: 0s, retries: {attempts: -1}, route: [{destination: {host: a}}]}]",
        ),
        ("Gateway", "selector: {istio: x}, servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]"),
        ("Sidecar", "egress: [{port: {number: 80, protocol: HTTP, name: a}, hosts: ['./*']}]"),
    ] {
        assert_eq!(of(kind, spec), [""; 0], "{kind}: {spec}");
    }
}

#[test]
fn addresses_that_end_in_colons_are_addresses() {
    let entry = |addresses: &str| {
        let ports = "ports: [{number: 80, name: http, protocol: HTTP}]";
        of("ServiceEntry", &format!("hosts: [a.com], resolution: NONE, {ports}, addresses: [{addresses}]"))
    };
    for addresses in ["fd00::", "fd00::, 10.0.0.1", "10.0.0.1, fd00::", "'::'", "\"fd00::\""] {
        assert_eq!(entry(addresses), [""; 0], "{addresses}");
    }
    // kubectl refuses these.
    for addresses in ["::", "::1", "10.0.0.1, ::1"] {
        assert_eq!(entry(addresses), ["FL003 error ."], "{addresses}");
    }
}

#[test]
fn a_key_is_what_kubectl_makes_of_it() {
    let rule = |labels: &str| {
        let ends = "endpoints: [{address: 10.0.0.1, labels: {\"true\": x}}]";
        let ports = "ports: [{number: 80, name: http, protocol: HTTP}]";
        let entry = format!("hosts: [a.com], resolution: STATIC, {ports}, {ends}");
        let (name, group) = ("metadata: {name: a, namespace: shop}", "apiVersion: networking.istio.io/v1");
        let locality = "trafficPolicy: {loadBalancer: {localityLbSetting: {enabled: false}}}";
        found(&format!(
            "{group}\nkind: ServiceEntry\n{name}\nspec: {{{entry}}}\n---\n{group}\nkind: DestinationRule\n{name}\n\
             spec: {{host: a.com, {locality}, subsets: [{{name: v1, labels: {{{labels}}}}}]}}\n"
        ))
    };
    assert_eq!(rule("yes: x"), rule("\"true\": x"));
    assert_ne!(rule("yes: x"), rule("\"yes\": x"), "the subset has no endpoint");
}

#[test]
fn a_resource_that_does_not_say_what_it_is_is_no_plugin_configuration() {
    let whole = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\n\
                 spec: {host: a, trafficPolicy: {tls: {mode: SIMPLE}}}\n";
    assert_eq!(found(whole), [""; 0]);
    for line in ["apiVersion", "kind"] {
        let half: String = whole.split_inclusive('\n').filter(|it| !it.starts_with(line)).collect();
        assert_eq!(found(&half), ["FL007 error ."], "{half}");
        assert_eq!(found(&format!("{whole}---\n{half}")), ["FL007 error ."], "{half}");
    }
}
