//! Tests that `config` and `validate` read DestinationRules as istiod does: who gets which rule, what is merged and
//! what is not, and that what was left out or assumed is said.

use crate::support::{Ran, run, run_with_input};
use filter_core::config::parse;

pub(crate) fn config(text: &str, more: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &[&["config", "--from", "-"][..], more].concat(), text.as_bytes())
}

/// The threshold of a cluster for the proxies that the arguments name.
pub(crate) fn threshold(text: &str, more: &[&str], cluster: &str) -> u32 {
    let ran = config(text, more).exits(0);
    let parsed = parse(ran.stdout.as_bytes()).unwrap();
    parsed.config.rules_for(cluster).unwrap().consecutive5xx_errors
}

/// Code, severity and path of what `validate` finds.
pub(crate) fn found(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let json = run_with_input(dir.path(), &["validate", "-", "--output", "json"], text.as_bytes()).json();
    let text = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    json[0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {} {}", text(it, "code"), text(it, "severity"), text(it, "path")))
        .collect()
}

/// A DestinationRule; `name` is `namespace/name`, or a name alone.
pub(crate) fn rule(name: &str, spec: &str) -> String {
    let meta = match name.split_once('/') {
        Some((namespace, name)) => format!("{{name: {name}, namespace: {namespace}}}"),
        None => format!("{{name: {name}}}"),
    };
    format!("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {meta}\nspec: {{{spec}}}\n")
}

/// A policy that ejects after `n` errors and says all that there is to say.
pub(crate) fn policy(n: u32) -> String {
    format!(
        "trafficPolicy: {{loadBalancer: {{localityLbSetting: {{enabled: true}}}}, outlierDetection: \
         {{consecutive5xxErrors: {n}, maxEjectionPercent: 100}}}}"
    )
}

pub(crate) fn service(name: &str, more: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{more}ports: \
         [{{name: http, port: 80}}]}}\n"
    )
}

pub(crate) fn entry(resolution: &str, endpoints: &[&str]) -> String {
    let endpoints: Vec<String> =
        endpoints.iter().enumerate().map(|(index, more)| format!("{{address: 192.0.2.{}{more}}}", index + 1)).collect();
    let list = if endpoints.is_empty() { String::new() } else { format!(", endpoints: [{}]", endpoints.join(", ")) };
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: pay, namespace: shop}}\nspec: \
         {{hosts: [pay.example.com], ports: [{{number: 80, name: http, protocol: HTTP}}], \
         resolution: {resolution}{list}}}\n"
    )
}

pub(crate) const WEB: &str = "outbound|80||web.shop.svc.cluster.local";
const HOST: &str = "host: web.shop.svc.cluster.local";

#[test]
fn rules_with_selectors_are_kept_apart() {
    let selects = |app: &str, n| {
        rule(
            &format!("src/{app}"),
            &format!("{HOST}, workloadSelector: {{matchLabels: {{app: {app}}}}}, {}", policy(n)),
        )
    };
    let text = selects("one", 1) + &selects("two", 4);
    let ran = config(&text, &[]).exits(0);
    assert!(ran.stderr.contains("left out, 2 rules: for the proxies that a workloadSelector names alone"), "{ran:?}");
    assert!(ran.stderr.contains("--namespace src --selector app=two"), "{ran:?}");
    assert!(!ran.stderr.contains("merged"), "{ran:?}");
    assert_eq!(threshold(&text, &[], WEB), 0);
    assert_eq!(threshold(&text, &["--namespace", "src"], WEB), 0);
    assert_eq!(threshold(&text, &["--namespace", "src", "--selector", "app=two"], WEB), 4);
    // Without a witness the result depends on it.
    config(&text, &["--no-witness"]).exits(3);
    config(&rule("shop/web", &format!("{HOST}, {}", policy(1))), &["--no-witness"]).exits(0);
    assert_eq!(found(&text), [""; 0]);
}

