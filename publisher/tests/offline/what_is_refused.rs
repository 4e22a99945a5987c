//! Tests that `validate` finds what Istio's webhook refuses, what ends istiod, what Envoy rejects, and what is not
//! read; and thresholds of a plugin that differ from the rules beside it.

use crate::rules_as_istiod::{WEB, config, entry, found, policy, rule, service};
use crate::support::{run, run_with_input};

fn rule_of(spec: &str) -> Vec<String> {
    found(&rule("shop/web", &format!("host: web, {spec}")))
}

const REFUSED: &str = "FL111 error spec.";

#[test]
fn a_slip_in_json_is_told_with_its_place_and_not_as_a_fields_value() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c.json"), "{\n  \"witness\": {},\n}").unwrap();
    let manifest = ["manifest", "ghcr.io/acme/faultline:1.0", "--offline", "--config", "c.json"];
    for (args, code) in [(&manifest[..], 3), (&["validate", "c.json"], 3)] {
        let ran = run(dir.path(), args);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, code, "{said}");
        assert!(said.contains("it is no JSON: ") && said.contains(" at line 3 column 1"), "{said}");
        assert!(
            said.contains("fix: correct it at that place") && !said.contains("every field with its range"),
            "{said}"
        );
    }
}

#[test]
fn blocks_without_a_field_are_refused() {
    for (spec, path) in [
        ("trafficPolicy: {}", "trafficPolicy"),
        ("trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}", "trafficPolicy.portLevelSettings[0]"),
        ("trafficPolicy: {portLevelSettings: [{tls: {mode: SIMPLE}}]}", "trafficPolicy.portLevelSettings[0]"),
        ("trafficPolicy: {connectionPool: {}}", "trafficPolicy.connectionPool"),
        ("subsets: [{name: a, trafficPolicy: {}}]", "subsets[0].trafficPolicy"),
        ("subsets: [{name: a}, {name: b}, {name: a}]", "subsets[2].name"),
        (
            "trafficPolicy: {loadBalancer: {simple: RANDOM, warmup: {minimumPercent: 10}}}",
            "trafficPolicy.loadBalancer.warmup",
        ),
    ] {
        assert_eq!(rule_of(spec), [format!("{REFUSED}{path}")], "{spec}");
    }
    for spec in ["trafficPolicy: {tls: {mode: SIMPLE}}", "trafficPolicy: ", "subsets: [{name: a}, {name: b}]"] {
        assert_eq!(rule_of(spec), [""; 0], "{spec}");
    }
    let many = entry("DNS_ROUND_ROBIN", &["", ""]);
    assert_eq!(found(&many), ["FL111 error spec.endpoints"]);
    let large = "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5000000000, maxEjectionPercent: 100}, \
                 loadBalancer: {localityLbSetting: {enabled: true}}}";
    assert_eq!(rule_of(large), ["FL111 error spec.trafficPolicy.outlierDetection.consecutive5xxErrors"]);
}

#[test]
fn an_export_that_contradicts_itself_is_refused() {
    let twice = ["[a, a]", "[., shop]", "[shop, .]", "['*', .]", "[a, '*']", "['~']"];
    for (export, index) in twice.into_iter().zip([1, 1, 1, 0, 1, 0]) {
        let found = rule_of(&format!("exportTo: {export}, trafficPolicy: {{tls: {{mode: SIMPLE}}}}"));
        assert_eq!(found, [format!("{REFUSED}exportTo[{index}]")], "{export}");
    }
    for export in ["['*']", "[.]", "[a, b]", "[., a]"] {
        let found = rule_of(&format!("exportTo: {export}, trafficPolicy: {{tls: {{mode: SIMPLE}}}}"));
        assert_eq!(found, [""; 0], "{export}");
    }
    let selects = "workloadSelector: {matchLabels: {app: a}}, trafficPolicy: {tls: {mode: SIMPLE}}";
    assert_eq!(rule_of(&format!("exportTo: [other], {selects}")), ["FL111 error spec.exportTo"]);
    assert_eq!(rule_of(&format!("exportTo: [.], {selects}")), [""; 0]);
    // A ServiceEntry may be for nobody.
    let hidden = entry("STATIC", &[", locality: r/a"]).replace("hosts:", "exportTo: ['~'], hosts:");
    assert_eq!(found(&hidden), [""; 0]);
}

/// A rule for pay.example.com with locality settings and outlier detection.
fn pay(settings: &str, detection: &str) -> String {
    let balancer = format!("loadBalancer: {{localityLbSetting: {{{settings}}}}}");
    rule("shop/pay", &format!("host: pay.example.com, trafficPolicy: {{{balancer}{detection}}}"))
}

