//! Tests of forms, signatures and attached documents in a real registry, read by skopeo and, if available, by cosign.
//!
//! cosign is taken from `FAULTLINE_COSIGN` (several, separated as in `PATH`) or `PATH`. Without one its test is
//! skipped, because there is no package of it that set-up can install everywhere. The publisher's own tests make the
//! same checks with openssl.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::programs::publisher::Publisher;
use lab::programs::run::{output_of, stdout_of};
use lab::programs::tools::Tool;
use lab::registry::Registry;
use lab::skip::skip;
use serde_json::Value;

const PASSWORD: (&str, &str) = ("COSIGN_PASSWORD", "correct horse");

/// A registry, a publisher, and a directory with a key pair in it.
struct Bench {
    registry: Registry,
    publisher: Publisher,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        let bench = Self { registry: Registry::start(None)?, publisher: Publisher::new()?, dir: tempfile::tempdir()? };
        bench.with_password(&["generate-key-pair", "--output-key-prefix", &bench.file("cosign")?])?;
        Ok(bench)
    }

    fn reference(&self, tag: &str) -> String {
        format!("{}/mesh/faultline:{tag}", self.registry.address())
    }

    fn file(&self, name: &str) -> Result<String> {
        Ok(self.dir.path().join(name).to_str().context("a path")?.to_owned())
    }

    fn push(&self, tag: &str, more: &[&str]) -> Result<String> {
        let (module, reference) = (Tool::Module.path()?, self.reference(tag));
        let args = ["push", &reference, "--wasm", module.to_str().context("a path")?];
        self.publisher.ok(&[&args[..], more].concat())
    }

    fn with_password(&self, args: &[&str]) -> Result<String> {
        stdout_of(self.publisher.command(args).env(PASSWORD.0, PASSWORD.1), "")
    }
}

fn skopeo(args: &[&str]) -> Result<String> {
    stdout_of(Command::new(Tool::Skopeo.path()?).args(args), "")
}

#[test]
fn every_form_is_taken_by_a_registry_and_copied_by_another_tool() -> Result<()> {
    let bench = Bench::new()?;
    let module = std::fs::read(Tool::Module.path()?)?;
    for form in ["oci", "docker", "solo", "cncf"] {
        let by_digest = bench.push(form, &["--format", form])?;
        ensure!(bench.push(form, &["--format", form])? == by_digest, "the same again is the same");
        let digest = by_digest.rsplit_once('@').context("a digest")?.1;
        let (from, to) = (bench.reference(form), bench.reference(&format!("{form}-copy")));
        skopeo(&[
            "copy",
            "-q",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &format!("docker://{from}"),
            &format!("docker://{to}"),
        ])?;
        let file = bench.file("pulled.wasm")?;
        let pulled: Value =
            serde_json::from_str(&bench.publisher.ok(&["pull", &to, "-o", &file, "--output", "json"])?)?;
        assert_eq!((&pulled["digest"], &pulled["form"]), (&digest.into(), &form.into()));
        assert!(std::fs::read(&file)? == module, "{form}: byte for byte");
        // The report must say what skopeo really does.
        let report = bench.publisher.run(&["inspect", &from, "--output", "json"], "")?;
        let report: Value = serde_json::from_slice(&report.stdout)?;
        let said = report["consumers"].as_array().context("a list")?.iter().find(|one| one["consumer"] == "skopeo");
        let inspected = skopeo(&["inspect", "--tls-verify=false", &format!("docker://{from}")]).is_ok();
        assert_eq!(said.context("skopeo's verdict")?["loads"], inspected, "{form}");
    }
    Ok(())
}