#[test]
fn the_namespace_decides() {
    let rules = [
        rule("istio-system/all", &format!("host: '*.local', {}", policy(7))),
        rule("shop/web", &format!("host: web, {}", policy(2))),
        rule("front/web", &format!("{HOST}, exportTo: ['.'], {}", policy(3))),
    ]
    .concat();
    assert_eq!(threshold(&rules, &[], WEB), 2);
    assert_eq!(threshold(&rules, &["--namespace", "front"], WEB), 3);
    assert_eq!(threshold(&rules, &["--namespace", "back"], WEB), 2);
    assert_eq!(threshold(&rules, &["--namespace", "front"], "outbound|80||pay.shop.svc.cluster.local"), 7);
    // A wildcard in the service's namespace is for the services there alone.
    let wide = rule("shop/all", &format!("host: '*.local', {}", policy(5)));
    assert_eq!(threshold(&wide, &[], WEB), 5);
    assert_eq!(threshold(&wide, &[], "outbound|80||web.other.svc.cluster.local"), 0);
    // Another namespace's rule is for the proxies there.
    let third = rule("platform/web", &format!("{HOST}, {}", policy(4)));
    assert_eq!(threshold(&third, &[], WEB), 0);
    assert_eq!(threshold(&third, &["--namespace", "platform"], WEB), 4);
    assert!(config(&third, &[]).stderr.contains("left out, 1 rule: found by the proxies of the rule's own namespace"));
    assert_eq!(found(&third), ["FL115 warning metadata.namespace"]);
    assert_eq!(found(&third.replace("spec: {", "spec: {exportTo: ['.'], ")), [""; 0]);
    assert_eq!(found(&third.replace("platform", "istio-system")), [""; 0]);
}

#[test]
fn a_namespace_that_is_missing_is_said_and_can_be_given() {
    let text = service("shop/web", "") + &rule("web", &format!("host: web, {}", policy(3)));
    let ran = config(&text, &[]).exits(0);
    assert!(ran.stderr.contains("1 rule without a namespace, taken as if applied to `default`"), "{ran:?}");
    assert_eq!(threshold(&text, &["--namespace", "shop"], WEB), 3);
    assert_eq!(found(&text), ["FL116 warning spec.host"]);
    let (_, alone) = text.split_at(text.rfind("---").unwrap());
    assert_eq!(found(alone), ["FL116 note spec.host"]);
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &["validate", "-", "--namespace", "shop"], text.as_bytes()).exits(0);
}

#[test]
fn rules_with_different_reach_are_not_merged() {
    let host = "host: httpbin.mesh.global";
    let text = rule("test/in", &format!("{host}, exportTo: [istio-system], {}", policy(1)))
        + &rule("test/out", &format!("{host}, exportTo: [sleep], {}", policy(7)));
    let cluster = "outbound|80||httpbin.mesh.global";
    assert_eq!(found(&text), [""; 0]);
    assert_eq!(threshold(&text, &["--namespace", "istio-system"], cluster), 1);
    assert_eq!(threshold(&text, &["--namespace", "sleep"], cluster), 7);
    let ran = config(&text, &[]).exits(0);
    assert!(ran.stderr.contains("left out, 2 rules: only for the namespaces that exportTo names"), "{ran:?}");
    let same = text.replace("istio-system", "sleep");
    assert_eq!(found(&same), ["FL108 warning spec.host"]);
}

