//! Tests of answers and layers that look right and are not: each must be noticed, and none may end in success.

use serde_json::{Value, json};

use crate::support::registry::{FakeRegistry, Reply, digest};
use crate::support::{listing, plugin, run, workplace};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn push(reference: &str) -> [&str; 4] {
    ["push", reference, "--wasm", "plugin.wasm"]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

/// An image with this layer under a tag.
fn image(registry: &FakeRegistry, tag: &str, layer: &[u8]) -> Value {
    let config = registry.put_blob("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI, "config": config,
        "layers": [registry.put_blob(LAYER, layer)]});
    registry.put_manifest(tag, OCI, &manifest);
    manifest
}

#[test]
fn a_layer_of_several_gzip_members_is_read_to_its_end() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let module = plugin();
    let whole = tar(&[(".no.prefetch.landmark", b"\x0f"), ("plugin.wasm", &module)]);
    for (tag, cuts) in [("two", vec![100_000]), ("head", vec![512]), ("estargz", vec![1024]), ("many", vec![1, 2, 3])] {
        let (mut layer, mut start) = (Vec::new(), 0);
        for end in cuts.into_iter().chain([whole.len()]) {
            layer.extend(gzip(&whole[start..end]));
            start = end;
        }
        image(&registry, tag, &layer);
        run(dir.path(), &["pull", &registry.reference(tag), "-o", "out.wasm"]).exits(0);
        assert!(std::fs::read(dir.path().join("out.wasm")).unwrap() == module, "{tag}");
        run(dir.path(), &["inspect", &registry.reference(tag)]).exits(0);
    }
}

#[test]
fn what_is_no_whole_module_is_not_pulled() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let whole = tar(&[("plugin.wasm", &plugin())]);
    let link = {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "plugin.wasm", "/etc/hostname").unwrap();
        archive.into_inner().unwrap()
    };
    let mut damaged = gzip(&whole);
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    let before = listing(dir.path());
    for (tag, layer, words) in [
        ("cut", gzip(&whole[..512 + 1000]), &["is cut", "1000 of the"][..]),
        ("link", gzip(&link), &["a symbolic link"]),
        ("text", gzip(&tar(&[("plugin.wasm", b"hello")])), &["not a WebAssembly module", "text"]),
        ("empty", gzip(&tar(&[("plugin.wasm", b"")])), &["it is empty"]),
        ("header", gzip(&tar(&[("plugin.wasm", b"\0asm\x01")])), &["truncated"]),
        ("other", gzip(&tar(&[("x", &plugin())])), &["no plugin.wasm"]),
        ("checksum", damaged, &["is damaged"]),
        ("tail", gzip(&whole)[..gzip(&whole).len() - 3].to_vec(), &["is damaged"]),
    ] {
        image(&registry, tag, &layer);
        let reference = registry.reference(tag);
        run(dir.path(), &["pull", &reference, "-o", "out.wasm"]).fails_with(&[&[reference.as_str()], words].concat());
        assert_eq!(listing(dir.path()), before);
    }
}

#[test]
fn bytes_behind_the_archive_are_counted() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let layer = [gzip(&tar(&[("plugin.wasm", &plugin())])), b"garbage".to_vec()].concat();
    image(&registry, "1.0", &layer);
    let reference = registry.reference("1.0");
    let pulled = run(dir.path(), &["pull", &reference, "-o", "out.wasm", "--output", "json"]).exits(0);
    assert!(pulled.json()["warnings"][0].as_str().unwrap().contains("7 bytes"), "{}", pulled.stdout);
    assert!(pulled.stderr.contains("warning: 7 bytes"), "{}", pulled.stderr);
    assert!(run(dir.path(), &["inspect", &reference]).exits(0).stderr.contains("7 bytes"));
}

#[test]
fn a_descriptor_that_announces_another_size_is_refused_wherever_it_stands() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let layer = gzip(&tar(&[("plugin.wasm", &plugin())]));
    let honest = image(&registry, "honest", &layer);
    let own = registry.tag("honest").unwrap();
    for (tag, by) in [("larger", 1), ("smaller", -1), ("negative", -10_000_000)] {
        let mut manifest = honest.clone();
        manifest["layers"][0]["size"] = json!(i64::try_from(layer.len()).unwrap() + by);
        registry.put_manifest(tag, OCI, &manifest);
        let child =
            json!({"mediaType": OCI, "digest": own, "size": i64::try_from(registry.size_of(&own)).unwrap() + by});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]});
        registry.put_manifest(&format!("{tag}-child"), INDEX, &index);
    }
    for tag in ["larger", "smaller", "negative", "larger-child", "smaller-child", "negative-child"] {
        let reference = registry.reference(tag);
        let before = listing(dir.path());
        run(dir.path(), &["pull", &reference, "-o", "out.wasm", "--retries", "0"]).fails_with(&["announce"]);
        assert_eq!(listing(dir.path()), before);
        run(dir.path(), &["copy", &reference, &format!("oci:{tag}:1"), "--retries", "0"]).fails_with(&["announce"]);
    }
    // The same in a layout.
    run(dir.path(), &["copy", &registry.reference("honest"), "oci:out:1"]).exits(0);
    let mut manifest = honest;
    manifest["layers"][0]["size"] = json!(layer.len() + 1);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    std::fs::write(dir.path().join("out/blobs/sha256").join(&digest(&bytes)[7..]), &bytes).unwrap();
    let pinned = format!("oci:out:1@{}", digest(&bytes));
    run(dir.path(), &["pull", &pinned, "-o", "out.wasm"]).fails_with(&["wrong size", "announces"]);
}

