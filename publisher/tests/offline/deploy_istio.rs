//! Tests that the files in `deploy/istio` are consistent. Every kustomization names files that exist. Every resource
//! passes Istio's schemas and `faultline validate`. The plugin and the stats settings are what `faultline manifest`
//! writes. The drills' faults change only what they say they change.
//!
//! Kustomizations are built by `kustomize` or `kubectl kustomize`, whichever is installed; without either, the tests
//! that need it are reported as skipped. The drills themselves are not tested here: `cargo xtask drill` runs them with
//! real Envoys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::kustomize::{build, kustomize};
use crate::schema::{Rules, crd, crds};
use crate::support::{run, run_with_input};
use serde_json::Value;

/// What is skipped without a kustomize.
const KUSTOMIZATIONS: &str = "kustomizations of deploy/istio";

/// The file that defines each kind.
const DEFINITIONS: [(&str, &str); 6] = [
    ("WasmPlugin", "wasmplugins.extensions.istio.io"),
    ("TrafficExtension", "trafficextensions.extensions.istio.io"),
    ("DestinationRule", "destinationrules.networking.istio.io"),
    ("ServiceEntry", "serviceentries.networking.istio.io"),
    ("VirtualService", "virtualservices.networking.istio.io"),
    ("Gateway", "gateways.networking.istio.io"),
];

/// Each cluster of the demo: its region, which is also its folder, and its zones.
const CLUSTERS: [(&str, [&str; 2]); 2] =
    [("ap-northeast-1", ["ap-northeast-1a", "ap-northeast-1b"]), ("cn-hangzhou", ["cn-hangzhou-h", "cn-hangzhou-k"])];

#[test]
fn every_kustomization_names_files_that_exist() {
    let mut found = 0;
    for folder in kustomizations() {
        let file = folder.join("kustomization.yaml");
        let text = documents(&fs::read_to_string(&file).unwrap()).remove(0);
        found += 1;
        let named = |list: &str| text[list].as_array().cloned().unwrap_or_default();
        for name in [named("resources"), named("components")].concat() {
            let path = folder.join(name.as_str().unwrap());
            let path = if path.is_dir() { path.join("kustomization.yaml") } else { path };
            assert!(path.is_file(), "{}: {name} is not there", file.display());
        }
        for source in named("configMapGenerator").iter().flat_map(|map| map["files"].as_array().unwrap()) {
            assert!(folder.join(source.as_str().unwrap()).is_file(), "{}: {source} is not there", file.display());
        }
        for patch in named("patches") {
            let steps = documents(patch["patch"].as_str().unwrap()).remove(0);
            assert!(steps.is_array() || steps["kind"] == "Deployment", "{}: {steps}", file.display());
        }
    }
    assert!(found > 15, "only {found} kustomizations");
}

#[test]
fn every_file_passes_the_schemas_and_the_rules() {
    // Of the two plugins only one is to be applied, which is what the rule about two says.
    for one in ["wasmplugin", "trafficextension"] {
        let folder = format!("plugin/{one}");
        run(&root(), &["validate", "demo", "external", "stats", &folder]).exits(0);
    }
    let both = run(&root(), &["validate", "."]).exits(3);
    assert_eq!(
        (both.stdout.matches("[FL309]").count(), both.stdout.matches("warning[").count()),
        (1, 1),
        "{}",
        both.stdout
    );
    let Some(definitions) = definitions() else { return };
    let mut checked = BTreeSet::new();
    for file in files(&root()).iter().filter(|file| file.extension().is_some_and(|ending| ending == "yaml")) {
        let text = fs::read_to_string(file).unwrap();
        checked.extend(passes(&definitions, &documents(&text), &file.display().to_string()));
    }
    assert_eq!(checked.len(), DEFINITIONS.len(), "not every kind is there: {checked:?}");
}

#[test]
fn every_kustomization_builds_to_what_passes_the_schemas_and_the_rules() {
    let Some(kustomize) = kustomize(KUSTOMIZATIONS) else { return };
    let definitions = definitions();
    for folder in kustomizations() {
        if fs::read_to_string(folder.join("kustomization.yaml")).unwrap().contains("kind: Component") {
            continue; // a part of others, which cannot be built alone
        }
        let name = folder.display().to_string();
        let text = build(&kustomize, &folder);
        let resources = documents(&text);
        let ids: BTreeSet<_> = resources.iter().map(id).collect();
        assert_eq!(ids.len(), resources.len(), "{name}: something is there twice");
        run_with_input(&root(), &["validate", "-"], text.as_bytes()).exits(0);
        if let Some(definitions) = &definitions {
            passes(definitions, &resources, &name);
        }
    }
}

