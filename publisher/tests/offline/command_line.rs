//! Tests what every command has in common: wrong input, exit codes, and where output goes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::{self, faultline, listing, run, workplace};

#[test]
fn a_module_that_no_proxy_could_start_is_not_published() {
    let dir = workplace();
    let whole = support::plugin();
    for (name, bytes, words) in [
        ("empty.wasm", &b""[..], &["empty"][..]),
        ("text.wasm", b"(module)", &["not a WebAssembly module", "WebAssembly text"]),
        ("gzip.wasm", b"\x1f\x8b\x08\0", &["gzip"]),
        ("cut.wasm", &whole[..whole.len() - 10], &["truncated"]),
        ("bare.wasm", b"\0asm\x01\0\0\0", &["proxy_abi_version_0_2_1", "proxy-wasm SDK"]),
    ] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let ran = run(dir.path(), &["push", "oci:out:1.0", "--wasm", name]);
        ran.fails_with(&[words, &[&format!("module `{name}`")]].concat());
    }
    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "absent.wasm"]).fails_with(&["absent.wasm", "No such file"]);
    assert!(!listing(dir.path()).contains(&"out".to_owned()));
}

#[test]
fn a_malformed_reference_is_named_by_every_command() {
    let dir = workplace();
    for reference in ["faultline", "https://ghcr.io/a:1", "ghcr.io/a", "oci:", "ghcr.io/A:1", "ghcr.io/a:1@sha256:0"] {
        let words = ["reference `", reference, "`: "];
        run(dir.path(), &["push", reference, "--wasm", "plugin.wasm"]).refuses_usage_with(&words);
        run(dir.path(), &["pull", reference, "-o", "x"]).refuses_usage_with(&words);
        run(dir.path(), &["inspect", reference]).refuses_usage_with(&words);
        run(dir.path(), &["manifest", reference]).refuses_usage_with(&words);
    }
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    let dir = workplace();
    for wrong in [&[][..], &["fly"], &["push"], &["pull", "ghcr.io/a:1"], &["inspect", "a", "--output", "xml"]] {
        run(dir.path(), wrong).exits(2);
    }
    // A password must come from standard input, and needs a user name.
    run(dir.path(), &["push", "ghcr.io/a:1", "--password-stdin"]).exits(2);
    run(dir.path(), &["push", "ghcr.io/a:1", "--username", "x"]).exits(2);
    assert!(run(dir.path(), &["push", "--help"]).exits(0).stdout.contains("Examples:"));
    assert!(run(dir.path(), &["completions", "bash"]).exits(0).stdout.contains("faultline"));
    // As kubectl, helm and oras call it.
    assert!(run(dir.path(), &["completion", "zsh"]).exits(0).stdout.starts_with("#compdef faultline"));
}

#[cfg(unix)]
#[test]
fn as_kubectls_plugin_help_and_errors_say_what_is_typed_there() {
    use std::os::unix::process::CommandExt;
    let dir = workplace();
    let as_plugin = |args: &[&str]| -> support::Ran {
        faultline(dir.path(), args).arg0("/opt/bin/kubectl-faultline").output().unwrap().into()
    };
    let help = as_plugin(&["--help"]).exits(0).stdout;
    assert!(help.contains("Usage: kubectl faultline [OPTIONS] <COMMAND>"), "{help}");
    assert!(help.contains("\n  kubectl faultline push ghcr.io/"), "{help}");
    let help = as_plugin(&["watch", "--help"]).exits(0).stdout;
    assert!(help.contains("Usage: kubectl faultline watch ") && help.contains("| kubectl faultline watch"), "{help}");
    assert!(!help.contains("| faultline"), "{help}");
    assert!(as_plugin(&["push"]).exits(2).stderr.contains("Usage: kubectl faultline push"));
    assert!(run(dir.path(), &["push"]).exits(2).stderr.contains("Usage: faultline push"));
}

#[test]
fn a_signed_file_is_verified_and_a_changed_one_is_not() {
    let dir = workplace();
    let signing = |args: &[&str]| -> support::Ran {
        faultline(dir.path(), args).env("COSIGN_PASSWORD", "x").output().unwrap().into()
    };
    signing(&["generate-key-pair"]).exits(0);
    std::fs::write(dir.path().join("sums"), "one\n").unwrap();
    assert_eq!(signing(&["sign-blob", "sums", "--key", "cosign.key"]).exits(0).stdout, "sums.sig\n");
    assert_eq!(run(dir.path(), &["verify-blob", "sums", "--key", "cosign.pub"]).exits(0).stdout, "sums\n");
    // The same key and file give the same signature.
    signing(&["sign-blob", "sums", "--key", "cosign.key", "--output-signature", "again"]).exits(0);
    let read = |file: &str| std::fs::read(dir.path().join(file)).unwrap();
    assert_eq!(read("sums.sig"), read("again"));

    std::fs::write(dir.path().join("sums"), "two\n").unwrap();
    let told = run(dir.path(), &["verify-blob", "sums", "--key", "cosign.pub"]).exits(3).stderr;
    assert!(
        told.contains("`sums` is not verified: the signature was not made of this content with this key"),
        "{told}"
    );
    run(dir.path(), &["verify-blob", "cosign.pub", "--key", "cosign.pub"])
        .fails_with(&["cannot read the signature `cosign.pub.sig`", "--signature"]);
}

