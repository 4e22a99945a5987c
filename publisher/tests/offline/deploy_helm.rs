//! Tests the chart in `deploy/helm` with a real Helm: it renders exactly what `faultline manifest` writes for the same
//! options, which the meshes' schemas accept; it refuses what `manifest` refuses; and its alerts, dashboards and
//! collector's files are the shipped ones; hot-switch, off by default, is what its kustomization builds. The examples
//! for Argo CD and Flux give values that it takes.
//!
//! Without Helm the tests are listed as skipped. What an API server does with them is a drill's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kustomize::{build, kustomize};
use crate::schema::{Rules, crd, crds};
use crate::skip::{Tool, skip};
use crate::support::{Ran, run};
use serde_json::{Value, json};

const REPOSITORY: &str = "registry.example.com:5000/mesh/faultline";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const ZEROS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// Helm in a place of its own.
struct Helm {
    program: String,
    dir: tempfile::TempDir,
}

impl Helm {
    /// Helm, if it is installed.
    fn find() -> Option<Self> {
        let program = std::env::var("FAULTLINE_HELM").unwrap_or_else(|_| "helm".to_owned());
        let dir = tempfile::tempdir().unwrap();
        let helm = Self { program, dir };
        let found = helm.command().args(["version", "--short"]).output().is_ok_and(|ran| ran.status.success());
        if !found {
            skip("the Helm chart", Tool::Optional, "helm is neither on PATH nor named by FAULTLINE_HELM");
        }
        found.then_some(helm)
    }

    fn command(&self) -> Command {
        let mut helm = Command::new(&self.program);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.dir.path());
        }
        helm
    }

    /// Runs `helm VERB CHART` with these values, as release `faultline` in namespace `shop`.
    fn run(&self, verb: &str, chart: &Path, values: &Value) -> Ran {
        let file = self.dir.path().join("values.json");
        fs::write(&file, values.to_string()).unwrap();
        let mut helm = self.command();
        helm.arg(verb);
        if verb == "template" {
            helm.arg("faultline");
        }
        helm.arg(chart).args(["--namespace", "shop", "--values"]).arg(&file).output().unwrap().into()
    }

    /// The resources that the chart renders.
    #[track_caller]
    fn render(&self, values: &Value) -> Vec<Value> {
        documents(&self.run("template", &chart(), values).exits(0).stdout)
    }
}

