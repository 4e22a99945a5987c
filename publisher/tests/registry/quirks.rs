//! Tests registry behaviour that the specification does not mention, or mentions but few registries have. The fake
//! imitates a real registry in each case.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::support::registry::{FakeRegistry, Reply, digest};
use crate::support::{self, Ran, faultline, listing, plugin, run, run_with_input, workplace};

fn push(reference: &str) -> [&str; 4] {
    ["push", reference, "--wasm", "plugin.wasm"]
}

/// Pulls, and checks that the module is the one that was pushed.
#[track_caller]
fn pulls(dir: &tempfile::TempDir, reference: &str) {
    run(dir.path(), &["pull", reference, "-o", "out.wasm"]).exits(0);
    assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin());
}

#[test]
fn a_registry_that_asks_for_time_is_given_it() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let in_two_seconds = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    // HTTP dates have whole seconds, so a date two seconds ahead is more than one second away.
    for retry_after in [&|| "1".to_owned(), &in_two_seconds as &dyn Fn() -> String] {
        let value = retry_after();
        let mut busy = true;
        registry.answer_with(move |_, _| {
            std::mem::take(&mut busy).then(|| Reply::new(429, "").header("Retry-After", value.clone()))
        });
        let started = Instant::now();
        run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
        assert!(started.elapsed() >= Duration::from_secs(1));
    }
    // If the registry asks for too long a wait, the command fails at once and the error says how long.
    registry.answer_with(|_, _| Some(Reply::new(503, "").header("Retry-After", "3600")));
    let ran = run(dir.path(), &push(&registry.reference("1.1"))).fails_with(&["503", "3600 s"]);
    assert!(!ran.stderr.contains("trying again"), "{}", ran.stderr);
}

#[test]
fn a_registry_that_takes_small_requests_only_gets_pieces() {
    for status in [400, 404, 413, 416] {
        let (dir, registry) = (workplace(), FakeRegistry::start());
        registry.answer_with(move |request, _| {
            let whole = request.method == "PUT" && request.target.contains("/blobs/") && !request.body.is_empty();
            whole.then(|| Reply::new(status, ""))
        });
        run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
        assert!(registry.requests().iter().any(|request| request.starts_with("PATCH")), "{status}");
        pulls(&dir, &registry.reference("1.0"));
    }
}

#[test]
fn where_a_large_request_breaks_the_connection_pieces_are_tried() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    registry.answer_with(|request, _| {
        let whole = request.method == "PUT" && request.target.contains("/blobs/") && !request.body.is_empty();
        whole.then(Reply::none)
    });
    let ran = run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
    assert!(ran.stderr.contains("the connection broke"), "{}", ran.stderr);
    pulls(&dir, &registry.reference("1.0"));
}

#[test]
fn pieces_go_where_the_last_one_went_when_nothing_else_is_said() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    // As `crane registry serve` does: 204 for a piece, and a Location only in the response that begins an upload.
    let mut pieces: HashMap<String, Vec<u8>> = HashMap::new();
    let session = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    registry.answer_with(move |request, contents| match request.method.as_str() {
        "PUT" if request.target.contains("/blobs/") => {
            if !request.body.is_empty() {
                return Some(Reply::new(413, ""));
            }
            let bytes = pieces.remove(&session(&request.target)).unwrap_or_default();
            contents.blobs.insert(digest(&bytes), bytes);
            Some(Reply::new(201, ""))
        }
        "PATCH" => {
            pieces.entry(session(&request.target)).or_default().extend_from_slice(&request.body);
            Some(Reply::new(204, ""))
        }
        _ => None,
    });
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
    pulls(&dir, &registry.reference("1.0"));
}

