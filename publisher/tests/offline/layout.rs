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

/// Changes `index.json` of a layout as other tools would have written it.
fn edit(dir: &std::path::Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = dir.join("index.json");
    let mut index = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut index);
    std::fs::write(path, index.to_string()).unwrap();
}

#[test]
fn layouts_of_other_tools_are_opened_by_the_names_that_they_list() {
    const NAME: &str = "org.opencontainers.image.ref.name";
    let dir = workplace();
    run(dir.path(), &PUSH).exits(0);
    let whole = "registry.example.com:5000/mesh/faultline:1.0";
    edit(&dir.path().join("out"), |index| index["manifests"][0]["annotations"][NAME] = whole.into());
    assert_eq!(run(dir.path(), &["list", "oci:out"]).exits(0).stdout.trim_end(), whole);
    for name in ["oci:out:1.0", &format!("oci:out:{whole}"), "oci:out"] {
        run(dir.path(), &["pull", name, "-o", "a.wasm"]).exits(0);
        assert_eq!(std::fs::read(dir.path().join("a.wasm")).unwrap(), plugin(), "{name}");
    }
    run(dir.path(), &["pull", "oci:out:2.0", "-o", "a.wasm"]).fails_with(&["no tag `2.0`", whole]);
    // Two names with the same tag.
    run(dir.path(), &["push", "oci:out:2.0", "--wasm", "plugin.wasm", "--annotation", "a=b"]).exits(0);
    edit(&dir.path().join("out"), |index| index["manifests"][1]["annotations"][NAME] = "other.example/x:1.0".into());
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "a.wasm"]).fails_with(&["several names", "other.example/x:1.0"]);
    run(dir.path(), &["pull", "oci:out:other.example/x:1.0", "-o", "a.wasm"]).exits(0);
    run(dir.path(), &["pull", "oci:out", "-o", "a.wasm"]).fails_with(&["2 manifests"]);
}

#[test]
fn a_manifest_without_a_name_can_be_named() {
    let dir = workplace();
    let pushed = run(dir.path(), &[&PUSH[..], &["--output", "json"]].concat()).exits(0).json();
    edit(&dir.path().join("out"), |index| {
        index["manifests"][0].as_object_mut().unwrap().remove("annotations");
    });
    let by_digest = format!("oci:out@{}", pushed["digest"].as_str().unwrap());
    let listed = run(dir.path(), &["list", "oci:out"]).exits(0);
    assert!(listed.stderr.contains(&by_digest), "{}", listed.stderr);
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "a.wasm"]).fails_with(&["its tags: none", &by_digest]);
    for name in [&by_digest, "oci:out"] {
        run(dir.path(), &["pull", name, "-o", "a.wasm"]).exits(0);
    }
}

