//! Tests with a real registry for each way of access control: how many requests a push takes, and how another tool
//! handles what was copied.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use lab::net::authority::Authority;
use lab::programs::publisher::Publisher;
use lab::programs::run::{output_of, stdout_of};
use lab::programs::tools::Tool;
use lab::registry::TokenService;
use lab::registry::{Door, Registry, User};
use serde_json::{Value, json};

const USER: User = User { name: "mesh", password: "a pass:word with $igns" };
const IDENTITY: &str = "an-identity-token";

/// A registry and how to reach it.
struct Guarded {
    registry: Registry,
    /// The flags that are needed to reach it.
    flags: Vec<String>,
    tokens: Option<TokenService>,
    // Contains the authority's certificate.
    dir: tempfile::TempDir,
}

impl Guarded {
    fn open() -> Result<Self> {
        Ok(Self {
            registry: Registry::start_behind(Door::Open)?,
            flags: Vec::new(),
            tokens: None,
            dir: tempfile::tempdir()?,
        })
    }

    fn with_password_over_tls() -> Result<Self> {
        let (authority, dir) = (Authority::new()?, tempfile::tempdir()?);
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, authority.pem())?;
        let registry = Registry::start_behind(Door::PasswordOverTls(USER, &authority))?;
        Ok(Self { registry, flags: vec!["--ca-file".into(), file.display().to_string()], tokens: None, dir })
    }

    fn with_tokens() -> Result<Self> {
        let tokens = TokenService::start(USER, IDENTITY)?;
        let registry = Registry::start_behind(Door::Token(&tokens))?;
        Ok(Self { registry, flags: Vec::new(), tokens: Some(tokens), dir: tempfile::tempdir()? })
    }

    fn at(&self, name: &str) -> String {
        format!("{}/mesh/{name}", self.registry.address())
    }

    /// Runs `faultline` with the flags for this registry.
    fn run(&self, publisher: &Publisher, args: &[&str]) -> Result<String> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        publisher.ok(&[args, &flags].concat())
    }

    /// Logs in as a user would.
    fn log_in(&self, publisher: &Publisher, password: &str) -> Result<Output> {
        let host = self.registry.address().to_string();
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let login = ["login", &host, "--username", USER.name, "--password-stdin"];
        publisher.run(&[&login[..], &flags].concat(), password)
    }
}

fn push_args<'a>(reference: &'a str, module: &'a str) -> [&'a str; 4] {
    ["push", reference, "--wasm", module]
}

fn module() -> Result<String> {
    Ok(Tool::Module.path()?.display().to_string())
}

#[test]
fn a_fresh_push_takes_ten_requests_at_most_and_an_unchanged_one_two_however_the_registry_is_guarded() -> Result<()> {
    let module = module()?;
    let guarded = [Guarded::open()?, Guarded::with_password_over_tls()?, Guarded::with_tokens()?];
    let mut counts = Vec::new();
    for (at, registry) in guarded.iter().enumerate() {
        let publisher = Publisher::new()?;
        let reference = registry.at("faultline:v1");
        let asked = || registry.tokens.as_ref().map_or(0, TokenService::asked);
        let mut logged_in = 0;
        if at > 0 {
            let wrong = registry.log_in(&publisher, "not the password")?;
            assert!(!wrong.status.success());
            let right = registry.log_in(&publisher, USER.password)?;
            assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
            logged_in = registry.registry.requests_until("GET /v2/ 200")?.len();
        }
        let before = asked();
        let first = registry.run(&publisher, &push_args(&reference, &module))?;
        let put = "PUT /v2/mesh/faultline/manifests/v1 201";
        let fresh = registry.registry.requests_until(put)?.len() - logged_in;
        let for_fresh = asked() - before;
        assert_eq!(registry.run(&publisher, &push_args(&reference, &module))?, first);
        let all = registry.registry.requests_until("HEAD /v2/mesh/faultline/manifests/v1 200")?.len();
        let unchanged = all - fresh - logged_in;
        counts.push([fresh, for_fresh, unchanged, asked() - before - for_fresh]);
    }
    // Requests to the registry and to the token service, for a new push and for an unchanged one.
    assert_eq!(counts, [[7, 0, 1, 0], [8, 0, 2, 0], [8, 1, 2, 1]]);
    Ok(())
}

