//! Tests `OUTPUT.md` against `--output json`: every key that is written is documented with its type, and every key
//! documented as always present is present.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{self, faultline, run, workplace};
use serde_json::Value;

/// The documented keys of a command, with their types.
fn documented(command: &str) -> BTreeMap<String, String> {
    let section = include_str!("../../OUTPUT.md")
        .split("\n## ")
        .find(|part| part.lines().next() == Some(command))
        .expect("it has a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let (key, kind) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        (key.trim_end_matches('`').to_owned(), kind.to_owned())
    })
    .collect()
}

/// The paths of all leaves of a document, with their types; a key documented as a map counts as a leaf.
fn leaves(value: &Value, path: &str, maps: &BTreeSet<String>, found: &mut Vec<(String, &'static str)>) {
    match value {
        _ if maps.contains(path) => found.push((path.to_owned(), "map")),
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, maps, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[]"), maps, found)),
        Value::String(_) => found.push((path.to_owned(), "string")),
        Value::Number(_) => found.push((path.to_owned(), "number")),
        Value::Bool(_) => found.push((path.to_owned(), "boolean")),
        Value::Null => found.push((path.to_owned(), "null")),
    }
}

/// Compares a command's output with its section.
#[track_caller]
fn agrees(command: &str, written: &Value) {
    let documented = documented(command);
    let maps = documented.iter().filter(|(_, kind)| *kind == "map").map(|(key, _)| key.clone()).collect();
    let mut found = Vec::new();
    leaves(written, "", &maps, &mut found);
    for (path, kind) in &found {
        // If an object is missing, its keys may be missing too.
        let prefix = format!("{path}.");
        if *kind == "null" && documented.iter().any(|(key, kind)| key.starts_with(&prefix) && kind.ends_with('?')) {
            continue;
        }
        let said = documented.get(path).unwrap_or_else(|| panic!("{command}: `{path}` is written and not documented"));
        let right = if *kind == "null" { said.ends_with('?') } else { said.trim_end_matches('?') == *kind };
        assert!(right, "{command}: `{path}` is documented as {said} and written as {kind}");
    }
    for (path, kind) in documented.iter().filter(|(_, kind)| !kind.ends_with('?')) {
        assert!(
            found.iter().any(|(there, _)| there == path),
            "{command}: `{path}` ({kind}) is documented and not written"
        );
    }
}

#[test]
fn what_is_written_is_what_is_documented() {
    let dir = workplace();
    std::fs::write(dir.path().join("note.txt"), "seen").unwrap();
    std::fs::write(dir.path().join("bad.json"), r#"{"outlierDetection": {"interval": 5}}"#).unwrap();
    let json = |args: &[&str], code: i32| {
        let mut command = faultline(dir.path(), &[args, &["--output", "json"]].concat());
        support::Ran::from(command.env("COSIGN_PASSWORD", "x").output().unwrap()).exits(code).json()
    };
    let image = ["--image", "registry.example.com/mesh/faultline:1.0"];
    agrees("push", &json(&["push", "oci:out:1.0", "--wasm", "plugin.wasm"], 0));
    agrees("pull", &json(&["pull", "oci:out:1.0", "-o", "out.wasm"], 0));
    agrees("inspect", &json(&["inspect", "oci:out:1.0"], 0));
    agrees("generate-key-pair", &json(&["generate-key-pair"], 0));
    agrees("sign", &json(&[&["sign", "oci:out:1.0", "--key", "cosign.key"][..], &image].concat(), 0));
    agrees("verify", &json(&["verify", "oci:out:1.0", "--key", "cosign.pub"], 0));
    agrees("sign-blob", &json(&["sign-blob", "note.txt", "--key", "cosign.key"], 0));
    agrees("verify-blob", &json(&["verify-blob", "note.txt", "--key", "cosign.pub"], 0));
    agrees("attach", &json(&["attach", "oci:out:1.0", "note.txt", "--type", "text/plain"], 0));
    agrees("inspect", &json(&["inspect", "oci:out:1.0"], 0));
    agrees("copy", &json(&["copy", "oci:out:1.0", "oci:other:1.0"], 0));
    agrees("tag", &json(&["tag", "oci:out:1.0", "2.0"], 0));
    agrees("list", &json(&["list", "oci:out"], 0));
    agrees("validate", &json(&["validate", "bad.json"], 3));
    // The same for an image that no mesh loads and nobody has signed.
    json(&["push", "oci:out:cncf", "--wasm", "plugin.wasm", "--format", "cncf"], 0);
    agrees("inspect", &json(&["inspect", "oci:out:cncf"], 3));
}

#[test]
fn every_command_has_a_manual_page_and_a_completion() {
    let dir = workplace();
    std::fs::create_dir(dir.path().join("man")).unwrap();
    let pages = run(dir.path(), &["man", "--dir", "man"]).exits(0).stdout;
    let help = run(dir.path(), &["--help"]).exits(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let script = run(dir.path(), &["completions", "bash"]).exits(0).stdout;
    let mut count = 0;
    // Command names are indented by two spaces; a deeper indent continues a description.
    for line in commands.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().expect("a name");
        if name == "help" {
            continue;
        }
        count += 1;
        let page = std::fs::read_to_string(dir.path().join(format!("man/faultline-{name}.1"))).expect("it has a page");
        assert!(page.contains(".SH NAME") && page.contains("faultline"), "{page}");
        assert!(pages.contains(&format!("faultline-{name}.1")));
        assert!(script.contains(name));
    }
    assert!(count > 10, "{help}");
    assert!(run(dir.path(), &["man"]).exits(0).stdout.contains(".TH faultline 1"));
    run(dir.path(), &["man", "--dir", "nowhere"]).fails_with(&["`nowhere` does not exist"]);
}
