//! Tests that what is not checked, not read or not certain is said: kinds that do not exist, files without anything to
//! judge, rules of which no entry comes, manifests whose thresholds are assumed.

use crate::rules_as_istiod::{found, policy, rule};
use crate::support::{run, run_with_input};

const HOST: &str = "host: web.shop.svc.cluster.local";

fn with(kind: &str, version: &str) -> String {
    rule("shop/web", &format!("{HOST}, {}", policy(5)))
        .replace("kind: DestinationRule", &format!("kind: {kind}"))
        .replace("networking.istio.io/v1", version)
}

#[test]
fn a_kind_that_its_group_does_not_have_is_found() {
    let of = |kind: &str, version: &str| found(&with(kind, version));
    for kind in ["DestinationRules", "Destinationrule", "DestinationRuel", "destinationRule"] {
        assert_eq!(of(kind, "networking.istio.io/v1"), ["FL008 error kind"], "{kind}");
    }
    assert_eq!(of("WasmPlugins", "extensions.higress.io/v1alpha1"), ["FL008 error kind"]);
    assert_eq!(of("EnvoyExtensionPolicies", "gateway.envoyproxy.io/v1alpha1"), [""; 0], "too far to be certain");
    assert_eq!(of("TrafficMirror", "networking.istio.io/v1"), ["FL008 warning kind"]);
    for version in ["v1", "networking.istio.io", "networking.istio.oi/v1", "extensions.istio.io/v1alpha1"] {
        assert_eq!(of("DestinationRule", version), ["FL008 error apiVersion"], "{version}");
    }
    for (kind, version) in [
        ("DestinationRule", "networking.istio.io/v1beta2"),
        ("EnvoyFilter", "networking.istio.io/v1"),
        ("WasmPlugin", "extensions.istio.io/v1beta1"),
    ] {
        assert_eq!(of(kind, version), ["FL008 warning apiVersion"], "{kind} of {version}");
    }
    // What others have, and what kubectl makes of many.
    for (kind, version) in [
        ("VirtualService", "appmesh.k8s.aws/v1beta2"),
        ("Gateway", "gateway.networking.k8s.io/v1"),
        ("BackendTrafficPolicy", "gateway.envoyproxy.io/v1alpha1"),
        ("DestinationRuleList", "networking.istio.io/v1"),
        ("Telemetry", "telemetry.istio.io/v1"),
        ("Deployment", "apps/v1"),
    ] {
        assert_eq!(of(kind, version), [""; 0], "{kind} of {version}");
    }
    let ran = crate::rules_as_istiod::config(
        &(with("DestinationRules", "networking.istio.io/v1") + &rule("shop/b", &format!("host: b, {}", policy(5)))),
        &[],
    )
    .exits(0);
    assert!(ran.stderr.contains("not read, 1 resource of a kind that the API group does not have"), "{ran:?}");
}

#[test]
fn files_in_which_nothing_is_judged_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("other.yaml", &with("VirtualService", "networking.istio.io/v1"));
    write("rule.yaml", &with("DestinationRule", "networking.istio.io/v1"));
    write("plugin.json", r#"{"witness": {}}"#);
    let ran = run(dir.path(), &["validate", "other.yaml"]).exits(0);
    assert!(ran.stderr.contains("note: no rule is for what is in other.yaml (VirtualService)\n"), "{ran:?}");
    assert!(ran.stderr.contains("1 file checked, 1 of them with nothing to judge: 0 errors"), "{ran:?}");
    let ran = run(dir.path(), &["validate", "rule.yaml", "plugin.json"]).exits(0);
    assert!(ran.stderr.contains("2 files checked: 0 errors, 0 warnings, 0 notes"), "{ran:?}");
    let json = run(dir.path(), &["validate", "rule.yaml", "other.yaml", "--output", "json"]).exits(0).json();
    assert_eq!((&json[0]["judged"], &json[1]["judged"]), (&true.into(), &false.into()));
}

#[test]
fn a_kustomizations_patch_is_set_aside_in_whichever_order_the_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("patch.yaml", &rule("shop/a", &format!("host: a, {}", policy(5))));
    write("other.yaml", &rule("shop/b", &format!("host: b, {}", policy(5))));
    write(
        "kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\npatches: [{path: patch.yaml}]\n",
    );
    for files in [
        &["patch.yaml", "other.yaml", "kustomization.yaml"][..],
        &["kustomization.yaml", "other.yaml", "patch.yaml"],
        &["other.yaml", "."],
        &["patch.yaml", "patch.yaml", "kustomization.yaml"],
    ] {
        let told = run(dir.path(), &[&["validate"], files].concat()).stdout;
        assert_eq!(told.matches("a patch of kustomize").count(), 1, "{files:?}: {told}");
        assert!(!told.contains("DestinationRule shop/a"), "{files:?}: {told}");
    }
}

#[test]
fn several_rules_for_one_host_are_a_warning_only_where_one_is_ignored() {
    let subset = "subsets: [{name: v1, labels: {version: v1}}]";
    let of = |first: &str, second: &str| {
        let text = rule("shop/a", &format!("{HOST}, {first}")) + &rule("shop/b", &format!("{HOST}, {second}"));
        let dir = tempfile::tempdir().unwrap();
        let ran = run_with_input(dir.path(), &["validate", "-"], text.as_bytes());
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let at = lines.iter().position(|line| line.contains("[FL108]")).expect("it is told");
        (lines[at].contains("warning"), lines[at + 1].trim().to_owned())
    };
    for (first, second) in [(subset, policy(5)), (&policy(5), subset.to_owned())] {
        let (is_warning, told) = of(first, &second);
        assert!(!is_warning && told.contains("nothing is ignored"), "{told}");
    }
    let (is_warning, told) = of(&policy(5), &policy(7));
    assert!(is_warning && told.contains("ignores its trafficPolicy, as DestinationRule shop/a has one"), "{told}");
    let (is_warning, told) = of(subset, &format!("{}, {subset}", policy(7)));
    assert!(is_warning && told.contains("ignores its subset `v1`, as DestinationRule shop/a has it"), "{told}");
}

#[test]
fn the_rules_of_which_no_entry_comes_are_named_and_files_need_no_option() {
    let dir = tempfile::tempdir().unwrap();
    let text = rule("shop/good", &format!("host: good, {}", policy(5)))
        + &rule("shop/plain", "host: plain, trafficPolicy: {loadBalancer: {simple: RANDOM}}")
        + &rule("shop/odd", "host: odd, trafficPolicy: {outlierDetection: {interval: 5, baseEjectionTime: 30}}");
    std::fs::write(dir.path().join("mesh.yaml"), text).unwrap();
    let ran = run(dir.path(), &["config", "mesh.yaml"]).exits(0);
    for told in [
        "left out, 1 resource that the API server or Istio refuses: DestinationRule shop/odd (",
        "without outlier detection of their own, 1 rule: DestinationRule shop/plain\n",
        "DestinationRules read: 3 (1 with entries, 1 that Istio refuses, 1 without outlier detection)",
        "entries with outlier detection: 1; nothing else is ejected",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    let by_option = run(dir.path(), &["config", "--from", "mesh.yaml"]).exits(0);
    assert_eq!(ran.stdout, by_option.stdout);
    run(dir.path(), &["config", "mesh.yaml", "--no-witness"]).exits(3);
}
