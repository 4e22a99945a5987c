//! The shipped manifests: every field is one that Kubernetes knows, and they grant what is needed and no more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hot_switch::told::metrics::Metrics;
use hot_switch_core::pod::News;
use hot_switch_core::sighting::Condition;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/hot-switch")
}

fn text(file: &str) -> String {
    let path = folder().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(file: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The resources that kustomize builds.
fn resources() -> Vec<Value> {
    let kustomization = documents("kustomization.yaml").swap_remove(0);
    let files = kustomization["resources"].as_array().expect("a list").clone();
    files.iter().flat_map(|file| documents(file.as_str().expect("a name"))).collect()
}

/// The resource of a kind and name.
fn resource(kind: &str, name: &str) -> Value {
    let is_it = |it: &Value| it["kind"] == kind && it["metadata"]["name"] == name;
    resources().into_iter().find(is_it).unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// What is in a resource and not in what Kubernetes' type makes of it: fields that there are none of.
fn strays<T: DeserializeOwned + Serialize>(resource: &Value) -> Vec<String> {
    let typed: T = serde_json::from_value(resource.clone()).unwrap_or_else(|error| panic!("{error}: {resource}"));
    let mut strays = Vec::new();
    compare(resource, &serde_json::to_value(typed).expect("it was JSON"), "", &mut strays);
    strays
}

fn compare(written: &Value, typed: &Value, path: &str, strays: &mut Vec<String>) {
    match (written, typed) {
        (Value::Object(written), Value::Object(typed)) => {
            for (key, value) in written {
                compare(value, typed.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), strays);
            }
        }
        (Value::Array(written), Value::Array(typed)) if written.len() == typed.len() => {
            for (index, (written, typed)) in written.iter().zip(typed).enumerate() {
                compare(written, typed, &format!("{path}[{index}]"), strays);
            }
        }
        // An empty map in a type with defaults.
        (Value::Object(written), Value::Null) if written.is_empty() => {}
        (written, typed) if written == typed => {}
        (written, typed) => strays.push(format!("{path}: {written} became {typed}")),
    }
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    for resource in resources() {
        let kind = resource["kind"].as_str().expect("a kind");
        let strays = match kind {
            "Namespace" => strays::<Namespace>(&resource),
            "ServiceAccount" => strays::<ServiceAccount>(&resource),
            "ClusterRole" => strays::<ClusterRole>(&resource),
            "ClusterRoleBinding" => strays::<ClusterRoleBinding>(&resource),
            "Role" => strays::<Role>(&resource),
            "RoleBinding" => strays::<RoleBinding>(&resource),
            "DaemonSet" => strays::<DaemonSet>(&resource),
            "Deployment" => strays::<Deployment>(&resource),
            "PodDisruptionBudget" => strays::<PodDisruptionBudget>(&resource),
            "ValidatingAdmissionPolicy" => strays::<ValidatingAdmissionPolicy>(&resource),
            "ValidatingAdmissionPolicyBinding" => strays::<ValidatingAdmissionPolicyBinding>(&resource),
            other => panic!("{other} is checked by nothing"),
        };
        assert!(strays.is_empty(), "{kind} {}: {strays:#?}", resource["metadata"]["name"]);
    }
}

#[test]
fn the_agent_is_not_privileged_and_has_four_capabilities() {
    let agent = resource("DaemonSet", "hot-switch-agent");
    let pod = &agent["spec"]["template"]["spec"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[field].is_null(), "{field}");
    }
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(context["privileged"], false);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(context["capabilities"]["add"], json!(["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]));
    let paths: Vec<&Value> =
        pod["volumes"].as_array().expect("volumes").iter().map(|it| &it["hostPath"]["path"]).collect();
    assert_eq!(paths.into_iter().filter(|it| !it.is_null()).collect::<Vec<_>>(), ["/proc"]);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts").clone();
    assert!(mounts.iter().any(|it| it["name"] == "proc" && it["readOnly"] == true));
}

#[test]
fn the_controller_has_no_power_over_a_node() {
    let controller = resource("Deployment", "hot-switch-controller");
    assert_eq!(controller["spec"]["replicas"], 2);
    let pod = &controller["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert!(pod["volumes"].is_null() && pod["hostNetwork"].is_null());
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!((&context["capabilities"]["drop"], &context["capabilities"]["add"]), (&json!(["ALL"]), &Value::Null));
}

/// Every verb on every resource of a role: `patch pods`.
fn granted(kind: &str, name: &str) -> BTreeSet<String> {
    let role = resource(kind, name);
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_array().expect("a list");
        list.iter().map(|it| it.as_str().expect("text").to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        for verb in texts(rule, "verbs") {
            all.extend(texts(rule, "resources").into_iter().map(|resource| format!("{verb} {resource}")));
        }
    }
    all
}

#[test]
fn the_accounts_write_what_they_must_and_nothing_else() {
    let writes = |kind: &str, name: &str| -> Vec<String> {
        let reads = |it: &String| ["get ", "list ", "watch "].iter().any(|verb| it.starts_with(verb));
        granted(kind, name).into_iter().filter(|it| !reads(it)).collect()
    };
    assert_eq!(writes("ClusterRole", "faultline-hot-switch-agent"), ["create events", "patch events"]);
    assert_eq!(writes("ClusterRole", "faultline-hot-switch-controller"), ["patch pods"]);
    assert_eq!(writes("Role", "hot-switch-agent-leases"), ["create leases", "patch leases"]);
    assert_eq!(writes("Role", "hot-switch-controller-leases"), ["create leases", "patch leases", "update leases"]);
    let all = [
        "ClusterRole/faultline-hot-switch-agent",
        "ClusterRole/faultline-hot-switch-controller",
        "Role/hot-switch-agent-leases",
        "Role/hot-switch-controller-leases",
    ];
    for role in all {
        let (kind, name) = role.split_once('/').expect("both");
        let wide = |it: &String| it.contains('*') || it.ends_with("secrets") || it.ends_with("/exec");
        assert!(!granted(kind, name).iter().any(wide), "{role}");
    }
}

#[test]
fn the_other_policy_fences_the_account_that_the_agents_run_as() {
    let agent = resource("DaemonSet", "hot-switch-agent");
    let account = agent["spec"]["template"]["spec"]["serviceAccountName"].as_str().expect("a name");
    let policy = resource("ValidatingAdmissionPolicy", "faultline-hot-switch-agent");
    let condition = policy["spec"]["matchConditions"][0]["expression"].as_str().expect("text");
    assert!(condition.ends_with(&format!("'system:serviceaccount:faultline-hot-switch:{account}'")), "{condition}");
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    let binding = resource("ValidatingAdmissionPolicyBinding", "faultline-hot-switch-agent");
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    // Its name is the node's: another would be denied all it asks.
    let names = &agent["spec"]["template"]["spec"]["containers"][0]["env"];
    let of_node = json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    assert!(names.as_array().expect("a list").contains(&of_node), "{names}");
}

#[test]
fn the_policy_fences_the_account_that_the_controller_runs_as() {
    let controller = resource("Deployment", "hot-switch-controller");
    let account = controller["spec"]["template"]["spec"]["serviceAccountName"].as_str().expect("a name");
    let namespace = resource("Namespace", "faultline-hot-switch");
    let namespace = namespace["metadata"]["name"].as_str().expect("a name");
    let policy = resource("ValidatingAdmissionPolicy", "faultline-hot-switch");
    let condition = policy["spec"]["matchConditions"][0]["expression"].as_str().expect("text");
    assert!(condition.ends_with(&format!("'system:serviceaccount:{namespace}:{account}'")), "{condition}");
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    let binding = resource("ValidatingAdmissionPolicyBinding", "faultline-hot-switch");
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    // A parameter that is missing would deny every change of every pod to everybody.
    assert!(binding["spec"]["paramRef"].is_null() && policy["spec"]["paramKind"].is_null());
    let kustomization = documents("kustomization.yaml").swap_remove(0);
    let image = kustomization["configMapGenerator"][0]["literals"][0].as_str().expect("text");
    let replacement = &kustomization["replacements"][0];
    assert_eq!(replacement["source"]["fieldPath"], "data.stand-in-image");
    assert_eq!(replacement["targets"][0]["fieldPaths"], json!(["spec.variables.[name=standIn].expression"]));
    assert_eq!(policy["spec"]["variables"][0], json!({"name": "standIn", "expression": "'set-by-kustomization'"}));
    let pinned = kustomization["images"][0].clone();
    let (name, digest) = (pinned["newName"].as_str().expect("text"), pinned["digest"].as_str().expect("text"));
    assert_eq!(image, format!("stand-in-image={name}@{digest}"), "agent, controller and stand-in are one image");
}

/// Every file of Rust in a folder, as one text.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut all = String::new();
    for path in entries.map(|entry| entry.expect("it can be read").path()) {
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|ends| ends == "rs") {
            all += &std::fs::read_to_string(&path).expect("it is text");
        }
    }
    all
}

#[test]
fn each_row_of_the_failure_matrix_names_a_test_that_there_is() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(here.join("../docs/hot-switch/failures.md")).expect("there is a page");
    let matrix = page.split("## The matrix").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a matrix");
    let sources = ["core/src", "core/tests", "src"].map(|folder| sources(&here.join(folder))).concat();
    let rows: Vec<&str> = matrix.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 24, "{} rows", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit("| ").next().expect("a last column").trim_matches('`');
        assert!(
            sources.contains(&format!("#[test]\n    fn {test}(")) || sources.contains(&format!("#[test]\nfn {test}(")),
            "{row}"
        );
    }
}

/// The words in a text that begin as hot-switch's metrics do.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("faultline_hotswitch_")).collect()
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are_and_the_dashboards_queries_are_tested() {
    let mut metrics = Metrics::default();
    metrics.tell(&News::Bypassed(Condition::Dead, Duration::from_secs(2)));
    metrics.breaker(false);
    metrics.budget_used(0.5);
    let served = metrics.text();
    let dashboard = std::fs::read_to_string(folder().join("../grafana/faultline.json")).expect("there is a dashboard");
    for text in [text("hot-switch.rules.yaml"), text("hot-switch.test.yaml"), dashboard.clone()] {
        for metric in metrics_in(&text) {
            assert!(metrics_in(&served).contains(metric), "{metric} is none of\n{served}");
        }
    }
    let dashboard: Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let queries = panels.filter_map(|panel| panel["targets"][0]["expr"].as_str());
    let mut queries: Vec<&str> = queries.filter(|query| query.contains("faultline_hotswitch_")).collect();
    assert!(queries.len() >= 7, "{queries:?}");
    let tested = text("hot-switch.test.yaml");
    queries.retain(|query| !tested.contains(&format!("expr: {}\n", query.replace("$__rate_interval", "1m"))));
    assert!(queries.is_empty(), "not in the tests of the rules: {queries:?}");
}

#[test]
fn the_operators_rules_are_the_plain_ones_and_each_alert_has_its_page() {
    let plain = documents("hot-switch.rules.yaml").swap_remove(0);
    let operators = documents("prometheusrule.yaml").swap_remove(0);
    assert_eq!(operators["spec"], plain, "write it anew from the plain rules");
    let pages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/hot-switch/runbooks");
    let index = std::fs::read_to_string(pages.join("README.md")).expect("there is a list");
    let mut alerts = 0;
    for rule in plain["groups"][0]["rules"].as_array().expect("rules") {
        let Some(alert) = rule["alert"].as_str() else { continue };
        let link = rule["annotations"]["runbook_url"].as_str().expect("a link");
        assert!(link.ends_with(&format!("docs/hot-switch/runbooks/{alert}.md")), "{alert}");
        let page = std::fs::read_to_string(pages.join(format!("{alert}.md"))).expect(alert);
        assert!(page.starts_with(&format!("# {alert}\n")), "{alert}");
        let severity = rule["labels"]["severity"].as_str().expect("a severity");
        assert!(index.contains(&format!("| [{alert}]({alert}.md) | {severity} |")), "{alert}");
        alerts += 1;
    }
    assert_eq!(std::fs::read_dir(&pages).expect("pages").count(), alerts + 1, "a page without an alert");
}
