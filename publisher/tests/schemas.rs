//! The schemas of the meshes accept what `manifest` writes, in every variant: types, required and unknown fields, and the rules
//! in CEL, the language in which API servers evaluate the rest.
//!
//! The schemas are CustomResourceDefinitions of Istio, Envoy Gateway and Higress, looked for where `FAULTLINE_CRDS` says, else in
//! `shared/crds` beside the workspace; without them these tests say that they skip. An API server silently drops fields that a
//! schema does not know, so the check here is stricter: such a field is an error. A rule that cannot be evaluated here is said on
//! stderr.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Env, Program};
use serde_json::{Value, json};
use support::{run, workplace};

const IMAGE: &str = "ghcr.io/acme/faultline:1.0";
const PINNED: &str =
    "ghcr.io/acme/faultline:1.0@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Kinds as `--kind` takes them, the file of their definition, and their variants.
const KINDS: [(&str, &str, &[&[&str]]); 6] = [
    ("WasmPlugin", "wasmplugins.extensions.istio.io", ISTIO),
    ("TrafficExtension", "trafficextensions.extensions.istio.io", ISTIO),
    ("EnvoyFilter", "envoyfilters.networking.istio.io", DISCOVERY),
    ("EnvoyFilter", "envoyfilters.networking.istio.io", UPSTREAM_LOG),
    ("EnvoyExtensionPolicy", "envoyextensionpolicies.gateway.envoyproxy.io", GATEWAY),
    ("HigressWasmPlugin", "higress", HIGRESS),
];

const ISTIO: &[&[&str]] = &[
    &[],
    &["--namespace", "istio-system", "--pull-secret", "registry", "--phase", "stats", "--priority", "-5"],
    &["--selector", "app=cart", "--selector", "istio.io/rev=true", "--config", "c.json", "--with-stats"],
    &["--waypoint", "--phase", "AUTHZ", "--image-pull-policy", "Always"],
    &["--target-ref", "Service/cart", "--target-ref", "ServiceEntry/out", "--target-ref", "GatewayClass/istio"],
];
const DISCOVERY: &[&[&str]] = &[
    &[],
    &["--namespace", "shop", "--selector", "app=cart", "--config", "c.json", "--with-stats"],
    &["--target-ref", "Gateway/edge"],
];
const UPSTREAM_LOG: &[&[&str]] = &[
    &["--position", "upstream-log", "--selector", "app=cart"],
    &["--position", "upstream-log", "--target-ref", "Gateway/edge", "--config", "c.json", "--module", "/m/f.wasm"],
];
const GATEWAY: &[&[&str]] = &[
    &["--target-ref", "Gateway/edge"],
    &["--target-ref", "HTTPRoute/cart", "--target-ref", "GRPCRoute/x", "--target-ref", "ListenerSet/y"],
    &[
        "--target-ref",
        "Gateway/edge",
        "--pull-secret",
        "s",
        "--config",
        "c.json",
        "--image-pull-policy",
        "ifnotpresent",
    ],
];
const HIGRESS: &[&[&str]] = &[
    &[],
    &[
        "--pull-secret",
        "s",
        "--config",
        "c.json",
        "--phase",
        "authn",
        "--priority",
        "7",
        "--image-pull-policy",
        "Always",
    ],
];

