//! Checks on the sources alone: headers, lengths, the host boundary, layers, paths of somebody's machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;
use crate::process;
use crate::workspace::{Workspace, cargo_home};

/// More lines than this fail.
const MOST_LINES: usize = 500;
/// More lines than this are mentioned.
const MANY_LINES: usize = 400;

/// The only file that may declare functions of the host.
const BOUNDARY: &str = "filter/src/host.rs";

/// Which package must not reach which others, and why.
const LAYERS: [(&str, &[&str], &str); 3] = [
    ("filter-core", &["proxy-wasm", "filter"], "the core is pure: move what needs the host into `filter`"),
    ("filter", &["publisher", "wasm-harness"], "the module knows nothing of how it is shipped or tested"),
    (
        "wasm-harness",
        &["filter", "filter-core", "publisher"],
        "the harness is a host for any module: move it into `tests`",
    ),
];

/// A file of the workspace, by its path from the root.
struct Source {
    path: PathBuf,
    text: String,
}

/// Every `.rs` file begins with a `//!` header.
pub fn headers(workspace: &Workspace) -> Result<Vec<Finding>> {
    let missing = sources(workspace, &["rs"])?.into_iter().filter(|source| !source.text.starts_with("//!"));
    Ok(missing
        .map(|source| {
            Finding::at(&source.path, 1, "no `//!` header: say first what the file is, why, and what is not in it")
        })
        .collect())
}

/// No `.rs` file is longer than a person reads in one go.
pub fn lengths(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in sources(workspace, &["rs"])? {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            let what = format!("{lines} lines, at most {MOST_LINES}: split it by what changes for different reasons");
            findings.push(Finding::in_file(&source.path, what));
        } else if lines > MANY_LINES {
            eprintln!("note  {}: {lines} lines, {MOST_LINES} are the most", source.path.display());
        }
    }
    Ok(findings)
}

/// Only the boundary imports functions of the host.
pub fn host_boundary(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in sources(workspace, &["rs"])? {
        if !source.path.starts_with("filter") || source.path == Path::new(BOUNDARY) {
            continue;
        }
        for (number, line) in numbered(&source.text) {
            // A function that is exported to the host is `extern "C" fn`; a block of imports opens a brace.
            let code = line.trim_start();
            let imports = code.contains("extern \"") && code.ends_with('{') && !code.contains("fn ");
            if imports || code.contains("wasm_import_module") {
                let what = format!("declares functions of the host: only {BOUNDARY} may, move it there");
                findings.push(Finding::at(&source.path, number, what));
            }
        }
    }
    Ok(findings)
}

/// Nothing names a directory of the machine that it was made on: not the sources, and not the module if there is one.
pub fn machine_paths(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let homes = ["root", "home", "Users"].map(|dir| format!("/{dir}/"));
    let files = sources(workspace, &["rs", "toml", "md", "yaml", "yml", "json", "sh", "run"])?;
    for source in &files {
        for (number, line) in numbered(&source.text) {
            if homes.iter().any(|home| names_a_directory(line, home)) {
                let what = "a path of somebody's machine: write it relative to the workspace, or with $HOME";
                findings.push(Finding::at(&source.path, number, what));
            }
        }
    }
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

/// No package depends, at any depth, on one that its layer must not know.
pub fn layers(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (package, strangers, remedy) in LAYERS {
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
    findings.dedup_by(|one, other| one.what == other.what);
    Ok(findings)
}

/// Whether `line` has `home` as the beginning of an absolute path, and a name after it.
fn names_a_directory(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + home.len()..].chars().next();
        let inside_a_path = before.is_some_and(|c| c.is_alphanumeric() || "_-.}/*>".contains(c));
        !inside_a_path && after.is_some_and(char::is_alphanumeric)
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// The workspace's files with one of these endings, in a stable order. Hidden folders count; build products do not.
fn sources(workspace: &Workspace, endings: &[&str]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files_under(&workspace.root, &workspace.target)? {
        // A file without an ending, such as `.ci/run`, is asked for by its name.
        let ending = path.extension().or(path.file_name());
        if ending.is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let path = path.strip_prefix(&workspace.root).unwrap_or(&path).to_owned();
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

/// Every file below `root`, sorted, without git's and cargo's own.
pub fn files_under(root: &Path, target: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                files.push(path);
            } else if path != target && entry.file_name() != ".git" && entry.file_name() != "target" {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_directory_is_told_from_a_path_that_only_looks_like_one() {
        let home = format!("/{}/", "home");
        assert!(names_a_directory(&format!("see {home}ada/src"), &home));
        assert!(!names_a_directory(&format!("GET /api{home}page"), &home));
        assert!(!names_a_directory(&format!("under {home}"), &home));
        assert!(!names_a_directory("at home", &home));
    }
}
