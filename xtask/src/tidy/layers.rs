//! Checks the layers of a crate: what they use, whether they print, and what they know of the command line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::rust::graph::Graph;
use super::rust::module_tree::Crate;

/// The layers of a crate's sources.
struct Layers {
    /// The folder of the sources.
    folder: &'static str,
    /// From the lowest to the highest, each a folder or a file without its `.rs`.
    order: &'static [&'static str],
}

/// Crates with layers; other crates only need to be free of circles.
const LAYERS: [Layers; 3] = [
    Layers { folder: "filter/src", order: &["host", "shared", "output", "vm", "callbacks", "abi", "lib"] },
    Layers {
        folder: "hot-switch/src",
        order: &[
            "names",
            "kernel",
            "probe",
            "stand_in",
            "told",
            "pods",
            "cluster",
            "check",
            "agent",
            "controller",
            "commands",
            "cli",
            "lib",
            "main",
        ],
    },
    Layers {
        folder: "publisher/src",
        order: &[
            "files",
            "terminal",
            "reference",
            "content",
            "incident",
            "engine",
            "credentials",
            "module",
            "from_mesh",
            "artifact",
            "manifest",
            "store",
            "signature",
            "validate",
            "commands",
            "cli",
            "main",
        ],
    },
];

/// The folders and files of a library that may print.
struct Printing {
    /// The folder of the sources.
    folder: &'static str,
    /// Those in it that write to the terminal.
    allowed: &'static [&'static str],
}

const PRINTING: [Printing; 7] = [
    Printing { folder: "filter/src", allowed: &[] },
    Printing { folder: "filter/core/src", allowed: &[] },
    Printing { folder: "mesh/src", allowed: &[] },
    Printing { folder: "wasm-harness/src", allowed: &[] },
    Printing { folder: "hot-switch/core/src", allowed: &[] },
    Printing {
        folder: "hot-switch/src",
        // Agent and controller run for days: what goes wrong is said in their logs.
        allowed: &["agent", "commands", "controller", "main", "pods", "told"],
    },
    Printing { folder: "publisher/src", allowed: &["commands", "terminal", "main"] },
];

/// Functions that give stdout and stderr to write to.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Macros that write to stdout or stderr.
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// The publisher's sources, in which only the files above its libraries may use the command line.
const PUBLISHER: &str = "publisher/src";
const COMMAND_LINE: [&str; 3] = ["commands", "cli", "main"];

/// In a crate that has layers, a file uses only its own layer and lower ones.
pub(crate) fn layers(crates: &[Crate]) -> Vec<Finding> {
    LAYERS.iter().flat_map(|layers| out_of_order(crates, layers)).collect()
}

fn out_of_order(crates: &[Crate], layers: &Layers) -> Vec<Finding> {
    let place = |file: &Path| {
        let part = part_of(file, layers.folder)?;
        Some(layers.order.iter().position(|layer| *layer == part).ok_or(part))
    };
    let mut findings = BTreeSet::new();
    for tree in crates {
        for module in &tree.modules {
            if let Some(Err(part)) = place(&module.file) {
                let what = format!("`{part}` is none of the layers {}: give it one", layers.order.join(" < "));
                findings.insert(Finding::in_file(&module.file, what));
            }
        }
        for (from, uses) in Graph::of(tree).uses {
            for (to, step) in uses {
                if let (Some(Ok(own)), Some(Ok(used))) = (place(&from), place(&to))
                    && own < used
                {
                    let (own, used) = (layers.order[own], layers.order[used]);
                    let what = format!("{own} is below {used}, but uses {} ({})", step.words, to.display());
                    findings.insert(Finding::at(&from, step.line, what));
                }
            }
        }
    }
    findings.into_iter().collect()
}

/// The folder or file directly below `folder` that contains or is `file`, without `.rs`.
fn part_of(file: &Path, folder: &str) -> Option<String> {
    let first: PathBuf = file.strip_prefix(folder).ok()?.components().take(1).collect();
    Some(first.with_extension("").display().to_string())
}