#[test]
fn the_plugin_is_what_manifest_writes() {
    for kind in ["WasmPlugin", "TrafficExtension"] {
        let file = root().join("plugin").join(kind.to_lowercase()).join("faultline.yaml");
        let reference = "registry.example.com/mesh/faultline:0.1.0";
        let args = ["manifest", reference, "--offline", "--kind", kind, "--namespace", "istio-system"];
        let written = run(&root(), &args).exits(0).stdout;
        assert_eq!(fs::read_to_string(&file).unwrap(), written, "{}: write it anew", file.display());
    }
}

#[test]
fn the_stats_settings_are_what_manifest_says() {
    let args = ["manifest", "registry.example.com/mesh/faultline:0.1.0", "--offline", "--with-stats"];
    let said: String = run(&root(), &args).exits(0).stdout.replace("\n# ", "\n");

    let patch = said.split("--patch '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let patch: Value = serde_json::from_str(patch).unwrap();
    let component = documents(&fs::read_to_string(root().join("stats/pods/kustomization.yaml")).unwrap()).remove(0);
    let ours = documents(component["patches"][0]["patch"].as_str().unwrap()).remove(0);
    assert_eq!(ours["spec"], patch["spec"]);

    let mesh = said.split("meshConfig:").nth(1).and_then(|rest| rest.split("apiVersion").next()).unwrap();
    let mesh = documents(&format!("meshConfig:{mesh}")).remove(0);
    assert_eq!(documents(&fs::read_to_string(root().join("stats/mesh.yaml")).unwrap()), [mesh]);
}

#[test]
fn each_service_has_one_pod_in_each_zone() {
    let Some(kustomize) = kustomize(KUSTOMIZATIONS) else { return };
    for (region, zones) in CLUSTERS {
        let resources = documents(&build(&kustomize, &root().join("demo").join(region)));
        let of = |kind: &'static str| resources.iter().filter(move |resource| resource["kind"] == kind);
        let mut names = BTreeSet::new();
        for deployment in of("Deployment") {
            let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]);
            let labels = &pod["metadata"]["labels"];
            let (app, zone) = (labels["app"].as_str().unwrap(), labels["zone"].as_str().unwrap());
            let name = deployment["metadata"]["name"].as_str().unwrap();
            assert_eq!(name, format!("{app}-{zone}"));
            assert_eq!(spec["replicas"], 1);
            // Two Deployments of one service must not select each other's pods.
            assert_eq!(spec["selector"]["matchLabels"]["zone"], zone);
            assert_eq!(pod["spec"]["nodeSelector"]["topology.kubernetes.io/zone"], zone);
            assert_eq!(labels["istio-locality"], format!("{region}.{zone}"));
            assert!(pod["metadata"]["annotations"]["sidecar.istio.io/extraStatTags"].is_string(), "{name}");
            assert!(of("Service").any(|service| service["spec"]["selector"]["app"] == app), "{name}");
            names.insert(name.to_owned());
        }
        let expected = ["mocka", "mockb", "mockc"].iter().flat_map(|app| zones.map(|zone| format!("{app}-{zone}")));
        assert_eq!(names, expected.collect());
    }
}

#[test]
fn a_fault_changes_what_it_says_and_nothing_else() {
    let Some(kustomize) = kustomize(KUSTOMIZATIONS) else { return };
    let image = "/spec/template/spec/containers/0/image";
    let east = "/spec/endpoints/0/ports";
    for (whole, broken, changed, path) in [
        ("demo/ap-northeast-1", "demo/faults/mockb-ap-northeast-1a", "Deployment mock/mockb-ap-northeast-1a", image),
        ("demo/cn-hangzhou", "demo/faults/mockc-cn-hangzhou-h", "Deployment mock/mockc-cn-hangzhou-h", image),
        ("external/base", "external/port-81", "ServiceEntry mock-external/mydb", east),
        ("external/tls-origination", "external/tls-origination-port-81", "ServiceEntry mock-external/mydb", east),
    ] {
        let all = |folder: &str| -> BTreeMap<String, Value> {
            documents(&build(&kustomize, &root().join(folder))).into_iter().map(|it| (id(&it), it)).collect()
        };
        let (before, mut after) = (all(whole), all(broken));
        assert_ne!(before, after, "{broken} breaks nothing");
        let there = after.get_mut(changed).unwrap_or_else(|| panic!("{broken}: no {changed}"));
        if path == east {
            assert_eq!(there["spec"]["endpoints"][0]["locality"], "us-east1");
            assert_eq!(there.pointer(east).unwrap()["http"], 81);
        }
        let (parent, field) = path.rsplit_once('/').unwrap();
        let parent = there.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match before[changed].pointer(path) {
            Some(value) => parent.insert(field.to_owned(), value.clone()),
            None => parent.remove(field),
        };
        assert_eq!(before, after, "{broken} changes more than {path} of {changed}");
    }
}

