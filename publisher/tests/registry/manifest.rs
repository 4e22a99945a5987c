//! Tests that `manifest` writes the right manifests and refuses options that a kind does not have. `schemas.rs` shows
//! that API servers accept them, the end-to-end tests that Envoy does.

use crate::support::registry::FakeRegistry;
use crate::support::{run, run_with_input, workplace};
use filter_core::metric::Metric;
use serde_json::{Value, json};

const IMAGE: &str = "ghcr.io/acme/faultline:1.0";
const PINNED: &str =
    "ghcr.io/acme/faultline:1.0@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn offline(reference: &str, more: &[&str]) -> Value {
    let dir = workplace();
    let ran = run(dir.path(), &[&["manifest", reference, "--offline"][..], more].concat());
    // Where Envoy's defaults are assumed, it says so and writes the manifest all the same.
    let is_assumed = ran.stderr.contains("warning: no thresholds are given");
    let ran = ran.exits(if is_assumed { 3 } else { 0 });
    assert!(ran.stdout.starts_with("# faultline: "), "{}", ran.stdout);
    serde_saphyr::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stdout))
}

#[test]
fn the_digest_is_the_one_that_the_registry_has() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    let ran = run(dir.path(), &["manifest", &reference, "--namespace", "shop"]).exits(0);
    let resource: Value = serde_saphyr::from_str(&ran.stdout).unwrap();
    assert_eq!(resource["kind"], "WasmPlugin");
    assert_eq!(resource["metadata"], serde_json::json!({"name": "faultline", "namespace": "shop"}));
    let spec = &resource["spec"];
    // In the URL: with `sha256` beside the tag, no new proxy could fetch it once the tag has moved.
    assert_eq!(spec["url"], format!("oci://{reference}@{}", registry.tag("1.0").unwrap()));
    assert_eq!(spec.get("sha256"), None);
    assert_eq!(spec["match"], serde_json::json!([{"mode": "CLIENT"}]));
    assert_eq!((&spec["failStrategy"], &spec["pluginName"]), (&"FAIL_OPEN".into(), &"faultline".into()));
    // A mesh could not pull from a registry on this machine.
    assert!(ran.stderr.contains("warning"), "{}", ran.stderr);

    run(dir.path(), &["manifest", &registry.reference("absent")]).fails_with(&["404", "absent"]);
}

#[test]
fn a_layout_needs_the_name_under_which_the_mesh_will_pull() {
    let dir = workplace();
    let pushed = run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm", "--output", "json"]).exits(0).json();
    run(dir.path(), &["manifest", "oci:out:1.0"]).refuses_usage_with(&["oci:out:1.0", "--image"]);
    run(dir.path(), &["manifest", "oci:out:1.0", "--image", "oci:x:1"]).refuses_usage_with(&["--image"]);
    run(dir.path(), &["manifest", IMAGE, "--image", IMAGE]).refuses_usage_with(&["--image"]);
    let resource = run(dir.path(), &["manifest", "oci:out:1.0", "--image", IMAGE, "--output", "json"]).exits(0).json();
    assert_eq!(resource["spec"]["url"], format!("oci://{IMAGE}@{}", pushed["digest"].as_str().unwrap()));
}

#[test]
fn offline_pins_what_is_written_and_nothing_else() {
    assert_eq!(offline(PINNED, &[])["spec"]["url"], format!("oci://{PINNED}"));
    assert_eq!(offline(IMAGE, &[])["spec"]["url"], format!("oci://{IMAGE}"));
}

