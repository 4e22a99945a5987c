//! What is said about the module: in it, its build (the custom section `io.faultline`); beside it, what it is made of.
//!
//! The section is put behind the finished module, so that no source has to know of it and no proxy looks at it. The list of
//! components is CycloneDX, from what cargo says was compiled for the module alone, and holds no time and no serial number: both come
//! out the same for the same source, whoever builds it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::process::capture;
use crate::workspace::Workspace;

/// Name of the section.
const SECTION: &str = "io.faultline";

/// What the module is built from: a change elsewhere must not change the module.
const INPUTS: [&str; 5] = ["filter", "Cargo.toml", "Cargo.lock", ".cargo", "xtask/src/description.rs"];

/// The module with what is to be said about it in it.
pub fn stamped(workspace: &Workspace, module: &[u8]) -> Result<Vec<u8>> {
    let mut info = BTreeMap::from([
        ("name", json!("faultline")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("licenses", json!(env!("CARGO_PKG_LICENSE"))),
        ("configSchema", json!(filter_core::config::SCHEMA_VERSION)),
    ]);
    if !env!("CARGO_PKG_REPOSITORY").is_empty() {
        info.insert("source", json!(env!("CARGO_PKG_REPOSITORY")));
    }
    if let Some(revision) = revision(workspace) {
        info.insert("revision", json!(revision));
    }
    Ok([module, &custom_section(SECTION, &serde_json::to_vec(&info)?)].concat())
}

/// The last commit that changed what the module is built from, `-dirty` if something is not committed; none without git.
fn revision(workspace: &Workspace) -> Option<String> {
    let git =
        |words: &[&str]| capture(Command::new("git").args(words).arg("--").args(INPUTS).current_dir(&workspace.root));
    let commit = git(&["log", "-1", "--format=%H"]).filter(|commit| !commit.is_empty())?;
    let clean = git(&["status", "--porcelain"])?.is_empty();
    Some(if clean { commit } else { format!("{commit}-dirty") })
}

fn custom_section(name: &str, content: &[u8]) -> Vec<u8> {
    let body = [&leb128(name.len()), name.as_bytes(), content].concat();
    [&[0][..], &leb128(body.len()), &body].concat()
}

/// An unsigned number as WebAssembly writes it.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// What the finished module is made of, as CycloneDX JSON. `std_version` is that of the compiler and its library.
pub fn components(workspace: &Workspace, module: &[u8], target: &str, std_version: &str) -> Result<Vec<u8>> {
    let mut cargo = workspace.cargo();
    cargo.args(["tree", "--package", "filter", "--target", target, "--edges", "normal,no-proc-macro"]);
    let tree = capture(cargo.args(["--prefix", "none", "--format", "{p}|{l}"]))
        .context("`cargo tree --package filter` failed: run it to see why")?;
    let mut components = crates(&tree);
    components.insert(
        format!("std {std_version}"),
        json!({"type": "library", "name": "std", "version": std_version, "licenses": [{"expression": "MIT OR Apache-2.0"}]}),
    );
    let hash: String = sha2::Sha256::digest(module).iter().map(|byte| format!("{byte:02x}")).collect();
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "name": "faultline",
            "version": env!("CARGO_PKG_VERSION"),
            "licenses": [{"expression": env!("CARGO_PKG_LICENSE")}],
            "hashes": [{"alg": "SHA-256", "content": hash}],
        }},
        "components": components.into_values().collect::<Vec<_>>(),
    });
    Ok(serde_json::to_vec_pretty(&list)?)
}

/// The crates in the lines `name vVERSION [(where)]|LICENCE`, each once, by name and version.
fn crates(tree: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for line in tree.lines() {
        let Some((package, licence)) = line.split_once('|') else { continue };
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v');
        // Older crates write `MIT/Apache-2.0`, which is no SPDX expression.
        let licence = licence.trim_end_matches("(*)").trim().replace('/', " OR ");
        let mut component =
            json!({"type": "library", "name": name, "version": version, "licenses": [{"expression": licence}]});
        // What has a place is a member of this workspace, and in no registry.
        if words.next().is_none() {
            component["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
        }
        if name != "filter" {
            found.insert(format!("{name} {version}"), component);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_its_number_its_length_its_name_and_its_content() {
        assert_eq!(custom_section("ab", b"xyz"), b"\0\x06\x02abxyz");
        assert_eq!(leb128(300), [0xac, 0x02]);
        assert_eq!(custom_section("n", &[7; 200])[..5], [0, 0xca, 0x01, 1, b'n']);
    }

    #[test]
    fn each_crate_is_listed_once_and_members_have_no_address() {
        let tree = "filter v0.1.0 (/x/filter)|Apache-2.0\nfilter-core v0.1.0 (/x/core)|Apache-2.0\nlog v0.4.1|MIT/Apache-2.0\nlog v0.4.1|MIT/Apache-2.0 (*)\n";
        let crates: Vec<Value> = crates(tree).into_values().collect();
        assert_eq!(
            crates,
            [
                json!({"type": "library", "name": "filter-core", "version": "0.1.0", "licenses": [{"expression": "Apache-2.0"}]}),
                json!({"type": "library", "name": "log", "version": "0.4.1", "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": "pkg:cargo/log@0.4.1"}),
            ]
        );
    }
}
