//! Tests pushing to and pulling from a registry that behaves and one that does not. Each failure is one clear error
//! with exit code 1, the tag is unchanged, and no file is left behind.

use crate::support::registry::{FakeRegistry, Reply, digest};
use crate::support::{listing, plugin, run, run_with_input, workplace};

fn push(reference: &str) -> [&str; 4] {
    ["push", reference, "--wasm", "plugin.wasm"]
}

#[test]
fn a_fresh_push_takes_seven_requests_and_an_unchanged_one_one() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let first = run(dir.path(), &push(&reference)).exits(0);
    assert_eq!(registry.requests().len(), 7);
    let pinned = format!("{reference}@{}\n", registry.tag("1.0").expect("it was pushed"));
    assert_eq!(first.stdout, pinned);

    let again = run(dir.path(), &push(&reference)).exits(0);
    assert_eq!(registry.requests(), ["HEAD /v2/mesh/faultline/manifests/1.0"]);
    assert_eq!(again.stdout, pinned);

    // Another tag for the same content uploads only the manifest.
    run(dir.path(), &push(&registry.reference("1.1"))).exits(0);
    assert!(!registry.requests().iter().any(|request| request.starts_with("POST")));
    assert_eq!(registry.tag("1.1"), registry.tag("1.0"));
}

#[test]
fn what_was_pushed_is_what_is_pulled() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let pinned = run(dir.path(), &push(&reference)).exits(0).stdout;
    for reference in [reference.as_str(), pinned.trim_end()] {
        let pulled = run(dir.path(), &["pull", reference, "-o", "out.wasm"]).exits(0);
        assert_eq!(pulled.stdout, format!("out.wasm {pinned}"), "the digest is the image's, not the file's");
        assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin());
    }
    let report = run(dir.path(), &["inspect", &reference, "--output", "json"]).exits(0).json();
    assert_eq!(report["form"], "oci");
    assert_eq!(report["module"]["abi"], "0.2.1");
    assert_eq!(report["module"]["imports"], serde_json::json!(["env.proxy_log"]));
    assert_eq!(report["istio"]["loads"], true);
}

#[test]
fn a_password_is_used_and_never_shown_and_a_wrong_one_is_called_wrong() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    registry.answer_with(|request, _| {
        // acme:s3cret
        let admitted = request.authorization.as_deref() == Some("Basic YWNtZTpzM2NyZXQ=");
        (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="test""#))
    });
    run(dir.path(), &push(&reference)).fails_with(&["401", "no credentials", "faultline login", registry.host()]);

    let with_password = [&push(&reference)[..], &["--username", "acme", "--password-stdin"]].concat();
    let wrong =
        run_with_input(dir.path(), &with_password, b"hunter2\n").fails_with(&["401", "refused the user `acme`"]);
    assert!(!wrong.stderr.contains("hunter2"));
    assert_eq!(registry.tag("1.0"), None);

    registry.requests();
    run_with_input(dir.path(), &with_password, b"s3cret\n").exits(0);
    assert_eq!(registry.requests().len(), 8);
    run_with_input(dir.path(), &with_password, b"s3cret\n").exits(0);
    assert_eq!(registry.requests().len(), 2);

    std::fs::create_dir(dir.path().join("docker")).unwrap();
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "YWNtZTpzM2NyZXQ="}}}}}}"#, registry.host());
    std::fs::write(dir.path().join("docker/config.json"), config).unwrap();
    run(dir.path(), &["inspect", &reference]).exits(0);
}