#[test]
fn what_istios_agent_cannot_pull_from_is_warned_of() -> Result<()> {
    let module = module()?;
    let cases: [(Guarded, &[&str]); 3] = [
        (Guarded::open()?, &[]),
        (Guarded::with_password_over_tls()?, &["realm scheme \"\" not allowed", "--ca-file"]),
        (Guarded::with_tokens()?, &["realm targets private/loopback/link-local IP"]),
    ];
    for (registry, expected) in cases {
        let publisher = Publisher::new()?;
        if !expected.is_empty() {
            ensure!(registry.log_in(&publisher, USER.password)?.status.success());
        }
        let reference = registry.at("faultline:v1");
        for args in [&push_args(&reference, &module)[..], &["inspect", &reference]] {
            let told: Value =
                serde_json::from_str(&registry.run(&publisher, &[args, &["--output", "json"]].concat())?)?;
            let warnings: Vec<String> = serde_json::from_value(told["warnings"].clone())?;
            assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
            assert!(warnings.iter().zip(expected).all(|(told, words)| told.contains(words)), "{warnings:?}");
        }
    }
    Ok(())
}

#[test]
fn an_identity_token_is_as_good_as_a_password() -> Result<()> {
    let registry = Guarded::with_tokens()?;
    let publisher = Publisher::new()?;
    let file = publisher.docker_config();
    std::fs::create_dir_all(file.parent().context("a directory")?)?;
    let entry = json!({"auths": {registry.registry.address().to_string(): {"identitytoken": IDENTITY}}});
    std::fs::write(&file, entry.to_string())?;
    let by_digest = registry.run(&publisher, &push_args(&registry.at("faultline:v1"), &module()?))?;
    assert!(by_digest.contains("@sha256:"));
    Ok(())
}

#[test]
fn an_authority_of_ones_own_is_trusted_where_it_is_named_only() -> Result<()> {
    let registry = Guarded::with_password_over_tls()?;
    let publisher = Publisher::new()?;
    let (reference, module) = (registry.at("faultline:v1"), module()?);
    ensure!(registry.log_in(&publisher, USER.password)?.status.success());
    let refused = publisher.run(&[&push_args(&reference, &module)[..], &["--ca-file", "/dev/null"]].concat(), "")?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no PEM certificate"));
    let other = registry.dir.path().join("other.pem");
    std::fs::write(&other, Authority::new()?.pem())?;
    let other = other.display().to_string();
    let refused = publisher.run(&[&push_args(&reference, &module)[..], &["--ca-file", &other]].concat(), "")?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("certificate is not trusted") && words.contains("--ca-file"), "{words}");

    // `--ca-file` is given because a loopback address is otherwise contacted by plain http. Its certificate is the
    // wrong one; trust comes from `SSL_CERT_FILE`.
    let mut by_environment = publisher.command(&[&push_args(&reference, &module)[..], &["--ca-file", &other]].concat());
    by_environment.env("SSL_CERT_FILE", &registry.flags[1]);
    let pushed = output_of(&mut by_environment, "")?;
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    Ok(())
}

/// Adds to a layout a document that is attached to `subject`, in the same way as oras.
fn attach(layout: &Path, subject: &str) -> Result<String> {
    let stored = |bytes: &[u8]| -> Result<(String, usize)> {
        let sum = ring::digest::digest(&ring::digest::SHA256, bytes);
        let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(layout.join("blobs/sha256").join(&hex), bytes)?;
        Ok((format!("sha256:{hex}"), bytes.len()))
    };
    let (empty, _) = stored(b"{}")?;
    let (sbom, size) = stored(b"{\"spdxVersion\": \"SPDX-2.3\"}")?;
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/spdx+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": "application/spdx+json", "digest": sbom, "size": size}],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1}});
    let (manifest, size) = stored(manifest.to_string().as_bytes())?;
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let entries = index["manifests"].as_array_mut().context("an index")?;
    entries.push(json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size}));
    std::fs::write(&path, index.to_string())?;
    Ok(manifest)
}