#[test]
fn where_to_upload_to_may_be_told_by_a_name_alone() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    registry.answer_with(|request, _| {
        (request.method == "POST").then(|| Reply::new(202, "").header("Docker-Upload-UUID", "1"))
    });
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
    pulls(&dir, &registry.reference("1.0"));
    registry.answer_with(|request, _| (request.method == "POST").then(|| Reply::new(202, "")));
    registry.with(|contents| contents.blobs.clear());
    run(dir.path(), &[&push(&registry.reference("1.0"))[..], &["--annotation", "a=b"]].concat())
        .fails_with(&["does not say where to upload to"]);
}

#[test]
fn a_registry_that_does_not_tell_digests_is_asked_for_the_manifest() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
    registry.answer_with(|request, contents| {
        let (media_type, bytes) = contents.manifests.get("1.0")?;
        let asked = request.target.contains("manifests/1.0") && matches!(request.method.as_str(), "GET" | "HEAD");
        asked.then(|| Reply::new(200, bytes.clone()).header("Content-Type", media_type))
    });
    registry.requests();
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
    assert_eq!(registry.requests().len(), 2);
}

#[test]
fn where_head_is_not_allowed_get_is_asked() {
    for (status, words) in
        [(405, "unsupported"), (405, ""), (501, "<html>Unsupported method ('HEAD')</html>"), (403, "")]
    {
        let (dir, registry, other) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
        for one in [&registry, &other] {
            one.answer_with(move |request, _| (request.method == "HEAD").then(|| Reply::new(status, words)));
        }
        let (first, second) = (registry.reference("1.0"), registry.reference("2.0"));
        run(dir.path(), &push(&first)).exits(0);
        // All its blobs are there already, and none is sent again.
        registry.requests();
        run(dir.path(), &[&push(&second)[..], &["--annotation", "a=b"]].concat()).exits(0);
        assert!(!registry.requests().iter().any(|request| request.starts_with("POST")), "{status}");
        run(dir.path(), &["digest", &first]).exits(0);
        run(dir.path(), &["inspect", &first]).exits(0);
        run(dir.path(), &["tag", &first, "3.0"]).exits(0);
        run(dir.path(), &["copy", &first, &other.reference("1.0")]).exits(0);
        run(dir.path(), &["copy", &first, &other.reference("1.0")]).exits(0);
        pulls(&dir, &registry.reference("3.0"));
        pulls(&dir, &other.reference("1.0"));
        run(dir.path(), &["digest", &registry.reference("4.0")]).fails_with(&["is not there"]);
    }
}

/// Asserts that a command's output contains no secret.
#[track_caller]
fn keeps_secrets(ran: &Ran) {
    // The password, `user:password` in base64, the token, the identity token.
    for secret in ["s3cret", "YWNtZTpzM2NyZXQ=", "t0ken", "1dentity"] {
        assert!(!ran.stdout.contains(secret), "{secret} is in: {}", ran.stdout);
        assert!(!ran.stderr.contains(secret), "{secret} is in: {}", ran.stderr);
    }
}