#[test]
fn a_configuration_is_carried_over_once_it_is_right() {
    let dir = workplace();
    let with = |config: &str| {
        run_with_input(dir.path(), &["manifest", IMAGE, "--offline", "--config", "-"], config.as_bytes())
    };
    let config = r#"{"clusters": [{"match": "outbound|80||*", "outlierDetection": {"interval": "5s"}}]}"#;
    let resource: Value = serde_saphyr::from_str(&with(config).exits(0).stdout).unwrap();
    assert_eq!(resource["spec"]["pluginConfig"], serde_json::from_str::<Value>(config).unwrap());
    assert!(with(config).stderr.contains("Envoy is not asked"));
    assert!(!with(r#"{"witness": {}}"#).stderr.contains("Envoy is not asked"));
    let refused = with(r#"{"outlierDetection": {"interval": 5}}"#).exits(3);
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.contains("outlierDetection.interval"));
    let resource: Value = serde_saphyr::from_str(&with("").exits(0).stdout).unwrap();
    assert_eq!(resource["spec"]["pluginConfig"], json!({"witness": {}}));
    // Rules beside a witness are what holds while Envoy does not answer: nothing is refused, nothing is added.
    let both = json!({"witness": {}, "outlierDetection": {"interval": "5s"}});
    let resource: Value = serde_saphyr::from_str(&with(&both.to_string()).exits(0).stdout).unwrap();
    assert_eq!(resource["spec"]["pluginConfig"], both);
}

#[test]
fn in_istio_the_witness_is_the_whole_configuration_unless_another_is_given() {
    let witness = json!({"witness": {}});
    assert_eq!(offline(PINNED, &[])["spec"]["pluginConfig"], witness);
    assert_eq!(offline(PINNED, &["--kind", "TrafficExtension"])["spec"]["wasm"]["pluginConfig"], witness);
    let filter = offline(PINNED, &["--kind", "EnvoyFilter"]);
    let plugin = &filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["value"]["config"];
    let text = plugin["configuration"]["value"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), witness);
    assert_eq!(offline(PINNED, &["--no-witness"])["spec"].get("pluginConfig"), None);
    // Elsewhere it takes a cluster that leads to the admin interface, and nobody knows of one.
    let policy = offline(PINNED, &["--kind", "EnvoyExtensionPolicy", "--target-ref", "Gateway/edge"]);
    assert_eq!(policy["spec"]["wasm"][0].get("config"), None);
    assert_eq!(offline(PINNED, &["--kind", "HigressWasmPlugin"])["spec"]["defaultConfig"], json!({}));
}

#[test]
fn where_no_thresholds_are_given_the_manifest_says_what_is_assumed_and_what_to_do() {
    let dir = workplace();
    let written = |config: &str, more: &[&str]| {
        let args = [&["manifest", PINNED, "--offline", "--config", "-"][..], more].concat();
        run_with_input(dir.path(), &args, config.as_bytes())
    };
    let gateway = ["--kind", "EnvoyExtensionPolicy", "--target-ref", "Gateway/edge"];
    let higress = ["--kind", "HigressWasmPlugin"];
    let told: [(&[&str], &str, &str); 5] = [
        (&["--no-witness"], "", "--from or --config"),
        (&["--no-witness", "--kind", "EnvoyFilter"], r#"{"attempts": "final"}"#, "--from or --config"),
        (&[], r#"{"limits": {"series": 100}}"#, r#"{"witness": {}}"#),
        (&gateway, "", "your BackendTrafficPolicy with --config"),
        (&higress, "", "your rules with --from"),
    ];
    for (more, config, instead) in told {
        let ran = written(config, more).exits(3);
        let of_fewer = "(with fewer than 10 endpoints, no ejection is told)";
        let comment = ran.stdout.lines().find(|line| line.starts_with(&format!("# {of_fewer}"))).unwrap_or_default();
        assert!(comment.contains(instead), "{more:?}: {}", ran.stdout);
        let warning = ran.stderr.lines().find(|line| line.starts_with("warning: no thresholds")).unwrap_or_default();
        assert!(warning.contains(of_fewer) && warning.contains(instead), "{more:?}: {}", ran.stderr);
    }
    let rules = r#"{"outlierDetection": {"maxEjectionPercent": 100}}"#;
    let quiet: [(&[&str], &str); 4] = [
        (&[], ""),
        (&["--kind", "Envoy"], ""),
        (&gateway, rules),
        (&higress, r#"{"clusters": [{"match": "*", "outlierDetection": {}}]}"#),
    ];
    for (more, config) in quiet {
        let ran = written(config, more).exits(0);
        assert!(!(ran.stdout + &ran.stderr).contains("no thresholds"), "{more:?}");
    }
}

#[test]
fn the_comments_say_what_a_registry_that_is_away_costs_and_how_to_fetch_again() {
    let dir = workplace();
    let text = |kind: &str, more: &[&str]| {
        run(dir.path(), &[&["manifest", PINNED, "--offline", "--kind", kind][..], more].concat()).exits(0).stdout
    };
    for (kind, plural) in
        [("WasmPlugin", "wasmplugins"), ("TrafficExtension", "trafficextensions"), ("EnvoyFilter", "envoyfilters")]
    {
        let text = text(kind, &["--namespace", "shop"]);
        assert!(text.contains("a new pod is ready 30 s late"), "{text}");
        assert!(text.contains(&format!("#   kubectl -n shop annotate {plural}.")), "{text}");
        assert!(text.contains(" faultline touch=\"$(date +%s)\" --overwrite\n"), "{text}");
    }
    // Where no proxy fetches, there is nothing to fetch again.
    assert!(!text("Envoy", &[]).contains("touch="));
    assert!(!text("EnvoyFilter", &["--position", "upstream-log", "--selector", "a=b"]).contains("touch="));
}

#[test]
fn waypoints_and_other_targets_get_no_match() {
    let spec = &offline(IMAGE, &["--waypoint"])["spec"];
    assert_eq!(spec.get("match"), None);
    assert_eq!(
        spec["targetRefs"],
        serde_json::json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}])
    );
    let spec = &offline(IMAGE, &["--target-ref", "Service/cart", "--waypoint=edge"])["spec"];
    assert_eq!(spec["targetRefs"].as_array().unwrap().len(), 2);
    let dir = workplace();
    run(dir.path(), &["manifest", IMAGE, "--offline", "--waypoint", "--selector", "a=b"]).exits(2);
    run(dir.path(), &["manifest", IMAGE, "--offline", "--target-ref", "Pod/x"])
        .refuses_usage_with(&["Pod/x", "Gateway"]);
    run(dir.path(), &["manifest", IMAGE, "--offline", "--namespace", "a.b"])
        .refuses_usage_with(&["--namespace `a.b`", "letters, digits and `-`,"]);
    run(dir.path(), &["manifest", IMAGE, "--offline", "--name", "Not_A_Name"])
        .refuses_usage_with(&["--name `Not_A_Name`"]);
}

#[test]
fn each_kind_fails_open_in_its_own_words_and_pins_the_image() {
    let of = |kind: &str, more: &[&str]| offline(PINNED, &[&["--kind", kind][..], more].concat());
    let hex = json!("a".repeat(64));
    let url = json!(format!("oci://{PINNED}"));
    for (kind, code) in [("WasmPlugin", "/spec"), ("TrafficExtension", "/spec/wasm"), ("HigressWasmPlugin", "/spec")] {
        let resource = of(kind, &["--pull-secret", "ghcr"]);
        let code = resource.pointer(code).unwrap();
        assert_eq!((&code["failStrategy"], &code["imagePullSecret"]), (&json!("FAIL_OPEN"), &json!("ghcr")), "{kind}");
        assert_eq!((&code["url"], code.get("sha256")), (&url, None), "{kind}");
        // If it were left out, the priority would be the lowest possible.
        assert_eq!(resource["spec"]["priority"], 0, "{kind}");
    }
    let higress = of("HigressWasmPlugin", &[]);
    assert_eq!(
        (&higress["metadata"]["namespace"], &higress["spec"]["defaultConfig"]),
        (&json!("higress-system"), &json!({}))
    );
    assert_eq!(higress["spec"].get("match"), None);

    let wasm = &of("EnvoyExtensionPolicy", &["--target-ref", "HTTPRoute/x", "--pull-secret", "s"])["spec"]["wasm"][0];
    assert_eq!((&wasm["failOpen"], &wasm["rootID"]), (&json!(true), &json!("faultline")));
    let image = &wasm["code"]["image"];
    assert_eq!((&image["url"], image.get("sha256"), &image["pullSecretRef"]["name"]), (&url, None, &json!("s")));

    let filter = of("EnvoyFilter", &[]);
    let plugin = &filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["value"]["config"];
    let remote = &plugin["vm_config"]["code"]["remote"];
    assert_eq!((&plugin["failure_policy"], &plugin["root_id"]), (&json!("FAIL_OPEN"), &json!("faultline")));
    // Envoy's `RemoteDataSource` must have `sha256`; the agent fetches by the URL.
    assert_eq!((&remote["http_uri"]["uri"], &remote["sha256"]), (&url, &hex));
}

#[test]
fn an_envoy_filter_for_every_attempt_has_the_filter_and_the_log_from_one_file() {
    let args = ["--kind", "EnvoyFilter", "--position", "upstream-log", "--selector", "app=cart", "--namespace", "shop"];
    let resource = offline(PINNED, &args);
    assert_eq!(resource["spec"]["workloadSelector"]["labels"]["app"], "cart");
    let patches = resource["spec"]["configPatches"].as_array().unwrap();
    let of = |operation: &str, context: &str| {
        let found = patches.iter().find(|p| p["patch"]["operation"] == operation && p["match"]["context"] == context);
        found.map(|patch| patch["patch"]["value"]["typed_config"].clone()).unwrap()
    };
    for context in ["SIDECAR_OUTBOUND", "GATEWAY"] {
        let filter = of("INSERT_BEFORE", context)["config"].clone();
        // Both must be byte for byte the same, or they would not share a VM.
        assert_eq!(of("MERGE", context)["upstream_log"][0]["typed_config"]["config"], filter);
        assert_eq!(filter["vm_config"]["code"]["local"]["filename"], "/etc/faultline/faultline.wasm");
        let config: Value = serde_json::from_str(filter["configuration"]["value"].as_str().unwrap()).unwrap();
        assert_eq!(config, json!({"attempts": "upstreamLog", "witness": {}}));
    }
    // The comments say how the file gets there, with annotations that are valid JSON.
    let dir = workplace();
    let text = run(dir.path(), &[&["manifest", PINNED, "--offline"][..], &args].concat()).exits(0).stdout;
    assert!(text.contains(&format!("#   faultline pull {PINNED} -o faultline.wasm\n")), "{text}");
    for annotation in ["userVolume", "userVolumeMount"] {
        let value = text.split(&format!("sidecar.istio.io/{annotation}: '")).nth(1).unwrap();
        let value: Value = serde_json::from_str(value.split('\'').next().unwrap()).unwrap();
        assert!(value["faultline"].is_object(), "{value}");
    }
}

#[test]
fn an_envoy_filter_for_failures_has_only_logs_behind_envoys_own_filters() {
    let resource = offline(PINNED, &["--kind", "EnvoyFilter", "--position", "lean", "--selector", "app=cart"]);
    let patches = resource["spec"]["configPatches"].as_array().unwrap();
    assert!(patches.iter().all(|patch| patch["patch"]["operation"] == "MERGE"), "no HTTP filter");
    for (kind, log, filter) in
        [("HTTP_FILTER", "upstream_log", "or_filter"), ("NETWORK_FILTER", "access_log", "response_flag_filter")]
    {
        let of_kind: Vec<&Value> = patches.iter().filter(|patch| patch["applyTo"] == kind).collect();
        assert_eq!(of_kind.len(), 2, "{kind}: sidecars' outbound listeners and gateways");
        let logger = &of_kind[0]["patch"]["value"]["typed_config"][log][0];
        assert!(logger["filter"][filter].is_object(), "{logger}");
        let text = logger["typed_config"]["config"]["configuration"]["value"].as_str().unwrap();
        let config: Value = serde_json::from_str(text).unwrap();
        assert_eq!(config, json!({"attempts": "failed", "witness": {}}));
    }
}

#[test]
fn options_that_a_kind_has_not_are_refused_with_what_to_do() {
    let dir = workplace();
    let cases: [(&str, &[&str], &[&str]); 27] = [
        ("WasmPlugin", &["--selector", "app=a b"], &["--selector `app=a b`", "no pod"]),
        ("WasmPlugin", &["--selector", "a b=x"], &["--selector `a b=x`", "no pod"]),
        ("WasmPlugin", &["--selector", "app=a", "--selector", "app=b"], &["`app=b`", "`app=a`"]),
        ("WasmPlugin", &["--position", "upstream-log"], &["--position", "EnvoyFilter"]),
        ("WasmPlugin", &["--module", "/x.wasm"], &["--module"]),
        ("EnvoyFilter", &["--phase", "stats"], &["--phase"]),
        ("EnvoyFilter", &["--priority", "3"], &["--priority"]),
        ("EnvoyFilter", &["--pull-secret", "s"], &["--pull-secret", "WasmPlugin"]),
        ("EnvoyFilter", &["--image-pull-policy", "Always"], &["--image-pull-policy"]),
        ("EnvoyFilter", &["--waypoint"], &["--waypoint", "WasmPlugin"]),
        ("EnvoyFilter", &["--target-ref", "Service/x"], &["Service/x"]),
        ("EnvoyFilter", &["--position", "upstream-log"], &["--selector"]),
        ("EnvoyFilter", &["--position", "upstream-log", "--selector", "a=b", "--module", "x"], &["--module `x`"]),
        ("EnvoyExtensionPolicy", &[], &["--target-ref Gateway/edge"]),
        ("EnvoyExtensionPolicy", &["--target-ref", "Service/x"], &["HTTPRoute"]),
        ("EnvoyExtensionPolicy", &["--target-ref", "Gateway/x", "--phase", "stats"], &["--phase"]),
        ("EnvoyExtensionPolicy", &["--target-ref", "Gateway/x", "--with-stats"], &["--with-stats", "EnvoyProxy"]),
        ("EnvoyExtensionPolicy", &["--selector", "a=b"], &["--selector", "--target-ref"]),
        ("HigressWasmPlugin", &["--no-witness"], &["--no-witness", "Istio"]),
        ("HigressWasmPlugin", &["--selector", "a=b"], &["--selector"]),
        ("HigressWasmPlugin", &["--target-ref", "Gateway/x"], &["--target-ref"]),
        ("HigressWasmPlugin", &["--with-stats"], &["extraStatTags", "upstream_cluster"]),
        ("Envoy", &["--namespace", "x"], &["--namespace"]),
        ("Envoy", &["--pull-secret", "x"], &["--pull-secret", "faultline pull"]),
        ("Envoy", &["--image", IMAGE], &["--image", "--kind Envoy: ", "loads a file"]),
        (
            "EnvoyFilter",
            &["--position", "upstream-log", "--selector", "a=b", "--image", IMAGE],
            &["--image", "--kind EnvoyFilter with --position upstream-log: "],
        ),
        ("WasmPlugin", &["--with-stats", "--output", "json"], &["--with-stats", "JSON"]),
    ];
    for (kind, more, words) in cases {
        let args = [&["manifest", PINNED, "--offline", "--kind", kind][..], more].concat();
        run(dir.path(), &args).refuses_usage_with(words);
    }
    run(dir.path(), &["manifest", IMAGE, "--offline", "--kind", "EnvoyFilter"])
        .refuses_usage_with(&["must have the digest", "--offline"]);
}

#[test]
fn with_stats_says_how_every_label_is_made() {
    let dir = workplace();
    let args = ["manifest", PINNED, "--offline", "--namespace", "shop", "--with-stats"];
    let labels: std::collections::BTreeSet<&str> = Metric::ALL.iter().flat_map(|m| m.labels()).copied().collect();
    let tags = |annotations: &Value| {
        let tags = annotations["sidecar.istio.io/extraStatTags"].as_str().unwrap().to_owned();
        assert_eq!(tags.split(',').collect::<std::collections::BTreeSet<_>>(), labels);
        assert_eq!(annotations["sidecar.istio.io/statsInclusionRegexps"], ".*outlier_detection.*");
    };
    let patch = |text: &str| -> Value {
        let quoted = text.split("--patch '").nth(1).unwrap_or_else(|| panic!("{text}"));
        serde_json::from_str(quoted.split('\'').next().unwrap()).unwrap()
    };
    let text = run(dir.path(), &args).exits(0).stdout;
    assert!(text.contains("#   kubectl -n shop patch deployment "), "{text}");
    tags(&patch(&text)["spec"]["template"]["metadata"]["annotations"]);
    // The mesh configuration is YAML once the comment signs are removed.
    let mesh: String = text
        .lines()
        .skip_while(|l| *l != "#   meshConfig:")
        .map_while(|l| l.strip_prefix("#   "))
        .flat_map(|l| [l, "\n"])
        .collect();
    let mesh: Value = serde_saphyr::from_str(&mesh).unwrap_or_else(|e| panic!("{e}: {mesh}"));
    assert_eq!(mesh["meshConfig"]["defaultConfig"]["extraStatTags"].as_array().map(Vec::len), Some(labels.len()));

    let text = run(dir.path(), &[&args[..], &["--waypoint=edge"]].concat()).exits(0).stdout;
    assert!(text.contains("gateway.gateway.networking.k8s.io edge "), "{text}");
    tags(&patch(&text)["spec"]["infrastructure"]["annotations"]);
}

#[test]
fn a_bootstrap_is_complete_and_asks_the_witness_that_it_has() {
    const OWN: &str = r#"{"witness": {"cluster": "admin"},
        "outlierDetection": {"consecutive5xxErrors": 3, "interval": "500ms", "maxEjectionPercent": 50}}"#;
    let dir = workplace();
    let bootstrap = |more: &[&str]| offline(PINNED, &[&["--kind", "Envoy"][..], more].concat());
    let plugin = |bootstrap: &Value| {
        let manager = &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let plugin = manager["http_filters"][0]["typed_config"]["config"].clone();
        let log = manager["http_filters"][1]["typed_config"]["upstream_log"][0]["typed_config"]["config"].clone();
        (plugin, log)
    };
    let config =
        |plugin: &Value| -> Value { serde_json::from_str(plugin["configuration"]["value"].as_str().unwrap()).unwrap() };
    // Unless told otherwise, only what failed reaches it, in either log.
    let usual = bootstrap(&[]);
    let manager = &usual["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["http_filters"].as_array().map(Vec::len), Some(1), "the router alone");
    let log_of_attempts = &manager["http_filters"][0]["typed_config"]["upstream_log"][0];
    assert!(log_of_attempts["filter"]["or_filter"].is_object() && manager["access_log"][0]["filter"].is_object());
    assert_eq!(config(&log_of_attempts["typed_config"]["config"])["attempts"], "failed");

    let usual = bootstrap(&["--position", "upstream-log"]);
    let (filter, log) = plugin(&usual);
    assert_eq!(filter, log);
    // The witness reads how the cluster ejects; nothing is told twice.
    assert_eq!(config(&filter), json!({"attempts": "upstreamLog", "witness": {"cluster": "envoy_admin"}}));
    // One of two endpoints is more than the default cap of 10 percent.
    assert_eq!(usual["static_resources"]["clusters"][0]["outlier_detection"]["max_ejection_percent"], 100);
    assert_eq!(usual["static_resources"]["clusters"][1]["name"], "envoy_admin");
    assert_eq!(filter["vm_config"]["code"]["local"]["filename"], "/etc/envoy/faultline.wasm");

    std::fs::write(dir.path().join("c.json"), OWN).unwrap();
    let file = dir.path().join("c.json");
    let own = bootstrap(&["--position", "http", "--module", "/f.wasm", "--config", file.to_str().unwrap()]);
    let (filter, log) = plugin(&own);
    assert_eq!((config(&filter), log), (serde_json::from_str(OWN).unwrap(), Value::Null));
    // The cluster ejects by the same rules that the filter has.
    let detector = &own["static_resources"]["clusters"][0]["outlier_detection"];
    assert_eq!((&detector["consecutive_5xx"], &detector["interval"]), (&json!(3), &json!("0.5s")));
    assert_eq!(
        (&detector["enforcing_consecutive_gateway_failure"], &detector["max_ejection_percent"]),
        (&json!(0), &json!(50))
    );
    assert_eq!(own["static_resources"]["clusters"][1]["name"], "admin");
    assert_eq!(filter["vm_config"]["code"]["local"]["filename"], "/f.wasm");

    // A layout directory serves as well as a registry for a module that is pulled by hand.
    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm"]).exits(0);
    let text = run(dir.path(), &["manifest", "oci:out:1.0", "--kind", "Envoy"]).exits(0).stdout;
    assert!(text.contains("#   faultline pull oci:out:1.0@sha256:"), "{text}");
}