/// What a real istiod 1.30 and 1.31 did; see docs/rules-judge.md.
#[test]
fn the_last_of_rules_with_different_reach_wins_and_a_selector_can_swallow_one() {
    let cluster = "outbound|80||pay.example.com";
    let with = |name: &str, more: &str, n| rule(name, &format!("host: pay.example.com, {more}{}", policy(n)));
    let base = entry("STATIC", &[""]);

    let to_all_twice = base.clone() + &with("shop/a", "exportTo: ['*'], ", 1) + &with("shop/b", "", 2);
    for client in ["shop", "back"] {
        assert_eq!(threshold(&to_all_twice, &["--namespace", client], cluster), 2, "{client}");
    }

    let selects = "workloadSelector: {matchLabels: {app: other}}, ";
    let swallowed = base.clone() + &with("shop/z", selects, 1) + &with("shop/a", "exportTo: ['.'], ", 2);
    assert_eq!(threshold(&swallowed, &["--namespace", "shop", "--selector", "app=client"], cluster), 0);
    assert_eq!(threshold(&swallowed, &["--namespace", "shop", "--selector", "app=other"], cluster), 1);

    // What others do not see does not stand in front of a wildcard that they do see; what some see does.
    let wildcard = rule("shop/any", &format!("host: '*', {}", policy(3)));
    let private = base.clone() + &with("shop/a", "exportTo: ['.'], ", 1) + &wildcard;
    assert_eq!(threshold(&private, &["--namespace", "shop"], cluster), 1);
    assert_eq!(threshold(&private, &["--namespace", "back"], cluster), 3);
    let for_some = base + &with("shop/a", "exportTo: [front], ", 1) + &wildcard;
    assert_eq!(threshold(&for_some, &["--namespace", "back"], cluster), 0);
}

#[test]
fn one_object_in_two_folders_is_not_two_rules() {
    let dir = tempfile::tempdir().unwrap();
    for (cluster, n) in [("a", 3), ("b", 8)] {
        std::fs::create_dir(dir.path().join(cluster)).unwrap();
        let text = rule("shop/web", &format!("host: web, {}", policy(n)));
        std::fs::write(dir.path().join(cluster).join("rule.yaml"), text).unwrap();
    }
    let ran = run(dir.path(), &["validate", "."]).exits(0);
    assert!(ran.stdout.contains("note[FL120]") && !ran.stdout.contains("FL108"), "{ran:?}");
    let ran = run(dir.path(), &["config", "--from", "."]).exits(0);
    let told =
        "DestinationRule shop/web: is there in 2 versions (./a/rule.yaml:2, ./b/rule.yaml:2); taken is that of ./b";
    assert!(ran.stderr.contains(told) && !ran.stderr.contains("merged"), "{ran:?}");
}

#[test]
fn fields_that_istio_does_not_read_are_found() {
    let with = |spec: &str| found(&rule("shop/web", &format!("host: web, {spec}")));
    let detection = |block: &str| {
        with(&format!(
            "trafficPolicy: {{loadBalancer: {{localityLbSetting: {{enabled: true}}}}, outlierDetection: \
             {{maxEjectionPercent: 100, {block}}}}}"
        ))
    };
    let at = "spec.trafficPolicy.outlierDetection";
    assert_eq!(detection("consecutiveErrors: 1"), [format!("FL113 warning {at}.consecutiveErrors")]);
    assert_eq!(detection("consecutive5XXErrors: 1"), [format!("FL112 error {at}.consecutive5XXErrors")]);
    assert_eq!(detection("maxEjectionTime: 60s"), [format!("FL112 error {at}.maxEjectionTime")]);
    assert_eq!(detection("http: {interval: 1s}"), [format!("FL112 error {at}.http")]);
    assert_eq!(with("outlierDetection: {interval: 1s}"), ["FL112 error spec.outlierDetection"]);
    let beside = "trafficPolicy: {localityLbSetting: {enabled: true}, outlierDetection: {maxEjectionPercent: 100}}";
    assert_eq!(with(beside), ["FL112 error spec.trafficPolicy.localityLbSetting"]);
    let text = rule("shop/web", "host: web, trafficPolicy: {outlierDetection: {consecutiveErrors: 1}}");
    let ran = config(&text, &[]).exits(0);
    assert!(ran.stderr.contains("1 field not read: ") && ran.stderr.contains("consecutiveErrors"), "{ran:?}");
    // All refused values are told, and such a block is not taken.
    let refused = detection("minHealthPercent: 101, interval: soon");
    assert_eq!(refused, [format!("FL111 error {at}.minHealthPercent"), format!("FL111 error {at}.interval")]);
}