const DETECTS: &str = ", outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 100}";
const PATH: &str = "spec.trafficPolicy.loadBalancer.localityLbSetting";

#[test]
fn priorities_by_label_end_istiod_where_endpoints_are_looked_up() {
    let two = [", locality: r1/a", ", locality: r2/a"];
    let by_label = "failoverPriority: [topology.kubernetes.io/region]";
    let ends = [format!("FL208 error {PATH}.failoverPriority")];
    assert_eq!(found(&(entry("DNS", &two) + &pay(by_label, DETECTS))), ends);
    // One without a locality is in another than one that has one.
    assert_eq!(found(&(entry("DNS", &[", locality: r1/a", ""]) + &pay(by_label, DETECTS))), ends);
    // Every other kind of service, of settings, or of endpoints.
    for text in [
        entry("STATIC", &two) + &pay(by_label, DETECTS),
        entry("DNS", &[two[0], two[0]]) + &pay(by_label, DETECTS),
        entry("DNS", &two) + &pay("failover: [{from: r1, to: r2}]", DETECTS),
    ] {
        assert_eq!(found(&text), [""; 0], "{text}");
    }
    let off = found(&(entry("DNS", &two) + &pay(&format!("enabled: false, {by_label}"), DETECTS)));
    assert_eq!(off, [format!("FL207 warning {PATH}.enabled")]);
    // A subset has the endpoints with its labels; the mesh's settings hold where a rule has none.
    let labelled = entry("DNS", &[", locality: r1/a, labels: {v: a}", ", locality: r2/a, labels: {v: b}"]);
    let wild = pay(by_label, DETECTS).replace("pay.example.com", "'*.example.com'");
    assert_eq!(found(&(labelled.clone() + &wild)), ends);
    let mesh = format!("localityLbSetting: {{{by_label}}}\n");
    let plain = rule("shop/pay", "host: pay.example.com, trafficPolicy: {outlierDetection: {maxEjectionPercent: 100}}");
    let all = found(&format!("{mesh}{labelled}{plain}"));
    assert!(all.contains(&"FL208 error spec.trafficPolicy.outlierDetection".to_owned()), "{all:?}");
    // Where no rule is, both come from the mesh.
    let of_mesh = "FL208 error localityLbSetting.failoverPriority".to_owned();
    let whole = format!("{mesh}defaultTrafficPolicy: {{outlierDetection: {{maxEjectionPercent: 100}}}}\n");
    let has = |text: &str| found(text).contains(&of_mesh);
    assert!(has(&format!("{whole}{labelled}")));
    assert!(!has(&format!("{mesh}{labelled}")), "nothing ejects");
    assert!(!has(&format!("{whole}{}", labelled.replace("resolution: DNS", "resolution: STATIC"))));
    assert!(!has(&format!("{whole}{labelled}{plain}")), "said at the rule");
    let elsewhere = plain.replace("host:", "exportTo: [.], host:").replace("namespace: shop", "namespace: other");
    assert!(has(&format!("{whole}{labelled}{elsewhere}")), "a rule that others do not see");
    let off = whole.replace("failoverPriority", "enabled: false, failoverPriority");
    assert!(!has(&format!("{off}{labelled}")));
}

