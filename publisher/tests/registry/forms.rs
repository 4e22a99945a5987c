//! Tests the forms that `push` publishes, what it refuses, and what `inspect` says about who could load the result.

use std::path::Path;

use crate::support::registry::FakeRegistry;
use crate::support::{self, Ran, module, plugin, run, workplace};
use serde_json::{Value, json};

const ABI: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const NEEDED: &str = r#"(memory (export "memory") 1) (func (export "malloc") (param i32) (result i32) (i32.const 0))"#;

fn push(dir: &Path, form: &str) -> Ran {
    run(dir, &["push", &format!("oci:out:{form}"), "--wasm", "plugin.wasm", "--format", form, "--output", "json"])
}

/// A blob of the layout, as JSON.
fn blob(dir: &Path, digest: &Value) -> Value {
    let hex = digest.as_str().expect("a digest").trim_start_matches("sha256:");
    serde_json::from_slice(&std::fs::read(dir.join("out/blobs/sha256").join(hex)).expect("it is there"))
        .expect("it is JSON")
}

/// The consumers that would load the image under a tag of the layout, by name.
fn loads(dir: &Path, tag: &str) -> Vec<String> {
    let ran = run(dir, &["inspect", &format!("oci:out:{tag}"), "--output", "json"]);
    let report = ran.json();
    let consumers = report["consumers"].as_array().expect("a list");
    assert_eq!(ran.code, if report["istio"]["loads"] == true { 0 } else { 3 });
    let named = consumers.iter().filter(|verdict| verdict["loads"] == true).map(|verdict| verdict["consumer"].as_str());
    named.map(|name| name.expect("a name").to_owned()).collect()
}

#[test]
fn each_form_has_its_shape_and_its_consumers_and_the_same_module_inside() {
    let dir = workplace();
    let meshes = ["istio", "envoy-gateway", "higress"];
    let tools = ["skopeo", "crane"];
    for (form, manifest_type, config, layers, consumers) in [
        (
            "oci",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            &["application/vnd.oci.image.layer.v1.tar+gzip"][..],
            [&meshes[..], &["kubernetes-image-volume", "oras"], &tools].concat(),
        ),
        (
            "docker",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            &["application/vnd.docker.image.rootfs.diff.tar.gzip"],
            [&meshes[..], &["kubernetes-image-volume"], &tools].concat(),
        ),
        (
            "solo",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.module.wasm.config.v1+json",
            &["application/vnd.module.wasm.config.v1+json", "application/vnd.module.wasm.content.layer.v1+wasm"],
            [&meshes[..], &["oras", "crane"]].concat(),
        ),
        (
            "cncf",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.wasm.config.v0+json",
            &["application/wasm"],
            vec!["wkg", "oras", "crane"],
        ),
    ] {
        let pushed = push(dir.path(), form).exits(0).json();
        assert_eq!((&pushed["form"], &pushed["mediaType"]), (&form.into(), &manifest_type.into()));
        let manifest = blob(dir.path(), &pushed["digest"]);
        assert_eq!((&manifest["mediaType"], &manifest["schemaVersion"]), (&manifest_type.into(), &2.into()));
        assert_eq!(manifest["config"]["mediaType"], config);
        let types: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
        assert_eq!(types, layers);
        assert_eq!(push(dir.path(), form).exits(0).json()["unchanged"], true);

        run(dir.path(), &["pull", &format!("oci:out:{form}"), "-o", "out.wasm"]).exits(0);
        assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin(), "{form}");
        assert_eq!(loads(dir.path(), form), consumers, "{form}");
    }
}

#[test]
fn what_the_build_wrote_into_the_module_is_annotated() {
    let dir = workplace();
    let oci = blob(dir.path(), &push(dir.path(), "oci").exits(0).json()["digest"])["annotations"].clone();
    for (key, value) in [
        ("org.opencontainers.image.version", "1.2.3"),
        ("org.opencontainers.image.revision", "0123456789abcdef0123456789abcdef01234567"),
        ("org.opencontainers.image.licenses", "Apache-2.0"),
        ("io.faultline.abi", "0.2.1"),
        ("io.faultline.config-schema", "1"),
        ("module.wasm.image/variant", "compat"),
    ] {
        assert_eq!(oci[key], value, "{key}");
    }
    assert_eq!(oci["org.opencontainers.image.created"], Value::Null);

    // Docker manifests have no annotations; there they are labels.
    let docker = blob(dir.path(), &push(dir.path(), "docker").exits(0).json()["digest"]);
    assert_eq!(docker["annotations"], Value::Null);
    assert_eq!(blob(dir.path(), &docker["config"]["digest"])["config"]["Labels"]["io.faultline.abi"], "0.2.1");

    // The user's annotations take precedence.
    let mine = ["--annotation", "org.opencontainers.image.version=2", "--annotation", "x=y", "--output", "json"];
    let args = [&["push", "oci:out:mine", "--wasm", "plugin.wasm"][..], &mine].concat();
    let mine = blob(dir.path(), &run(dir.path(), &args).exits(0).json()["digest"])["annotations"].clone();
    assert_eq!((&mine["org.opencontainers.image.version"], &mine["x"]), (&"2".into(), &"y".into()));
}

