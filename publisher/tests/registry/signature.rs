//! Tests keys, signatures and attached documents. openssl verifies them, because cosign is not always installed;
//! `tests/tests/signatures.rs` uses cosign.

use std::path::Path;
use std::process::Command;

use crate::support::registry::FakeRegistry;
use crate::support::{Ran, faultline, run, run_with_input, workplace};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// A directory with a module and a key pair.
fn with_keys() -> tempfile::TempDir {
    let dir = workplace();
    with_password(dir.path(), PASSWORD, &["generate-key-pair"]).exits(0);
    dir
}

fn with_password(dir: &Path, password: &str, args: &[&str]) -> Ran {
    faultline(dir, args).env("COSIGN_PASSWORD", password).output().expect("faultline runs").into()
}

fn openssl(dir: &Path, args: &[&str]) -> std::process::Output {
    Command::new("openssl").args(args).current_dir(dir).output().expect("openssl is installed")
}

fn push(dir: &Path, tag: &str) -> String {
    let reference = format!("oci:out:{tag}");
    run(dir, &["push", &reference, "--wasm", "plugin.wasm", "--annotation", &format!("tag={tag}")]).exits(0);
    reference
}

fn sign(dir: &Path, reference: &str, key: &str) -> Ran {
    let args =
        ["sign", reference, "--key", key, "--image", "registry.example.com/mesh/faultline:1.0", "--output", "json"];
    with_password(dir, PASSWORD, &args)
}

fn blob(dir: &Path, digest: &str) -> Vec<u8> {
    std::fs::read(dir.join("out/blobs/sha256").join(digest.trim_start_matches("sha256:"))).expect("it is there")
}

/// The signature manifest of the layout.
fn signatures(dir: &Path, tag: &Value) -> Value {
    let index: Value = serde_json::from_slice(&std::fs::read(dir.join("out/index.json")).unwrap()).unwrap();
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == *tag;
    let entry = index["manifests"].as_array().unwrap().iter().find(is_it).expect("the tag is there");
    serde_json::from_slice(&blob(dir, entry["digest"].as_str().unwrap())).unwrap()
}

#[test]
fn what_is_signed_is_verified_by_this_program_and_by_openssl() {
    let dir = with_keys();
    let reference = push(dir.path(), "1.0");
    let signed = sign(dir.path(), &reference, "cosign.key").exits(0).json();
    assert_eq!(signed["unchanged"], false);
    let verified = run(dir.path(), &["verify", &reference, "--key", "cosign.pub"]).exits(0);
    assert_eq!(verified.stdout.trim_end(), signed["reference"]);

    let manifest = signatures(dir.path(), &signed["signatureTag"]);
    let layer = &manifest["layers"][0];
    let payload = blob(dir.path(), layer["digest"].as_str().unwrap());
    let said: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(said["critical"]["image"]["docker-manifest-digest"], signed["digest"]);
    assert_eq!(said["critical"]["identity"]["docker-reference"], "registry.example.com/mesh/faultline");
    std::fs::write(dir.path().join("payload"), &payload).unwrap();
    std::fs::write(
        dir.path().join("signature.b64"),
        layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap(),
    )
    .unwrap();
    assert!(openssl(dir.path(), &["base64", "-d", "-A", "-in", "signature.b64", "-out", "signature"]).status.success());
    let judged =
        openssl(dir.path(), &["dgst", "-sha256", "-verify", "cosign.pub", "-signature", "signature", "payload"]);
    assert_eq!(String::from_utf8_lossy(&judged.stdout).trim_end(), "Verified OK");
}

#[test]
fn a_password_may_come_by_a_pipe() {
    let dir = workplace();
    let reference = push(dir.path(), "1.0");
    run(dir.path(), &["generate-key-pair"]).fails_with(&["none came from standard input", "COSIGN_PASSWORD"]);
    run_with_input(dir.path(), &["generate-key-pair"], b"correct horse\n").exits(0);
    let sign = ["sign", &reference, "--key", "cosign.key", "--image", "registry.example.com/mesh/faultline:1.0"];
    run_with_input(dir.path(), &sign, b"battery\n").fails_with(&["password is wrong"]);
    run_with_input(dir.path(), &sign, b"correct horse").exits(0);
    run(dir.path(), &["verify", &reference, "--key", "cosign.pub"]).exits(0);
    with_password(dir.path(), "correct horse", &sign).exits(0);
    // What is on standard input is the registry's password then.
    let both = [&sign[..], &["--username", "u", "--password-stdin"]].concat();
    run_with_input(dir.path(), &both, b"correct horse").fails_with(&["COSIGN_PASSWORD"]);
}

