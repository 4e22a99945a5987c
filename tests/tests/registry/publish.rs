//! Tests that what is pushed is what runs: the module through a real registry, as other tools read it, and into Envoy.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::programs::publisher::Publisher;
use lab::programs::run::stdout_of;
use lab::programs::tools::Tool;
use lab::registry::{Registry, User};
use lab::wait::eventually;
use lab::zones::{HOST, Zones, plugin_config};

const USER: User = User { name: "mesh", password: "a pass:word with $igns" };

/// Runs skopeo with `stdin` and returns its standard output.
fn skopeo(args: &[&str], stdin: &str) -> Result<String> {
    stdout_of(Command::new(Tool::Skopeo.path()?).args(args), stdin)
}

/// Pushes the module, and returns its reference by digest.
fn push(publisher: &Publisher, reference: &str) -> Result<String> {
    let module = Tool::Module.path()?;
    let module = module.to_str().context("the module's path")?;
    let by_digest = publisher.ok(&["push", reference, "--wasm", module])?;
    ensure!(by_digest.contains("@sha256:"), "stdout of push is the digest reference, not {by_digest:?}");
    Ok(by_digest)
}

fn pull(publisher: &Publisher, reference: &str, file: &Path) -> Result<Vec<u8>> {
    publisher.ok(&["pull", reference, "-o", file.to_str().context("a path")?])?;
    Ok(std::fs::read(file)?)
}

#[test]
fn the_pulled_module_is_the_one_that_runs() -> Result<()> {
    let registry = Registry::start(None)?;
    let publisher = Publisher::new()?;
    let dir = tempfile::tempdir()?;
    let by_digest = push(&publisher, &format!("{}/mesh/faultline:v1", registry.address()))?;

    let module = dir.path().join("pulled.wasm");
    assert!(pull(&publisher, &by_digest, &module)? == std::fs::read(Tool::Module.path()?)?, "byte for byte");

    let zones = Zones::start()?;
    let rules = OutlierDetection::first_error();
    let bootstrap =
        Bootstrap::new(&Zones::home(), vec![zones.cluster(rules.clone())]).with_filter(&module, &plugin_config(&rules));
    let envoy = Envoy::start(&bootstrap)?;
    assert_eq!(envoy.load(HOST, 4)?.send(20).status(200), 20);
    eventually("the module's metrics", || {
        let attempts = envoy.metrics()?.sum("faultline_attempts_total", &[]);
        Ok((attempts == 20.0).then_some(()))
    })
}

#[test]
fn pushing_again_gives_the_same_digest_and_skopeo_can_read_and_copy_it() -> Result<()> {
    let registry = Registry::start(None)?;
    let publisher = Publisher::new()?;
    let dir = tempfile::tempdir()?;
    let at = |tag: &str| format!("{}/mesh/faultline:{tag}", registry.address());
    let first = push(&publisher, &at("v1"))?;
    let second = push(&publisher, &at("v2"))?;
    let digest = |reference: &str| reference.rsplit('@').next().unwrap_or_default().to_owned();
    assert_eq!(digest(&first), digest(&second));

    let image = format!("docker://{}", at("v1"));
    let inspected: serde_json::Value = serde_json::from_str(&skopeo(&["inspect", "--tls-verify=false", &image], "")?)?;
    assert_eq!(inspected["Digest"], digest(&first));
    assert_eq!(inspected["Layers"].as_array().map(Vec::len), Some(1));

    // To a layout and back with another tool, byte for byte.
    let layout = format!("oci:{}:v1", dir.path().join("layout").display());
    skopeo(&["copy", "--src-tls-verify=false", &image, &layout], "")?;
    let module = std::fs::read(Tool::Module.path()?)?;
    assert!(pull(&publisher, &layout, &dir.path().join("from-layout.wasm"))? == module);
    let copy = at("copy");
    skopeo(&["copy", "--dest-tls-verify=false", &layout, &format!("docker://{copy}")], "")?;
    assert!(pull(&publisher, &copy, &dir.path().join("from-copy.wasm"))? == module);
    Ok(())
}

#[test]
fn a_registry_with_a_password_takes_the_right_one_only() -> Result<()> {
    let registry = Registry::start(Some(USER))?;
    let reference = format!("{}/mesh/faultline:v1", registry.address());
    let module = Tool::Module.path()?;
    let push_args = ["push", &reference, "--wasm", module.to_str().context("the module's path")?];

    let stranger = Publisher::new()?.run(&push_args, "")?;
    assert!(!stranger.status.success());
    assert!(stranger.stdout.is_empty(), "nothing was pushed, so nothing is printed");
    let message = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(message.contains(&registry.address().to_string()), "{message}");

    let publisher = Publisher::new()?;
    let named = [&push_args[..], &["--username", USER.name, "--password-stdin"]].concat();
    let wrong = publisher.run(&named, "not the password\n")?;
    assert!(!wrong.status.success());
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("not the password"), "a password is never printed");
    let pushed = publisher.run(&named, &format!("{}\n", USER.password))?;
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let by_digest = String::from_utf8(pushed.stdout)?.trim_end().to_owned();

    // From here on, with credentials that another tool stored.
    let file = publisher.docker_config();
    let login = ["login", "--tls-verify=false", "--username", USER.name, "--password-stdin", "--authfile"];
    let host = registry.address().to_string();
    skopeo(&[&login[..], &[file.to_str().context("a path")?, &host]].concat(), USER.password)?;
    assert_eq!(push(&publisher, &reference)?, by_digest);
    let dir = tempfile::tempdir()?;
    let pulled = pull(&publisher, &by_digest, &dir.path().join("pulled.wasm"))?;
    assert!(pulled == std::fs::read(&module)?);
    Ok(())
}

#[test]
fn a_registry_that_is_down_leaves_no_file() -> Result<()> {
    let registry = Registry::start(None)?;
    let reference = format!("{}/mesh/faultline:v1", registry.address());
    drop(registry);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("faultline.wasm");
    let output = Publisher::new()?.run(&["pull", &reference, "-o", file.to_str().context("a path")?], "")?;
    assert!(!output.status.success());
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0, "no file, whole or partial");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&reference));
    Ok(())
}
