//! Tests `copy`, `tag` and `list`: between registries and layouts, with everything that belongs to an artifact, and
//! without sending anything twice.

use crate::support::registry::{FakeRegistry, digest};
use crate::support::{run, workplace};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Stores a document attached to `subject` in the registry and returns its digest.
fn attach(registry: &FakeRegistry, subject: &str, kind: &str) -> String {
    let empty = registry.put_blob("application/vnd.oci.empty.v1+json", b"{}");
    let layer = registry.put_blob(kind, format!("{kind} of {subject}").as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": empty,
        "layers": [layer], "annotations": {"of": subject},
        "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1}});
    let bytes = serde_json::to_vec(&manifest).unwrap();
    registry.with(|contents| contents.manifests.insert(digest(&bytes), (MANIFEST.to_owned(), bytes.clone())));
    digest(&bytes)
}

/// Publishes an index of the module's image for one platform, with a signature, an SBOM and a signature of the SBOM,
/// and a document attached to the image.
fn published(dir: &std::path::Path, registry: &FakeRegistry) -> (String, Vec<String>) {
    registry.with(|contents| contents.referrers = true);
    run(dir, &["push", &registry.reference("amd64"), "--wasm", "plugin.wasm"]).exits(0);
    let child = registry.tag("amd64").unwrap();
    let size = registry.with(|contents| contents.manifests[&child].1.len());
    let entry = json!({"mediaType": MANIFEST, "digest": child, "size": size,
        "platform": {"os": "linux", "architecture": "amd64"}});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let root = registry.put_manifest("1.0", INDEX, &index);
    let sbom = attach(registry, &root, "application/vnd.cyclonedx+json");
    let of_sbom = attach(registry, &sbom, "application/vnd.dev.sigstore.bundle.v0.3+json");
    let of_child = attach(registry, &child, "application/spdx+json");
    let layer = registry.put_blob("application/vnd.dev.cosign.simplesigning.v1+json", b"signed");
    let config = registry.put_blob("application/vnd.oci.image.config.v1+json", b"{\"a\":1}");
    let signature = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let signature = registry.put_manifest(&format!("{}.sig", root.replace(':', "-")), MANIFEST, &signature);
    (root, vec![sbom, of_sbom, of_child, signature])
}

fn holds(registry: &FakeRegistry, digest: &str) -> bool {
    registry.with(|contents| contents.manifests.contains_key(digest))
}

/// The digests in the list of attachments that clients keep.
fn kept_list(registry: &FakeRegistry, subject: &str) -> Vec<Value> {
    let tag = subject.replace(':', "-");
    let list = registry.with(|contents| contents.manifests.get(&tag).map(|(_, bytes)| bytes.clone()));
    let list: Value = list.map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
    list["manifests"].as_array().cloned().unwrap_or_default()
}

#[test]
fn an_index_goes_from_registry_to_layout_to_registry_with_all_that_belongs_to_it() {
    let (dir, source, old, new) = (workplace(), FakeRegistry::start(), FakeRegistry::start(), FakeRegistry::start());
    new.with(|contents| contents.referrers = true);
    let (root, attached) = published(dir.path(), &source);
    std::fs::create_dir(dir.path().join("out")).expect("an empty directory will do");
    let ran = run(dir.path(), &["copy", &source.reference("1.0"), "oci:out:1.0", "--output", "json"]).exits(0).json();
    assert_eq!((&ran["digest"], &ran["attached"], &ran["unchanged"]), (&json!(root), &json!(4), &json!(false)));

    // One registry keeps no list of attachments, the other does.
    for registry in [&old, &new] {
        let ran = run(dir.path(), &["copy", "oci:out:1.0", &registry.reference("2.0")]).exits(0);
        assert_eq!(ran.stdout, format!("{}@{root}\n", registry.reference("2.0")));
        assert_eq!(registry.tag("2.0"), Some(root.clone()));
        for digest in &attached {
            assert!(holds(registry, digest), "{digest} is missing");
        }
        assert_eq!(registry.tag(&format!("{}.sig", root.replace(':', "-"))).as_ref(), attached.last());
        run(dir.path(), &["pull", &registry.reference("2.0"), "-o", "out.wasm"]).exits(0);
    }
    let list = kept_list(&old, &root);
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["digest"], attached[0]);
    assert_eq!(list[0]["artifactType"], "application/vnd.cyclonedx+json");
    assert_eq!(list[0]["annotations"]["of"], root);
    assert_eq!(kept_list(&old, &attached[0]).len(), 1, "what is attached to what is attached");
    assert_eq!(kept_list(&new, &root), Vec::<Value>::new(), "a registry that lists them itself is not helped");

    // Copying also works from the registry without lists, and a second copy sends nothing.
    run(dir.path(), &["copy", &old.reference("2.0"), &new.reference("3.0")]).exits(0);
    new.requests();
    let again = run(dir.path(), &["copy", &old.reference("2.0"), &new.reference("3.0"), "--output", "json"]).exits(0);
    assert_eq!(again.json()["unchanged"], true);
    assert!(new.requests().iter().all(|request| request.starts_with("HEAD") || request.starts_with("GET")));
}