#[test]
fn every_variant_of_every_kind_is_accepted() {
    let Some(crds) = crds() else { return };
    let dir = workplace();
    std::fs::write(dir.path().join("c.json"), r#"{"witness": {"cluster": "prometheus_stats"}, "logLevel": "debug"}"#)
        .unwrap();
    let mut rules = Rules::default();
    for (kind, file, variants) in KINDS {
        let crd = crd(&crds, file, if kind == "HigressWasmPlugin" { "WasmPlugin" } else { kind });
        for variant in variants {
            for reference in [IMAGE, PINNED] {
                if kind == "EnvoyFilter" && reference == IMAGE && !variant.contains(&"--position") {
                    continue; // it must have a digest
                }
                let args = [&["manifest", reference, "--offline", "--kind", kind][..], variant].concat();
                let text = run(dir.path(), &args).exits(0).stdout;
                let resource: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                let problems = rules.problems(&crd, &resource);
                assert!(problems.is_empty(), "{kind} {variant:?}: {problems:#?}\n{text}");
            }
        }
    }
    assert!(rules.evaluated > 50, "only {} rules were evaluated", rules.evaluated);
    assert!(rules.not_evaluated.is_empty(), "rules that could not be evaluated: {:#?}", rules.not_evaluated);
}

#[test]
fn what_an_api_server_refuses_is_refused_here_too() {
    let Some(crds) = crds() else { return };
    let plugin = crd(&crds, "wasmplugins.extensions.istio.io", "WasmPlugin");
    let policy = crd(&crds, "envoyextensionpolicies.gateway.envoyproxy.io", "EnvoyExtensionPolicy");
    let patches = crd(&crds, "envoyfilters.networking.istio.io", "EnvoyFilter");
    let image = |kind: &str| json!({"type": "Image", "image": {"url": "oci://a/b:1", "pullSecretRef": {"name": "s", "kind": kind}}});
    let to = |kind: &str| json!([{"group": "gateway.networking.k8s.io", "kind": kind, "name": "x"}]);
    let label = json!({"matchLabels": {"a": "b"}});
    let matches = |matched: Value| json!({"configPatches": [{"applyTo": "HTTP_FILTER", "match": matched}]});
    let cases = [
        (
            &plugin,
            json!({"url": "oci://a/b:1", "targetRefs": to("Gateway"), "selector": label}),
            "only one of targetRefs",
        ),
        (&plugin, json!({"url": "ftp://a/b:1"}), "url must have schema"),
        (&plugin, json!({"url": "oci://a/b:1", "selector": {"matchLabels": {"a": "b*"}}}), "wildcard"),
        (&plugin, json!({"url": "oci://a/b:1", "sha256": "sha256:aa"}), "does not match"),
        (&plugin, json!({"url": "oci://a/b:1", "failOpen": true}), "spec.failOpen: no such field"),
        (&plugin, json!({"url": "oci://a/b:1", "failStrategy": "OPEN"}), "none of"),
        (&plugin, json!({}), "spec.url is missing"),
        (&plugin, json!({"url": "oci://a/b:1", "priority": "1"}), "spec.priority"),
        (&policy, json!({"wasm": []}), "targetRefs must be used"),
        (&policy, json!({"targetRefs": to("Service")}), "targetRefs[*].kind"),
        (&policy, json!({"targetRefs": to("Gateway"), "wasm": [{"code": image("ConfigMap")}]}), "only support Secret"),
        (&policy, json!({"targetRefs": to("Gateway"), "wasm": [{"code": {"type": "Image"}}]}), "image field needs"),
        (&patches, json!({"workloadSelector": {"labels": {"a": "*"}}}), "wildcard"),
        (&patches, matches(json!({"context": "WAYPOINT", "listener": {}})), "waypointMatch"),
        (&patches, matches(json!({"cluster": {}, "listener": {}})), "oneOf"),
    ];
    for (crd, spec, expected) in cases {
        let version = crd["spec"]["versions"][0]["name"].as_str().unwrap();
        let api_version = format!("{}/{version}", crd["spec"]["group"].as_str().unwrap());
        let kind = &crd["spec"]["names"]["kind"];
        let resource = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec});
        let problems = Rules::default().problems(crd, &resource);
        assert!(problems.iter().any(|p| p.contains(expected)), "{spec}: no `{expected}` in {problems:?}");
    }
}

fn crds() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    let found = match std::env::var_os("FAULTLINE_CRDS") {
        Some(named) => Some(named.into()),
        None => beside.is_dir().then_some(beside),
    };
    if found.is_none() {
        eprintln!("skipped: set FAULTLINE_CRDS to a directory with the CustomResourceDefinitions of the meshes");
    }
    found
}

/// The definition of a kind, from a file of one or more.
fn crd(folder: &std::path::Path, file: &str, kind: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{file}.yaml"))).unwrap();
    let mut all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    all.retain(|crd| crd["spec"]["names"]["kind"] == kind);
    all.pop().unwrap_or_else(|| panic!("{file} defines no {kind}"))
}

/// Checks values as an API server does.
#[derive(Default)]
struct Rules {
    evaluated: usize,
    not_evaluated: Vec<String>,
    problems: Vec<String>,
}

impl Rules {
    /// Everything that is wrong with a resource.
    fn problems(&mut self, crd: &Value, resource: &Value) -> Vec<String> {
        let version = &crd["spec"]["versions"][0];
        let name = version["name"].as_str().unwrap();
        assert_eq!(resource["kind"], crd["spec"]["names"]["kind"]);
        assert_eq!(resource["apiVersion"], format!("{}/{name}", crd["spec"]["group"].as_str().unwrap()));
        let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        self.check(schema, &resource["spec"], "spec");
        std::mem::take(&mut self.problems)
    }