#[test]
fn the_rules_of_the_external_service_are_not_more_than_it_needs() {
    let text = fs::read_to_string(root().join("external/base/mydb.yaml")).unwrap();
    let without = text.replace("maxEjectionPercent: 100", "");
    assert_ne!(text, without);
    let found = run_with_input(&root(), &["validate", "-"], without.as_bytes()).exits(3);
    assert!(found.stdout.contains("FL102"), "{}", found.stdout);

    let Some(kustomize) = kustomize(KUSTOMIZATIONS) else { return };
    let listed = build(&kustomize, &root().join("external/failover-list"));
    run_with_input(&root(), &["validate", "-"], listed.as_bytes()).exits(0);
    let wrong = listed.replace("to: us-west", "to: us-west1");
    assert_ne!(listed, wrong);
    let found = run_with_input(&root(), &["validate", "-"], wrong.as_bytes()).exits(3);
    assert!(found.stdout.contains("FL203"), "{}", found.stdout);
}

#[test]
fn the_readme_names_what_is_there_and_shows_what_is_said() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let ending = |c: char| !(c.is_ascii_alphanumeric() || "/-_.".contains(c));
    let named: Vec<&str> = text.split("deploy/istio/").skip(1).map(|rest| rest.split(ending).next().unwrap()).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(root().join(name).exists(), "deploy/istio/{name} is not there");
    }
    // The page shows events and then the same in words, as `watch` prints them.
    let block = |fence: &str, from: usize| {
        let start = from + text[from..].find(fence).unwrap() + fence.len();
        (text[start..].split("```").next().unwrap(), start)
    };
    let (events, at) = block("```json\n", 0);
    let (words, _) = block("```\n", at + events.len() + "```".len());
    assert_eq!(run_with_input(&root(), &["watch"], events.as_bytes()).exits(0).stdout, words);
    // `report` must be able to read every event shown on the page.
    let shown: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"faultline\"")).collect();
    let told = run_with_input(&root(), &["report", "--output", "json"], shown.join("\n").as_bytes()).exits(0).json();
    assert_eq!(told["events"], shown.len());
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/istio")
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The folders that contain a kustomization.
fn kustomizations() -> Vec<PathBuf> {
    let mut found = files(&root());
    found.retain(|file| file.ends_with("kustomization.yaml"));
    found.iter().map(|file| file.parent().unwrap().to_owned()).collect()
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Kind, namespace and name of a resource.
fn id(resource: &Value) -> String {
    let name = |field: &str| resource["metadata"][field].as_str().unwrap_or_default();
    format!("{} {}/{}", resource["kind"].as_str().unwrap(), name("namespace"), name("name"))
}

/// The definitions by kind, if they are installed.
fn definitions() -> Option<BTreeMap<&'static str, Value>> {
    let folder = crds()?;
    Some(
        DEFINITIONS
            .iter()
            .map(|(kind, file)| (*kind, crd(&folder, file, kind).expect("Istio's are in the folder")))
            .collect(),
    )
}

/// Checks every Istio resource; returns the kinds that were found.
#[track_caller]
fn passes(definitions: &BTreeMap<&'static str, Value>, resources: &[Value], origin: &str) -> BTreeSet<&'static str> {
    let mut rules = Rules::default();
    let mut kinds = BTreeSet::new();
    for resource in resources {
        let group = resource["apiVersion"].as_str().unwrap_or_default();
        let Some((kind, crd)) = definitions.iter().find(|(kind, _)| resource["kind"] == **kind) else {
            assert!(!group.contains("istio.io"), "{origin}: {} is not checked", id(resource));
            continue;
        };
        let problems = rules.problems(crd, resource);
        assert!(problems.is_empty(), "{origin}: {}: {problems:#?}", id(resource));
        kinds.insert(*kind);
    }
    assert!(rules.not_evaluated.is_empty(), "{origin}: rules not evaluated: {:#?}", rules.not_evaluated);
    kinds
}
