//! Checks the dependencies of the workspace's packages, and that the built module contains no local paths.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::finding::Finding;
use crate::process;
use crate::workspace::{Workspace, cargo_home};

/// Packages that must not depend on certain others, and why.
const STRANGERS: [(&str, &[&str], &str); 4] = [
    ("filter-core", &["proxy-wasm", "filter"], "the core is pure: move what needs the host into `filter`"),
    (
        "hot-switch-core",
        &["hot-switch", "rustix", "tokio", "kube"],
        "the core is pure: move what needs a kernel or an API server into `hot-switch`",
    ),
    ("filter", &["publisher", "wasm-harness"], "the module knows nothing of how it is shipped or tested"),
    (
        "wasm-harness",
        &["filter", "filter-core", "publisher"],
        "the harness is a host for any module: move it into `tests`",
    ),
];

/// No package depends, directly or indirectly, on one that it must not know.
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

/// The module, if it has been built, contains no directory of the machine on which it was built.
pub(crate) fn module_paths(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Ok(module) = fs::read(workspace.module()) {
        // The name of a directory directly below `/` is too short to be distinguished from a part of other paths.
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
