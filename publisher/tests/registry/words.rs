//! Tests that a registry's own reasons reach the user, and that a part of it that may not be used is told and does not
//! stop the rest.

use serde_json::json;

use crate::support::registry::{FakeRegistry, Reply};
use crate::support::{Ran, faultline, run, workplace};

/// An error as registries write it.
fn says(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status, json!({"errors": [{"code": code, "message": message}]}).to_string())
}

#[test]
fn why_a_push_is_refused_is_in_the_registrys_words() {
    type When = fn(&str, &str) -> bool;
    let quota = "adding 197.4 KiB of storage resource will exceed the configured upper limit of 10.0 MiB.";
    let scopes = "permission_denied: The token provided does not match expected scopes.";
    let absent = "The repository with name 'mesh/faultline' does not exist in the registry with id '123456789012'";
    let cases: [(u16, &str, &'static str, When, &str); 4] = [
        (403, "DENIED", quota, |method, target| method == "PUT" && target.contains("/manifests/"), "403"),
        (403, "DENIED", scopes, |method, _| method == "POST", "403"),
        (404, "NAME_UNKNOWN", absent, |_, _| true, "some registries want it made"),
        // The answer to HEAD has no body.
        (429, "TOOMANYREQUESTS", "You have reached your pull rate limit.", |_, target| target.contains("manif"), "429"),
    ];
    for (status, code, words, when, more) in cases {
        let (dir, registry) = (workplace(), FakeRegistry::start());
        registry
            .answer_with(move |request, _| when(&request.method, &request.target).then(|| says(status, code, words)));
        let push = ["push", &registry.reference("1.0"), "--wasm", "plugin.wasm", "--retries", "0"];
        let ran = run(dir.path(), &push).fails_with(&[words, more]);
        assert!(!ran.stderr.contains("check that your user"), "{}", ran.stderr);
    }
}

#[test]
fn the_detail_that_names_what_is_wrong_is_repeated() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    std::fs::write(dir.path().join("x.sarif"), "{}").unwrap();
    registry.answer_with(|request, _| {
        let attaches = request.method == "PUT" && String::from_utf8_lossy(&request.body).contains(r#""subject""#);
        let error = json!({"code": "MANIFEST_INVALID", "message": "manifest invalid",
            "detail": "unknown media type: application/sarif+json"});
        attaches.then(|| Reply::new(400, json!({"errors": [error]}).to_string()))
    });
    run(dir.path(), &["attach", &reference, "x.sarif", "--type", "application/sarif+json"])
        .fails_with(&["manifest invalid: unknown media type: application/sarif+json"]);
}

#[test]
fn a_registry_that_guards_or_breaks_its_list_of_referrers_can_be_used() {
    for status in [401, 403, 404, 405, 500, 501, 503] {
        let (dir, registry) = (workplace(), FakeRegistry::start());
        let reference = registry.reference("1.0");
        run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
        registry.answer_with(move |request, _| {
            request.target.contains("/referrers/").then(|| Reply::new(status, "the gateway says no"))
        });
        std::fs::write(dir.path().join("x.txt"), "x").unwrap();
        let attach = ["attach", &reference, "x.txt", "--type", "text/plain", "--retries", "0"];
        run(dir.path(), &attach).exits(0);

        let inspected = run(dir.path(), &["inspect", &reference, "--retries", "0"]).exits(0);
        assert!(inspected.stdout.contains("Istio                    yes"), "{}", inspected.stdout);
        let report = run(dir.path(), &["inspect", &reference, "--retries", "0", "--output", "json"]).exits(0).json();
        let is_told = !matches!(status, 404 | 405 | 501);
        assert_eq!(report["attachedProblem"].is_string(), is_told, "{status}: {report}");
        assert_eq!(inspected.stdout.contains("could not be asked for"), is_told, "{status}");
        // The list that clients keep under a tag is read instead, where the answer is not one of passing trouble.
        let is_passing = matches!(status, 500 | 503);
        assert_eq!(report["attached"].as_array().unwrap().len(), usize::from(!is_passing), "{status}");

        let copy = run(dir.path(), &["copy", &reference, "oci:out:1", "--retries", "0"]);
        assert_eq!(copy.code, i32::from(is_passing), "{}", copy.stderr);
        assert_eq!(copy.stderr.contains("--no-attached"), is_told, "{}", copy.stderr);
    }
}

#[test]
fn a_proxy_that_is_away_is_not_taken_for_the_registry() {
    let dir = workplace();
    let inspect = ["inspect", "registry.example.com/mesh/faultline:1.0", "--retries", "0"];
    for (variable, more) in [("https_proxy", &[][..]), ("HTTPS_PROXY", &[]), ("http_proxy", &["--plain-http"])] {
        let mut command = faultline(dir.path(), &[&inspect[..], more].concat());
        let ran: Ran = command.env(variable, "http://me:s3cret@127.0.0.1:1").output().unwrap().into();
        let told = ran.fails_with(&["proxy `127.0.0.1:1`", &format!("`{variable}`"), "NO_PROXY"]).stderr;
        assert!(!told.contains("s3cret") && !told.contains("registry is up"), "{told}");
    }
    let mut command = faultline(dir.path(), &inspect);
    let ran: Ran = command.env("all_proxy", "socks5h://127.0.0.1:1").output().unwrap().into();
    let told = ran.exits(1).stderr;
    assert!(told.contains("SOCKS") && told.contains("proxy `127.0.0.1:1` that `all_proxy` names"), "{told}");
}
