//! The module's build information: its custom section `io.faultline`.
//!
//! The section is appended to the finished module, so that no source needs to know it; no proxy reads it. It contains
//! no time, so the same source gives the same module on any machine.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::process::capture;
use crate::workspace::Workspace;

const SECTION: &str = "io.faultline";

/// The module's inputs; its revision is the last commit that changed one of them.
const INPUTS: [&str; 5] = ["filter", "Cargo.toml", "Cargo.lock", ".cargo", "xtask/src/build_info.rs"];

/// The module with its build information appended: also which `optimizer` it went through, if any.
pub(crate) fn stamped(workspace: &Workspace, module: &[u8], optimizer: Option<&str>) -> Result<Vec<u8>> {
    let mut info = BTreeMap::from([
        ("name", json!("faultline")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("licenses", json!(env!("CARGO_PKG_LICENSE"))),
        ("configSchema", json!(filter_core::config::SCHEMA_VERSION)),
    ]);
    if !env!("CARGO_PKG_REPOSITORY").is_empty() {
        info.insert("source", json!(env!("CARGO_PKG_REPOSITORY")));
    }
    if let Some(optimizer) = optimizer {
        info.insert("optimizer", json!(optimizer));
    }
    if let Some(revision) = revision(workspace) {
        info.insert("revision", json!(revision));
    }
    Ok([module, &custom_section(SECTION, &serde_json::to_vec(&info)?)].concat())
}

/// The last commit that changed an input of the module, with `-dirty` if one has uncommitted changes; `None` without
/// git.
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

/// An unsigned number in WebAssembly's encoding (LEB128).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_its_number_its_length_its_name_and_its_content() {
        assert_eq!(custom_section("ab", b"xyz"), b"\0\x06\x02abxyz");
        assert_eq!(leb128(300), [0xac, 0x02]);
        assert_eq!(custom_section("n", &[7; 200])[..5], [0, 0xca, 0x01, 1, b'n']);
    }
}