#[test]
fn a_distribution_that_leaves_no_endpoint_is_said_as_it_is() {
    let to = |to: &str| pay(&format!("distribute: [{{from: '*', to: {{{to}}}}}]"), DETECTS);
    let path = format!("{PATH}.distribute[0].to");
    let unmoved = "FL118 warning spec.host".to_owned();
    // Envoy rejects a cluster of this kind without an endpoint.
    for endpoint in ["", ", locality: r3/a"] {
        let text = entry("DNS_ROUND_ROBIN", &[endpoint]) + &to("r1: 50, r2: 50");
        let all = found(&text);
        assert!(all.contains(&format!("FL206 error {path}")) && all.contains(&unmoved), "{all:?}");
        assert_eq!(all.len(), 2, "{all:?}");
    }
    // Elsewhere it is one finding that says what becomes of requests, and no share goes to others.
    let text = entry("STATIC", &[", locality: r3/a", ", locality: r4/a"]) + &to("r1: 50, r2: 50");
    assert_eq!(found(&text), [format!("FL203 warning {path}")]);
    let dir = tempfile::tempdir().unwrap();
    let told = run_with_input(dir.path(), &["validate", "-"], text.as_bytes()).exits(3).stdout;
    assert!(told.contains("answered with 503") && !told.contains("other localities get"), "{told}");
    let some = entry("STATIC", &[", locality: r1/a", ", locality: r4/a"]) + &to("r1: 50, r2: 50");
    assert_eq!(found(&some), [format!("FL203 warning {path}.r2")]);
    // Every share in one region is worth a note, if there may be others.
    let zones = to("r1/a: 50, r1/b: 50");
    assert_eq!(found(&zones), [format!("FL205 note {path}")]);
    let both = entry("STATIC", &[", locality: r1/a", ", locality: r1/b"]);
    assert_eq!(found(&(both + &zones)), [""; 0]);
    // Where pods are, their nodes tell, if they are among the files.
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-x, namespace: shop, \
                 labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [192.0.2.1], \
                 nodeName: n1, targetRef: {kind: Pod, name: web-1}}]\n";
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/region: r1, \
                topology.kubernetes.io/zone: a}}\n";
    let web = format!("{}{slice}{}", service("shop/web", ""), to("r1/b: 50, r2: 50").replace("pay.example.com", "web"));
    assert_eq!(
        found(&web).iter().filter(|it| it.starts_with("FL2")).collect::<Vec<_>>(),
        [&format!("FL206 note {path}")]
    );
    let told = found(&format!("{web}{node}"));
    assert!(told.contains(&format!("FL203 note {path}")) && !told.iter().any(|it| it.starts_with("FL206")), "{told:?}");
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let wrong = rule("shop/web", "host: web, outlierDetection: {consecutive5xxErrors: 5}");
    let broken = "---\nkind: DestinationRule\nspec: {host: [web\n";
    let twice = "---\na: 1\nb: 2\na: 3\n";
    let text = format!("{wrong}{broken}{twice}{wrong}");
    let all = found(&text);
    let count = |start: &str| all.iter().filter(|it| it.starts_with(start)).count();
    assert_eq!([count("FL003 error ."), count("FL112 error spec.outlierDetection"), all.len()], [2, 2, 4], "{all:?}");
    let dir = tempfile::tempdir().unwrap();
    let told = run_with_input(dir.path(), &["validate", "-"], text.as_bytes()).exits(3).stdout;
    for place in [
        "-:5:19:",
        "-:8:14: error[FL003]: unclosed bracket '['\n",
        "first in line 10)",
        "-:12:1: error[FL003]",
        "-:17:19:",
    ] {
        assert!(told.contains(place), "{place}: {told}");
    }
}

#[test]
fn an_invalid_value_does_not_hide_unknown_fields_of_a_plugin() {
    let text = r#"{"outlierDetecton": {}, "outlierDetection": {"interval": "soon", "consecutive5xxErrors": -1},
        "clusters": [{"match": "outbound|*", "ignroe": true, "outlierDetection": {"maxEjectionPercent": 500}}]}"#;
    let mut all = found(text);
    all.sort();
    assert_eq!(
        all,
        [
            "FL001 error clusters[0].outlierDetection.maxEjectionPercent",
            "FL001 error outlierDetection.consecutive5xxErrors",
            "FL001 error outlierDetection.interval",
            "FL002 error clusters[0].ignroe",
            "FL002 error outlierDetecton",
        ]
    );
    // Of two equal keys, readers of JSON take the last without a word.
    let twice = r#"{"outlierDetection": {"interval": "3s"}, "outlierDetection": {}}"#;
    assert_eq!(found(twice), ["FL003 error ."]);
}