#[test]
fn what_replaces_more_than_it_says_is_found() {
    let all = "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}, outlierDetection: \
               {maxEjectionPercent: 100}";
    let port = |more: &str| {
        found(&rule(
            "shop/web",
            &format!("host: web, trafficPolicy: {{{all}, portLevelSettings: [{{port: {{number: 80}}{more}}}]}}"),
        ))
    };
    assert_eq!(port(", tls: {mode: SIMPLE}"), ["FL114 warning spec.trafficPolicy.portLevelSettings[0]"]);
    assert_eq!(port(&format!(", {all}")), [""; 0]);
    let subset = |policy: &str| {
        found(&rule(
            "shop/web",
            &format!("host: web, trafficPolicy: {{{all}}}, subsets: [{{name: v1, trafficPolicy: {{{policy}}}}}]"),
        ))
    };
    let path = "spec.subsets[0].trafficPolicy.loadBalancer";
    assert_eq!(subset("loadBalancer: {simple: ROUND_ROBIN}"), [format!("FL114 warning {path}")]);
    assert_eq!(subset("tls: {mode: SIMPLE}"), [""; 0]);
    let mesh = rule("istio-system/all", &format!("host: '*.local', {}", policy(3)));
    let team = rule("shop/web", "host: web, subsets: [{name: v1, labels: {version: v1}}]");
    assert_eq!(found(&(mesh.clone() + &team)), ["FL117 warning spec.trafficPolicy"]);
    assert_eq!(found(&(mesh + &rule("shop/web", &format!("host: web, {}", policy(1))))), [""; 0]);
}

#[test]
fn where_every_port_has_its_own_settings_those_of_the_host_hold_for_none() {
    let service = |ports: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: pay, namespace: shop}}\nspec: {{ports: [{ports}]}}\n"
        )
    };
    let detection = "outlierDetection: {consecutive5xxErrors: 1, interval: 1s, maxEjectionPercent: 100}";
    let locality = "loadBalancer: {localityLbSetting: {enabled: true}}";
    let of_port = format!("portLevelSettings: [{{port: {{number: 8443}}, {detection}, {locality}}}]");
    let pay = rule("shop/pay", &format!("host: pay, trafficPolicy: {{{locality}, {of_port}}}"));
    let all = rule("istio-system/all", &format!("host: '*.shop.svc.cluster.local', trafficPolicy: {{{detection}}}"));
    let codes = |ports: &str| -> Vec<String> {
        let all =
            found(&format!("{}{pay}{all}", service(ports))).into_iter().filter(|it| it.contains(" spec.trafficPolicy"));
        let told = ["FL101", "FL117"];
        all.filter(|it| told.iter().any(|code| it.starts_with(code))).map(|it| it[..5].to_owned()).collect()
    };
    assert_eq!(codes("{port: 8443, name: http}"), [""; 0]);
    assert_eq!(codes("{port: 8443, name: http}, {port: 80, name: http-2}"), ["FL117", "FL101"]);
}

#[test]
fn a_distribution_never_fails_over() {
    let with = |settings: &str| {
        rule(
            "shop/pay",
            &format!(
                "host: pay.example.com, trafficPolicy: {{loadBalancer: {{localityLbSetting: {{{settings}}}}}, \
                 outlierDetection: {{maxEjectionPercent: 100}}}}"
            ),
        )
    };
    let path = "spec.trafficPolicy.loadBalancer.localityLbSetting";
    let one = with("distribute: [{from: '*', to: {a: 100}}]");
    assert_eq!(found(&one), [format!("FL205 warning {path}.distribute[0].to")]);
    let two = with("distribute: [{from: '*', to: {a: 90, b: 10}}]");
    assert_eq!(found(&two), [""; 0]);
    for endpoints in [entry("STATIC", &["", ""]), entry("STATIC", &[", locality: a", ""]), entry("DNS", &[])] {
        assert_eq!(found(&(endpoints + &two)), [format!("FL206 warning {path}.distribute[0].to")]);
    }
    assert_eq!(found(&(entry("STATIC", &[", locality: a", ", locality: b"]) + &two)), [""; 0]);
    let mesh = "---\nlocalityLbSetting: {distribute: [{from: a, to: {a: 90, b: 10}}]}\n";
    assert_eq!(found(&(entry("STATIC", &[""]) + mesh)), ["FL206 warning localityLbSetting.distribute[0].to"]);
    let off = with("enabled: false, failover: [{from: a, to: b}]");
    assert_eq!(found(&off), [format!("FL207 warning {path}.enabled")]);
}