#[test]
fn a_token_is_fetched_where_the_registry_wants_one() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let challenge = format!(r#"Bearer realm="http://{}/token",service="test""#, registry.host());
    registry.answer_with(move |request, _| {
        if request.target.starts_with("/token") {
            let known = request.authorization.as_deref() == Some("Basic YWNtZTpzM2NyZXQ=");
            let scope = if request.target.contains("push") { "push" } else { "pull" };
            return Some(if known {
                Reply::new(200, format!(r#"{{"token":"{scope}"}}"#))
            } else {
                Reply::new(401, "no")
            });
        }
        let admitted = match request.authorization.as_deref() {
            Some("Bearer push") => true,
            Some("Bearer pull") => matches!(request.method.as_str(), "GET" | "HEAD"),
            _ => false,
        };
        (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", challenge.clone()))
    });
    let with_password = [&push(&reference)[..], &["--username", "acme", "--password-stdin"]].concat();
    run_with_input(dir.path(), &with_password, b"wrong").fails_with(&["401", "refused the user `acme`"]);
    registry.requests();
    run_with_input(dir.path(), &with_password, b"s3cret").exits(0);
    assert_eq!(registry.requests().len(), 9);
    // One request goes to the token service, which is usually elsewhere, and two go to the registry: it must refuse
    // once to name its token service.
    run_with_input(dir.path(), &with_password, b"s3cret").exits(0);
    let head = "HEAD /v2/mesh/faultline/manifests/1.0";
    assert_eq!(registry.requests(), [head, "GET /token", head]);
}

#[test]
fn a_busy_registry_is_tried_again() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let mut left = [("POST", 429), ("PUT", 503), ("PUT", 408), ("HEAD", 500)].to_vec();
    registry.answer_with(move |request, _| {
        let next = left.iter().position(|(method, _)| *method == request.method)?;
        Some(Reply::new(left.remove(next).1, ""))
    });
    let ran = run(dir.path(), &push(&reference)).exits(0);
    assert!(registry.tag("1.0").is_some());
    assert_eq!(ran.stderr.matches("trying again").count(), 4, "{}", ran.stderr);
}

#[test]
fn a_registry_that_does_not_say_where_it_put_a_blob_will_do() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    registry.answer_with(|request, contents| {
        let kept = request.method == "PUT" && request.target.contains("/blobs/");
        kept.then(|| {
            contents.blobs.insert(digest(&request.body), request.body.clone());
            Reply::new(201, "")
        })
    });
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
    assert!(registry.tag("1.0").is_some());
}

#[test]
fn a_push_that_fails_leaves_the_tag_where_it_was() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &push(&reference)).exits(0);
    let before = registry.tag("1.0");
    let changed = [&push(&reference)[..], &["--annotation", "a=b", "--retries", "0"]].concat();

    for (method, status) in [("HEAD", 500), ("PUT", 500), ("PUT", 403), ("PUT", 400)] {
        registry.answer_with(move |request, _| (request.method == method).then(|| Reply::new(status, "sorry")));
        run(dir.path(), &changed).fails_with(&[&reference, &status.to_string()]);
        assert_eq!(registry.tag("1.0"), before);
    }
    // The connection is cut in the middle of the response.
    registry
        .answer_with(|request, _| (request.method == "PUT").then(|| Reply::new(500, "x".repeat(100)).cut_after(10)));
    run(dir.path(), &changed).fails_with(&[&reference]);
    assert_eq!(registry.tag("1.0"), before);
}

