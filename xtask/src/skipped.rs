//! Checks that were skipped because a tool is missing, with the reason: listed at the end of `cargo xtask test`.
//!
//! The list is a file of lines `NAME: REASON`. Set-up, the steps of xtask and the tests themselves append to it; the
//! tests find it through the variable `FAULTLINE_SKIPPED` (`tests/lab/src/skip.rs`). In CI, a check is never skipped
//! because of a tool that set-up should have installed: it fails.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// The variable that gives the tests the list's path.
pub(crate) const VARIABLE: &str = "FAULTLINE_SKIPPED";

/// Whether this is CI, where no tool that set-up should have installed may be missing: `CI` is `1` or `true`.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| means_ci(&value))
}

fn means_ci(value: &str) -> bool {
    value == "1" || value == "true"
}

/// Starts an empty list.
pub(crate) fn start(workspace: &Workspace) -> Result<()> {
    let file = workspace.skipped();
    let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(&file, "")).with_context(|| format!("{} cannot be written", file.display()))
}

/// Reports on stderr that `name` is skipped for `reason`, and adds it to the list.
pub(crate) fn add(workspace: &Workspace, name: &str, reason: &str) -> Result<()> {
    eprintln!("skipped: {name}: {reason}");
    append(&workspace.skipped(), name, reason)
}

fn append(file: &Path, name: &str, reason: &str) -> Result<()> {
    let reason = reason.replace('\n', " ");
    File::options()
        .create(true)
        .append(true)
        .open(file)
        // A single write, because tests append in parallel.
        .and_then(|mut list| list.write_all(format!("{name}: {reason}\n").as_bytes()))
        .with_context(|| format!("{} cannot be written", file.display()))
}

/// The lines of the list, each once, in their original order.
pub(crate) fn list(workspace: &Workspace) -> Result<Vec<String>> {
    read(&workspace.skipped())
}

fn read(file: &Path) -> Result<Vec<String>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("{} cannot be read", file.display()))?,
    };
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !lines.iter().any(|known| known == line) {
            lines.push(line.to_owned());
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_skip_is_one_line_once() {
        let file = std::env::temp_dir().join(format!("faultline-skipped-{}.txt", std::process::id()));
        let _ = fs::remove_file(&file);
        assert_eq!(read(&file).unwrap(), [""; 0], "no list is an empty one");
        for (name, reason) in
            [("signatures", "no cosign"), ("advisories", "no network:\nrefused"), ("signatures", "no cosign")]
        {
            append(&file, name, reason).unwrap();
        }
        assert_eq!(read(&file).unwrap(), ["signatures: no cosign", "advisories: no network: refused"]);
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn ci_says_so_with_1_or_true() {
        let meant = ["1", "true", "", "0", "false"].map(means_ci);
        assert_eq!(meant, [true, true, false, false, false]);
    }
}