#[test]
fn openssl_verifies_the_signature_of_a_file() {
    let dir = workplace();
    let openssl = |args: &[&str]| Command::new("openssl").args(args).current_dir(dir.path()).output();
    if openssl(&["version"]).is_err() {
        crate::skip::skip("a file's signature and openssl", crate::skip::Tool::Optional, "openssl is not on PATH");
        return;
    }
    let signing = |args: &[&str]| -> support::Ran {
        faultline(dir.path(), args).env("COSIGN_PASSWORD", "x").output().unwrap().into()
    };
    signing(&["generate-key-pair"]).exits(0);
    signing(&["sign-blob", "plugin.wasm", "--key", "cosign.key"]).exits(0);
    assert!(openssl(&["base64", "-d", "-A", "-in", "plugin.wasm.sig", "-out", "der"]).unwrap().status.success());
    let verified = openssl(&["dgst", "-sha256", "-verify", "cosign.pub", "-signature", "der", "plugin.wasm"]).unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn the_file_of_a_pull_must_be_one_that_can_be_written() {
    let dir = workplace();
    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm"]).exits(0);
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "."]).fails_with(&["`.` is a directory"]);
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "no/such/dir.wasm"])
        .fails_with(&["directory `no/such` does not exist; create it or choose another file"]);
    // The directory cannot be created because a file has its name.
    run(dir.path(), &["push", "oci:plugin.wasm/x:1.0", "--wasm", "plugin.wasm"])
        .fails_with(&["cannot create the directory `plugin.wasm/x`; choose another"]);
    if cfg!(target_os = "linux") {
        // Nobody may create a file in /proc.
        let ran = run(dir.path(), &["pull", "oci:out:1.0", "-o", "/proc/x.wasm"])
            .fails_with(&["cannot write `/proc/x.wasm`; make its directory writable or choose another"]);
        assert!(!ran.stderr.contains(".faultline-"), "{}", ran.stderr);
    }
}

#[cfg(unix)]
#[test]
fn a_file_takes_the_place_of_files_alone() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::os::unix::net::UnixListener;
    let dir = workplace();
    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm"]).exits(0);
    // The socket stands for devices that root must not overwrite: /dev/null, /dev/stdout.
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "socket"]).fails_with(&["`socket` is a device, a pipe or the like"]);
    assert!(std::fs::metadata(&socket).unwrap().file_type().is_socket());

    let link = dir.path().join("link");
    std::fs::write(dir.path().join("file"), "before").unwrap();
    symlink("file", &link).unwrap();
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "link"]).exits(0);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), support::plugin());
}

/// A Go server that expects TLS answers like this, and sends HEAD no body.
#[test]
fn plain_http_where_tls_is_wanted_is_named() {
    let dir = workplace();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reference = format!("{}/a:1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        }
    });
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).fails_with(&["https only", "--ca-file"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = workplace();
    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm"]).exits(0);
    for args in [
        &["completions", "zsh"][..],
        &["man"],
        &["inspect", "oci:out:1.0"],
        &["inspect", "oci:out:1.0", "--output", "json"],
    ] {
        let mut child = faultline(dir.path(), args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success(), "{args:?}");
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn signatures_come_by_a_pipe_as_bytes_and_in_bundles_of_cosign() {
    let dir = tempfile::tempdir().unwrap();
    let piped = |args: &[&str], input: &[u8]| {
        let mut command = crate::support::faultline(dir.path(), args);
        command.env("COSIGN_PASSWORD", "").stdin(std::process::Stdio::piped());
        let mut child =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        crate::support::Ran::from(child.wait_with_output().unwrap())
    };
    piped(&["generate-key-pair"], b"").exits(0);
    let signature = piped(&["sign-blob", "-", "--key", "cosign.key"], b"content").exits(0).stdout;
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let encoded = signature.trim();
    write("plain.sig", signature.as_bytes());
    write("der.sig", &base64::Engine::decode(&base64::prelude::BASE64_STANDARD, encoded).unwrap());
    write("cosign2.json", format!("{{\"base64Signature\": \"{encoded}\", \"cert\": \"\"}}").as_bytes());
    let bundle = serde_json::json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "messageSignature": {"messageDigest": {"algorithm": "SHA2_256"}, "signature": encoded},
    });
    write("cosign3.json", bundle.to_string().as_bytes());
    for (option, file) in [
        ("--signature", "plain.sig"),
        ("--signature", "der.sig"),
        ("--bundle", "cosign2.json"),
        ("--bundle", "cosign3.json"),
    ] {
        let args = ["verify-blob", "-", "--key", "cosign.pub", option, file];
        assert_eq!(piped(&args, b"content").exits(0).stdout, "-\n", "{file}");
        let told = piped(&args, b"another").exits(3).stderr;
        assert!(told.contains("was not made of this content with this key"), "{file}: {told}");
    }
    piped(&["verify-blob", "-", "--key", "cosign.pub"], b"content").refuses_usage_with(&["say with --signature"]);
}