#[test]
fn what_a_sidecar_does_not_balance_is_found() {
    let rule_of = |host: &str| rule("shop/x", &format!("host: {host}, {}", policy(3)));
    assert_eq!(found(&(service("shop/db", "clusterIP: None, ") + &rule_of("db"))), ["FL118 warning spec.host"]);
    assert_eq!(found(&(service("shop/db", "") + &rule_of("db"))), [""; 0]);
    for resolution in ["NONE", "DNS_ROUND_ROBIN"] {
        assert_eq!(found(&(entry(resolution, &[]) + &rule_of("pay.example.com"))), ["FL118 warning spec.host"]);
    }
    let headless = service("shop/db", "clusterIP: None, ");
    let wildcard = rule("istio-system/x", &format!("host: '*.local', {}", policy(3)));
    assert!(found(&(headless.clone() + &wildcard)).contains(&"FL118 warning spec.host".to_owned()));
    let own = rule("shop/db", "host: db, trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}");
    assert!(!found(&(headless + &own + &wildcard)).contains(&"FL118 warning spec.host".to_owned()));
    let passed = rule_of("db").replace("{loadBalancer: {", "{loadBalancer: {simple: PASSTHROUGH, ");
    assert_eq!(found(&(service("shop/db", "") + &passed)), ["FL118 warning spec.trafficPolicy.loadBalancer.simple"]);
}

#[test]
fn caps_are_compared_with_what_is_certain() {
    let with = |percent: u32, more: &str| {
        rule("shop/pay", &format!("host: pay.example.com, {}{more}", policy(3).replace("100", &percent.to_string())))
    };
    let four = entry("STATIC", &[", labels: {v: a}", ", labels: {v: a}", ", labels: {v: b}", ", labels: {v: b}"]);
    let path = "spec.trafficPolicy.outlierDetection.maxEjectionPercent";
    let subsets = ", subsets: [{name: a, labels: {v: a}}, {name: b, labels: {v: b}}]";
    assert_eq!(
        found(&(four.clone() + &with(30, subsets))),
        [format!("FL102 error {path}"), format!("FL102 error {path}")]
    );
    assert_eq!(found(&(four + &with(50, subsets))), [""; 0]);
    let located = entry("STATIC", &[", locality: a", ", locality: a", ", locality: b", ", locality: b"]);
    assert_eq!(found(&(located.clone() + &with(25, ""))), [format!("FL119 warning {path}")]);
    assert_eq!(found(&(located + &with(50, ""))), [""; 0]);
    // kubectl tells the endpoints of one cluster; the rule speaks of a region that this one has not.
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/region: east}}\n";
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: shop, \
                 labels: {kubernetes.io/service-name: web}}\nendpoints: [{addresses: [192.0.2.1], nodeName: n1}]\n";
    let text = rule("shop/web", &format!("host: web, {}", policy(3)))
        .replace("enabled: true", "failover: [{from: east, to: west}]")
        .replace("100", "50");
    let found = found(&(node.to_owned() + &service("shop/web", "") + slice + &text));
    let to = "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0].to";
    assert_eq!(found, [format!("FL203 note {to}"), format!("FL102 note {path}")]);
}