#[test]
fn what_belongs_to_it_can_be_left_behind() {
    let (dir, source, destination) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
    let (root, attached) = published(dir.path(), &source);
    run(dir.path(), &["copy", &source.reference("1.0"), &destination.reference("1.0"), "--no-attached"]).exits(0);
    assert_eq!(destination.tag("1.0"), Some(root));
    assert!(!attached.iter().any(|digest| holds(&destination, digest)));
}

#[test]
fn blobs_are_taken_over_within_a_registry_where_it_does_that() {
    for mounts in [true, false] {
        let (dir, registry) = (workplace(), FakeRegistry::start());
        run(dir.path(), &["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"]).exits(0);
        registry.with(|contents| contents.mounts = mounts);
        registry.requests();
        let elsewhere = format!("{}/mesh/other:1.0", registry.host());
        let ran = run(dir.path(), &["copy", &registry.reference("1.0"), &elsewhere]).exits(0);
        assert_eq!(ran.stdout, format!("{elsewhere}@{}\n", registry.tag("1.0").unwrap()));
        let uploads = registry.requests().iter().filter(|request| request.contains("PUT /v2/mesh/other/blobs")).count();
        assert_eq!(uploads, if mounts { 0 } else { 2 });
        run(dir.path(), &["pull", &elsewhere, "-o", "out.wasm"]).exits(0);
    }
}

#[test]
fn a_registry_that_cannot_list_what_is_attached_is_told_from_one_that_has_nothing() {
    let (dir, source, gitlab) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
    let (root, _) = published(dir.path(), &source);
    gitlab.with(|contents| contents.tags_are_digests = true);
    let to = gitlab.reference("1.0");
    run(dir.path(), &["copy", &source.reference("1.0"), &to]).fails_with(&["as the image itself", "not be found"]);
    assert_eq!(gitlab.tag("1.0"), None, "the tag comes last");
    run(dir.path(), &["copy", &source.reference("1.0"), &to, "--no-attached"]).exits(0);
    assert_eq!(gitlab.tag("1.0"), Some(root));
    // The registry serves the subject in place of the list, which must not be read as a list.
    run(dir.path(), &["copy", &to, "oci:out:1.0"]).exits(0);
}

#[test]
fn a_copy_that_fails_leaves_the_tag_where_it_was() {
    let (dir, source) = (workplace(), FakeRegistry::start());
    published(dir.path(), &source);
    let blobs: Vec<String> = source.with(|contents| contents.blobs.keys().cloned().collect());
    for lost in blobs {
        let destination = FakeRegistry::start();
        let to = destination.reference("1.0");
        run(dir.path(), &["push", &to, "--wasm", "plugin.wasm", "--annotation", "a=b"]).exits(0);
        let before = destination.tag("1.0");
        let bytes = source.with(|contents| contents.blobs.insert(lost.clone(), b"x".to_vec())).unwrap();
        destination.with(|contents| contents.blobs.remove(&lost));
        run(dir.path(), &["copy", &source.reference("1.0"), &to]).fails_with(&["wrong digest"]);
        assert_eq!(destination.tag("1.0"), before);
        source.with(|contents| contents.blobs.insert(lost, bytes));
    }
    let destination = FakeRegistry::start();
    let absent = source.reference("absent");
    run(dir.path(), &["copy", &absent, &destination.reference("1.0")]).fails_with(&[&absent, "404"]);
    let both = ["--from-username", "a", "--from-password-stdin", "--to-username", "b", "--to-password-stdin"];
    let (from, to) = (source.reference("1.0"), destination.reference("1.0"));
    run(dir.path(), &[&["copy", &from, &to][..], &both].concat()).refuses_usage_with(&["one side"]);
}