#[test]
fn no_secret_is_ever_written_whatever_the_registry_says() {
    for mode in ["basic", "bearer"] {
        let (dir, registry) = (workplace(), FakeRegistry::start());
        let reference = registry.reference("1.0");
        let challenge = match mode {
            "basic" => r#"Basic realm="x""#.to_owned(),
            _ => format!(r#"Bearer realm="http://{}/token",service="s3cret""#, registry.host()),
        };
        // Each response but the right one echoes the credentials that it received.
        let failing: Arc<Mutex<Option<(&str, u16)>>> = Arc::default();
        let fails = Arc::clone(&failing);
        registry.answer_with(move |request, _| {
            let shown = request.authorization.clone().unwrap_or_default();
            let echo = format!("you said {shown} and s3cret");
            if request.target.starts_with("/token") {
                let right = shown == "Basic YWNtZTpzM2NyZXQ=";
                return Some(if right { Reply::new(200, r#"{"token":"t0ken"}"#) } else { Reply::new(401, echo) });
            }
            let wanted = if challenge.starts_with("Basic") { "Basic YWNtZTpzM2NyZXQ=" } else { "Bearer t0ken" };
            if shown != wanted {
                return Some(Reply::new(401, echo).header("WWW-Authenticate", challenge.clone()));
            }
            let (method, status) = (*fails.lock().unwrap())?;
            let envelope = format!(r#"{{"errors":[{{"code":"DENIED_{status}","message":"{echo}"}}]}}"#);
            let body = if status % 2 == 0 { echo } else { envelope };
            (request.method == method).then(|| Reply::new(status, body))
        });
        let with_password = |args: &[&str]| {
            let args = [args, &["--username", "acme", "--password-stdin", "--retries", "1"]].concat();
            let ran = run_with_input(dir.path(), &args, b"s3cret\n");
            keeps_secrets(&ran);
            ran
        };
        with_password(&push(&reference)).exits(0);
        with_password(&[&push(&reference)[..], &["--output", "json"]].concat()).exits(0);
        with_password(&["inspect", &reference, "--output", "json"]).exits(0);
        with_password(&["list", reference.trim_end_matches(":1.0"), "--output", "json"]).exits(0);
        with_password(&["tag", &reference, "2"]).exits(0);
        run(dir.path(), &push(&reference)).exits(1);
        for (method, status) in [("HEAD", 500), ("GET", 500), ("GET", 405), ("POST", 403), ("PUT", 422), ("PUT", 503)] {
            *failing.lock().unwrap() = Some((method, status));
            registry.with(|contents| contents.blobs.clear());
            let changed = [&push(&reference)[..], &["--annotation", "a=b", "--output", "json"]].concat();
            let ran = if method == "GET" { with_password(&["inspect", &reference]) } else { with_password(&changed) };
            ran.exits(1);
        }
    }
}

/// A request that the other host received: its `Authorization` and its body.
type Seen = (Option<String>, Vec<u8>);

#[test]
fn another_host_is_never_shown_the_credentials() {
    let (dir, registry, other) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let elsewhere = format!("http://localhost:{}", other.host().rsplit_once(':').unwrap().1);
    // Whatever is uploaded to the other host is afterwards in the registry. The requests to that host are recorded.
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let noted = Arc::clone(&seen);
    other.answer_with(move |request, contents| {
        noted.lock().unwrap().push((request.authorization.clone(), request.body.clone()));
        // The other host asks for credentials, too.
        if request.target.contains("nosy") {
            return Some(Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="x""#));
        }
        if request.method == "PUT" {
            contents.blobs.insert(digest(&request.body), request.body.clone());
            return Some(Reply::new(201, ""));
        }
        None
    });
    let (to, uploads) = (elsewhere.clone(), Arc::clone(&seen));
    registry.answer_with(move |request, contents| {
        if request.authorization.as_deref() != Some("Basic YWNtZTpzM2NyZXQ=") {
            return Some(Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="x""#));
        }
        for (_, body) in uploads.lock().unwrap().iter().filter(|(_, body)| !body.is_empty()) {
            contents.blobs.insert(digest(body), body.clone());
        }
        match request.method.as_str() {
            "POST" => Some(Reply::new(202, "").header("Location", format!("{to}/put?signature=abc"))),
            "GET" if request.target.contains("/blobs/") => {
                Some(Reply::new(307, "").header("Location", format!("{to}{}", request.target)))
            }
            _ => None,
        }
    });
    let with_password = |args: &[&str]| {
        let ran = run_with_input(dir.path(), &[args, &["--username", "acme", "--password-stdin"]].concat(), b"s3cret");
        keeps_secrets(&ran);
        ran
    };
    with_password(&push(&reference)).exits(0);
    with_password(&["pull", &reference, "-o", "out.wasm"]).exits(0);
    assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin());
    assert_eq!(seen.lock().unwrap().len(), 3, "two uploads and one download went there");

    // A host that asks for credentials gets none, and a signed URL is not repeated.
    let to = elsewhere;
    registry.answer_with(move |request, _| match request.authorization {
        None => Some(Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="x""#)),
        Some(_) => (request.method == "POST")
            .then(|| Reply::new(202, "").header("Location", format!("{to}/nosy?signature=abc"))),
    });
    registry.with(|contents| contents.blobs.clear());
    let ran = with_password(&[&push(&reference)[..], &["--annotation", "a=b"]].concat()).exits(1);
    assert!(!ran.stderr.contains("signature"), "{}", ran.stderr);
    assert!(seen.lock().unwrap().iter().all(|(authorization, _)| authorization.is_none()));
}

#[test]
fn an_identity_token_is_exchanged_for_tokens() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    let challenge = format!(r#"Bearer realm="http://{}/token",service="test""#, registry.host());
    registry.answer_with(move |request, _| {
        if request.target == "/token" {
            let form = String::from_utf8_lossy(&request.body).into_owned();
            let scope = "scope=repository%3Amesh%2Ffaultline%3Apull%2Cpush";
            let right = ["grant_type=refresh_token", "service=test", "refresh_token=1dentity", scope];
            let admitted = request.method == "POST" && right.iter().all(|part| form.split('&').any(|got| got == *part));
            return Some(Reply::new(if admitted { 200 } else { 401 }, r#"{"access_token":"t0ken"}"#));
        }
        let admitted = request.authorization.as_deref() == Some("Bearer t0ken");
        (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", challenge.clone()))
    });
    std::fs::create_dir(dir.path().join("docker")).unwrap();
    let entry = |token: &str| format!(r#"{{"auths": {{"{}": {{"identitytoken": "{token}"}}}}}}"#, registry.host());
    std::fs::write(dir.path().join("docker/config.json"), entry("1dentity")).unwrap();
    keeps_secrets(&run(dir.path(), &push(&reference)).exits(0));
    std::fs::write(dir.path().join("docker/config.json"), entry("expired")).unwrap();
    run(dir.path(), &push(&reference)).fails_with(&["401", "identity token", "log in again"]);
}

#[test]
fn a_proxy_is_used_as_the_environment_says_but_for_this_machine() {
    let (dir, registry, proxy) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
    // The fake proxy answers requests for an absolute URL itself and does not forward them.
    let through = |variable: &str, reference: &str| {
        let mut command = faultline(dir.path(), &["inspect", reference, "--plain-http", "--retries", "0"]);
        Ran::from(command.env(variable, format!("http://acme:s3cret@{}", proxy.host())).output().unwrap())
    };
    keeps_secrets(&through("http_proxy", "registry.test/mesh/faultline:1.0").exits(1));
    assert_eq!(proxy.requests(), ["GET http://registry.test/v2/mesh/faultline/manifests/1.0"]);
    through("http_proxy", &registry.reference("1.0")).fails_with(&["404"]);
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

/// Each command is interrupted while it waits for a response that never comes.
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_tag_where_it_was_and_no_file() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &push(&reference)).exits(0);
    let before = (registry.tag("1.0"), listing(dir.path()));
    let interrupted = |args: &[&str], stuck: fn(&support::registry::Request) -> bool| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        registry.answer_with(move |request, _| {
            if stuck(request) {
                let _ = sender.send(());
                let _ = released.recv();
            }
            None
        });
        let mut command = faultline(dir.path(), args);
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        receiver.recv().expect("it gets that far");
        let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let ran = Ran::from(child.wait_with_output().unwrap());
        drop(release);
        registry.answer_with(|_, _| None);
        ran
    };
    let pull = interrupted(&["pull", &reference, "-o", "out.wasm"], |request| request.target.contains("/blobs/"));
    assert_eq!(pull.exits(130).stderr, "error: interrupted; no file was left half written\n");
    registry.with(|contents| contents.blobs.clear());
    let changed = [&push(&reference)[..], &["--annotation", "a=b"]].concat();
    let push = interrupted(&changed, |request| request.method == "PUT").exits(130);
    assert_eq!(push.stdout, "");
    assert!(push.stderr.contains("interrupted"), "{}", push.stderr);
    assert_eq!((registry.tag("1.0"), listing(dir.path())), before);
}