#[test]
fn what_is_no_configuration_is_not_judged_as_one() {
    let dir = tempfile::tempdir().unwrap();
    for (text, what) in [
        ("replicaCount: 1\nimage: {repository: a}\n", "neither a resource nor a plugin configuration"),
        ("No resources found in shop namespace.\n", "kubectl's word that there is nothing"),
        (r#"{"version_info": "x", "static_clusters": []}"#, "a dump of Envoy"),
        ("hello\n", "is text"),
    ] {
        let told = run_with_input(dir.path(), &["validate", "-"], text.as_bytes()).exits(3).stdout;
        assert!(told.contains("error[FL007]") && told.contains(what), "{text}: {told}");
    }
    assert_eq!(found(r#"{"apiVersion": "v1", "kind": "List", "items": []}"#), ["FL006 note ."]);
}

#[test]
fn fields_of_the_mesh_that_istio_does_not_read_are_found() {
    let mesh = "localityLbSettings: {enabled: true}\nrootNamespace: istio-system\ndefaultTrafficPolicy: \
                {outlierDetection: {consecutive5XXErrors: 3, consecutiveErrors: 2, maxEjectionPercent: 100}}\n";
    let block = "defaultTrafficPolicy.outlierDetection";
    assert_eq!(
        found(mesh),
        [
            "FL112 error localityLbSettings".to_owned(),
            format!("FL112 error {block}.consecutive5XXErrors"),
            format!("FL113 warning {block}.consecutiveErrors")
        ]
    );
    // A misspelt block is not one that is missing.
    let misspelt = "trafficPolicy: {loadBalancer: {localityLBSetting: {enabled: true}}, outlierDetection: \
                    {consecutive5xxErrors: 3, maxEjectionPercent: 100}}";
    assert_eq!(rule_of(misspelt), ["FL112 error spec.trafficPolicy.loadBalancer.localityLBSetting"]);
}

#[test]
fn a_service_that_is_another_name_has_no_rules() {
    let alias = service("shop/web", "type: ExternalName, externalName: web.example.com, ");
    assert_eq!(found(&(alias + &rule("shop/web", &format!("host: web, {}", policy(3))))), ["FL118 warning spec.host"]);
}

fn plugin(namespace: &str, more: &str, config: &str) -> String {
    format!(
        "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: faultline, namespace: \
         {namespace}}}\nspec: {{url: 'oci://r.example.com/faultline:1@sha256:{}', failStrategy: FAIL_OPEN, match: \
         [{{mode: CLIENT}}]{more}, pluginConfig: {config}}}\n",
        "0".repeat(64)
    )
}

#[test]
fn thresholds_that_differ_from_the_rules_beside_them_are_found() {
    let web = rule("shop/web", &format!("host: web, {}", policy(3)));
    let own = |n| {
        let rules = format!("{{consecutive5xxErrors: {n}, consecutiveGatewayErrors: 0, maxEjectionPercent: 100}}");
        format!("{{clusters: [{{match: '{WEB}', outlierDetection: {rules}}}]}}")
    };
    let differs = ["FL311 warning spec.pluginConfig.clusters[0].outlierDetection"];
    assert_eq!(found(&(web.clone() + &plugin("shop", "", &own(4)))), differs);
    assert_eq!(found(&(web.clone() + &plugin("istio-system", "", &own(4)))), differs);
    assert_eq!(found(&(web.clone() + &plugin("shop", "", &own(3)))), [""; 0]);
    // With the witness, Envoy's own rule holds.
    let witness = own(4).replacen('{', "{witness: {}, ", 1);
    assert_eq!(
        found(&(web.clone() + &plugin("shop", "", &witness))),
        ["FL311 note spec.pluginConfig.clusters[0].outlierDetection"]
    );
    // The default is Envoy's, and no rule has it by chance.
    assert_eq!(found(&(web.clone() + &plugin("shop", "", "{}"))), ["FL311 warning spec.pluginConfig.outlierDetection"]);
    // With the witness, nothing need be written out.
    assert_eq!(found(&(web.clone() + &plugin("shop", "", "{witness: {}}"))), [""; 0]);
    // A rule that these proxies do not get is none of theirs.
    let selects = rule("shop/web", &format!("host: web, workloadSelector: {{matchLabels: {{app: a}}}}, {}", policy(3)));
    assert_eq!(found(&(selects.clone() + &plugin("shop", "", &own(4)))), [""; 0]);
    assert_eq!(found(&(selects + &plugin("shop", ", selector: {matchLabels: {app: a}}", &own(4)))), differs);
    let private = rule("shop/web", &format!("host: web, exportTo: [.], {}", policy(3)));
    assert_eq!(found(&(private + &plugin("front", "", &own(4)))), [""; 0]);
}

#[test]
fn what_was_derived_does_not_differ() {
    let subset = format!("subsets: [{{name: v1, {}}}]", policy(9));
    let rules = rule("shop/web", &format!("host: web, {subset}, {}", policy(3)))
        + &rule("istio-system/all", &format!("host: '*.local', {}", policy(7)))
        + &rule("shop/none", "host: none, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")
        + &service("shop/web", "");
    let derived = config(&rules, &["--no-witness"]);
    assert!(derived.stdout.contains("clusters"), "{derived:?}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yaml"), &rules).unwrap();
    std::fs::write(dir.path().join("faultline.json"), &derived.stdout).unwrap();
    let told = run(dir.path(), &["validate", ".", "--output", "json"]).stdout;
    assert!(!told.contains("FL311"), "{told}");
}

#[test]
fn what_powershell_wrote_is_read_and_what_a_name_holds_makes_no_line() {
    let text = rule("shop/web", "host: web, outlierDetection: {consecutive5xxErrors: 5}");
    let dir = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let told = run_with_input(dir.path(), &["validate", "-"], &utf16).exits(3).stdout;
    assert!(told.contains("-:5:19: error[FL112]: DestinationRule shop/web"), "{told}");

    let name = "\"shop\\n1 file checked: 0 errors\"";
    let forged = text.replace("namespace: shop", &format!("namespace: {name}"));
    for command in ["validate", "config"] {
        let ran = run_with_input(dir.path(), &[command, "-"], forged.as_bytes());
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains("\n1 file checked: 0 errors"), "{command}: {all}");
    }
}