#[test]
fn tags_are_given_without_sending_content_and_listed_in_their_order() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let (root, _) = published(dir.path(), &registry);
    registry.requests();
    let ran = run(dir.path(), &["tag", &registry.reference("1.0"), "1.10", "1.9", "latest"]).exits(0);
    let pinned = |tag: &str| format!("{}@{root}\n", registry.reference(tag));
    assert_eq!(ran.stdout, [pinned("1.10"), pinned("1.9"), pinned("latest")].concat());
    assert_eq!(registry.requests().len(), 4);
    run(dir.path(), &["tag", &registry.reference("1.0"), "ok", "-no"]).exits(2);
    assert_eq!(registry.tag("ok"), None);

    let repository = registry.reference("");
    let repository = repository.trim_end_matches(':');
    assert_eq!(run(dir.path(), &["list", repository]).exits(0).stdout, "1.0\n1.9\n1.10\namd64\nlatest\n");
    let all = run(dir.path(), &["list", repository, "--all", "--output", "json"]).exits(0).json();
    assert_eq!(all["tags"].as_array().map(Vec::len), Some(6));
    run(dir.path(), &["list", &registry.reference("1.0")]).refuses_usage_with(&["has a tag"]);
    run(dir.path(), &["list", registry.host()]).refuses_usage_with(&[&format!("`{}`: the repo", registry.host())]);
    run(dir.path(), &["tag", &registry.reference("1.0"), &registry.reference("2")]).refuses_usage_with(&["is no tag"]);

    run(dir.path(), &["copy", &registry.reference("1.0"), "oci:out:1.0"]).exits(0);
    run(dir.path(), &["tag", "oci:out:1.0", "stable"]).exits(0);
    assert_eq!(run(dir.path(), &["list", "oci:out"]).exits(0).stdout, "1.0\nstable\n");
}

/// The image in a registry, with a layer whose descriptor announces one byte more than there is.
fn with_a_wrong_size(dir: &std::path::Path, registry: &FakeRegistry) {
    run(dir, &["push", &registry.reference("1.0"), "--wasm", "plugin.wasm"]).exits(0);
    let mut manifest: Value = registry.with(|contents| serde_json::from_slice(&contents.manifests["1.0"].1).unwrap());
    let size = manifest["layers"][0]["size"].as_u64().unwrap();
    manifest["layers"][0]["size"] = json!(size + 1);
    registry.put_manifest("wrong", MANIFEST, &manifest);
}

#[test]
fn a_wrong_size_is_found_even_if_the_destination_has_the_content() {
    let (dir, source, destination) = (workplace(), FakeRegistry::start(), FakeRegistry::start());
    with_a_wrong_size(dir.path(), &source);
    // Here the content is in another registry, in a layout, and in another repository of the same registry.
    run(dir.path(), &["push", &destination.reference("1.0"), "--wasm", "plugin.wasm"]).exits(0);
    run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm"]).exits(0);
    source.with(|contents| contents.mounts = true);
    let other = format!("{}/mesh/other:2.0", source.host());
    for to in [destination.reference("2.0"), "oci:out:2.0".to_owned(), other] {
        run(dir.path(), &["copy", &source.reference("wrong"), &to]).fails_with(&["wrong size"]);
    }
}

#[test]
fn what_another_program_overwrites_in_a_list_of_attachments_is_listed_again() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    let subject = registry.tag("1.0").unwrap();
    let list = format!("sha256-{}", subject.trim_start_matches("sha256:"));
    let theirs = json!({"mediaType": MANIFEST, "digest": subject, "size": 1, "artifactType": "text/x-theirs"});
    // The other program has read the list before ours is written, and writes its own twice.
    let (mut writes, written) = (0, list.clone());
    registry.answer_with(move |request, contents| {
        let is_list = request.target.ends_with(&written);
        if is_list && request.method == "PUT" {
            writes += 1;
        } else if is_list && (1..=2).contains(&writes) {
            let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]});
            contents.manifests.insert(written.clone(), (INDEX.to_owned(), serde_json::to_vec(&index).unwrap()));
        }
        None
    });
    std::fs::write(dir.path().join("note.txt"), "seen").unwrap();
    run(dir.path(), &["attach", &reference, "note.txt", "--type", "text/x-ours"]).exits(0);
    let kinds: Vec<Value> = kept_list(&registry, &subject).iter().map(|entry| entry["artifactType"].clone()).collect();
    assert_eq!(kinds, ["text/x-theirs", "text/x-ours"]);
}