    fn wrong(&mut self, at: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{at}: {what}"));
    }

    /// Whether a value has no problems with a part of a schema, which are not kept.
    fn holds(schema: &Value, value: &Value) -> bool {
        let mut apart = Self::default();
        apart.check(schema, value, "");
        apart.problems.is_empty()
    }

    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let kind = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
        };
        if schema.get("type").is_some_and(|wanted| wanted != kind) {
            return self.wrong(at, format!("{kind}, not {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            self.wrong(at, format!("{value} is none of {}", schema["enum"]));
        }
        let list = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
        for part in list("allOf") {
            self.check(part, value, at);
        }
        let holding = |key: &str| list(key).iter().filter(|part| Self::holds(part, value)).count();
        if !list("oneOf").is_empty() && holding("oneOf") != 1 {
            self.wrong(at, format!("oneOf: {} hold", holding("oneOf")));
        }
        if !list("anyOf").is_empty() && holding("anyOf") == 0 {
            self.wrong(at, "anyOf: none holds");
        }
        if schema.get("not").is_some_and(|part| Self::holds(part, value)) {
            self.wrong(at, "not: it holds");
        }
        self.check_bounds(schema, value, at);
        match value {
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, item)| self.check(&schema["items"], item, &format!("{at}[{i}]")));
            }
            Value::Object(fields) => {
                for required in list("required").iter().filter_map(Value::as_str) {
                    if !fields.contains_key(required) {
                        self.problems.push(format!("{at}.{required} is missing"));
                    }
                }
                for (name, field) in fields {
                    let at = format!("{at}.{name}");
                    match schema["properties"].get(name).or(schema.get("additionalProperties")) {
                        Some(known) => self.check(known, field, &at),
                        None if schema["type"] != "object" => {}
                        None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                        None => self.wrong(&at, "no such field"),
                    }
                }
            }
            _ => {}
        }
        for rule in list("x-kubernetes-validations") {
            self.check_rule(rule, value, at);
        }
    }

    fn check_bounds(&mut self, schema: &Value, value: &Value, at: &str) {
        let (size, least, most) = match value {
            Value::String(text) => (Some(text.chars().count() as i64), "minLength", "maxLength"),
            Value::Array(items) => (Some(items.len() as i64), "minItems", "maxItems"),
            Value::Object(fields) => (Some(fields.len() as i64), "minProperties", "maxProperties"),
            number => (number.as_i64(), "minimum", "maximum"),
        };
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        if size.is_some_and(|size| bound(least).is_some_and(|least| size < least)) {
            self.wrong(at, format!("{value} is below {least}"));
        }
        if size.is_some_and(|size| bound(most).is_some_and(|most| size > most)) {
            self.wrong(at, format!("{value} is above {most}"));
        }
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
            && !regex::Regex::new(pattern).unwrap().is_match(text)
        {
            self.wrong(at, format!("{text} does not match {pattern}"));
        }
    }

    /// Evaluates a rule in CEL.
    fn check_rule(&mut self, rule: &Value, value: &Value, at: &str) {
        let text = rule["rule"].as_str().unwrap();
        match evaluate(text, value) {
            Ok(true) => self.evaluated += 1,
            Ok(false) => {
                self.evaluated += 1;
                self.wrong(at, rule["message"].as_str().unwrap_or(text));
            }
            Err(why) => {
                eprintln!("not evaluated: {at}: {text}: {why}");
                self.not_evaluated.push(format!("{at}: {text}: {why}"));
            }
        }
    }
}

fn evaluate(rule: &str, value: &Value) -> Result<bool, String> {
    let env = Arc::new(Env::stdlib());
    let program: Program = env.compile(rule).map_err(|e| e.to_string())?;
    let mut context = Context::with_env(env);
    context.add_variable("self", value).map_err(|e| e.to_string())?;
    // Kubernetes' own functions, as far as these rules use them: a URL is one if it says with what it begins.
    let scheme = |This(url): This<Arc<String>>| url.split("://").next().unwrap_or_default().to_owned();
    context.add_function("isURL", |text: Arc<String>| text.contains("://")).map_err(|e| format!("{e:?}"))?;
    context.add_function("url", |text: Arc<String>| text).map_err(|e| format!("{e:?}"))?;
    context.add_function("getScheme", scheme).map_err(|e| format!("{e:?}"))?;
    match program.execute(&context) {
        Ok(cel::Value::Bool(held)) => Ok(held),
        Ok(other) => Err(format!("{other:?} is no answer")),
        Err(why) => Err(why.to_string()),
    }
}
