//! Tests pushing to and pulling from an OCI image layout directory.

use crate::support::{self, listing, plugin, run, workplace};

const PUSH: [&str; 4] = ["push", "oci:out:1.0", "--wasm", "plugin.wasm"];

#[test]
fn what_was_pushed_is_what_is_pulled_and_nothing_is_written_twice() {
    let dir = workplace();
    let first = run(dir.path(), &[&PUSH[..], &["--output", "json"]].concat()).exits(0).json();
    assert_eq!(first["unchanged"], false);
    assert_eq!(listing(&dir.path().join("out")), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(listing(&dir.path().join("out/blobs/sha256")).len(), 3);
    let again = run(dir.path(), &[&PUSH[..], &["--output", "json"]].concat()).exits(0).json();
    assert_eq!((&again["unchanged"], &again["digest"]), (&true.into(), &first["digest"]));

    let pinned = first["reference"].as_str().unwrap();
    for reference in ["oci:out:1.0", pinned] {
        run(dir.path(), &["pull", reference, "-o", "out.wasm"]).exits(0);
        assert_eq!(std::fs::read(dir.path().join("out.wasm")).unwrap(), plugin());
    }
}

#[test]
fn a_tag_moves_and_others_stay() {
    let dir = workplace();
    let old = run(dir.path(), &PUSH).exits(0).stdout;
    run(dir.path(), &["push", "oci:out:2.0", "--wasm", "plugin.wasm"]).exits(0);
    let new = run(dir.path(), &[&PUSH[..], &["--annotation", "a=b"]].concat()).exits(0).stdout;
    assert_ne!(old, new);
    let digest =
        |tag: &str| run(dir.path(), &["inspect", tag, "--output", "json"]).exits(0).json()["digest"].to_string();
    assert!(new.contains(digest("oci:out:1.0").trim_matches('"')));
    assert!(old.contains(digest("oci:out:2.0").trim_matches('"')));
    // A manifest that the tag no longer names can still be pulled by digest.
    run(dir.path(), &["pull", old.trim_end(), "-o", "old.wasm"]).exits(0);
}

#[test]
fn the_same_input_gives_the_same_digest_anywhere_and_the_epoch_changes_it() {
    let digest = |epoch: Option<&str>| {
        let dir = workplace();
        let mut command = support::faultline(dir.path(), &[&PUSH[..], &["--output", "json"]].concat());
        command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        support::Ran::from(command.output().unwrap()).exits(0).json()["digest"].clone()
    };
    assert_eq!(digest(None), digest(None));
    assert_eq!(digest(Some("1735689600")), digest(Some("1735689600")));
    assert_ne!(digest(None), digest(Some("1735689600")));

    let dir = workplace();
    let mut command = support::faultline(dir.path(), &PUSH);
    let ran = support::Ran::from(command.env("SOURCE_DATE_EPOCH", "yesterday").output().unwrap());
    ran.fails_with(&["SOURCE_DATE_EPOCH", "yesterday"]);
}

#[test]
fn what_is_no_layout_is_left_alone() {
    let dir = workplace();
    std::fs::create_dir(dir.path().join("photos")).unwrap();
    std::fs::write(dir.path().join("photos/cat.jpg"), "meow").unwrap();
    run(dir.path(), &["push", "oci:photos:1.0", "--wasm", "plugin.wasm"]).fails_with(&["photos", "not empty"]);
    assert_eq!(listing(&dir.path().join("photos")), ["cat.jpg"]);
    run(dir.path(), &["pull", "oci:photos:1.0", "-o", "x"]).fails_with(&["photos", "oci-layout"]);
    run(dir.path(), &["pull", "oci:nowhere:1.0", "-o", "x"]).fails_with(&["no directory `nowhere`"]);
    run(dir.path(), &PUSH).exits(0);
    run(dir.path(), &["pull", "oci:out:9.9", "-o", "x"]).fails_with(&["no tag `9.9`", "its tags: 1.0"]);
    std::fs::write(dir.path().join("out/index.json"), "{").unwrap();
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "x"]).fails_with(&["index.json", "malformed"]);
    run(dir.path(), &PUSH).fails_with(&["index.json", "malformed"]);
    assert!(!listing(dir.path()).contains(&"x".to_owned()));
}

#[test]
fn a_damaged_layout_is_noticed() {
    let dir = workplace();
    run(dir.path(), &PUSH).exits(0);
    let blobs = dir.path().join("out/blobs/sha256");
    for name in listing(&blobs) {
        std::fs::write(blobs.join(name), "damaged").unwrap();
    }
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "x"]).fails_with(&["damaged", "wrong digest"]);
    // Pushing again repairs it.
    run(dir.path(), &PUSH).exits(0);
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "x"]).exits(0);
}