#[test]
fn a_pull_that_fails_says_why_and_leaves_no_file() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &push(&reference)).exits(0);
    let before = listing(dir.path());
    let pull = ["pull", &reference, "-o", "out.wasm", "--retries", "0"];
    let fails = |words: &[&str]| {
        run(dir.path(), &pull).fails_with(words);
        assert_eq!(listing(dir.path()), before);
    };
    let is_blob = |target: &str| target.contains("/blobs/");

    registry.answer_with(|_, _| Some(Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="x""#)));
    fails(&[&reference, "401", "faultline login"]);
    registry.answer_with(|r, _| {
        r.target.contains("manifests").then(|| Reply::new(403, r#"{"errors":[{"code":"DENIED"}]}"#))
    });
    fails(&[&reference, "403"]);
    registry.answer_with(|r, _| r.target.contains("manifests").then(|| Reply::new(500, "oh no")));
    fails(&[&reference, "500 (oh no)", "try again later"]);
    registry.answer_with(|r, _| r.target.contains("manifests").then(|| Reply::new(429, "slow down")));
    fails(&[&reference, "429"]);
    registry.answer_with(|_, _| Some(Reply::new(200, "<html>hello</html>")));
    fails(&[&reference, "its manifest is no JSON"]);
    // The manifest does not match its digest.
    registry.answer_with(|r, contents| {
        let (_, bytes) = contents.manifests.get("1.0")?;
        let honest = digest(bytes);
        r.target.contains("manifests").then(|| Reply::new(200, "{}").header("Docker-Content-Digest", honest))
    });
    fails(&[&reference, "wrong digest", "expected sha256:"]);
    // The blob is a different one, is too long, is cut off.
    registry.answer_with(move |r, _| is_blob(&r.target).then(|| Reply::new(200, "something else")));
    fails(&[&reference, "wrong digest"]);
    registry.answer_with(move |r, _| is_blob(&r.target).then(|| Reply::new(200, vec![0; 1_000_000])));
    fails(&[&reference, "more than the"]);
    registry.answer_with(move |r, contents| {
        let bytes = contents.blobs.values().max_by_key(|bytes| bytes.len())?.clone();
        is_blob(&r.target).then(|| Reply::new(200, bytes).cut_after(70_000))
    });
    fails(&[&reference, "the connection broke"]);
    registry.answer_with(move |r, _| is_blob(&r.target).then(|| Reply::new(404, "")));
    fails(&[&reference, "404"]);

    registry.answer_with(|_, _| None);
    let absent = registry.reference("absent");
    run(dir.path(), &["pull", &absent, "-o", "out.wasm"]).fails_with(&[&absent, "404", "tag `absent`"]);
    // The tag exists, but the digest does not.
    let unknown = format!("{reference}@{}", digest(b"unknown"));
    run(dir.path(), &["pull", &unknown, "-o", "out.wasm"]).fails_with(&[
        &unknown,
        "404",
        "check the digest",
        &format!("`faultline inspect {reference}`"),
    ]);
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn a_connection_that_is_cut_once_does_no_harm() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &push(&reference)).exits(0);
    let mut cut = false;
    registry.answer_with(move |request, contents| {
        let bytes = contents.blobs.values().max_by_key(|bytes| bytes.len())?.clone();
        let first =
            request.target.contains("/blobs/") && !std::mem::replace(&mut cut, request.target.contains("/blobs/"));
        first.then(|| Reply::new(200, bytes).cut_after(70_000))
    });
    run(dir.path(), &["pull", &reference, "-o", "out.wasm"]).exits(0);
    assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin());
}

#[test]
fn a_registry_that_is_down_is_named() {
    let dir = workplace();
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let reference = format!("{host}/mesh/faultline:1.0");
    run(dir.path(), &push(&reference)).fails_with(&[
        &format!("cannot push to `{reference}`"),
        "connection refused",
        &host,
        "is up",
    ]);
    run(dir.path(), &["pull", &reference, "-o", "x"])
        .fails_with(&[&format!("cannot read `{reference}`"), "connection refused"]);
    // A registry without TLS is asked with https.
    let registry = FakeRegistry::start();
    run(dir.path(), &["inspect", &registry.reference("1.0"), "--insecure"]).fails_with(&["https", "--plain-http"]);
    let reference = registry.reference("1.0");
    run(dir.path(), &[&push(&reference)[..], &["--insecure"]].concat()).fails_with(&[
        &format!("cannot push to `{reference}`"),
        "https",
        "--plain-http",
    ]);
}

#[test]
fn a_digest_in_the_reference_must_be_that_of_what_is_pushed() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = format!("{}@{}", registry.reference("1.0"), digest(b"something else"));
    run(dir.path(), &push(&reference)).fails_with(&["packs to sha256:", &digest(b"something else")]);
    assert_eq!(registry.requests(), Vec::<String>::new());
}