#[test]
fn a_sign_in_page_is_no_registry() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    run(dir.path(), &push("oci:out:1.0")).exits(0);
    let reference = registry.reference("1.0");
    for kind in [Some("text/html; charset=utf-8"), Some("application/json"), None] {
        registry.answer_with(move |_, _| {
            let page = Reply::new(200, "<html><title>Please sign in</title></html>");
            Some(match kind {
                Some(kind) => page.header("Content-Type", kind),
                None => page,
            })
        });
        for args in [
            &push(&reference)[..],
            &["tag", &reference, "2"],
            &["copy", "oci:out:1.0", &reference],
            &["pull", &reference, "-o", "out.wasm"],
            &["inspect", &reference],
            &["list", reference.trim_end_matches(":1.0")],
        ] {
            run(dir.path(), args).fails_with(&["not that of a registry"]);
        }
    }
}

#[test]
fn only_the_right_status_counts_as_success() {
    for (method, part, statuses) in [
        ("PUT", "/manifests/", &[200, 204, 206][..]),
        ("PUT", "/blobs/", &[200, 202, 204]),
        ("POST", "/blobs/", &[200, 201, 204]),
        ("HEAD", "/blobs/", &[201, 204, 206]),
    ] {
        for status in statuses {
            let (dir, registry, status) = (workplace(), FakeRegistry::start(), *status);
            registry.answer_with(move |request, _| {
                (request.method == method && request.target.contains(part)).then(|| Reply::new(status, ""))
            });
            run(dir.path(), &push(&registry.reference("1.0")))
                .fails_with(&["not that of a registry", &status.to_string()]);
            assert_eq!(registry.tag("1.0"), None, "{method} {part} {status}");
        }
    }
    // 202 for a manifest is seen in the wild.
    let (dir, registry) = (workplace(), FakeRegistry::start());
    registry.answer_with(|request, _| {
        (request.method == "PUT" && request.target.contains("/manifests/")).then(|| Reply::new(202, ""))
    });
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
}

#[test]
fn what_was_stored_under_another_digest_is_not_pushed() {
    for part in ["/manifests/", "/blobs/"] {
        for told in [digest(b"other"), "sha256:0000".to_owned()] {
            let (dir, registry) = (workplace(), FakeRegistry::start());
            let answer = told.clone();
            registry.answer_with(move |request, _| {
                (request.method == "PUT" && request.target.contains(part))
                    .then(|| Reply::new(201, "").header("Docker-Content-Digest", answer.clone()))
            });
            run(dir.path(), &push(&registry.reference("1.0"))).fails_with(&["wrong digest", "expected sha256:", &told]);
        }
    }
    // A digest of another algorithm tells nothing.
    let (dir, registry) = (workplace(), FakeRegistry::start());
    registry.answer_with(|request, _| {
        (request.method == "PUT" && request.target.contains("/manifests/"))
            .then(|| Reply::new(201, "").header("Docker-Content-Digest", "sha512:00"))
    });
    run(dir.path(), &push(&registry.reference("1.0"))).exits(0);
}

#[test]
fn a_list_that_is_none_and_one_without_an_end_are_refused() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let repository = format!("{}/mesh/faultline", registry.host());
    for body in ["{}", r#"{"tags":"1.0"}"#, r#"{"tags":[1]}"#, "[]", "null"] {
        registry.answer_with(move |_, _| Some(Reply::new(200, body)));
        run(dir.path(), &["list", &repository]).fails_with(&["not that of a registry"]);
    }
    registry.answer_with(|_, _| Some(Reply::new(200, r#"{"tags":null}"#)));
    run(dir.path(), &["list", &repository]).exits(0);
    // A next page in each way to say it, and one that is nowhere.
    for link in [
        "<?last=1>; rel=next",
        "</v2/mesh/faultline/tags/list?n=9>; rel=\"first\", </v2/mesh/faultline/tags/list?last=1>; rel=\"next\"",
        "</v2/mesh/faultline/tags/list?last=1>; title=\"more\"; Rel=\"Next\"",
    ] {
        registry.answer_with(move |request, _| match request.target.contains("last=1") {
            true => Some(Reply::new(200, r#"{"tags":["2.0"]}"#)),
            false => Some(Reply::new(200, r#"{"tags":["1.0"]}"#).header("Link", link)),
        });
        assert_eq!(run(dir.path(), &["list", &repository]).exits(0).stdout, "1.0\n2.0\n", "{link}");
    }
    registry.answer_with(|_, _| Some(Reply::new(200, r#"{"tags":["1.0"]}"#).header("Link", "<http://[>; rel=next")));
    run(dir.path(), &["list", &repository]).fails_with(&["it leads to what is no URL"]);
    // Two pages that lead to each other.
    registry.answer_with(|request, _| {
        let other = if request.target.contains("last=a") { "b" } else { "a" };
        let link = format!("</v2/mesh/faultline/tags/list?last={other}>; rel=\"next\"");
        Some(Reply::new(200, r#"{"tags":["1.0"]}"#).header("Link", link))
    });
    run(dir.path(), &["list", &repository]).fails_with(&["in a circle"]);
}
