//! Checks that every package has the workspace's lints, and that the two filter packages have their own in addition.
//!
//! Cargo lets a package either inherit the workspace's lints or declare its own. The filter's packages declare their
//! own, because only they deny what can trap the VM; so their lints are compared with the workspace's.

use std::path::Path;

use toml::{Table, Value};

use super::files::Source;
use super::finding::Finding;

/// Packages that declare their own lints.
const STRICT: [&str; 3] = ["filter/Cargo.toml", "filter/core/Cargo.toml", "hot-switch/core/Cargo.toml"];

/// Lints that are denied there: nothing that is reachable from traffic, configuration or admin answers may trap the VM
/// (invariant 4).
const TRAPS: [&str; 7] = [
    "arithmetic_side_effects",
    "expect_used",
    "indexing_slicing",
    "panic",
    "string_slice",
    "unreachable",
    "unwrap_used",
];

/// Nothing in the filter switches a lint against traps off, and no crate hides what it uses from tidy: a crate under
/// another name, or a file that is included and no module.
pub(crate) fn exceptions(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let in_filter = |path: &Path| path.starts_with("filter/src") || path.starts_with("filter/core/src");
    for source in sources.iter().filter(|source| source.is("rs")) {
        // The roots allow some of them in tests.
        let is_strict = in_filter(&source.path) && source.path.file_name().is_some_and(|name| name != "lib.rs");
        for (number, line) in source.lines() {
            let code = line.trim_start();
            if is_strict && TRAPS.iter().any(|lint| code.contains(&format!("clippy::{lint}"))) {
                let what = "excuses what can trap the VM: handle the case instead";
                findings.push(Finding::at(&source.path, number, what));
            }
            let includes = code.starts_with("include!(") && !code.contains("OUT_DIR");
            if code.starts_with("extern crate ") || includes {
                let what = "hides what it uses from tidy: write `use` and `mod`";
                findings.push(Finding::at(&source.path, number, what));
            }
        }
    }
    findings
}

/// Each package's lints are the workspace's, or the workspace's and those against traps.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let manifest = |path: &str| sources.iter().find(|source| source.path == Path::new(path));
    let root = manifest("Cargo.toml").and_then(|root| root.text.parse::<Table>().ok());
    let workspace = root.as_ref().and_then(|root| root.get("workspace")?.get("lints")?.as_table());
    let Some(workspace) = workspace else {
        return vec![Finding::in_file(Path::new("Cargo.toml"), "no [workspace.lints]: state them there")];
    };
    let inherited = Table::from_iter([("workspace".to_owned(), Value::Boolean(true))]);
    for source in sources.iter().filter(|source| source.path.file_name().is_some_and(|name| name == "Cargo.toml")) {
        let Ok(table) = source.text.parse::<Table>() else {
            findings.push(Finding::in_file(&source.path, "is not TOML"));
            continue;
        };
        // The workspace's own manifest has no package; a package outside our workspace is a workspace of its own.
        if table.contains_key("workspace") || !table.contains_key("package") {
            continue;
        }
        let own = table.get("lints").and_then(Value::as_table);
        if !STRICT.iter().any(|strict| source.path == Path::new(strict)) {
            if own != Some(&inherited) {
                findings.push(Finding::in_file(&source.path, "write `[lints]` and `workspace = true`, nothing else"));
            }
            continue;
        }
        let empty = Table::new();
        for difference in differences(&strict(workspace), own.unwrap_or(&empty)) {
            findings.push(Finding::in_file(&source.path, difference));
        }
    }
    findings
}

/// The workspace's lints and those against traps.
fn strict(workspace: &Table) -> Table {
    let mut lints = workspace.clone();
    if let Some(clippy) = lints.entry("clippy").or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
        clippy.extend(TRAPS.map(|lint| (lint.to_owned(), Value::String("deny".to_owned()))));
    }
    lints
}