#[test]
fn signing_twice_adds_nothing_and_a_second_key_adds_its_own() {
    let dir = with_keys();
    let reference = push(dir.path(), "1.0");
    let first = sign(dir.path(), &reference, "cosign.key").exits(0).json();
    let before = signatures(dir.path(), &first["signatureTag"]);
    assert_eq!(sign(dir.path(), &reference, "cosign.key").exits(0).json()["unchanged"], true);
    assert_eq!(signatures(dir.path(), &first["signatureTag"]), before);

    with_password(dir.path(), PASSWORD, &["generate-key-pair", "--output-key-prefix", "other"]).exits(0);
    run(dir.path(), &["verify", &reference, "--key", "other.pub"]).exits(3);
    assert_eq!(sign(dir.path(), &reference, "other.key").exits(0).json()["unchanged"], false);
    for key in ["cosign.pub", "other.pub"] {
        let report = run(dir.path(), &["verify", &reference, "--key", key, "--output", "json"]).exits(0).json();
        let valid = report["signatures"].as_array().unwrap().iter().filter(|one| one["valid"] == true).count();
        assert_eq!((report["signatures"].as_array().unwrap().len(), valid), (2, 1));
    }
    assert_eq!(run(dir.path(), &["inspect", &reference, "--output", "json"]).exits(0).json()["signatures"], 2);
}

#[test]
fn a_signature_of_another_image_or_over_other_words_is_none() {
    let dir = with_keys();
    let (signed, other) = (push(dir.path(), "1.0"), push(dir.path(), "2.0"));
    let signed = sign(dir.path(), &signed, "cosign.key").exits(0).json();
    let other_digest = run(dir.path(), &["inspect", &other, "--output", "json"]).exits(0).json()["digest"].clone();
    let unsigned = run(dir.path(), &["verify", &other, "--key", "cosign.pub"]).exits(3);
    assert_eq!(unsigned.stdout, "");
    assert!(unsigned.stderr.contains("no signature at all"), "{}", unsigned.stderr);

    // The signatures of one image are moved to another.
    let registry = FakeRegistry::start();
    let pushed = |form: &str| {
        let reference = registry.reference(form);
        run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm", "--annotation", &format!("tag={form}")])
            .exits(0);
        reference
    };
    let victim = pushed("2.0");
    let tag = |digest: &Value| format!("{}.sig", digest.as_str().unwrap().replace(':', "-"));
    let mut manifest = signatures(dir.path(), &signed["signatureTag"]);
    let payload = blob(dir.path(), manifest["layers"][0]["digest"].as_str().unwrap());
    registry.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", &payload);
    registry.put_manifest(&tag(&other_digest), "application/vnd.oci.image.manifest.v1+json", &manifest);
    let moved = run(dir.path(), &["verify", &victim, "--key", "cosign.pub"]).exits(3);
    assert!(moved.stderr.contains("it is for another image"), "{}", moved.stderr);

    // The same, with the digest in the signed text changed.
    let forged =
        String::from_utf8(payload).unwrap().replace(signed["digest"].as_str().unwrap(), other_digest.as_str().unwrap());
    let descriptor = registry.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", forged.as_bytes());
    manifest["layers"][0]["digest"] = descriptor["digest"].clone();
    manifest["layers"][0]["size"] = descriptor["size"].clone();
    registry.put_manifest(&tag(&other_digest), "application/vnd.oci.image.manifest.v1+json", &manifest);
    let forged = run(dir.path(), &["verify", &victim, "--key", "cosign.pub"]).exits(3);
    assert!(forged.stderr.contains("not made with this key"), "{}", forged.stderr);
}

