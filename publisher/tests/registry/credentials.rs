//! Tests of where credentials are looked for: every file of docker, podman and skopeo, and no other.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::registry::{FakeRegistry, Reply};
use crate::support::{Ran, faultline, run_with_input, workplace};

/// A registry that accepts only the user acme with the password s3cret.
fn guarded() -> FakeRegistry {
    let registry = FakeRegistry::start();
    registry.answer_with(|request, _| match request.authorization.as_deref() {
        Some("Basic YWNtZTpzM2NyZXQ=") => Some(Reply::new(200, r#"{"tags":["1.0"]}"#)),
        _ => Some(Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="x""#)),
    });
    registry
}

/// `faultline list` with no variable set that says where credentials are, and this home directory.
fn list(dir: &Path, registry: &FakeRegistry) -> Command {
    let mut command = faultline(dir, &["list", &format!("{}/mesh/faultline", registry.host())]);
    for variable in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
        command.env_remove(variable);
    }
    command.env("HOME", dir.join("home"));
    command
}

fn ran(command: &mut Command) -> Ran {
    command.output().unwrap().into()
}

fn write(path: &Path, auths: serde_json::Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, json!({"auths": auths}).to_string()).unwrap();
}

#[test]
fn each_place_is_looked_in_and_a_file_without_an_entry_does_not_end_the_search() {
    let registry = guarded();
    let right = json!({registry.host(): {"auth": "YWNtZTpzM2NyZXQ="}});
    for place in ["home/.docker/config.json", "run/containers/auth.json", "home/.config/containers/auth.json"] {
        let dir = workplace();
        for other in ["home/.docker/config.json", "run/containers/auth.json"] {
            write(&dir.path().join(other), json!({"quay.example": {"auth": "cTpx"}}));
        }
        let with_run = |command: &mut Command| ran(command.env("XDG_RUNTIME_DIR", dir.path().join("run")));
        with_run(&mut list(dir.path(), &registry)).fails_with(&["401", "no credentials"]);
        write(&dir.path().join(place), right.clone());
        with_run(&mut list(dir.path(), &registry)).exits(0);
    }
    let dir = workplace();
    write(&dir.path().join("own.json"), right.clone());
    ran(list(dir.path(), &registry).env("REGISTRY_AUTH_FILE", dir.path().join("own.json"))).exits(0);
    write(&dir.path().join("xdg/containers/auth.json"), right);
    ran(list(dir.path(), &registry).env("XDG_CONFIG_HOME", dir.path().join("xdg"))).exits(0);
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let (dir, registry) = (workplace(), guarded());
    let empty = |command: &mut Command| {
        for variable in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            command.env(variable, "");
        }
    };
    // A checkout of a stranger.
    write(&dir.path().join("config.json"), json!({registry.host(): {"auth": "Y3dkdXNlcjp4"}}));
    write(&dir.path().join("containers/auth.json"), json!({registry.host(): {"auth": "Y3dkdXNlcjp4"}}));
    let mut command = list(dir.path(), &registry);
    empty(&mut command);
    let refused = ran(&mut command).fails_with(&["no credentials"]);
    assert!(!refused.stderr.contains("cwduser"), "{}", refused.stderr);
    write(&dir.path().join("home/.docker/config.json"), json!({registry.host(): {"auth": "YWNtZTpzM2NyZXQ="}}));
    ran(&mut command).exits(0);
}

#[test]
fn an_entry_is_found_in_each_form_and_an_empty_one_is_none() {
    let registry = guarded();
    let host = registry.host();
    for key in [host.to_owned(), format!("https://{host}"), format!("http://{host}/v1/"), format!("{host}/mesh")] {
        let dir = workplace();
        write(&dir.path().join("home/.docker/config.json"), json!({host: {"auth": ""}}));
        ran(&mut list(dir.path(), &registry)).fails_with(&["no credentials"]);
        write(&dir.path().join("home/.config/containers/auth.json"), json!({key: {"auth": "YWNtZTpzM2NyZXQ="}}));
        ran(&mut list(dir.path(), &registry)).exits(0);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for place in ["home/.docker/config.json", "home/.config/containers/auth.json"] {
        let (dir, registry) = (workplace(), guarded());
        write(&dir.path().join(place), json!({}));
        std::fs::write(dir.path().join(place), "{").unwrap();
        ran(&mut list(dir.path(), &registry)).fails_with(&[place, "malformed"]);
        std::fs::write(dir.path().join(place), "").unwrap();
        ran(&mut list(dir.path(), &registry)).fails_with(&["no credentials"]);
    }
}

#[test]
fn a_configuration_that_is_named_is_the_only_one() {
    let (dir, registry) = (workplace(), guarded());
    let login = |option: &str, place: &str| {
        let args = ["login", registry.host(), "-u", "acme", "--password-stdin", option, place];
        run_with_input(dir.path(), &args, b"s3cret").exits(0);
    };
    let list = |place: &str| {
        let repository = format!("{}/mesh/faultline", registry.host());
        ran(&mut faultline(dir.path(), &["ls", &repository, "--config", place]))
    };
    let absent = list("other").fails_with(&["there is no `other`", "faultline login", "--registry-config other"]);
    assert!(!absent.stderr.contains("no credentials"), "{}", absent.stderr);
    std::fs::create_dir(dir.path().join("fresh")).unwrap();
    list("fresh").fails_with(&["no credentials"]);
    login("--config", "other");
    assert!(dir.path().join("other/config.json").exists());
    list("other").exits(0);
    login("--registry-config", "auth.json");
    list("auth.json").exits(0);
    list("elsewhere.json").fails_with(&["there is no `elsewhere.json`"]);
}
