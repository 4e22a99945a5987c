//! Tests of what people know from other tools: names, requests shown, digests, raw manifests, deletion, attached
//! documents, standard input and output, platforms.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::registry::{FakeRegistry, Reply, digest};
use crate::support::{faultline, listing, plugin, run, run_with_input, workplace};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry with an artifact under the tag 1.0, and its digest.
fn pushed(dir: &tempfile::TempDir) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start();
    run(dir.path(), &["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"]).exits(0);
    let digest = registry.tag("1.0").unwrap();
    (registry, digest)
}

/// Puts an index with children for two platforms under the tag `index`, and returns its digest and theirs.
fn index(dir: &tempfile::TempDir, registry: &FakeRegistry) -> (String, String, String) {
    let child = |tag: &str, architecture: &str| {
        let annotation = format!("for={tag}");
        run(dir.path(), &["push", &registry.reference(tag), "--wasm", "plugin.wasm", "--annotation", &annotation])
            .exits(0);
        let digest = registry.tag(tag).unwrap();
        json!({"mediaType": OCI, "digest": digest, "size": registry.size_of(&digest),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let (amd64, arm64) = (child("amd64", "amd64"), child("arm64", "arm64"));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [arm64, amd64]});
    let text = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    (registry.put_manifest("index", INDEX, &index), text(&amd64), text(&arm64))
}

#[test]
fn a_digest_alone_is_enough_where_something_is_read() {
    let dir = workplace();
    let (registry, digest) = pushed(&dir);
    let named = format!("{}/mesh/faultline@{digest}", registry.host());
    run(dir.path(), &["pull", &named, "-o", "out.wasm"]).exits(0);
    assert_eq!(run(dir.path(), &["inspect", &named, "--output", "json"]).exits(0).json()["reference"], named.as_str());
    run(dir.path(), &["copy", &named, "oci:out:1.0"]).exits(0);
    run(dir.path(), &["tag", &named, "2.0"]).exits(0);
    assert_eq!(registry.tag("2.0"), Some(digest));
    // A tag is needed where one is written.
    for args in
        [&["push", &named, "--wasm", "plugin.wasm"][..], &["copy", "oci:out:1.0", &named], &["manifest", &named]]
    {
        run(dir.path(), args).refuses_usage_with(&[" tag"]);
    }
    run(dir.path(), &["inspect", &format!("{}/mesh/faultline", registry.host())])
        .refuses_usage_with(&["tag is missing"]);
}

#[test]
fn a_short_name_is_docker_hubs_and_how_it_is_read_is_said() {
    let (dir, proxy) = (workplace(), FakeRegistry::start());
    for (short, path) in [("team/faultline:1.0", "team/faultline"), ("faultline:1.0", "library/faultline")] {
        let mut command = faultline(dir.path(), &["inspect", short, "--plain-http", "--retries", "0"]);
        let ran: crate::support::Ran =
            command.env("http_proxy", format!("http://{}", proxy.host())).output().unwrap().into();
        assert!(ran.stderr.contains(&format!("`{short}` is read as `docker.io/{path}:1.0`")), "{}", ran.stderr);
        assert_eq!(proxy.requests(), [format!("GET http://registry-1.docker.io/v2/{path}/manifests/1.0")]);
    }
}

#[test]
fn requests_are_shown_without_secrets() {
    let dir = workplace();
    let (registry, digest) = pushed(&dir);
    let base = registry.host().to_owned();
    registry.answer_with(move |request, _| {
        if request.target.starts_with("/token") {
            return Some(Reply::new(200, r#"{"token":"t0ken"}"#));
        }
        let challenge = format!(r#"Bearer realm="http://{base}/token?signature=s3cret-too",service="x""#);
        let admitted = request.authorization.as_deref() == Some("Bearer t0ken");
        (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", challenge))
    });
    let args = ["digest", &registry.reference("1.0"), "-v", "--username", "acme", "--password-stdin"];
    let shown = run_with_input(dir.path(), &args, b"s3cret").exits(0);
    assert_eq!(shown.stdout, format!("{digest}\n"));
    for words in ["HEAD http://", "/manifests/1.0 -> 401", "/token?", "/manifests/1.0 -> 200", &digest] {
        assert!(shown.stderr.contains(words), "{words}: {}", shown.stderr);
    }
    for secret in ["s3cret", "t0ken", "YWNtZTpzM2NyZXQ="] {
        assert!(!shown.stderr.contains(secret), "{}", shown.stderr);
    }
    let quiet = run_with_input(dir.path(), &[&args[..2], &args[3..]].concat(), b"s3cret").exits(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn digest_and_manifest_come_as_they_are_stored() {
    let dir = workplace();
    let (registry, own) = pushed(&dir);
    let (index_digest, amd64, arm64) = index(&dir, &registry);
    let reference = registry.reference("index");
    let digest_of = |more: &[&str]| run(dir.path(), &[&["digest", &reference], more].concat()).exits(0).stdout;
    assert_eq!(digest_of(&[]).trim_end(), index_digest);
    assert_eq!(digest_of(&["--platform", "linux/amd64"]).trim_end(), amd64);
    assert_eq!(digest_of(&["--platform", "linux/arm64"]).trim_end(), arm64);
    run(dir.path(), &["digest", &reference, "--platform", "linux/s390x"])
        .fails_with(&["linux/s390x", "it has linux/arm64, linux/amd64"]);
    run(dir.path(), &["digest", &registry.reference("absent")]).fails_with(&["absent", "is not there"]);

    let get = |more: &[&str]| {
        let output = faultline(dir.path(), &[&["manifest", "get", &reference], more].concat()).output().unwrap();
        assert!(output.status.success());
        digest(&output.stdout)
    };
    assert_eq!(get(&[]), index_digest, "byte for byte");
    assert_eq!(get(&["--platform", "linux/amd64"]), amd64);
    // The mesh's manifest is written as before.
    let manifest = run(dir.path(), &["manifest", &registry.reference("1.0")]).exits(0).stdout;
    assert!(manifest.contains("WasmPlugin") && manifest.contains(&own), "{manifest}");
    run(dir.path(), &["manifest"]).refuses_usage_with(&["REF"]);

    run(dir.path(), &["cp", &reference, "oci:one:1.0", "--platform", "linux/arm64"]).exits(0);
    assert_eq!(run(dir.path(), &["digest", "oci:one:1.0"]).exits(0).stdout.trim_end(), arm64);
    run(dir.path(), &["pull", &reference, "-o", "x", "--platform", "linux/arm64"]).exits(0);
}

#[test]
fn what_is_deleted_is_gone_and_a_registry_that_deletes_no_tags_is_understood() {
    let dir = workplace();
    let (registry, own) = pushed(&dir);
    let by_digest = format!("{}/mesh/faultline@{own}", registry.host());
    registry.answer_with(|request, contents| {
        let key =
            request.target.strip_prefix("/v2/mesh/faultline/manifests/").filter(|_| request.method == "DELETE")?;
        if !key.starts_with("sha256:") {
            return Some(Reply::new(405, r#"{"errors":[{"code":"UNSUPPORTED","message":"unsupported"}]}"#));
        }
        contents.manifests.retain(|_, (_, bytes)| digest(bytes) != key);
        Some(Reply::new(202, ""))
    });
    run(dir.path(), &["delete", &registry.reference("1.0")]).fails_with(&["405", "removes no tags", "give the digest"]);
    run(dir.path(), &["delete", &format!("{}@{own}", registry.reference("1.0"))])
        .refuses_usage_with(&["a tag and a digest"]);
    let deleted = run(dir.path(), &["delete", &by_digest, "--output", "json"]).exits(0).json();
    assert_eq!(deleted["deleted"], "manifest");
    assert_eq!(registry.tag("1.0"), None);

    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm"]).exits(0);
    run(dir.path(), &["tag", "oci:out:1.0", "2.0"]).exits(0);
    run(dir.path(), &["delete", "oci:out:1.0"]).exits(0);
    assert_eq!(run(dir.path(), &["ls", "oci:out"]).exits(0).stdout, "2.0\n");
    run(dir.path(), &["delete", "oci:out:1.0"]).fails_with(&["no such manifest"]);
}

#[test]
fn an_attached_document_comes_back() {
    let dir = workplace();
    let (registry, _) = pushed(&dir);
    let reference = registry.reference("1.0");
    let pull = |which: &str| run(dir.path(), &["pull", &reference, "--attached", which, "-o", "got.json"]);
    pull("text/plain").fails_with(&["nothing is attached"]);
    let attach = ["attach", &reference, "-", "--type", "application/spdx+json", "--output", "json"];
    let attached = run_with_input(dir.path(), &attach, b"{\"spdx\":1}").exits(0).json();
    assert!(!attached["reference"].as_str().unwrap().contains(":1.0@"), "the tag is another's: {attached}");
    pull("application/spdx+json").exits(0);
    assert_eq!(std::fs::read(dir.path().join("got.json")).unwrap(), b"{\"spdx\":1}");
    pull(attached["digest"].as_str().unwrap()).exits(0);
    pull("text/plain").fails_with(&["no `text/plain` is attached", "application/spdx+json"]);
    run_with_input(dir.path(), &attach, b"{\"spdx\":2}").exits(0);
    pull("application/spdx+json").fails_with(&["2 documents", "digest"]);
}

#[test]
fn a_hyphen_is_standard_input_and_output() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run_with_input(dir.path(), &["push", &reference, "--wasm", "-"], &plugin()).exits(0);
    let before = listing(dir.path());
    let mut pull = faultline(dir.path(), &["pull", &reference, "-o", "-"]);
    let output = pull.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && output.stdout == plugin(), "nothing else is on stdout");
    assert_eq!(listing(dir.path()), before);
    run(dir.path(), &["pull", &reference, "-o", "-", "--output", "json"]).refuses_usage_with(&["both want stdout"]);
    let both = ["push", &reference, "--wasm", "-", "--username", "u", "--password-stdin"];
    run_with_input(dir.path(), &both, b"x").refuses_usage_with(&["not both"]);
}

#[test]
fn a_client_certificate_needs_its_key_and_is_read_before_anything_is_sent() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &["inspect", &reference, "--cert-file", "a.pem"]).refuses_usage_with(&["--key-file"]);
    std::fs::write(dir.path().join("a.pem"), "no certificate").unwrap();
    run(dir.path(), &["inspect", &reference, "--cert-file", "a.pem", "--key-file", "absent.pem"])
        .fails_with(&["absent.pem"]);
    run(dir.path(), &["inspect", &reference, "--cert-file", "a.pem", "--key-file", "a.pem"])
        .fails_with(&["a.pem", "no certificate"]);
    assert_eq!(registry.requests(), [""; 0]);
}

#[test]
fn what_is_verified_of_an_index_is_what_is_deployed() {
    let dir = workplace();
    let registry = FakeRegistry::start();
    let (index_digest, amd64, _) = index(&dir, &registry);
    let reference = registry.reference("index");
    let with_password = |args: &[&str]| {
        let output = faultline(dir.path(), args).env("COSIGN_PASSWORD", "x").output().unwrap();
        crate::support::Ran::from(output)
    };
    with_password(&["generate-key-pair"]).exits(0);
    let signed = with_password(&["sign", &reference, "--key", "cosign.key", "--output", "json"]).exits(0);
    assert_eq!((&signed.json()["digest"], &signed.json()["image"]), (&json!(index_digest), &json!(amd64)));
    assert!(signed.stderr.contains("it is an index"), "{}", signed.stderr);
    let pinned = format!("{reference}@{amd64}");
    let verified = run(dir.path(), &["verify", &reference, "--key", "cosign.pub"]).exits(0);
    assert_eq!(verified.stdout.trim_end(), pinned);
    assert!(verified.stderr.contains(&index_digest), "{}", verified.stderr);
    run(dir.path(), &["verify", &pinned, "--key", "cosign.pub"]).exits(0);

    // One of the two signatures is enough, whoever made it.
    for gone in [&index_digest, &amd64] {
        let tag = format!("{}.sig", gone.replace(':', "-"));
        let kept = registry.with(|contents| contents.manifests.remove(&tag)).unwrap();
        let verified = run(dir.path(), &["verify", &reference, "--key", "cosign.pub"]).exits(0);
        assert_eq!(verified.stdout.trim_end(), pinned);
        registry.with(|contents| contents.manifests.insert(tag, kept));
    }
    registry.with(|contents| contents.manifests.retain(|name, _| !name.ends_with(".sig")));
    assert_eq!(run(dir.path(), &["verify", &reference, "--key", "cosign.pub"]).exits(3).stdout, "");
}