#[test]
fn every_image_that_istio_accepts_can_be_pulled_and_others_are_refused_with_the_reason() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    run(dir.path(), &push(&registry.reference("own"))).exits(0);
    let layer = {
        let config = run(dir.path(), &["push", "oci:out:own", "--wasm", "plugin.wasm"]).exits(0).stdout;
        let manifest = config.trim_end().rsplit_once("sha256:").expect("it is pinned").1.to_owned();
        let blob = |digest: &str| std::fs::read(dir.path().join("out/blobs/sha256").join(digest)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&blob(&manifest)).unwrap();
        blob(manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:"))
    };
    let config = registry.put_blob("application/vnd.oci.image.config.v1+json", b"{}");
    let image = |media_type: &str, layers: &[serde_json::Value]| {
        serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        })
    };
    let (docker, oci) =
        ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json");
    let other = registry.put_blob("application/vnd.module.wasm.config.v1+json", b"{\"type\":\"envoy_proxy\"}");
    let docker_layer = registry.put_blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer);
    let bare = |media_type: &str| registry.put_blob(media_type, &plugin());
    let content = bare("application/vnd.module.wasm.content.layer.v1+wasm");

    registry.put_manifest("docker", docker, &image(docker, &[docker_layer]));
    registry.put_manifest("two", oci, &image(oci, &[other.clone(), content.clone()]));
    let own = registry.tag("own").expect("it was pushed");
    let sizes = |digest: &str| if digest == own { registry.size_of(&own) } else { 1 };
    let child = |architecture: &str, digest: &str| {
        serde_json::json!({"mediaType": oci, "digest": digest, "size": sizes(digest),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = "application/vnd.oci.image.index.v1+json";
    let list = |children: &[serde_json::Value]| {
        serde_json::json!({
            "schemaVersion": 2, "mediaType": index, "manifests": children,
        })
    };
    let index_digest =
        registry.put_manifest("index", index, &list(&[child("arm64", &digest(b"absent")), child("amd64", &own)]));
    for (tag, form) in [("docker", "docker"), ("two", "solo"), ("own", "oci"), ("index", "oci")] {
        run(dir.path(), &["pull", &registry.reference(tag), "-o", "out.wasm"]).exits(0);
        assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin(), "{tag}");
        let report = run(dir.path(), &["inspect", &registry.reference(tag), "--output", "json"]).exits(0).json();
        assert_eq!((&report["form"], &report["istio"]["loads"]), (&form.into(), &true.into()));
    }
    // For an index, the digest to pin is that of the image in it.
    let report = run(dir.path(), &["inspect", &registry.reference("index"), "--output", "json"]).exits(0).json();
    assert_eq!(
        (report["digest"].as_str(), report["index"].as_str()),
        (Some(own.as_str()), Some(index_digest.as_str()))
    );
    let resource = run(dir.path(), &["manifest", &registry.reference("index"), "--output", "json"]).exits(0).json();
    assert!(resource["spec"]["url"].as_str().unwrap().ends_with(&format!("@{own}")), "{resource}");

    registry.put_manifest("bare", oci, &image(oci, &[bare("application/wasm")]));
    registry.put_manifest("one", oci, &image(oci, &[content]));
    registry.put_manifest("arm", index, &list(&[child("arm64", &own)]));
    for tag in ["bare", "one"] {
        run(dir.path(), &["pull", &registry.reference(tag), "-o", "x.wasm"]).fails_with(&["no mesh accepts its shape"]);
        let report = run(dir.path(), &["inspect", &registry.reference(tag), "--output", "json"]).exits(3).json();
        assert_eq!(report["istio"]["loads"], false);
        run(dir.path(), &["manifest", &registry.reference(tag)]).fails_with(&["no mesh accepts its shape"]);
    }
    run(dir.path(), &["pull", &registry.reference("arm"), "-o", "x.wasm"]).fails_with(&["linux/amd64"]);
}
