//! Tests `faultline validate`: every rule finds what its page calls wrong and accepts what the page calls right.
//! Findings are printed with their position for people, as JSON and as SARIF.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::registry::FakeRegistry;
use crate::support::{self, Ran, run, run_with_input};
use serde_json::{Value, json};

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rules")
}

/// Code and text of every rule's page.
fn all_pages() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(pages()).expect("there are pages");
    let mut pages: Vec<(String, String)> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "README"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    pages.sort();
    pages
}

/// The example under a heading, with its language.
fn example<'a>(page: &'a str, heading: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n\n```"))?;
    let (language, rest) = rest.split_once('\n')?;
    rest.split_once("```").map(|(text, _)| (language, text))
}

fn validate_text(name: &str, text: &str, more: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    run(dir.path(), &[&["validate", name][..], more].concat())
}

/// The findings of one file, as JSON.
fn findings(name: &str, text: &str) -> Vec<Value> {
    let ran = validate_text(name, text, &["--output", "json"]);
    ran.json()[0]["findings"].as_array().expect("a list").clone()
}

fn codes(text: &str) -> Vec<String> {
    let code = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        format!("{} {}", text("code"), text("severity"))
    };
    findings("mesh.yaml", text).iter().map(code).collect()
}

#[test]
fn every_rule_finds_what_is_wrong_and_passes_what_is_right() {
    let table = std::fs::read_to_string(pages().join("README.md")).unwrap();
    let mut tried = 0;
    for (code, page) in all_pages() {
        if code == "FL307" {
            continue; // needs a registry: below
        }
        let (language, wrong) = example(&page, "Wrong").unwrap_or_else(|| panic!("{code} shows nothing wrong"));
        let name = format!("wrong.{language}");
        let found = findings(&name, wrong);
        let hit = found.iter().find(|finding| finding["code"] == *code);
        let hit = hit.unwrap_or_else(|| panic!("{code} is not among {found:#?}"));
        assert!(hit["line"].as_u64().is_some_and(|line| line > 0), "{hit:#}");
        for words in ["problem", "atRunTime", "fix", "path"] {
            assert!(hit[words].as_str().is_some_and(|text| !text.is_empty()), "{hit:#}");
        }
        let severity = hit["severity"].as_str().unwrap();
        let row = table.lines().find(|line| line.starts_with(&format!("| [{code}]"))).unwrap();
        assert!(row.rsplit('|').nth(1).unwrap().contains(severity), "{severity} is not in: {row}");
        let note = severity == "note";
        validate_text(&name, wrong, &[]).exits(if note { 0 } else { 3 });

        let (language, right) = example(&page, "Right").unwrap_or_else(|| panic!("{code} shows nothing right"));
        let ran = validate_text(&format!("right.{language}"), right, &[]).exits(0);
        assert!(!ran.stdout.contains(&code), "{}", ran.stdout);
        tried += 1;
    }
    assert!(tried >= 25, "{tried}");
}

#[test]
fn every_rule_has_a_page_and_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let sarif = run_with_input(dir.path(), &["validate", "-", "--output", "sarif"], b"{}").exits(0).json();
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    let known: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let pages_there = all_pages();
    assert_eq!(known, pages_there.iter().map(|(code, _)| code.as_str()).collect());
    let table = std::fs::read_to_string(pages().join("README.md")).unwrap();
    for rule in rules {
        let (code, title) = (rule["id"].as_str().unwrap(), rule["shortDescription"]["text"].as_str().unwrap());
        assert!(table.contains(&format!("| [{code}]({code}.md) | {title} | ")), "{code} {title} is not in the table");
        let shown = run(dir.path(), &["validate", "--explain", &code.to_lowercase()]).exits(0).stdout;
        assert!(shown.starts_with(&format!("# {code}: {title}\n")), "{shown}");
        assert!(shown.contains("## At run time") && shown.contains("## Fix"), "{shown}");
    }
    run(dir.path(), &["validate", "--explain", "FL999"]).refuses_usage_with(&["FL999", "FL101"]);
    run(dir.path(), &["validate"]).exits(2);
}