#[test]
fn keys_of_openssl_are_as_good() {
    let dir = with_keys();
    let reference = push(dir.path(), "1.0");
    let made = ["ecparam", "-name", "prime256v1", "-genkey", "-out", "sec1.pem"];
    assert!(openssl(dir.path(), &made).status.success());
    assert!(
        openssl(dir.path(), &["pkcs8", "-topk8", "-nocrypt", "-in", "sec1.pem", "-out", "pkcs8.pem"]).status.success()
    );
    assert!(openssl(dir.path(), &["ec", "-in", "sec1.pem", "-pubout", "-out", "public.pem"]).status.success());
    assert_eq!(sign(dir.path(), &reference, "sec1.pem").exits(0).json()["unchanged"], false);
    assert_eq!(
        sign(dir.path(), &reference, "pkcs8.pem").exits(0).json()["unchanged"],
        true,
        "the same key in other clothes"
    );
    run(dir.path(), &["verify", &reference, "--key", "public.pem"]).exits(0);

    assert!(openssl(dir.path(), &["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]).status.success());
    sign(dir.path(), &reference, "ed.pem").fails_with(&["key `ed.pem`", "no ECDSA key on P-256"]);
}

#[test]
fn a_key_that_cannot_be_used_is_named_and_a_password_never_shown() {
    let dir = with_keys();
    let reference = push(dir.path(), "1.0");
    let key = std::fs::read_to_string(dir.path().join("cosign.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join("cosign.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "only its owner may read a private key");
    }
    let args = ["sign", &reference, "--key", "cosign.key", "--image", "r.example.com/a:1"];
    let wrong = with_password(dir.path(), "s3cret-but-wrong", &args).fails_with(&["cosign.key", "password is wrong"]);
    assert!(!wrong.stderr.contains("s3cret"));
    run(dir.path(), &["verify", &reference, "--key", "cosign.key"]).fails_with(&[
        "cosign.key",
        "private key",
        "cosign.pub",
    ]);
    run(dir.path(), &["verify", &reference, "--key", "plugin.wasm"]).fails_with(&["plugin.wasm"]);
    with_password(dir.path(), PASSWORD, &["generate-key-pair"]).fails_with(&["`cosign.key` is there already"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("cosign.key")).unwrap(), key);
    // A signature names a repository, and a layout directory has none.
    with_password(dir.path(), PASSWORD, &args[..4]).refuses_usage_with(&["--image"]);
    with_password(
        dir.path(),
        PASSWORD,
        &["sign", "oci:out:9.9", "--key", "cosign.key", "--image", "r.example.com/a:1"],
    )
    .fails_with(&["9.9"]);
}

#[test]
fn documents_are_attached_once_and_listed() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    std::fs::write(dir.path().join("scan.json"), "{}").unwrap();
    std::fs::write(dir.path().join("notes.txt"), "as it is").unwrap();
    for reference in [registry.reference("1.0"), "oci:out:1.0".to_owned()] {
        run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
        let attach = |file: &str, kind: &str| {
            run(dir.path(), &["attach", &reference, file, "--type", kind, "--output", "json"]).exits(0).json()
        };
        let first = attach("scan.json", "application/sarif+json");
        assert_eq!(first["unchanged"], false);
        assert_eq!(attach("scan.json", "application/sarif+json")["unchanged"], true);
        let second = attach("notes.txt", "text/plain");
        let report = run(dir.path(), &["inspect", &reference, "--output", "json"]).exits(0).json();
        let mut listed: Vec<_> = report["attached"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["artifactType"].clone(), one["digest"].clone()))
            .collect();
        listed.sort_by_key(|(kind, _)| kind.to_string());
        assert_eq!(
            listed,
            [
                (json!("application/sarif+json"), first["digest"].clone()),
                (json!("text/plain"), second["digest"].clone())
            ]
        );
        assert_eq!(report["digest"], first["subject"]);
    }
    run(dir.path(), &["attach", "oci:out:1.0", "scan.json"]).exits(2);
    run(dir.path(), &["attach", "oci:out:1.0", "scan.json", "--type", "sarif"]).exits(2);
    run(dir.path(), &["attach", "oci:out:1.0", "absent", "--type", "text/plain"]).fails_with(&["absent"]);
    // The SBOM that is built into the program does not describe this module.
    run(dir.path(), &["attach", "oci:out:1.0", "--sbom"]).fails_with(&["list of components"]);
}

#[test]
fn keys_of_other_kinds_verify_and_a_key_can_be_in_a_variable() {
    let dir = with_keys();
    let registry = FakeRegistry::start();
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    let digest = registry.tag("1.0").unwrap();
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let payload = json!({"critical": {"identity": {"docker-reference": "r.example.com/a"},
        "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"}, "optional": null});
    std::fs::write(dir.path().join("payload"), payload.to_string()).unwrap();
    for (options, hash) in [
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..], "-sha256"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha384"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha256"),
    ] {
        let make = [&["genpkey"][..], options, &["-out", "key.pem"]].concat();
        assert!(openssl(dir.path(), &make).status.success());
        assert!(openssl(dir.path(), &["pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem"]).status.success());
        let signed = openssl(dir.path(), &["dgst", hash, "-sign", "key.pem", "payload"]).stdout;
        let mut layer =
            registry.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", payload.to_string().as_bytes());
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature":
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD, signed)});
        let config = registry.put_blob("application/vnd.oci.image.config.v1+json", b"{}");
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": oci, "config": config, "layers": [layer]});
        registry.put_manifest(&tag, oci, &manifest);
        run(dir.path(), &["verify", &reference, "--key", "pub.pem"]).exits(0);
        run(dir.path(), &["verify", &reference, "--key", "cosign.pub"]).exits(3);
        let key = std::fs::read_to_string(dir.path().join("pub.pem")).unwrap();
        let verify = ["verify", &reference, "--key", "env://KEY"];
        let ran: Ran = faultline(dir.path(), &verify).env("KEY", key).output().unwrap().into();
        ran.exits(0);
        run(dir.path(), &verify).fails_with(&["env://KEY", "no such variable"]);
    }
}

