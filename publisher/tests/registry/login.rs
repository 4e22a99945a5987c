//! Tests `login` and `logout`: only credentials that the registry accepts are stored, and they are stored where docker
//! looks for them.

use crate::support::registry::{FakeRegistry, Reply};
use crate::support::{self, Ran, run, run_with_input, workplace};

/// A registry that accepts the user acme with the password s3cret.
fn guarded() -> FakeRegistry {
    let registry = FakeRegistry::start();
    registry.answer_with(|request, _| {
        let admitted = request.authorization.as_deref() == Some("Basic YWNtZTpzM2NyZXQ=");
        (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="test""#))
    });
    registry
}

fn login(dir: &tempfile::TempDir, registry: &FakeRegistry, password: &[u8]) -> Ran {
    let args = ["login", registry.host(), "--username", "acme", "--password-stdin"];
    let ran = run_with_input(dir.path(), &args, password);
    assert!(!ran.stderr.contains("s3cret") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    ran
}

fn config(dir: &tempfile::TempDir) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(dir.path().join("docker/config.json")).unwrap()).unwrap()
}

#[test]
fn a_password_is_kept_once_it_is_accepted_and_forgotten_again() {
    let (dir, registry) = (workplace(), guarded());
    login(&dir, &registry, b"hunter2\n").fails_with(&["401", "refused the user `acme`"]);
    assert!(!dir.path().join("docker").exists());

    let said = login(&dir, &registry, b"s3cret\n").exits(0);
    assert!(said.stderr.contains("config.json") && said.stderr.contains("not encrypted"), "{}", said.stderr);
    assert_eq!(config(&dir)["auths"][registry.host()]["auth"], "YWNtZTpzM2NyZXQ=");
    let push = ["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"];
    run(dir.path(), &push).exits(0);

    run(dir.path(), &["logout", registry.host()]).exits(0);
    run(dir.path(), &push).fails_with(&["401", "no credentials"]);
    let nothing = run(dir.path(), &["logout", registry.host()]).exits(0);
    assert!(nothing.stderr.contains("no credentials"), "{}", nothing.stderr);
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone_and_keeps_what_else_is_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, registry) = (workplace(), guarded());
    let file = dir.path().join("docker/config.json");
    std::fs::create_dir(dir.path().join("docker")).unwrap();
    std::fs::write(&file, r#"{"psFormat": "x", "auths": {"other.io": {"auth": "YTpi"}}}"#).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    login(&dir, &registry, b"s3cret").exits(0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(config(&dir)["psFormat"], "x");
    assert_eq!(config(&dir)["auths"]["other.io"]["auth"], "YTpi");

    // A file that cannot be read is not overwritten, and no password is sent.
    std::fs::write(&file, "{").unwrap();
    registry.requests();
    login(&dir, &registry, b"s3cret").fails_with(&["config.json", "malformed"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
    assert_eq!(registry.requests(), Vec::<String>::new());
}

/// The fake helper keeps one secret in a file beside itself and reads all of its input, as helpers do.
#[cfg(unix)]
#[test]
fn a_credential_helper_that_docker_uses_is_used() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, registry) = (workplace(), guarded());
    let helper = dir.path().join("docker-credential-test");
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\ncase $1 in\nstore) cat > kept ;;\n\
                  get) cat > asked; cat kept 2>/dev/null || { echo credentials not found in native keychain; exit 1; } \
                  ;;\n\
                  erase) cat > asked; rm kept 2>/dev/null || { echo credentials not found; exit 1; } ;;\nesac\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(dir.path().join("docker")).unwrap();
    std::fs::write(dir.path().join("docker/config.json"), r#"{"credsStore": "test"}"#).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let with_helper = |args: &[&str], input: &[u8]| -> Ran {
        let mut command = support::faultline(dir.path(), args);
        command.env("PATH", &path).stdin(std::process::Stdio::piped());
        let mut child =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input);
        child.wait_with_output().unwrap().into()
    };
    let args = ["login", registry.host(), "--username", "acme", "--password-stdin"];
    let said = with_helper(&args, b"s3cret").exits(0);
    assert!(said.stderr.contains("docker-credential-test"), "{}", said.stderr);
    assert!(!std::fs::read_to_string(dir.path().join("docker/config.json")).unwrap().contains("YWNtZTpzM2NyZXQ="));
    let push = ["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"];
    with_helper(&push, b"").exits(0);
    with_helper(&["logout", registry.host()], b"").exits(0);
    assert!(!dir.path().join("kept").exists());
    with_helper(&push, b"").fails_with(&["401", "no credentials"]);
}

#[test]
fn what_is_no_registry_is_wrong_usage_and_one_without_passwords_is_said_to_be() {
    let (dir, open) = (workplace(), FakeRegistry::start());
    for bad in ["https://ghcr.io", "ghcr.io/acme", "acme", "acme:s3cret@ghcr.io"] {
        let args = ["login", bad, "--username", "acme", "--password-stdin"];
        run_with_input(dir.path(), &args, b"s3cret").exits(2);
    }
    run(dir.path(), &["login", open.host()]).refuses_usage_with(&["no terminal", "--password-stdin"]);
    let said = login(&dir, &open, b"s3cret").exits(0);
    assert!(said.stderr.contains("asks nobody for a password"), "{}", said.stderr);
}

#[test]
fn an_identity_token_is_kept_and_exchanged() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let realm = format!(r#"Bearer realm="http://{}/token",service="s""#, registry.host());
    registry.answer_with(move |request, _| {
        if request.target.starts_with("/token") {
            let form = String::from_utf8_lossy(&request.body).into_owned();
            let known = request.method == "POST" && form.contains("refresh_token=t0ken&");
            return Some(if known { Reply::new(200, r#"{"access_token":"short"}"#) } else { Reply::new(401, "") });
        }
        let admitted = request.authorization.as_deref() == Some("Bearer short");
        (!admitted).then(|| Reply::new(401, "").header("WWW-Authenticate", realm.clone()))
    });
    let login = |token: &[u8]| run_with_input(dir.path(), &["login", registry.host(), "--identity-token-stdin"], token);
    login(b"wrong\n").fails_with(&["401", "identity token"]);
    login(b"\n").fails_with(&["no identity token"]);
    assert!(!dir.path().join("docker").exists());
    let said = login(b"t0ken\n").exits(0);
    assert!(said.stderr.contains("the identity token is in") && !said.stderr.contains("t0ken"), "{}", said.stderr);
    assert_eq!(config(&dir)["auths"][registry.host()]["identitytoken"], "t0ken");
    run(dir.path(), &["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"]).exits(0);
    run(dir.path(), &["login", registry.host(), "--identity-token-stdin", "--username", "a"]).exits(2);
}