#[test]
fn signatures_and_documents_lie_beside_the_artifact() -> Result<()> {
    let bench = Bench::new()?;
    let (reference, key) = (bench.reference("v1"), bench.file("cosign.key")?);
    let by_digest = bench.push("v1", &[])?;
    assert_eq!(bench.with_password(&["sign", &reference, "--key", &key])?, by_digest);
    assert_eq!(bench.publisher.ok(&["verify", &reference, "--key", &bench.file("cosign.pub")?])?, by_digest);
    std::fs::write(bench.file("note.txt")?, "seen")?;
    let attach = ["attach", &reference, &bench.file("note.txt")?, "--type", "text/plain"];
    assert_eq!(bench.publisher.ok(&attach)?, bench.publisher.ok(&attach)?);
    let report: Value = serde_json::from_str(&bench.publisher.ok(&["inspect", &reference, "--output", "json"])?)?;
    assert_eq!(report["signatures"], 1);
    assert_eq!(report["attached"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["attached"][0]["artifactType"], "text/plain");

    // In a registry without the referrers API they are under a tag, where other tools also look.
    let tag = report["digest"].as_str().context("a digest")?.replace(':', "-");
    let index = format!("docker://{}", bench.reference(&tag));
    let index: Value = serde_json::from_str(&skopeo(&["inspect", "--raw", "--tls-verify=false", &index])?)?;
    assert_eq!(index["manifests"][0]["digest"], report["attached"][0]["digest"]);
    Ok(())
}

#[test]
fn the_list_of_components_goes_with_the_module_it_describes() -> Result<()> {
    let bench = Bench::new()?;
    let reference = bench.reference("v1");
    // The module embedded in the program, which is the one that the list describes.
    bench.publisher.ok(&["push", &reference])?;
    let attached: Value =
        serde_json::from_str(&bench.publisher.ok(&["attach", &reference, "--sbom", "--output", "json"])?)?;
    assert_eq!(attached["artifactType"], "application/vnd.cyclonedx+json");
    let report: Value = serde_json::from_str(&bench.publisher.ok(&["inspect", &reference, "--output", "json"])?)?;
    assert_eq!(report["attached"][0]["digest"], attached["digest"]);
    assert_eq!(report["module"]["build"]["name"], "faultline");
    Ok(())
}

fn cosigns() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("FAULTLINE_COSIGN") {
        return std::env::split_paths(&named).collect();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("cosign")).find(|file| file.is_file()).into_iter().collect()
}

#[test]
fn cosign_verifies_what_we_sign_and_we_what_it_signs() -> Result<()> {
    let cosigns = cosigns();
    if cosigns.is_empty() {
        let test = "cosign_verifies_what_we_sign_and_we_what_it_signs";
        skip(test, lab::skip::Tool::Optional, "there is no cosign on PATH or in FAULTLINE_COSIGN");
        return Ok(());
    }
    let bench = Bench::new()?;
    let (key, public) = (bench.file("cosign.key")?, bench.file("cosign.pub")?);
    for (number, cosign) in cosigns.iter().enumerate() {
        let run = |words: &[&str]| {
            let mut command = Command::new(cosign);
            command.args(words).arg("--allow-http-registry").env("HOME", bench.dir.path()).env(PASSWORD.0, PASSWORD.1);
            output_of(&mut command, "")
        };
        let ours = bench.reference(&format!("ours-{number}"));
        let by_digest = bench.push(&format!("ours-{number}"), &["--annotation", &format!("n={number}")])?;
        let verify = |reference: &str| run(&["verify", "--key", &public, "--insecure-ignore-tlog", reference]);
        ensure!(!verify(&ours)?.status.success(), "{}: nothing is signed yet", cosign.display());
        bench.with_password(&["sign", &ours, "--key", &key])?;
        let verified = verify(&by_digest)?;
        ensure!(verified.status.success(), "{}: {}", cosign.display(), String::from_utf8_lossy(&verified.stderr));

        // cosign 3 writes its older form only with a flag that cosign 2 does not have.
        let theirs = bench.push(&format!("theirs-{number}"), &["--annotation", &format!("m={number}")])?;
        let sign = ["sign", "--key", &key, "--tlog-upload=false", "-y", &theirs];
        let version_3 = ["--use-signing-config=false", "--new-bundle-format=false"];
        let signed = run(&[&sign[..], &version_3].concat())?.status.success() || run(&sign)?.status.success();
        ensure!(signed, "{} does not sign", cosign.display());
        bench.publisher.ok(&["verify", &theirs, "--key", &public])?;
    }
    Ok(())
}