fn differences(wanted: &Table, own: &Table) -> Vec<String> {
    let mut differences = Vec::new();
    let empty = Table::new();
    let mut tools: Vec<&String> = wanted.keys().chain(own.keys()).collect();
    tools.sort();
    tools.dedup();
    for tool in tools {
        let of = |table: &'_ Table| table.get(tool).and_then(Value::as_table).unwrap_or(&empty).clone();
        let (wanted, own) = (of(wanted), of(own));
        for (lint, level) in &wanted {
            if own.get(lint) != Some(level) {
                let level = level.as_str().unwrap_or("the workspace's");
                differences.push(format!("[lints.{tool}] must have `{lint}` at {level}"));
            }
        }
        let strange = own.keys().filter(|lint| !wanted.contains_key(*lint));
        differences.extend(strange.map(|lint| format!("[lints.{tool}] has `{lint}`, which the workspace has not")));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manifests: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source { path: path.into(), text: (*text).to_owned() };
        let sources: Vec<Source> = manifests.iter().map(source).collect();
        check(&sources).iter().map(ToString::to_string).collect()
    }

    const ROOT: &str = "[workspace.lints.rust]\nunsafe_code = \"deny\"\n[workspace.lints.clippy]\ntodo = \"deny\"\n";

    fn strict_manifest() -> String {
        let traps: String = TRAPS.iter().map(|lint| format!("{lint} = \"deny\"\n")).collect();
        format!("[package]\n[lints.rust]\nunsafe_code = \"deny\"\n[lints.clippy]\ntodo = \"deny\"\n{traps}")
    }

    #[test]
    fn lints_are_inherited_or_stated_in_full() {
        let strict = strict_manifest();
        let manifests = [
            ("Cargo.toml", ROOT),
            ("xtask/Cargo.toml", "[package]\n[lints]\nworkspace = true\n"),
            ("filter/core/fuzz/Cargo.toml", "[package]\n[workspace]\n"),
            ("filter/Cargo.toml", &strict),
        ];
        assert_eq!(told(&manifests), [""; 0]);
    }

    #[test]
    fn what_is_missing_other_or_too_much_is_found() {
        let strict = strict_manifest()
            .replace("panic = \"deny\"\n", "")
            .replace("todo = \"deny\"", "todo = \"warn\"\nown = \"warn\"");
        let found = told(&[("Cargo.toml", ROOT), ("filter/Cargo.toml", &strict), ("xtask/Cargo.toml", "[package]\n")]);
        assert_eq!(
            found,
            [
                "filter/Cargo.toml: [lints.clippy] must have `panic` at deny",
                "filter/Cargo.toml: [lints.clippy] must have `todo` at deny",
                "filter/Cargo.toml: [lints.clippy] has `own`, which the workspace has not",
                "xtask/Cargo.toml: write `[lints]` and `workspace = true`, nothing else",
            ]
        );
    }

    #[test]
    fn a_lint_against_traps_that_is_excused_and_what_hides_from_tidy_is_found() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
        let excuse = "#[allow(clippy::unwrap_used, reason = \"x\")]\nfn f() {}\n";
        let sources = [
            source("filter/src/host/calls.rs", excuse),
            source("filter/src/lib.rs", excuse),
            source("publisher/src/files.rs", "extern crate self as me;\ninclude!(\"store.rs\");\n"),
            source("publisher/src/embedded.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/embedded.rs\"));\n"),
        ];
        let found: Vec<String> = exceptions(&sources).iter().map(ToString::to_string).collect();
        let hides = "hides what it uses from tidy: write `use` and `mod`";
        assert_eq!(
            found,
            [
                "filter/src/host/calls.rs:1: excuses what can trap the VM: handle the case instead".to_owned(),
                format!("publisher/src/files.rs:1: {hides}"),
                format!("publisher/src/files.rs:2: {hides}"),
            ]
        );
    }
}