/// Options of `faultline manifest`, and the chart's values that mean the same.
type Variant = (Vec<&'static str>, Value);

/// Every variant of every kind.
fn variants() -> Vec<Variant> {
    let istio = of_istio();
    let newer = istio.iter().map(|variant| of_kind("TrafficExtension", variant));
    let patches = of_envoy_filter();
    let patches = patches.iter().map(|variant| of_kind("EnvoyFilter", variant));
    let all: Vec<Variant> = newer.chain(patches).chain(of_others()).collect();
    [istio, all].concat()
}

/// A configuration with what a template could spoil: a large number, quotes, and signs of HTML.
fn odd() -> Value {
    json!({
        "limits": {"endpoints": 1_000_000},
        "clusters": [{"match": "outbound|*||a<b>&c\"d", "ignore": true}],
    })
}

fn notify() -> Value {
    json!({"cluster": "outbound|9093||alertmanager.monitoring.svc.cluster.local", "retries": 0})
}

const SELECTED: [&str; 4] = ["--selector", "app=cart", "--selector", "yes=true"];

/// Of Istio's two kinds.
fn of_istio() -> Vec<Variant> {
    let named = json!({"logLevel": "debug", "witness": {"cluster": "prometheus_stats"}});
    vec![
        (vec!["--namespace", "istio-system"], json!({"meshWide": true})),
        (vec!["--config", "config.json"], json!({"notify": notify()})),
        (vec!["--config", "config.json"], json!({"config": odd()})),
        (vec!["--config", "config.json", "--name", "1e5"], json!({"config": named, "name": "1e5"})),
        (vec!["--no-witness"], json!({"witness": false})),
        (SELECTED.to_vec(), json!({"selector": {"app": "cart", "yes": "true"}})),
        (
            vec!["--pull-secret", "s", "--image-pull-policy", "Always", "--phase", "stats", "--priority", "-5"],
            json!({"image": {"pullSecret": "s", "pullPolicy": "Always"}, "phase": "STATS", "priority": -5}),
        ),
        (
            vec!["--target-ref", "Service/cart", "--target-ref", "ServiceEntry/out", "--waypoint"],
            json!({"targetRefs": [
                {"kind": "Service", "name": "cart"}, {"kind": "ServiceEntry", "name": "out"},
                {"kind": "Gateway", "name": "waypoint"},
            ]}),
        ),
    ]
}

fn of_envoy_filter() -> Vec<Variant> {
    let gateway = json!([{"kind": "Gateway", "name": "edge"}]);
    let selector = json!({"app": "cart", "yes": "true"});
    vec![
        (vec![], json!({})),
        (vec!["--config", "config.json"], json!({"config": odd()})),
        (vec!["--no-witness"], json!({"witness": false})),
        (vec!["--target-ref", "Gateway/edge"], json!({"targetRefs": gateway})),
        (
            vec!["--position", "upstream-log", "--target-ref", "Gateway/edge"],
            json!({"position": "upstream-log", "targetRefs": gateway}),
        ),
        (
            [&["--position", "lean", "--module", "/m/f.wasm"][..], &SELECTED].concat(),
            json!({"position": "lean", "module": "/m/f.wasm", "selector": selector}),
        ),
        (
            [&["--position", "upstream-log", "--config", "config.json"][..], &SELECTED].concat(),
            json!({"position": "upstream-log", "selector": selector, "notify": notify()}),
        ),
    ]
}

/// Of Envoy Gateway's kind and Higress's.
fn of_others() -> Vec<Variant> {
    let gateway = json!([{"kind": "Gateway", "name": "edge"}]);
    let route = json!([{"kind": "HTTPRoute", "name": "a"}]);
    vec![
        of_kind("EnvoyExtensionPolicy", &(vec!["--target-ref", "Gateway/edge"], json!({"targetRefs": gateway}))),
        of_kind(
            "EnvoyExtensionPolicy",
            &(
                vec!["--target-ref", "HTTPRoute/a", "--pull-secret", "s", "--config", "config.json"],
                json!({"targetRefs": route, "image": {"pullSecret": "s"}, "config": odd()}),
            ),
        ),
        of_kind("HigressWasmPlugin", &(vec![], json!({}))),
        of_kind(
            "HigressWasmPlugin",
            &(vec!["--config", "config.json", "--phase", "authn"], json!({"config": odd(), "phase": "AUTHN"})),
        ),
    ]
}

/// A variant for a kind that is not the default.
fn of_kind(kind: &'static str, (args, values): &Variant) -> Variant {
    let mut values = values.clone();
    values["kind"] = json!(kind);
    ([&["--kind", kind][..], args].concat(), values)
}

/// The values with the image that all tests use.
fn pinned(values: &Value) -> Value {
    let mut values = values.clone();
    values["image"]["repository"] = json!(REPOSITORY);
    values["image"]["digest"] = json!(DIGEST);
    values
}

/// The configuration that the chart composes of its values.
fn composed(values: &Value) -> Value {
    let mut config = values.get("config").cloned().unwrap_or_else(|| json!({}));
    if let Some(notify) = values.get("notify") {
        config["notify"] = notify.clone();
    }
    let is_istio = !matches!(values["kind"].as_str(), Some("EnvoyExtensionPolicy" | "HigressWasmPlugin"));
    if is_istio && config["witness"].is_null() {
        config["witness"] = json!({});
    }
    config
}

#[test]
fn the_chart_renders_what_manifest_writes_and_the_schemas_accept_it() {
    let Some(helm) = Helm::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let crds = crds();
    let mut rules = Rules::default();
    for (args, values) in variants() {
        let rendered = helm.render(&pinned(&values));
        let reference = format!("{REPOSITORY}:0.1.0@{DIGEST}");
        let namespace = ["--namespace", "shop"];
        let namespace = if args.contains(&"--namespace") { &[][..] } else { &namespace };
        let args = [&["manifest", &reference, "--offline", "--output", "json"][..], &args, namespace].concat();
        fs::write(dir.path().join("config.json"), composed(&values).to_string()).unwrap();
        let written = run(dir.path(), &args).json();
        assert_eq!(rendered, [written], "{args:?}");
        let kind = values["kind"].as_str().unwrap_or("WasmPlugin");
        if let Some(crd) = crds.as_ref().and_then(|folder| definition(folder, kind)) {
            let problems = rules.problems(&crd, &rendered[0]);
            assert!(problems.is_empty(), "{values}: {problems:#?}");
        }
    }
    assert!(rules.not_evaluated.is_empty(), "rules not evaluated: {:#?}", rules.not_evaluated);
}

fn definition(folder: &Path, kind: &str) -> Option<Value> {
    let (file, kind) = match kind {
        "WasmPlugin" => ("wasmplugins.extensions.istio.io", kind),
        "TrafficExtension" => ("trafficextensions.extensions.istio.io", kind),
        "EnvoyFilter" => ("envoyfilters.networking.istio.io", kind),
        "EnvoyExtensionPolicy" => ("envoyextensionpolicies.gateway.envoyproxy.io", kind),
        _ => ("higress", "WasmPlugin"),
    };
    crd(folder, file, kind)
}

#[test]
fn values_that_do_not_go_together_are_refused_with_the_reason() {
    let Some(helm) = Helm::find() else { return };
    let gateway = json!([{"kind": "Gateway", "name": "edge"}]);
    for (values, reason) in [
        (json!({"image": {"digest": ""}}), "image.digest is missing"),
        (json!({"image": {"repository": ""}}), "image.repository is missing"),
        (json!({"image": {"digest": "0.1.0"}}), "digest"),
        (json!({"image": {"repository": format!("{REPOSITORY}@{DIGEST}")}}), "repository"),
        (json!({"digest": DIGEST}), "digest"),
        (json!({"kind": "Wasmplugin"}), "kind"),
        (json!({"position": "lean"}), "the logs take kind EnvoyFilter"),
        (json!({"kind": "EnvoyFilter", "position": "lean"}), "needs selector or targetRefs"),
        (json!({"selector": {"a": "b"}, "targetRefs": gateway}), "exclude each other"),
        (json!({"selector": {"a": "*"}}), "selector"),
        (json!({"kind": "EnvoyExtensionPolicy"}), "needs targetRefs"),
        (json!({"kind": "EnvoyFilter", "targetRefs": [{"kind": "Service", "name": "a"}]}), "does not attach"),
        (json!({"kind": "HigressWasmPlugin", "meshWide": true}), "only Istio has a root namespace"),
        (json!({"kind": "EnvoyFilter", "image": {"pullSecret": "s"}}), "istiod hands secrets"),
        (json!({"config": {"attempts": "failed"}}), "follows from `position`"),
        (json!({"notify": {"retries": 1}}), "cluster"),
    ] {
        let mut given = pinned(&json!({}));
        merge(&mut given, &values);
        let ran = helm.run("template", &chart(), &given);
        assert!(ran.code != 0 && ran.stderr.contains(reason), "{values}: no `{reason}` in {}", ran.stderr);
    }
}

#[test]
fn another_digest_changes_the_url_and_nothing_else() {
    let Some(helm) = Helm::find() else { return };
    let values = pinned(&json!({"meshWide": true}));
    let mut later = values.clone();
    later["image"]["digest"] = json!(OTHER);
    let text = |values: &Value| helm.run("template", &chart(), values).exits(0).stdout;
    assert_eq!(text(&values).matches(DIGEST).count(), 1);
    assert_eq!(text(&values).replace(DIGEST, OTHER), text(&later));
}

#[test]
fn alerts_dashboards_and_the_collectors_files_are_the_shipped_ones() {
    let Some(helm) = Helm::find() else { return };
    let mut values = pinned(&json!({
        "prometheusRule": {"enabled": true, "namespace": "monitoring", "labels": {"release": "prom"}},
        "dashboard": {"enabled": true, "logs": true, "loki": true},
        "collector": {"enabled": true, "namespace": "logging", "engine": "loki"},
    }));
    let of = |resources: &[Value], kind: &str| {
        resources.iter().find(|resource| resource["kind"] == kind).cloned().unwrap_or_else(|| panic!("no {kind}"))
    };
    let resources = helm.render(&values);
    assert_eq!(resources.len(), 4);
    let rule = of(&resources, "PrometheusRule");
    let shipped = fs::read_to_string(deploy().join("prometheus/prometheusrule.yaml")).unwrap();
    assert_eq!(rule["spec"], documents(&shipped)[0]["spec"]);
    assert_eq!(
        (&rule["metadata"]["namespace"], &rule["metadata"]["labels"]["release"]),
        (&json!("monitoring"), &json!("prom"))
    );
    let map = |name: &str| resources.iter().find(|it| it["metadata"]["name"] == name).unwrap();
    let shipped = |file: &str| fs::read_to_string(deploy().join(file)).unwrap();
    let collector = map("faultline-collector");
    assert_eq!(collector["metadata"]["namespace"], "logging");
    assert_eq!(collector["data"]["agent.yaml"], shipped("otel/agent.yaml"));
    assert_eq!(collector["data"]["engine.yaml"], shipped("otel/loki.yaml"));
    let map = map("faultline-dashboard");
    assert_eq!(map["data"]["faultline.json"], shipped("grafana/faultline.json"));
    assert_eq!(map["data"]["faultline-logs.json"], shipped("victorialogs/faultline-logs.json"));
    assert_eq!(map["data"]["faultline-loki.json"], shipped("loki/faultline-loki.json"));
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");

    values["prometheusRule"]["runbookUrl"] = json!("https://wiki.example.org/runbooks");
    let rule = of(&helm.render(&values), "PrometheusRule").to_string();
    assert!(!rule.contains("example.com") && rule.contains("https://wiki.example.org/runbooks/FaultlineSilent.md"));
}

#[test]
fn the_chart_passes_lint_and_is_the_same_when_packaged() {
    let Some(helm) = Helm::find() else { return };
    let on = json!({"enabled": true});
    let values = pinned(&json!({"prometheusRule": on, "dashboard": on, "collector": on}));
    let linted = helm.run("lint", &chart(), &values).exits(0);
    assert!(linted.stdout.contains("0 chart(s) failed") && !linted.stdout.contains("[WARNING]"), "{}", linted.stdout);
    let mut package = helm.command();
    package.arg("package").arg(chart()).arg("--destination").arg(helm.dir.path());
    Ran::from(package.output().unwrap()).exits(0);
    let packaged = helm.dir.path().join("faultline-0.1.0.tgz");
    let text = |chart: &Path| helm.run("template", chart, &values).exits(0).stdout;
    assert_eq!(text(&packaged), text(&chart()));
}

#[test]
fn hot_switch_is_off_until_it_is_asked_for_and_then_what_kustomize_builds() {
    let Some(helm) = Helm::find() else { return };
    let plain = helm.render(&pinned(&json!({})));
    assert_eq!(helm.render(&pinned(&json!({"hotSwitch": {"enabled": false}}))), plain);
    let image = json!({"repository": "registry.example.com/faultline/hot-switch", "digest": ZEROS});
    let on = helm.render(&pinned(&json!({"hotSwitch": {"enabled": true, "image": image}})));
    let Some(kustomize) = kustomize("the chart of hot-switch") else { return };
    let by_name = |resources: Vec<Value>| -> BTreeMap<String, Value> {
        let name = |it: &Value| format!("{} {}", it["kind"], it["metadata"]["name"]);
        resources.into_iter().map(|it| (name(&it), it)).collect()
    };
    let mut built = documents(&build(&kustomize, &deploy().join("hot-switch")));
    // A kustomize that does not know that this kind is the cluster's gives it a namespace, which the API server drops.
    for policy in built.iter_mut().filter(|it| it["kind"].as_str().unwrap().starts_with("ValidatingAdmissionPolicy")) {
        policy["metadata"].as_object_mut().unwrap().remove("namespace");
    }
    built.extend(plain);
    assert_eq!(by_name(on), by_name(built));
}

#[test]
fn hot_switchs_values_reach_its_resources_and_what_is_missing_is_said() {
    let Some(helm) = Helm::find() else { return };
    let mut values = pinned(&json!({"hotSwitch": {"enabled": true}}));
    let refused = |values: &Value, reason: &str| {
        let ran = helm.run("template", &chart(), values);
        assert!(ran.code != 0 && ran.stderr.contains(reason), "no `{reason}` in {}", ran.stderr);
    };
    refused(&values, "hotSwitch.image.repository is missing");
    values["hotSwitch"]["image"] = json!({"repository": "r.example.com/h"});
    refused(&values, "hotSwitch.image.digest is missing");
    values["hotSwitch"]["image"]["digest"] = json!(DIGEST);
    values["hotSwitch"]["agents"] = json!({});
    refused(&values, "agents");
    values["hotSwitch"].as_object_mut().unwrap().remove("agents");

    values["hotSwitch"]["createNamespace"] = json!(false);
    values["hotSwitch"]["systemNamespaces"] = json!(["kube-system", "mesh"]);
    values["hotSwitch"]["image"]["pullSecrets"] = json!([{"name": "pull"}]);
    values["hotSwitch"]["agent"] = json!({"tolerations": [{"key": "a", "operator": "Exists"}]});
    values["hotSwitch"]["controller"] = json!({"replicas": 3, "resources": {"limits": {"memory": "1Gi"}}});
    let resources = helm.render(&values);
    let of = |kind: &str| resources.iter().find(|it| it["kind"] == kind);
    assert!(of("Namespace").is_none());
    let (agent, controller) = (of("DaemonSet").unwrap(), of("Deployment").unwrap());
    for workload in [agent, controller] {
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], format!("r.example.com/h@{DIGEST}"));
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    }
    let tolerations = &agent["spec"]["template"]["spec"]["tolerations"];
    assert_eq!(tolerations, &json!([{"key": "a", "operator": "Exists"}]));
    assert_eq!(controller["spec"]["replicas"], 3);
    let resources = &controller["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({"limits": {"memory": "1Gi"}}));
    let policy = of("ValidatingAdmissionPolicy").unwrap().to_string();
    assert!(policy.contains("['kube-system', 'mesh', 'faultline-hot-switch']"), "{policy}");
    assert!(policy.contains(&format!("'r.example.com/h@{DIGEST}'")) && !policy.contains("set-by-kustomization"));
}

#[test]
fn the_examples_for_argo_cd_and_flux_give_values_that_render() {
    let Some(helm) = Helm::find() else { return };
    let read = |file: &str| documents(&fs::read_to_string(deploy().join(file)).unwrap());
    let argo = read("argocd/faultline.yaml").remove(0);
    let flux = read("flux/faultline.yaml").remove(1);
    for values in [argo.pointer("/spec/template/spec/source/helm/valuesObject"), flux.pointer("/spec/values")] {
        let resources = helm.render(values.unwrap());
        assert_eq!(resources.iter().filter(|resource| resource["kind"] == "WasmPlugin").count(), 1);
    }
}

/// Puts the fields of `from` over those of `into`, object by object.
fn merge(into: &mut Value, from: &Value) {
    match from {
        Value::Object(fields) => {
            for (name, value) in fields {
                merge(&mut into[name], value);
            }
        }
        other => *into = other.clone(),
    }
}

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn chart() -> PathBuf {
    deploy().join("helm/faultline")
}

/// The documents of a text, without empty ones.
fn documents(text: &str) -> Vec<Value> {
    let mut all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    all.retain(|document| !document.is_null());
    all
}
