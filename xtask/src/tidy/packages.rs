//! Checks on what the workspace's packages depend on, and on what the built module gives away.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::finding::Finding;
use crate::process;
use crate::workspace::{Workspace, cargo_home};

/// Which package must not reach which others, and why.
const STRANGERS: [(&str, &[&str], &str); 3] = [
    ("filter-core", &["proxy-wasm", "filter"], "the core is pure: move what needs the host into `filter`"),
    ("filter", &["publisher", "wasm-harness"], "the module knows nothing of how it is shipped or tested"),
    (
        "wasm-harness",
        &["filter", "filter-core", "publisher"],
        "the harness is a host for any module: move it into `tests`",
    ),
];

/// No package depends, at any depth, on one that it must not know.
pub(crate) fn dependencies(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (package, strangers, remedy) in STRANGERS {
        let words = ["tree", "--package", package, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
        let tree = process::capture(workspace.cargo().args(words))
            .with_context(|| format!("`cargo tree --package {package}` failed: run it to see why"))?;
        // Each line is `name vVERSION …`; the first is the package itself.
        for name in tree.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
            if strangers.contains(&name) {
                let what = format!("{package} depends on {name}, perhaps through another crate: {remedy}");
                findings.push(Finding::in_file(Path::new("Cargo.toml"), what));
            }
        }
    }
    findings.dedup();
    Ok(findings)
}

/// The module, if it has been built, names no directory of the machine that it was built on.
pub(crate) fn module_paths(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Ok(module) = fs::read(workspace.module()) {
        // A directory right below `/` has too short a name to be told from a part of other paths.
        let dirs = [Some(workspace.root.clone()), cargo_home()];
        for dir in dirs.into_iter().flatten().filter(|dir| dir.components().count() > 2) {
            let needle = dir.as_os_str().as_encoded_bytes();
            if module.windows(needle.len()).any(|window| window == needle) {
                let what = format!("contains the path {}: build it with `cargo xtask build`", dir.display());
                findings.push(Finding::in_file(&workspace.module(), what));
            }
        }
    }
    Ok(findings)
}
