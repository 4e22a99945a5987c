//! Software bills of materials (SBOM) of the module and the programs, CycloneDX documents.
//!
//! One lists only the crates that cargo compiles for its subject. It contains no time and no serial number, so the same
//! source gives the same bytes on any machine.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::process::capture;
use crate::workspace::Workspace;

/// What a list is of.
pub(crate) struct Subject<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The package that it is built from.
    pub(crate) package: &'a str,
    /// The finished file.
    pub(crate) bytes: &'a [u8],
    /// Rust's name of the target.
    pub(crate) target: &'a str,
}

/// What is in the finished subject, as CycloneDX JSON. `std_version` is the version of the compiler and its standard
/// library.
pub(crate) fn components(workspace: &Workspace, subject: &Subject, std_version: &str) -> Result<Vec<u8>> {
    let Subject { name, package, bytes, target } = subject;
    let mut cargo = workspace.cargo();
    cargo.args(["tree", "--package", package, "--target", target, "--edges", "normal,no-proc-macro"]);
    let tree = capture(cargo.args(["--prefix", "none", "--format", "{p}|{l}"]))
        .with_context(|| format!("`cargo tree --package {package}` failed: run it to see why"))?;
    let mut components = crates(&tree, package);
    components.insert(format!("std {std_version}"), library("std", std_version, "MIT OR Apache-2.0"));
    let hash: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "name": name,
            "version": env!("CARGO_PKG_VERSION"),
            "licenses": [{"expression": env!("CARGO_PKG_LICENSE")}],
            "hashes": [{"alg": "SHA-256", "content": hash}],
        }},
        "components": components.into_values().collect::<Vec<_>>(),
    });
    Ok(serde_json::to_vec_pretty(&list)?)
}

fn library(name: &str, version: &str, licence: &str) -> Value {
    json!({"type": "library", "name": name, "version": version, "licenses": [{"expression": licence}]})
}

/// The crates in lines of the form `name vVERSION [(where)]|LICENCE`, each once, by name and version, but not `package`
/// itself.
fn crates(tree: &str, package: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for line in tree.lines() {
        let Some((named, licence)) = line.split_once('|') else { continue };
        let mut words = named.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v');
        // Older crates write `MIT/Apache-2.0`, which is not an SPDX expression.
        let licence = licence.trim_end_matches("(*)").trim().replace('/', " OR ");
        let mut component = library(name, version, &licence);
        // A crate with a path is a member of this workspace and not in any registry.
        if words.next().is_none() {
            component["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
        }
        if name != package {
            found.insert(format!("{name} {version}"), component);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_listed_once_and_members_have_no_address() {
        let tree = "filter v0.1.0 (/x/filter)|Apache-2.0\nfilter-core v0.1.0 (/x/core)|Apache-2.0\n\
                    log v0.4.1|MIT/Apache-2.0\nlog v0.4.1|MIT/Apache-2.0 (*)\n";
        let crates: Vec<Value> = crates(tree, "filter").into_values().collect();
        let mut log = json!({"type": "library", "name": "log", "version": "0.4.1"});
        log["licenses"] = json!([{"expression": "MIT OR Apache-2.0"}]);
        log["purl"] = json!("pkg:cargo/log@0.4.1");
        assert_eq!(crates, [library("filter-core", "0.1.0", "Apache-2.0"), log]);
    }
}
