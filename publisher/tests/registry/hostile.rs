//! Tests of registries, token services and artifacts that want to do harm.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::registry::{FakeRegistry, Reply};
use crate::support::{run, run_with_input, workplace};

/// The same server under another host name.
fn by_name(registry: &FakeRegistry) -> String {
    format!("localhost:{}", registry.host().rsplit_once(':').unwrap().1)
}

#[test]
fn no_request_goes_to_a_private_address_that_a_registry_names_as_its_token_service() {
    let (dir, registry, other) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
    other.answer_with(|_, _| Some(Reply::new(200, r#"{"token":"t0ken"}"#)));
    let port = other.host().rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"] {
        let realm = format!("http://{host}:{port}/latest/meta-data");
        registry.answer_with(move |request, _| {
            let challenge = format!(r#"Bearer realm="{realm}",service="x""#);
            request.authorization.is_none().then(|| Reply::new(401, "").header("WWW-Authenticate", challenge))
        });
        let repository = format!("{}/mesh/faultline", by_name(&registry));
        let list = ["list", &repository, "--username", "u", "--password-stdin"];
        run_with_input(dir.path(), &list, b"s3cret").fails_with(&["token service", "private address"]);
        run(dir.path(), &["list", &repository]).fails_with(&["token service", "private address"]);
        assert_eq!(other.requests(), [""; 0], "{host}");
    }
}

#[test]
fn an_identity_token_is_not_sent_on_to_where_a_token_service_redirects() {
    for status in [301, 302, 307, 308] {
        let (dir, registry, other) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
        let (base, elsewhere) = (registry.host().to_owned(), by_name(&other));
        let within = Arc::new(Mutex::new(false));
        let inner = Arc::clone(&within);
        registry.answer_with(move |request, _| {
            if request.target == "/moved" {
                return Some(Reply::new(200, r#"{"token":"t0ken"}"#));
            }
            if request.target == "/token" {
                let to = if *inner.lock().unwrap() { "/moved".to_owned() } else { format!("http://{elsewhere}/steal") };
                return Some(Reply::new(status, "").header("Location", to));
            }
            let challenge = format!(r#"Bearer realm="http://{base}/token""#);
            let admitted = request.authorization.as_deref() == Some("Bearer t0ken");
            (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", challenge))
        });
        std::fs::create_dir(dir.path().join("docker")).unwrap();
        let config = json!({"auths": {registry.host(): {"identitytoken": "1dentity"}}}).to_string();
        std::fs::write(dir.path().join("docker/config.json"), config).unwrap();
        let list = ["list", &format!("{}/mesh/faultline", registry.host())];
        run(dir.path(), &list).fails_with(&[&status.to_string(), "not followed"]);
        assert_eq!(other.requests(), [""; 0]);
        // Within the same server it is.
        *within.lock().unwrap() = true;
        run(dir.path(), &list).exits(0);
    }
}

#[test]
fn a_token_service_without_an_end_is_given_up() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let base = registry.host().to_owned();
    registry.answer_with(move |request, _| {
        if request.target.starts_with("/token") {
            return Some(Reply::new(200, vec![b' '; 8 << 20]));
        }
        let challenge = format!(r#"Bearer realm="http://{base}/token""#);
        Some(Reply::new(401, "").header("WWW-Authenticate", challenge))
    });
    run(dir.path(), &["list", &format!("{}/mesh/faultline", registry.host()), "--retries", "0"])
        .fails_with(&["more than", "bytes"]);
}

const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}1m\r\nIstio                    yes";

#[test]
fn nothing_that_strangers_wrote_steers_the_terminal() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let annotation = format!("org.opencontainers.image.version={ESCAPES}");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm", "--annotation", &annotation]).exits(0);
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let layer = registry.put_blob(&format!("x/{ESCAPES}"), b"x");
    let config = registry.put_blob(&format!("y/{ESCAPES}"), b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": oci, "config": config, "layers": [layer]});
    registry.put_manifest("type", oci, &manifest);
    registry.answer_with(|request, _| {
        let json = |value: serde_json::Value| Some(Reply::new(200, value.to_string()));
        if request.target.contains("/tags/list") {
            return json(json!({"tags": ["1.0", format!("2{ESCAPES}")]}));
        }
        if request.target.contains("/referrers/") {
            let entry = json!({"mediaType": "x", "digest": format!("sha256:{}", "1".repeat(64)), "size": 3,
                "artifactType": ESCAPES});
            return json(json!({"manifests": [entry]}));
        }
        if request.target.ends_with("/manifests/words") {
            let error = json!({"errors": [{"code": "X", "message": ESCAPES, "detail": ESCAPES}]});
            return Some(Reply::new(400, error.to_string()));
        }
        request.target.ends_with("/manifests/text").then(|| Reply::new(400, ESCAPES))
    });
    let named = |tag: &str| registry.reference(tag);
    let repository = format!("{}/mesh/faultline", registry.host());
    for args in [
        &["inspect", &reference][..],
        &["inspect", &named("type")],
        &["pull", &named("type"), "-o", "x"],
        &["inspect", &named("words"), "--retries", "0"],
        &["inspect", &named("text"), "--retries", "0"],
        &["list", &repository],
        &["verify", &reference, "--key", "absent.pub"],
        &["manifest", &named("type")],
    ] {
        let ran = run(dir.path(), args);
        for text in [&ran.stdout, &ran.stderr] {
            let steering = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(steering, None, "{args:?}: {text:?}");
            let forged = text.lines().filter(|line| line.starts_with("Istio  ")).count();
            assert!(forged <= 1, "{args:?}: {text}");
        }
    }
    assert!(run(dir.path(), &["inspect", &reference]).stdout.contains(r"\u{1b}]0;owned"));
    // JSON is safe by itself and stays as it is.
    assert_eq!(run(dir.path(), &["inspect", &reference, "--output", "json"]).json()["version"], ESCAPES);
}