#[test]
fn bundles_and_attestations_are_read_and_only_believed_when_their_key_signed_them() {
    let dir = with_keys();
    let registry = FakeRegistry::start();
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    let digest = registry.tag("1.0").unwrap();
    assert!(
        openssl(dir.path(), &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"])
            .status
            .success()
    );
    assert!(openssl(dir.path(), &["pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem"]).status.success());
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
    let envelope = |kind: &str, about: &str| {
        let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "predicate": {},
            "subject": [{"name": "", "digest": {"sha256": about}}]})
        .to_string();
        let payload_type = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {payload_type} {} {statement}", payload_type.len(), statement.len());
        std::fs::write(dir.path().join("signed"), signed).unwrap();
        let signature = openssl(dir.path(), &["dgst", "-sha256", "-sign", "key.pem", "signed"]).stdout;
        json!({"payload": encode(statement.as_bytes()), "payloadType": payload_type,
            "signatures": [{"sig": encode(&signature)}]})
    };
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let bundle_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let attach = |envelope: &Value| {
        let bundle = json!({"mediaType": bundle_type, "dsseEnvelope": envelope,
            "verificationMaterial": {"publicKey": {"hint": ""}}});
        std::fs::write(dir.path().join("bundle.json"), bundle.to_string()).unwrap();
        run(dir.path(), &["attach", &reference, "bundle.json", "--type", bundle_type]).exits(0);
    };
    let verify = |key: &str, more: &[&str]| run(dir.path(), &[&["verify", &reference, "--key", key], more].concat());
    let (signed, provenance) = ("https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1");

    verify("pub.pem", &[]).exits(3);
    attach(&envelope(signed, &"0".repeat(64)));
    assert!(verify("pub.pem", &[]).exits(3).stderr.contains("about another image"));
    attach(&envelope(provenance, &digest[7..]));
    assert!(verify("pub.pem", &[]).exits(3).stderr.contains("it is a statement"), "no signature");
    verify("pub.pem", &["--attestation", "slsaprovenance1"]).exits(0);
    verify("pub.pem", &["--attestation", provenance]).exits(0);
    verify("pub.pem", &["--attestation", "spdx"]).exits(3);
    verify("cosign.pub", &["--attestation", provenance]).exits(3);
    attach(&envelope(signed, &digest[7..]));
    verify("pub.pem", &[]).exits(0);
    verify("cosign.pub", &[]).exits(3);

    // cosign 2 keeps attestations under a tag.
    let envelope = envelope("https://spdx.dev/Document", &digest[7..]);
    let layer = registry.put_blob("application/vnd.dsse.envelope.v1+json", envelope.to_string().as_bytes());
    let config = registry.put_blob("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": oci, "config": config, "layers": [layer]});
    registry.put_manifest(&format!("{}.att", digest.replace(':', "-")), oci, &manifest);
    verify("pub.pem", &["--attestation", "spdx"]).exits(0);
}

#[test]
fn a_signature_that_another_program_overwrites_is_added_again() {
    let (dir, registry) = (with_keys(), FakeRegistry::start());
    with_password(dir.path(), PASSWORD, &["generate-key-pair", "--output-key-prefix", "other"]).exits(0);
    let sign = |tag: &str, key: &str| {
        with_password(dir.path(), PASSWORD, &["sign", &registry.reference(tag), "--key", key]).exits(0)
    };
    run(dir.path(), &["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"]).exits(0);
    sign("1.0", "other.key");
    let tag = format!("{}.sig", registry.tag("1.0").unwrap().replace(':', "-"));
    let theirs = registry.with(|contents| contents.manifests.remove(&tag)).unwrap();
    // Theirs was read before ours was written, and is written after it.
    let (mut written, name) = (false, tag);
    registry.answer_with(move |request, contents| {
        let is_it = request.target.ends_with(&name);
        if is_it && request.method == "PUT" {
            written = true;
        } else if is_it && std::mem::take(&mut written) {
            // Only once: ours is in what is written next.
            let has_both = contents.manifests[&name].1.windows(12).filter(|it| it == b"simplesignin").count() > 1;
            if !has_both {
                contents.manifests.insert(name.clone(), theirs.clone());
            }
        }
        None
    });
    sign("1.0", "cosign.key");
    for key in ["cosign.pub", "other.pub"] {
        run(dir.path(), &["verify", &registry.reference("1.0"), "--key", key]).exits(0);
    }
}