#[test]
fn of_several_that_push_into_one_directory_none_is_lost() {
    for round in 0..3 {
        let dir = workplace();
        let children: Vec<_> = (0..8)
            .map(|n| {
                let args =
                    ["push", &format!("oci:out:t{n}"), "--wasm", "plugin.wasm", "--annotation", &format!("n={n}")];
                let mut command = support::faultline(dir.path(), &args);
                command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            support::Ran::from(child.wait_with_output().unwrap()).exits(0);
        }
        let listed = run(dir.path(), &["list", "oci:out"]).exits(0).stdout;
        assert_eq!(listed.lines().count(), 8, "round {round}: {listed}");
    }
}

#[test]
fn of_several_that_sign_at_once_no_signature_is_lost() {
    let dir = workplace();
    run(dir.path(), &PUSH).exits(0);
    let with_password = |args: &[&str]| {
        let mut command = support::faultline(dir.path(), args);
        command.env("COSIGN_PASSWORD", "x").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let ends = |child: std::process::Child| support::Ran::from(child.wait_with_output().unwrap()).exits(0);
    let keys = ["a", "b", "c"];
    for key in keys {
        ends(with_password(&["generate-key-pair", "--output-key-prefix", key]));
    }
    let sign = |key: &&str| {
        with_password(&["sign", "oci:out:1.0", "--key", &format!("{key}.key"), "--image", "r.example.com/a:1"])
    };
    let children: Vec<_> = keys.iter().map(sign).collect();
    children.into_iter().for_each(|child| drop(ends(child)));
    for key in keys {
        run(dir.path(), &["verify", "oci:out:1.0", "--key", &format!("{key}.pub")]).exits(0);
    }
}

#[test]
fn an_archive_is_a_layout_too() {
    let dir = workplace();
    run(dir.path(), &["push", "oci-archive:out.tar:1.0", "--wasm", "plugin.wasm"]).exits(0);
    let first = std::fs::read(dir.path().join("out.tar")).unwrap();
    run(dir.path(), &["tag", "oci-archive:out.tar:1.0", "2.0"]).exits(0);
    assert_eq!(run(dir.path(), &["list", "oci-archive:out.tar"]).exits(0).stdout, "1.0\n2.0\n");
    // Other tools name the file as they name a directory.
    for name in ["oci:out.tar:2.0", "oci-archive:out.tar:1.0"] {
        run(dir.path(), &["pull", name, "-o", "a.wasm"]).exits(0);
        assert_eq!(std::fs::read(dir.path().join("a.wasm")).unwrap(), plugin());
    }
    run(dir.path(), &["copy", "oci-archive:out.tar:1.0", "oci:dir:1.0"]).exits(0);
    run(dir.path(), &["push", "oci-archive:again.tar:1.0", "--wasm", "plugin.wasm"]).exits(0);
    assert!(std::fs::read(dir.path().join("again.tar")).unwrap() == first, "the same input gives the same bytes");

    run(dir.path(), &["inspect", "oci:plugin.wasm:1.0"]).fails_with(&["plugin.wasm"]);
    // What a file that is no archive holds is nobody's business.
    std::fs::write(dir.path().join("secrets.txt"), "password = hunter2\n".repeat(100)).unwrap();
    let told = run(dir.path(), &["push", "oci:secrets.txt:1.0", "--wasm", "plugin.wasm"])
        .fails_with(&["`secrets.txt` is no tar archive of an OCI image layout"]);
    assert!(!told.stderr.contains("hunter2") && told.stderr.lines().count() == 1, "{}", told.stderr);
    std::fs::write(dir.path().join("cut.tar"), &first[..first.len() / 2]).unwrap();
    run(dir.path(), &["inspect", "oci-archive:cut.tar:1.0"]).exits(1);
    assert!(!listing(dir.path()).iter().any(|name| name.starts_with(".faultline")));
}

#[test]
fn of_several_that_push_into_one_archive_those_that_succeed_have_their_tags() {
    let dir = workplace();
    let children: Vec<_> = (0..6)
        .map(|n| {
            let args = ["push", &format!("oci-archive:out.tar:t{n}"), "--wasm", "plugin.wasm"];
            let mut command = support::faultline(dir.path(), &args);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut pushed = Vec::new();
    for (n, child) in children.into_iter().enumerate() {
        let ran = support::Ran::from(child.wait_with_output().unwrap());
        match ran.code {
            0 => pushed.push(format!("t{n}")),
            _ => drop(ran.fails_with(&["`out.tar` was changed by another program", "run this again"])),
        }
    }
    let listed = run(dir.path(), &["list", "oci-archive:out.tar"]).exits(0).stdout;
    assert_eq!(listed.lines().collect::<Vec<_>>(), pushed);
    assert!(!pushed.is_empty());
}

#[cfg(unix)]
#[test]
fn a_blob_that_is_no_file_is_not_waited_for() {
    let dir = workplace();
    let pushed = run(dir.path(), &[&PUSH[..], &["--output", "json"]].concat()).exits(0).json();
    let hex = pushed["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let blob = dir.path().join("out/blobs/sha256").join(hex);
    std::fs::remove_file(&blob).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&blob).status().unwrap().success());
    run(dir.path(), &["pull", "oci:out:1.0", "-o", "a.wasm"]).fails_with(&["is no regular file"]);
}

#[test]
fn what_other_tools_announce_wrongly_is_refused_with_what_was_wrong() {
    let dir = workplace();
    let out = dir.path().join("out");
    let pull = |words: &[&str]| drop(run(dir.path(), &["pull", "oci:out:1.0", "-o", "x"]).fails_with(words));
    let anew = || {
        let _ = std::fs::remove_dir_all(&out);
        run(dir.path(), &PUSH).exits(0);
    };
    for (size, words) in [(serde_json::json!(7), "with 7 bytes"), (serde_json::json!("many"), "with \"many\" bytes")] {
        anew();
        edit(&out, |index| index["manifests"][0]["size"] = size);
        pull(&["`index.json` of the layout `out` announces sha256:", words]);
        run(dir.path(), &["pull", "oci:out", "-o", "x"]).fails_with(&[words]);
    }
    for digest in ["sha256:short", "", "none"] {
        anew();
        edit(&out, |index| index["manifests"][0]["digest"] = digest.into());
        pull(&["`index.json` of the layout `out` is malformed", "manifests[0].digest", digest]);
    }
    anew();
    edit(&out, |index| index["manifests"][0]["digest"] = format!("sha256:{}", "0".repeat(64)).into());
    pull(&["`out` does not hold sha256:0000"]);
    for (version, words) in [
        (r#"{"imageLayoutVersion":"2.0.0"}"#, "has version `2.0.0`, and this reads 1.0.0 only"),
        (r#"{}"#, "has no `imageLayoutVersion`"),
        ("x", "is malformed: expected value at line 1 column 1"),
    ] {
        anew();
        std::fs::write(out.join("oci-layout"), version).unwrap();
        pull(&["`oci-layout` of the layout `out`", words]);
        run(dir.path(), &PUSH).fails_with(&[words]);
    }
    anew();
    std::fs::write(out.join("index.json"), "{\n  \"manifests\": [,]}").unwrap();
    pull(&["`index.json` of the layout `out` is malformed", "line 2 column 17"]);
}

#[test]
fn an_archive_of_dockers_own_form_is_told_from_a_layout() {
    let dir = workplace();
    let write = |names: &[&str]| {
        let mut builder = tar::Builder::new(std::fs::File::create(dir.path().join("saved.tar")).unwrap());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &b"[]"[..]).unwrap();
        }
        builder.finish().unwrap();
    };
    write(&["0f3c.json", "0f3c/layer.tar", "manifest.json", "repositories"]);
    for reference in ["oci-archive:saved.tar:1.0", "oci:saved.tar:1.0"] {
        let told = run(dir.path(), &["inspect", reference]);
        told.fails_with(&["docker save", "skopeo copy docker-archive:saved.tar oci-archive:"]);
    }
    write(&["notes/a.txt"]);
    let told = run(dir.path(), &["inspect", "oci-archive:saved.tar:1.0"]).fails_with(&["no file `oci-layout`"]);
    assert!(!told.stderr.contains("docker"), "{}", told.stderr);
}

#[test]
fn an_archive_is_called_an_archive() {
    let dir = workplace();
    run(dir.path(), &["push", "oci-archive:out.tar:1.0", "--wasm", "plugin.wasm"]).exits(0);
    run(dir.path(), &["push", "oci-archive:out.tar:2.0", "--wasm", "plugin.wasm", "--annotation", "a=b"]).exits(0);
    run(dir.path(), &["pull", "oci:out.tar", "-o", "x"]).fails_with(&["2 manifests", "oci-archive:out.tar:TAG"]);
    let told = run(dir.path(), &["list", "oci-archive:none.tar"]).fails_with(&["there is no archive `none.tar`"]);
    assert!(!told.stderr.contains("director"), "{}", told.stderr);
    run(dir.path(), &["list", "oci:none.tar"]).fails_with(&["no directory `none.tar`, nor an archive"]);
}