#[test]
fn the_epoch_shows_in_every_time() {
    let dir = workplace();
    for (form, places) in [
        ("oci", &["/annotations/org.opencontainers.image.created", "config/created"][..]),
        ("docker", &["config/created", "config/config/Labels/org.opencontainers.image.created"]),
        ("cncf", &["/annotations/org.opencontainers.image.created", "config/created"]),
    ] {
        let args = ["push", "oci:out:x", "--wasm", "plugin.wasm", "--format", form, "--output", "json"];
        let mut command = support::faultline(dir.path(), &args);
        let ran = Ran::from(command.env("SOURCE_DATE_EPOCH", "1735689600").output().unwrap()).exits(0).json();
        let manifest = blob(dir.path(), &ran["digest"]);
        let config = blob(dir.path(), &manifest["config"]["digest"]);
        for place in places {
            let found = match place.strip_prefix("config") {
                Some(rest) => config.pointer(rest),
                None => manifest.pointer(place),
            };
            assert_eq!(found, Some(&"2025-01-01T00:00:00Z".into()), "{form} {place}");
        }
    }
}

#[test]
fn what_no_proxy_could_load_is_refused_whatever_is_said() {
    let dir = workplace();
    for (parts, words) in [
        (String::new(), "proxy_abi_version_0_2_1"),
        (format!("{NEEDED} (func (export \"proxy_abi_version_0_3_0\"))"), "proxy_abi_version_0_2_1"),
        (ABI.to_owned(), "exports no memory"),
        (format!("{ABI} (memory (export \"memory\") 1)"), "neither `malloc` nor `proxy_on_memory_allocate`"),
        (format!("(import \"env\" \"proxy_nope\" (func)) {ABI} {NEEDED}"), "`env.proxy_nope`, which no proxy provides"),
        (format!("(import \"wbg\" \"x\" (func)) {ABI} {NEEDED}"), "`wbg.x`, which no proxy provides"),
    ] {
        std::fs::write(dir.path().join("bad.wasm"), module(&parts)).unwrap();
        run(dir.path(), &["push", "oci:out:bad", "--wasm", "bad.wasm", "--force"])
            .fails_with(&["module `bad.wasm`", words]);
    }
    std::fs::write(dir.path().join("bad.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    run(dir.path(), &["push", "oci:out:bad", "--wasm", "bad.wasm", "--force"]).fails_with(&["component"]);
    let huge = std::fs::File::create(dir.path().join("bad.wasm")).unwrap();
    huge.set_len(256 * 1024 * 1024 + 1).unwrap();
    run(dir.path(), &["push", "oci:out:bad", "--wasm", "bad.wasm", "--force"]).fails_with(&["256 MiB"]);
    assert!(!dir.path().join("out").exists());
}

#[test]
fn what_is_doubtful_needs_force() {
    let dir = workplace();
    let custom = |name: &str| {
        format!(r#"(@custom "io.faultline" "{}")"#, support::BUILD_INFO.replace("faultline", name).replace('"', "\\\""))
    };
    let padding = "x".repeat(1_000_000);
    for (parts, words) in [
        (String::new(), "no build information of faultline"),
        (r#"(@custom "io.faultline" "not JSON")"#.to_owned(), "no build information of faultline"),
        (custom("other"), "says that it is `other`"),
        (format!(r#"{} (@custom "padding" "{padding}")"#, custom("faultline")), "1.0 MB"),
    ] {
        std::fs::write(dir.path().join("odd.wasm"), module(&format!("{ABI} {NEEDED} {parts}"))).unwrap();
        let args = ["push", "oci:odd:1.0", "--wasm", "odd.wasm"];
        run(dir.path(), &args).fails_with(&["module `odd.wasm`", words, "--force"]);
        let forced = run(dir.path(), &[&args[..], &["--force"]].concat()).exits(0);
        assert!(forced.stderr.contains(words), "what was overridden is still said: {}", forced.stderr);
    }
    let recent = format!(
        r#"(import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32))) {ABI} {NEEDED} {}"#,
        custom("faultline")
    );
    std::fs::write(dir.path().join("odd.wasm"), module(&recent)).unwrap();
    run(dir.path(), &["push", "oci:odd:2.0", "--wasm", "odd.wasm"]).fails_with(&["fd_sync", "1.39", "--force"]);
    // Another plugin's artifact must not claim to be the filter.
    std::fs::write(dir.path().join("odd.wasm"), module(&format!("{ABI} {NEEDED}"))).unwrap();
    run(dir.path(), &["push", "oci:odd:3.0", "--wasm", "odd.wasm", "--force"]).exits(0);
    let report = run(dir.path(), &["inspect", "oci:odd:3.0", "--output", "json"]).exits(0).json();
    assert_eq!(report["annotations"].as_object().unwrap().len(), 2, "{}", report["annotations"]);
    assert_eq!(report["version"], Value::Null);
}

#[test]
fn inspect_says_it_in_istios_words_and_what_to_do() {
    let dir = workplace();
    push(dir.path(), "cncf").exits(0);
    let report = run(dir.path(), &["inspect", "oci:out:cncf", "--output", "json"]).exits(3).json();
    let says = report["consumers"][0]["says"].as_str().unwrap();
    for words in [
        "the given image is in invalid format as an OCI image",
        "could not parse as compat variant: invalid media type application/wasm (expect \
            application/vnd.oci.image.layer.v1.tar+gzip)",
        "could not parse as oci variant: number of layers must be 2 but got 1",
    ] {
        assert!(says.contains(words), "{says}");
    }
    assert!(report["consumers"][0]["remedy"].as_str().unwrap().contains("faultline push"));
    let text = run(dir.path(), &["inspect", "oci:out:cncf"]).exits(3).stdout;
    assert!(text.contains("says: the given image is in invalid format"), "{text}");
    // The opposite case: the default form and who loads it.
    push(dir.path(), "oci").exits(0);
    let text = run(dir.path(), &["inspect", "oci:out:oci"]).exits(0).stdout;
    assert!(text.lines().any(|line| line.starts_with("Istio ") && line.contains(" yes")), "{text}");
    assert!(text.contains("do: publish it with --format cncf"), "{text}");
}

#[test]
fn an_index_that_is_pinned_is_refused_in_istios_words() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    run(dir.path(), &["push", &registry.reference("own"), "--wasm", "plugin.wasm"]).exits(0);
    let own = registry.tag("own").expect("it was pushed");
    let media_type = "application/vnd.oci.image.index.v1+json";
    let child = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": own, "size": registry.size_of(&own)});
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [child]});
    let index = registry.put_manifest("index", media_type, &index);

    let tagged = registry.reference("index");
    assert_eq!(run(dir.path(), &["inspect", &tagged, "--output", "json"]).exits(0).json()["istio"]["loads"], true);
    let pinned = format!("{tagged}@{index}");
    let report = run(dir.path(), &["inspect", &pinned, "--output", "json"]).exits(3).json();
    let (own_hex, index_hex) = (own.trim_start_matches("sha256:"), index.trim_start_matches("sha256:"));
    assert_eq!(
        report["consumers"][0]["says"],
        format!("module downloaded from oci://{pinned} has checksum {own_hex}, which does not match: {index_hex}")
    );
    assert!(report["consumers"][0]["remedy"].as_str().unwrap().contains(&own));
}

#[test]
fn an_archive_without_the_module_is_refused_in_istios_words() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    // A tar archive ends with two empty blocks; this one contains nothing else.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &[0; 1024]).unwrap();
    let layer = registry.put_blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip.finish().unwrap());
    let config = registry.put_blob("application/vnd.oci.image.config.v1+json", b"{}");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.put_manifest(
        "empty",
        media_type,
        &json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}),
    );
    let report = run(dir.path(), &["inspect", &registry.reference("empty"), "--output", "json"]).exits(3).json();
    let says = report["consumers"][0]["says"].as_str().unwrap();
    assert!(says.contains("plugin.wasm not found in the archive"), "{says}");
    // It would not work as a volume either, because its config lists no layers.
    let volume =
        report["consumers"].as_array().unwrap().iter().find(|one| one["consumer"] == "kubernetes-image-volume");
    assert!(volume.unwrap()["problem"].as_str().unwrap().contains("rootfs.diff_ids"));
}