/// Libraries print nothing: they return what a person should see to their callers.
pub(crate) fn printing(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    for module in crates.iter().flat_map(|tree| &tree.modules) {
        let may_print = |printing: &Printing| {
            part_of(&module.file, printing.folder).is_none_or(|part| printing.allowed.contains(&part.as_str()))
        };
        if PRINTING.iter().all(may_print) {
            continue;
        }
        for (name, line) in module.contents.macros.iter().filter(|(name, _)| PRINTS.contains(&name.as_str())) {
            let what = format!("{name}! in a library: return it, or take what it should be written to");
            findings.insert(Finding::at(&module.file, *line, what));
        }
        let imports = module.contents.imports.iter().map(|import| (&import.path, import.line));
        let references = module.contents.references.iter().map(|reference| (&reference.path, reference.line));
        for (path, line) in imports.chain(references) {
            let is_io = path.len() > 1 && path.iter().any(|part| part == "io");
            if let Some(stream) = path.last().filter(|last| is_io && STREAMS.contains(&last.as_str())) {
                let what = format!("io::{stream} in a library: return it, or take what it should be written to");
                findings.insert(Finding::at(&module.file, line, what));
            }
        }
    }
    findings.into_iter().collect()
}

/// The publisher's libraries use nothing of clap except `ValueEnum`.
pub(crate) fn clap(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    for module in crates.iter().flat_map(|tree| &tree.modules) {
        if part_of(&module.file, PUBLISHER).is_none_or(|part| COMMAND_LINE.contains(&part.as_str())) {
            continue;
        }
        let contents = &module.contents;
        let imports = contents.imports.iter().map(|import| (&import.path, import.line));
        let references = contents.references.iter().map(|reference| (&reference.path, reference.line));
        for (path, line) in imports.chain(references) {
            let is_clap = path.first().is_some_and(|name| name == "clap");
            if is_clap && path.get(1).is_none_or(|name| name != "ValueEnum") {
                let what = format!("`{}` in a library: take a plain struct, and fill it in a command", path.join("::"));
                findings.insert(Finding::at(&module.file, line, what));
            }
        }
    }
    findings.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::rust::module_tree::crate_of;
    use super::*;

    fn told(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn layers_are_kept_from_below() {
        let order = Layers { folder: "p/src", order: &["low", "high", "main"] };
        let crates = crate_of(
            "p/src/main.rs",
            &[
                ("p/src/main.rs", "mod low; mod high; mod other; use high::High;"),
                ("p/src/low.rs", "use crate::high::High;"),
                ("p/src/high/mod.rs", "mod part; pub use part::High; use crate::low;"),
                ("p/src/high/part.rs", "pub struct High;"),
                ("p/src/other.rs", ""),
            ],
        );
        assert_eq!(
            told(&out_of_order(&crates, &order)),
            [
                "p/src/low.rs:1: low is below high, but uses crate::high::High (p/src/high/part.rs)",
                "p/src/other.rs: `other` is none of the layers low < high < main: give it one",
            ]
        );
    }

    #[test]
    fn the_publishers_libraries_know_neither_commands_nor_clap_and_print_nothing() {
        let crates = crate_of(
            "publisher/src/main.rs",
            &[
                ("publisher/src/main.rs", "mod cli; mod commands; mod store; fn main() { println!() }"),
                ("publisher/src/cli.rs", "use clap::Parser; use crate::commands::push;"),
                ("publisher/src/commands/mod.rs", "pub mod push;"),
                ("publisher/src/commands/push.rs", "use clap::Args; fn run() { eprintln!() } use crate::store::S;"),
                (
                    "publisher/src/store.rs",
                    "use clap::{ValueEnum, Args};\npub struct S; use super::commands::push::run;\n\
                     #[derive(clap::ValueEnum)] enum E {}\n#[derive(clap::Parser)] struct P;\n\
                     fn f() { println!(); }\n#[cfg(test)] mod tests { fn f() { println!() } }\n\
                     fn g() { let _ = std::io::stdout(); }",
                ),
            ],
        );
        let store = "publisher/src/store.rs";
        assert_eq!(
            told(&layers(&crates)),
            [format!(
                "{store}:2: store is below commands, but uses super::commands::push::run \
                 (publisher/src/commands/push.rs)"
            )]
        );
        let remedy = "in a library: take a plain struct, and fill it in a command";
        let expected = [format!("{store}:1: `clap::Args` {remedy}"), format!("{store}:4: `clap::Parser` {remedy}")];
        assert_eq!(told(&clap(&crates)), expected);
        let remedy = "in a library: return it, or take what it should be written to";
        let expected = [format!("{store}:5: println! {remedy}"), format!("{store}:7: io::stdout {remedy}")];
        assert_eq!(told(&printing(&crates)), expected);
    }
}