#[test]
fn what_is_no_configuration_is_told_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, told) in [
        ("dr.yaml", "{{- if .Values.dr }}\nkind: DestinationRule\n{{- end }}\n", "helm template"),
        ("table.txt", "NAME      HOST      AGE\nreviews   reviews   3d\n", "-o yaml"),
        (
            "dump.json",
            r#"{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"}]}"#,
            "dump of Envoy",
        ),
        ("clusters.json", r#"[{"name": "outbound|80||web.shop.svc.cluster.local"}]"#, "istioctl"),
        ("patch.yaml", "- {op: add, path: /spec/host, value: x}\n", "kubectl kustomize"),
        ("part.yaml", &rule("shop/web", "trafficPolicy: {}"), "kubectl kustomize"),
        ("value.yaml", &rule("shop/web", "host: '{{ .Values.host }}'"), "helm template"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let ran = run(dir.path(), &["validate", name]).exits(3);
        assert!(ran.stdout.contains("error[FL007]") && ran.stdout.contains(told), "{name}: {ran:?}");
    }
    // Beside what is meant, it is only counted.
    std::fs::create_dir(dir.path().join("mesh")).unwrap();
    std::fs::write(dir.path().join("mesh/values.yaml"), "image: {tag: 1}\n").unwrap();
    let ran = run(dir.path(), &["validate", "mesh"]).exits(0);
    assert!(ran.stderr.contains("1 document neither resources nor plugin configurations, not checked"), "{ran:?}");
}

#[test]
fn a_large_mesh_has_a_configuration_that_fits() {
    let mut text = String::new();
    for index in 0..1_500 {
        text += &service(&format!("ns{}/svc{index}", index % 5), "");
        let n = if index == 7 { 9 } else { 5 };
        text += &rule(&format!("ns{}/svc{index}", index % 5), &format!("host: svc{index}, {}", policy(n)));
    }
    text += &service("ns0/none", "");
    let of = |host: &str| threshold(&text, &[], &format!("outbound|80||{host}.svc.cluster.local"));
    assert_eq!([of("svc0.ns0"), of("svc7.ns2"), of("svc12.ns2"), of("none.ns0"), of("x.other")], [5, 9, 5, 0, 0]);
    let ran = config(&text, &[]).exits(0);
    assert!(ran.stderr.contains("equal entries are written once"), "{}", ran.stderr);
    // Without the Services it is not known what else is in a namespace.
    let rules: String =
        text.split("---\n").filter(|it| it.contains("DestinationRule")).map(|it| format!("---\n{it}")).collect();
    config(&rules, &[]).fails_with(&["at most 262144 are read", "Give the Services too"]);
}

#[test]
fn names_are_compared_letter_by_letter() {
    let host = |host: &str| found(&rule("shop/web", &format!("host: {host}, {}", policy(3))));
    for written in ["Web", "web.shop.svc.cluster.local.", "web.Shop.svc.cluster.local"] {
        assert!(host(written).contains(&"FL110 warning spec.host".to_owned()), "{written}");
    }
    for written in ["web", "web.shop.svc.cluster.local", "API.example.com", "'*.shop.svc.cluster.local'"] {
        assert!(!host(written).iter().any(|found| found.starts_with("FL110")), "{written}");
    }
}

#[test]
fn the_mesh_configs_of_two_control_planes_are_not_one() {
    let of = |name: &str, text: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: istio-system}}\ndata:\n  mesh: \
             '{text}'\n"
        )
    };
    let web = rule("shop/web", &format!("{HOST}, {}", policy(3)));
    let canary = of("istio-canary", "{rootNamespace: istio-config}");
    let two = format!("{}{canary}{web}", of("istio", "{accessLogFile: /dev/stdout}"));
    assert_eq!(found(&two), ["FL120 note ."]);
    let ran = config(&two, &["--no-witness"]).exits(3);
    assert!(ran.stderr.contains("MeshConfigs of several control planes"), "{ran:?}");
    let same = format!("{}{canary}{web}", of("istio", "{rootNamespace: istio-config, accessLogFile: /dev/stdout}"));
    assert_eq!(found(&same), [""; 0]);
    config(&same, &["--no-witness"]).exits(0);
}
