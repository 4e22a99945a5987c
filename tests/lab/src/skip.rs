//! Skips tests that cannot run because a tool is missing; each skipped test is reported.
//!
//! A skipped test prints `skipped: NAME: REASON` on stderr and appends `NAME: REASON` to the file that
//! `FAULTLINE_SKIPPED` names, or else to `skipped.txt` in cargo's target directory; `cargo xtask test`
//! (`xtask/src/skipped.rs`) prints that file at its end. In CI (`CI` is `1` or `true`), a missing tool that set-up
//! should have installed is not a reason to skip: the test fails.
//!
//! This file imports nothing of its package, so that other packages' tests can include it with `#[path]`.

#![allow(unreachable_pub, reason = "where a test program includes this file, nothing outside can reach it")]

use std::io::Write;
use std::path::PathBuf;

/// How a tool gets installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// By `cargo xtask setup --tests`, on every machine.
    FromSetUp,
    /// By the user only: set-up does not install it.
    Optional,
}

/// Reports that the test `name` is skipped because `tool` is missing; the caller then returns.
///
/// # Panics
/// In CI, if set-up should have installed the tool; and if the line cannot be written.
pub fn skip(name: &str, tool: Tool, reason: &str) {
    let ci = std::env::var("CI").unwrap_or_default();
    assert!(!is_failure(tool, &ci), "{name}: {reason}; in CI set-up must bring it: run `cargo xtask setup --tests`");
    eprintln!("skipped: {name}: {reason}");
    let list = list();
    let file = std::fs::File::options().create(true).append(true).open(&list);
    // A single write, because tests run in parallel.
    let written = file.and_then(|mut file| file.write_all(format!("{name}: {reason}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", list.display()));
}

/// Whether the missing tool fails the test; `ci` is the value of the environment variable `CI`.
fn is_failure(tool: Tool, ci: &str) -> bool {
    tool == Tool::FromSetUp && ["1", "true"].contains(&ci)
}

/// The file that lists skipped tests.
fn list() -> PathBuf {
    if let Some(named) = std::env::var_os("FAULTLINE_SKIPPED") {
        return named.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    // Cargo tags its target directory.
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.expect("tests run in cargo's target directory").join("skipped.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ci_turns_a_missing_tool_of_set_ups_into_a_failure() {
        for ci in ["1", "true"] {
            assert!(is_failure(Tool::FromSetUp, ci) && !is_failure(Tool::Optional, ci));
        }
        for ci in ["", "0", "false"] {
            assert!(!is_failure(Tool::FromSetUp, ci) && !is_failure(Tool::Optional, ci));
        }
    }
}