const RULE: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart
  trafficPolicy:
    outlierDetection:
      consecutive5xxErrors: 5
      maxEjectionPercent: PERCENT
    loadBalancer: {localityLbSetting: {enabled: true}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {ports: [{port: 80}]}
";

fn with_endpoints(percent: &str, count: usize) -> String {
    let endpoints = "- {addresses: [192.0.2.1]}\n".repeat(count);
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {name: cart-x, namespace: shop, labels: {kubernetes.io/service-name: cart}}\nendpoints:\n";
    format!("{}{slice}{endpoints}", RULE.replace("PERCENT", percent))
}

#[test]
fn the_percent_cap_is_judged_by_the_endpoints_that_are_known() {
    assert_eq!(codes(&RULE.replace("PERCENT", "10")), ["FL102 warning"]);
    assert_eq!(codes(&RULE.replace("PERCENT", "34")), [""; 0]);
    // Slices are those of one cluster, and a mesh may have several: no error.
    assert_eq!(codes(&with_endpoints("10", 9)), ["FL102 warning"]);
    assert_eq!(codes(&with_endpoints("10", 10)), [""; 0]);
    assert_eq!(codes(&with_endpoints("50", 1)), ["FL102 warning"]);
    assert_eq!(codes(&with_endpoints("33", 3)), ["FL102 warning"]);
    assert_eq!(codes(&with_endpoints("34", 3)), [""; 0]);
    // Both address families list the same six endpoints.
    let slice = with_endpoints("10", 6).replace("endpoints:\n", "addressType: IPv4\nendpoints:\n");
    let (_, other) = slice.split_once("EndpointSlice\n").unwrap();
    let head = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n";
    let both = format!("{slice}{head}{}", other.replace("IPv4", "IPv6").replace("cart-x", "cart-y"));
    assert_eq!(codes(&both), ["FL102 warning"]);
    // A host name in a ServiceEntry may stand for any number of endpoints.
    let entry = |resolution: &str, address: &str| {
        format!(
            "{}---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: cart}}\nspec:\n  \
             hosts: [cart.shop.svc.cluster.local]\n  resolution: {resolution}\n  endpoints: [{{address: {address}}}]\n",
            RULE.replace("PERCENT", "10").split_once("---").unwrap().0
        )
    };
    assert_eq!(codes(&entry("STATIC", "192.0.2.1")), ["FL102 error"]);
    assert_eq!(codes(&entry("DNS", "cart.example.com")), ["FL102 warning"]);
}

#[test]
fn failover_is_looked_at_for_each_port_and_subset() {
    let rule = |policy: &str| {
        let head = RULE.split_once("spec:").unwrap().0;
        format!("{head}spec:\n  host: cart\n{policy}")
    };
    let detection = "outlierDetection: {maxEjectionPercent: 100}";
    let failover = "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}";
    // A subset inherits what it does not set; a port does not.
    let subset = rule(&format!(
        "  trafficPolicy:\n    {detection}\n  subsets:\n  - name: v1\n    trafficPolicy:\n      {failover}\n"
    ));
    assert!(!codes(&subset).iter().any(|code| code.starts_with("FL101")), "{:?}", codes(&subset));
    let port = rule(&format!(
        "  trafficPolicy:\n    {detection}\n    portLevelSettings:\n    - port: {{number: 80}}\n      {failover}\n"
    ));
    assert!(codes(&port).contains(&"FL101 error".to_owned()), "{:?}", codes(&port));
    // Since Istio 1.31 the mesh can apply outlier detection to every service.
    let mesh = format!(
        "{port}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: \
            istio-system}}\ndata:\n  mesh: |\n    \
         defaultTrafficPolicy:\n      outlierDetection:\n        maxEjectionPercent: 5\n"
    );
    let found = findings("mesh.yaml", &mesh);
    assert!(!found.iter().any(|finding| finding["code"] == "FL101"), "{found:#?}");
    let cap = found.iter().find(|finding| finding["code"] == "FL102").expect("the mesh's own cap is judged");
    assert_eq!(cap["resource"], "MeshConfig istio-system/istio");
    let line = mesh.lines().position(|line| line.contains("maxEjectionPercent: 5")).unwrap() + 1;
    assert_eq!(cap["line"], line);
}

#[test]
fn places_are_told_in_lists_directories_and_json() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("mesh/deep")).unwrap();
    let rule = RULE.replace("PERCENT", "10");
    let item = |text: &str| format!("- {}", text.trim_end().replace('\n', "\n  "));
    let (one, _) = rule.split_once("---").unwrap();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}\n", item(one));
    std::fs::write(dir.path().join("mesh/deep/list.yml"), &list).unwrap();
    std::fs::write(dir.path().join("mesh/values.yaml"), "image: {tag: 1}\n").unwrap();
    std::fs::write(dir.path().join("mesh/notes.txt"), "not: [yaml").unwrap();
    let ran = run(dir.path(), &["validate", "mesh"]).exits(3);
    let line = list.lines().position(|line| line.contains("maxEjectionPercent")).unwrap() + 1;
    let start = format!(
        "mesh/deep/list.yml:{line}:9: warning[FL102]: DestinationRule shop/cart: \
         spec.trafficPolicy.outlierDetection.maxEjectionPercent: is 10\n    at run time: "
    );
    assert!(ran.stdout.starts_with(&start), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n    fix: set `maxEjectionPercent: 100`"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n    see `faultline validate --explain FL102`\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("2 files checked: 0 errors, 1 warning, 0 notes"), "{}", ran.stderr);

    let json = serde_json::to_string_pretty(&serde_saphyr::from_str::<Value>(&list).unwrap()).unwrap();
    let ran = run_with_input(dir.path(), &["validate", "-"], json.as_bytes()).exits(3);
    let line = json.lines().position(|line| line.contains("maxEjectionPercent")).unwrap() + 1;
    assert!(ran.stdout.starts_with(&format!("-:{line}:")), "{}", ran.stdout);
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    run(dir.path(), &["validate", "empty"]).fails_with(&["`empty`", ".yaml"]);
}