#[test]
fn copies_go_there_and_back_with_what_is_attached_and_skopeo_reads_them() -> Result<()> {
    let (open, tls, tokens) = (Guarded::open()?, Guarded::with_password_over_tls()?, Guarded::with_tokens()?);
    let publisher = Publisher::new()?;
    for guarded in [&tls, &tokens] {
        ensure!(guarded.log_in(&publisher, USER.password)?.status.success());
    }
    let dir = tempfile::tempdir()?;
    let layout = dir.path().join("layout");
    let in_layout = format!("oci:{}:v1", layout.display());
    let pushed = open.run(&publisher, &push_args(&open.at("faultline:v1"), &module()?))?;
    let digest = pushed.rsplit_once('@').context("a digest")?.1.to_owned();
    let copied = |reference: &str| format!("{reference}@{digest}");

    assert_eq!(publisher.ok(&["copy", &open.at("faultline:v1"), &in_layout])?, copied(&in_layout));
    let sbom = attach(&layout, &digest)?;
    let (in_tls, in_tokens) = (tls.at("faultline:v1"), tokens.at("faultline:v1"));
    assert_eq!(publisher.ok(&["copy", &in_layout, &in_tls, "--to-ca-file", &tls.flags[1]])?, copied(&in_tls));
    assert_eq!(publisher.ok(&["copy", &in_tls, &in_tokens, "--from-ca-file", &tls.flags[1]])?, copied(&in_tokens));
    // Within a registry, to another repository.
    let elsewhere = tokens.at("elsewhere:v1");
    let said: Value = serde_json::from_str(&publisher.ok(&["copy", &in_tokens, &elsewhere, "--output", "json"])?)?;
    assert_eq!((&said["digest"], &said["bytes"], &said["attached"]), (&json!(digest), &json!(0), &json!(1)));

    // Back into a layout: the document has been copied at every step.
    let back = dir.path().join("back");
    publisher.ok(&["copy", &elsewhere, &format!("oci:{}:v1", back.display())])?;
    let found = std::fs::read(back.join("blobs/sha256").join(sbom.trim_start_matches("sha256:")))?;
    assert!(String::from_utf8(found)?.contains("application/spdx+json"));

    // skopeo, with the credentials that `login` stored: after a copy to a layout and back, the digest is the same.
    let skopeo = |args: &[&str]| -> Result<String> {
        let mut command = Command::new(Tool::Skopeo.path()?);
        command.args(args).env("REGISTRY_AUTH_FILE", publisher.docker_config());
        stdout_of(&mut command, "")
    };
    let theirs = format!("oci:{}:v1", dir.path().join("theirs").display());
    skopeo(&["copy", "--src-tls-verify=false", &format!("docker://{elsewhere}"), &theirs])?;
    let again = open.at("again:v1");
    assert_eq!(publisher.ok(&["copy", &theirs, &again])?, copied(&again));
    let last = tokens.at("last:v1");
    let ours = format!("oci:{}:v1", back.display());
    skopeo(&["copy", "--dest-tls-verify=false", &ours, &format!("docker://{last}")])?;
    let raw = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{last}")])?;
    assert_eq!(raw, digest);
    Ok(())
}

#[test]
fn tags_are_given_and_listed() -> Result<()> {
    let (registry, publisher) = (Guarded::with_tokens()?, Publisher::new()?);
    ensure!(registry.log_in(&publisher, USER.password)?.status.success());
    registry.run(&publisher, &push_args(&registry.at("faultline:1.2.0"), &module()?))?;
    publisher.ok(&["tag", &registry.at("faultline:1.2.0"), "1.10.0", "latest"])?;
    assert_eq!(publisher.ok(&["list", &registry.at("faultline")])?, "1.2.0\n1.10.0\nlatest");
    let absent = publisher.run(&["list", &registry.at("absent")], "")?;
    assert!(String::from_utf8_lossy(&absent.stderr).contains("404"));
    Ok(())
}
