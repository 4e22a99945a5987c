//! Tests that `push`, `inspect` and `manifest` warn of registries that Istio's agent cannot pull from, without a
//! request more than they make anyway.

use crate::support::registry::{FakeRegistry, Reply};
use crate::support::{Ran, run_with_input, workplace};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A registry that gives this challenge to whoever sends no credentials with a request that `asks` is true of.
fn challenging(challenge: &str, asks: fn(&str) -> bool) -> FakeRegistry {
    let registry = FakeRegistry::start();
    let challenge = challenge.to_owned();
    registry.answer_with(move |request, _| {
        (request.authorization.is_none() && asks(&request.method))
            .then(|| Reply::new(401, "").header("WWW-Authenticate", challenge.clone()))
    });
    registry
}

fn with_password(dir: &TempDir, args: &[&str]) -> Ran {
    exits_with_password(dir, args, 0)
}

fn exits_with_password(dir: &TempDir, args: &[&str], code: i32) -> Ran {
    run_with_input(dir.path(), &[args, &["--username", "acme", "--password-stdin"]].concat(), b"s3cret").exits(code)
}

/// The warnings of `push` and `inspect`; `manifest` says the same on stderr.
fn warnings(registry: &FakeRegistry) -> Vec<String> {
    let (dir, reference) = (workplace(), registry.reference("1.0"));
    let mut told = Vec::new();
    for args in [&["push", &reference, "--wasm", "plugin.wasm"][..], &["inspect", &reference]] {
        let ran = with_password(&dir, &[args, &["--output", "json"]].concat());
        let warnings: Vec<String> = serde_json::from_value(ran.json()["warnings"].clone()).unwrap();
        for warning in &warnings {
            assert!(ran.stderr.contains(&format!("warning: {warning}\n")), "{}", ran.stderr);
        }
        told.push(warnings);
    }
    assert_eq!(told[0], told[1]);
    let ran = with_password(&dir, &["manifest", &reference, "--output", "json"]);
    assert!(told[0].iter().all(|warning| ran.stderr.contains(warning)), "{}", ran.stderr);
    assert_eq!(ran.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["apiVersion", "kind", "metadata", "spec"]);
    // Envoy Gateway's controller pulls by itself.
    let gateway = ["manifest", &reference, "--kind", "EnvoyExtensionPolicy", "--target-ref", "Gateway/edge"];
    assert!(!exits_with_password(&dir, &gateway, 3).stderr.contains("Istio's agent"));
    told.remove(0)
}

#[test]
fn a_registry_that_asks_for_a_password_itself_is_warned_of() {
    let registry = challenging(r#"Basic realm="Registry Realm""#, |_| true);
    let told = warnings(&registry);
    assert_eq!(told.len(), 1, "{told:?}");
    for words in [
        &format!("cannot pull from `{}`", registry.host()),
        "asks for user name and password (Basic)",
        "`rejected unsafe bearer realm: realm scheme \"\" not allowed`",
        "copy the artifact to a registry that does",
    ] {
        assert!(told[0].contains(words), "{words} is not in {}", told[0]);
    }
}

#[test]
fn a_token_service_at_a_private_address_is_warned_of() {
    let registry = FakeRegistry::start();
    // The fake answers as its own token service, at a loopback address.
    let challenge = format!(r#"Bearer realm="http://{}/token",service="test""#, registry.host());
    registry.answer_with(move |request, _| {
        if request.target.starts_with("/token") {
            return Some(Reply::new(200, r#"{"token":"t0ken"}"#));
        }
        request.authorization.is_none().then(|| Reply::new(401, "").header("WWW-Authenticate", challenge.clone()))
    });
    let told = warnings(&registry);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("realm targets private/loopback/link-local IP"), "{}", told[0]);
    assert!(told[0].contains("name the token service by http or https and a host name"), "{}", told[0]);
}

#[test]
fn who_may_pull_unasked_is_not_warned_and_nothing_more_is_requested() {
    assert_eq!(warnings(&FakeRegistry::start()), [""; 0]);
    // Only writing takes a password, and an agent only reads.
    let registry = challenging(r#"Basic realm="Registry Realm""#, |method| !matches!(method, "GET" | "HEAD"));
    assert_eq!(warnings(&registry), [""; 0]);

    let (dir, registry) = (workplace(), challenging(r#"Basic realm="r""#, |_| true));
    let reference = registry.reference("1.0");
    with_password(&dir, &["push", &reference, "--wasm", "plugin.wasm"]);
    registry.requests();
    with_password(&dir, &["push", &reference, "--wasm", "plugin.wasm"]);
    let head = "HEAD /v2/mesh/faultline/manifests/1.0";
    assert_eq!(registry.requests(), [head, head], "one without credentials, one with them");
    // The form for others than Istio is nobody's problem there.
    let cncf: Value =
        with_password(&dir, &["push", &reference, "--wasm", "plugin.wasm", "--format", "cncf", "--output", "json"])
            .json();
    assert_eq!(cncf["warnings"], json!([]));
}