#[test]
fn configurations_are_found_where_they_are_carried() {
    let yaml = |text: &str| {
        let found = findings("carrier.yaml", text);
        found
            .iter()
            .map(|f| format!("{} {}", f["code"].as_str().unwrap(), f["path"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let extension = "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {name: \
        faultline}\nspec:\n  wasm:\n    \
                     url: oci://r.example.com/faultline:1\n    failStrategy: FAIL_OPEN\n    pluginConfig: {witnes: \
                     {}}\n";
    assert_eq!(yaml(extension), ["FL002 spec.wasm.pluginConfig.witnes"]);
    let filter = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: \
        x}\nspec:\n  configPatches:\n  - patch:\n      value:\n        \
                  config:\n          root_id: faultline\n          failure_policy: \
                  FAIL_OPEN\n          configuration:\n            value: |\n              \
                  {\"logLevel\": \"loud\"}\n";
    assert_eq!(yaml(filter), ["FL001 spec.configPatches[0].patch.value.config.configuration.value.logLevel"]);
    let gateway = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: {name: \
        x}\nspec:\n  wasm:\n  - name: faultline\n    \
                   config: {limits: {series: 1}}\n";
    assert_eq!(yaml(gateway), ["FL304 spec.wasm[0].failOpen", "FL001 spec.wasm[0].config.limits.series"]);
    let higress = "apiVersion: extensions.higress.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: \
        faultline}\nspec:\n  failStrategy: FAIL_OPEN\n  \
                   defaultConfig: {x: 1}\n";
    assert_eq!(yaml(higress), ["FL002 spec.defaultConfig.x"]);
    // Another plugin may fail closed and has a different configuration.
    let other = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: auth}\nspec:\n  url: \
        oci://r.example.com/auth:1\n  \
                 pluginConfig: {x: 1}\n";
    assert_eq!(yaml(other), [""; 0]);
}

#[test]
fn sarif_is_what_code_scanning_takes() {
    let text = RULE.replace("PERCENT", "10");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a b")).unwrap();
    std::fs::write(dir.path().join("a b/ä.yaml"), &text).unwrap();
    let sarif = run(dir.path(), &["validate", "./a b", "--output", "sarif"]).exits(3).json();
    assert_eq!(sarif["version"], "2.1.0");
    assert!(sarif["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let driver = &sarif["runs"][0]["tool"]["driver"];
    assert_eq!(driver["name"], "faultline");
    for rule in driver["rules"].as_array().unwrap() {
        for field in ["/id", "/shortDescription/text", "/fullDescription/text", "/help/text"] {
            assert!(
                rule.pointer(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty()),
                "{field}: {rule:#}"
            );
        }
    }
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(driver["rules"][index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].as_str().is_some_and(|text| text.contains("maxEjectionPercent")));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/%C3%A4.yaml");
        assert_eq!(place["region"]["startLine"], 9);
        assert!(place["region"]["startColumn"].as_u64().is_some_and(|column| column > 0));
    }
    run(dir.path(), &["config-schema", "--output", "sarif"]).refuses_usage_with(&["sarif", "validate"]);
}

#[test]
fn configurations_are_checked_and_findings_exit_with_3() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("good.json", r#"{"outlierDetection": {"consecutive5xxErrors": 3}}"#);
    write("bad.json", "{\n\"outlierDetection\":\n{\"interval\": 5}}");
    write("odd.json", r#"{"outlierDetecton": {}}"#);
    write("broken.json", r#"{"outlierDetecton": "#);
    write("huge.json", &format!("{{{}}}", " ".repeat(1024 * 1024)));

    assert_eq!(run(dir.path(), &["validate", "good.json"]).exits(0).stdout, "");
    // Empty input comes from a command that failed, so it is an error, and an empty file may be what such a command
    // left behind. A template may render to nothing but comments.
    run_with_input(dir.path(), &["validate", "-"], b"").fails_with(&["nothing came on standard input"]);
    for (text, code, told) in [
        ("", 3, "warning[FL006]: is empty\n"),
        ("\n", 3, "warning[FL006]: is empty\n"),
        ("---\n# off by default\n", 0, "note[FL006]: has nothing but comments\n"),
    ] {
        write("rendered.yaml", text);
        let found = run(dir.path(), &["validate", "rendered.yaml"]).exits(code).stdout;
        assert!(found.starts_with(&format!("rendered.yaml:1: {told}")), "{found}");
    }
    std::fs::write(dir.path().join("latin.yaml"), b"a: b\nc: \xfc\n").unwrap();
    let found = run(dir.path(), &["validate", "latin.yaml"]).exits(3).stdout;
    assert!(found.starts_with("latin.yaml:2: error[FL003]: it is no text in UTF-8"), "{found}");
    let found =
        run(dir.path(), &["validate", "good.json", "bad.json", "odd.json", "broken.json", "huge.json"]).exits(3);
    let firsts: Vec<&str> = found.stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(firsts.len(), 4, "{firsts:?}");
    assert!(
        firsts[0].starts_with("bad.json:3:2: error[FL001]: outlierDetection.interval: got 5, wanted"),
        "{firsts:?}"
    );
    assert!(firsts[1].starts_with("odd.json:1:2: error[FL002]: outlierDetecton: "), "{firsts:?}");
    assert!(firsts[2].starts_with("broken.json: error[FL001]: "), "{firsts:?}");
    assert!(firsts[3].starts_with("huge.json:1:1: error[FL001]: "), "{firsts:?}");
    // A configuration as YAML, or a resource without its kind.
    for (name, text, first) in [
        ("witness.yaml", "witness: {}\n", "error[FL001]: a plugin configuration is JSON, and this is not"),
        (
            "rule.yaml",
            "metadata: {name: cart}\nspec: {}\n",
            "error[FL007]: is a resource without `apiVersion` and `kind`",
        ),
    ] {
        write(name, text);
        let found = run(dir.path(), &["validate", name]).exits(3).stdout;
        assert!(found.starts_with(&format!("{name}:1:1: {first}\n")), "{found}");
        assert!(found.contains("`apiVersion` and `kind`"), "{found}");
    }
    let found = run_with_input(dir.path(), &["validate", "-", "--output", "json"], b"not json").exits(3).json();
    assert_eq!((&found[0]["file"], &found[0]["valid"]), (&"-".into(), &false.into()));
    // Files that can be read are still checked.
    let ran = run(dir.path(), &["validate", "absent.json", "odd.json"]).exits(1);
    assert!(ran.stderr.contains("absent.json") && ran.stderr.contains("No such file"), "{}", ran.stderr);
    assert!(ran.stdout.contains("FL002"), "{}", ran.stdout);

    let schema = run(dir.path(), &["config-schema"]).exits(0).json();
    assert!(schema["properties"]["outlierDetection"].is_object());
}

#[test]
fn a_pinned_index_is_found_at_the_registry() {
    let (dir, registry) = (support::workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    let image = registry.tag("1.0").unwrap();
    let plugin = |digest: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: faultline, namespace: \
                shop}}\nspec:\n  \
             url: oci://{reference}@{digest}\n  failStrategy: FAIL_OPEN\n"
        )
    };
    let check = |dir: &Path, digest: &str| {
        std::fs::write(dir.join("plugin.yaml"), plugin(digest)).unwrap();
        run(dir, &["validate", "plugin.yaml", "--registry"])
    };
    check(dir.path(), &image).exits(0);
    let kind = "application/vnd.oci.image.index.v1+json";
    let child = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image, "size": registry.size_of(&image),
        "platform": {"os": "linux", "architecture": "amd64"}});
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [child]});
    let index = registry.put_manifest("index", kind, &index);
    let ran = check(dir.path(), &index).exits(3);
    assert!(ran.stdout.contains("plugin.yaml:5:3: error[FL307]") && ran.stdout.contains(&image), "{}", ran.stdout);
    // So it is with the digest beside the tag, which is a finding of its own.
    let beside =
        plugin(&index).replace(&format!("@{index}"), &format!("\n  sha256: {}", index.trim_start_matches("sha256:")));
    std::fs::write(dir.path().join("plugin.yaml"), beside).unwrap();
    let ran = run(dir.path(), &["validate", "plugin.yaml", "--registry"]).exits(3);
    assert!(ran.stdout.contains("plugin.yaml:6:3: error[FL307]"), "{}", ran.stdout);
    assert!(ran.stdout.contains("warning[FL308]: WasmPlugin shop/faultline: spec.sha256: "), "{}", ran.stdout);
    assert!(
        ran.stdout.contains(&format!("write `url: oci://{reference}@{index}` and remove `sha256`")),
        "{}",
        ran.stdout
    );
    // Every kind pins, each in its own place.
    let pinned = format!("{reference}@{index}");
    for (kind, more, path) in [
        ("TrafficExtension", &[][..], "spec.wasm.url"),
        ("EnvoyFilter", &[], "spec.configPatches[0].patch.value.typed_config.value.config.vm_config.code.remote"),
        ("EnvoyExtensionPolicy", &["--target-ref", "Gateway/edge"], "spec.wasm[0].code.image.url"),
        ("HigressWasmPlugin", &[], "spec.url"),
    ] {
        let args = ["manifest", &pinned, "--offline", "--kind", kind];
        std::fs::write(dir.path().join("kind.yaml"), run(dir.path(), &[&args, more].concat()).stdout).unwrap();
        let ran = run(dir.path(), &["validate", "kind.yaml", "--registry"]).exits(3);
        let told = ran.stdout.lines().find(|line| line.contains("error[FL307]")).unwrap_or_default();
        assert!(told.contains(path) && told.contains(&image), "{kind}: {ran:?}");
        let ran = run(dir.path(), &["validate", "kind.yaml"]);
        assert!(ran.stderr.contains("the registry was not asked about pinned digests"), "{kind}: {ran:?}");
    }
    std::fs::write(dir.path().join("plugin.yaml"), plugin(&index)).unwrap();
    // Without the flag no registry is asked, and a remark says so. An image that cannot be looked up is not a finding.
    let ran = run(dir.path(), &["validate", "plugin.yaml"]).exits(0);
    assert!(ran.stderr.contains("--registry"), "{}", ran.stderr);
    let ran = check(dir.path(), &format!("sha256:{}", "a".repeat(64))).exits(0);
    assert!(ran.stderr.contains("WasmPlugin shop/faultline: not checked: "), "{}", ran.stderr);
}
