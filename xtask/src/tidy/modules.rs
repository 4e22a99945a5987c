//! Checks on how the modules of a crate use each other: no circles, and only from above to below.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::rust::graph::{self, Graph, Use};
use super::rust::module_tree::Crate;

/// The layers of a crate's sources.
struct Layers {
    /// The folder of the sources.
    folder: &'static str,
    /// From the lowest to the highest, each a folder or a file without its `.rs`; `*` is all that is not named.
    order: &'static [&'static str],
}

/// Crates with layers; in all others it is enough that there is no circle.
const LAYERS: [Layers; 2] = [
    Layers { folder: "filter/src", order: &["host", "shared", "output", "vm", "callbacks", "abi", "lib"] },
    Layers { folder: "publisher/src", order: &["*", "commands", "cli", "main"] },
];

/// A type with methods outside of its own file and those below it.
struct Extended {
    /// The file that defines the type.
    file: &'static str,
    type_name: &'static str,
    /// Why that is no circle: those files lie above the type's.
    reason: &'static str,
}

const EXTENDED: [Extended; 4] = [
    Extended {
        file: "wasm-harness/src/harness.rs",
        type_name: "Harness",
        reason: "what a test can do is one type, and each file above adds what belongs to its subject",
    },
    Extended {
        file: "wasm-harness/src/host/call.rs",
        type_name: "Call",
        reason: "each file of the ABI's functions adds what only those need of a call",
    },
    Extended {
        file: "wasm-harness/src/exchange_data.rs",
        type_name: "ExchangeData",
        reason: "which attributes an exchange has is a subject of its own, above the data",
    },
    Extended {
        file: "filter/core/tests/core/cluster/story.rs",
        type_name: "Story",
        reason: "each test adds the steps that only it takes",
    },
];

/// Which folders and files of a library may print.
struct Printing {
    /// The folder of the sources.
    folder: &'static str,
    /// Those in it that talk to a person.
    allowed: &'static [&'static str],
}

const PRINTING: [Printing; 4] = [
    Printing { folder: "filter/src", allowed: &[] },
    Printing { folder: "filter/core/src", allowed: &[] },
    Printing { folder: "wasm-harness/src", allowed: &[] },
    Printing { folder: "publisher/src", allowed: &["commands", "terminal", "main"] },
];

/// Macros that write to stdout or stderr.
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// The publisher's sources, of which only what is above its libraries may know the command line.
const PUBLISHER: &str = "publisher/src";
const COMMAND_LINE: [&str; 3] = ["commands", "cli", "main"];

/// No file uses itself by way of others, by what they import or name.
pub(crate) fn circles(crates: &[Crate]) -> Vec<Finding> {
    circles_by(crates, |step| !step.is_call, |_| true)
}

/// No file uses itself by way of others where some of them do it by a method of the same type.
pub(crate) fn circles_of_calls(crates: &[Crate]) -> Vec<Finding> {
    circles_by(crates, |_| true, |step| step.is_call)
}

/// Circles of the steps that are `followed`, of which at least one is `wanted`.
fn circles_by(crates: &[Crate], followed: fn(&Use) -> bool, wanted: fn(&Use) -> bool) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    for tree in crates {
        let mut graph = Graph::of(tree);
        graph.uses.values_mut().for_each(|uses| uses.retain(|_, step| followed(step)));
        for circle in graph.circles() {
            if !circle.iter().any(|(_, step)| wanted(step)) {
                continue;
            }
            let files = circle.iter().chain(circle.first()).map(|(file, _)| file.display().to_string());
            let files: Vec<String> = files.collect();
            let steps = circle.iter().map(|(from, step)| format!("{}:{} {}", from.display(), step.line, step.words));
            let steps: Vec<String> = steps.collect();
            let what = format!(
                "a circle of modules: {} ({}); move what both need below both",
                files.join(" -> "),
                steps.join(", ")
            );
            findings.extend(circle.first().map(|(file, _)| Finding::in_file(file, what)));
        }
    }
    findings.into_iter().collect()
}

/// The methods of a type are in its own file, or in files below it; and no exception to that is left over.
pub(crate) fn methods(crates: &[Crate]) -> Vec<Finding> {
    methods_elsewhere(crates, &EXTENDED)
}

fn methods_elsewhere(crates: &[Crate], excepted: &[Extended]) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    let mut used = BTreeSet::new();
    for tree in crates {
        for methods in graph::methods(tree).into_values() {
            let home = &tree.modules[methods.home];
            let exception = excepted
                .iter()
                .position(|extended| home.file == Path::new(extended.file) && methods.type_name == extended.type_name);
            for (module, line) in &methods.blocks {
                let module = &tree.modules[*module];
                if module.file == home.file || module.path.starts_with(&home.path) {
                    continue;
                }
                if let Some(exception) = exception {
                    used.insert(exception);
                    continue;
                }
                let what = format!(
                    "methods of {}, which is defined in {}: write functions, or a type of this file's own",
                    methods.type_name,
                    home.file.display()
                );
                findings.insert(Finding::at(&module.file, *line, what));
            }
        }
    }
    for (_, left) in excepted.iter().enumerate().filter(|(place, _)| !used.contains(place)) {
        let Extended { type_name, reason, .. } = left;
        let what = format!("no methods of {type_name} are elsewhere: remove tidy's exception ({reason})");
        findings.insert(Finding::in_file(Path::new(left.file), what));
    }
    findings.into_iter().collect()
}

/// Within a crate that has layers, a file uses its own layer and lower ones.
pub(crate) fn layers(crates: &[Crate]) -> Vec<Finding> {
    LAYERS.iter().flat_map(|layers| out_of_order(crates, layers)).collect()
}

fn out_of_order(crates: &[Crate], layers: &Layers) -> Vec<Finding> {
    let place = |file: &Path| {
        let part = part_of(file, layers.folder)?;
        let named = layers.order.iter().position(|layer| *layer == part);
        Some(named.or_else(|| layers.order.iter().position(|layer| *layer == "*")).ok_or(part))
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
                    let own = if own == "*" { "a library" } else { own };
                    let what = format!("{own} is below {used}, but uses {} ({})", step.words, to.display());
                    findings.insert(Finding::at(&from, step.line, what));
                }
            }
        }
    }
    findings.into_iter().collect()
}

/// The folder or file right below `folder` that `file` is or is in, without `.rs`.
fn part_of(file: &Path, folder: &str) -> Option<String> {
    let first: PathBuf = file.strip_prefix(folder).ok()?.components().take(1).collect();
    Some(first.with_extension("").display().to_string())
}

/// Libraries print nothing: what a person should see is handed to those above.
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
    }
    findings.into_iter().collect()
}

/// Of clap, the publisher's libraries know that a choice can be a `ValueEnum`, and no more.
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
    use super::super::rust::module_tree::Files;
    use super::*;

    /// A crate with the root `root` out of these files.
    fn tree(root: &str, files: &[(&str, &str)]) -> Vec<Crate> {
        let files: Files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        vec![Crate::read(Path::new(root), &files).expect("the test's crate is complete")]
    }

    fn told(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    /// The circles of a crate of a root, `a.rs`, `b.rs` and more.
    fn circles_of(root: &str, a: &str, b: &str, more: &[(&str, &str)]) -> Vec<String> {
        let files = [&[("src/lib.rs", root), ("src/a.rs", a), ("src/b.rs", b)], more].concat();
        let crates = tree("src/lib.rs", &files);
        let found = told(&[circles(&crates), circles_of_calls(&crates)].concat());
        let ways = found.iter().filter_map(|line| line.split_once("modules: ")?.1.split_once(" ("));
        ways.map(|(way, _)| way.to_owned()).collect()
    }

    const AB: &str = "mod a; mod b;";
    const CIRCLE: [&str; 1] = ["src/a.rs -> src/b.rs -> src/a.rs"];

    #[test]
    fn every_way_to_name_a_module_counts() {
        let b = "pub struct B; pub fn b(_: crate::a::A) {}";
        for a in [
            "pub struct A; use crate::b::B;",
            "pub struct A; use super::{b::{self, B}};",
            "pub struct A; use super::b::*;",
            "pub struct A; use crate::b::B as Other;",
            "pub struct A; fn f() { let _ = super::b::B; }",
            "pub struct A; fn f() { use super::b; b::b(A); }",
            "pub struct A; use super::b; fn f() { b::b(A) }",
            "pub struct A; fn f() { println!(\"{}\", crate::b::B) }",
            "pub struct A; #[derive(Serialize)] struct S { #[serde(with = \"crate::b\")] x: u8 }",
            "pub struct A; mod inner { use super::super::b::B; }",
            "pub struct A; pub use super::b::B;",
        ] {
            assert_eq!(circles_of(AB, a, b, &[]), CIRCLE, "{a}");
        }
    }

    #[test]
    fn what_only_looks_like_a_circle_is_none() {
        let b = "pub struct B; use crate::a::A;";
        for a in [
            "pub struct A;",
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
            "pub struct A; #[cfg(all(test, unix))] fn f() { crate::b::B; }",
            "pub struct A; /// See [`crate::b::B`].\nfn f() {}",
            "pub struct A; use ::b::B; use other::b;",
            "pub struct A; fn f(b: u8) -> u8 { b.b }",
        ] {
            assert_eq!(circles_of(AB, a, b, &[]), [""; 0], "{a}");
        }
    }

    #[test]
    fn a_circle_is_told_with_its_lines() {
        let files = [
            ("src/lib.rs", AB),
            ("src/a.rs", "pub struct A;\nuse crate::b::B;"),
            ("src/b.rs", "pub struct B(super::a::A);"),
        ];
        let what = "src/a.rs: a circle of modules: src/a.rs -> src/b.rs -> src/a.rs \
                    (src/a.rs:2 crate::b::B, src/b.rs:1 super::a::A); move what both need below both";
        assert_eq!(told(&circles(&tree("src/lib.rs", &files))), [what]);
    }

    #[test]
    fn a_circle_may_be_long_and_is_told_once() {
        let c = [("src/c.rs", "pub use crate::a::A;"), ("src/d.rs", "use crate::c::A;")];
        let found = circles_of("mod a; mod b; mod c; mod d;", "pub struct A; use crate::b;", "use crate::c;", &c);
        assert_eq!(found, ["src/a.rs -> src/b.rs -> src/c.rs -> src/a.rs"]);
        // One wrong use is one finding, however many files are above it.
        let more = [("src/c.rs", "use crate::{a, b};"), ("src/d.rs", "use crate::{a, b, c};")];
        let found = circles_of("mod a; mod b; mod c; mod d;", "use crate::b;", "use crate::d;", &more);
        assert_eq!(found, ["src/b.rs -> src/d.rs -> src/b.rs"]);
    }

    #[test]
    fn parent_and_child_use_each_other_in_one_direction_only() {
        let child = [("src/a/child.rs", "use super::A; pub struct Child;")];
        let found = |a: &str| circles_of(AB, a, "", &child);
        let circle = ["src/a/child.rs -> src/a.rs -> src/a/child.rs"];
        assert_eq!(found("mod child; pub struct A;"), [""; 0]);
        assert_eq!(found("mod child; pub struct A; pub use child::Child;"), [""; 0], "a re-export only lends a name");
        assert_eq!(found("mod child; pub struct A; use child::Child;"), circle);
        assert_eq!(found("mod child; pub struct A; fn f() { child::Child; }"), circle);
        assert_eq!(found("mod child; pub struct A; pub use child::Child; fn f(_: Child) {}"), circle);
    }

    #[test]
    fn a_re_exported_name_leads_to_the_file_that_defines_it() {
        let children = [("src/a/one.rs", "pub struct One;"), ("src/a/two.rs", "use super::One; pub fn two() {}")];
        assert_eq!(circles_of(AB, "mod one; mod two; pub use one::One; use two::two;", "", &children), [""; 0]);
        assert_eq!(circles_of(AB, "mod one; mod two; pub use one::*; use two::two;", "", &children), [""; 0]);
        let children = [("src/a/one.rs", "pub struct One; use super::two;"), children[1]];
        let found = circles_of(AB, "mod one; mod two; pub use one::One;", "", &children);
        assert_eq!(found, ["src/a/one.rs -> src/a/two.rs -> src/a/one.rs"]);
    }

    #[test]
    fn a_call_on_self_leads_to_the_file_of_the_method() {
        let child =
            [("src/a/child.rs", "use super::A; impl A { pub fn down(&self) {} pub fn up(&self) { self.top() } }")];
        let circle = ["src/a/child.rs -> src/a.rs -> src/a/child.rs"];
        for call in ["self.down()", "Self::down(self)", "assert!(self.down() == ())"] {
            let a = format!("mod child; pub struct A; impl A {{ fn top(&self) {{ {call} }} }}");
            assert_eq!(circles_of(AB, &a, "", &child), circle, "{call}");
        }
        assert_eq!(circles_of(AB, "mod child; pub struct A; impl A { fn top(&self) {} }", "", &child), [""; 0]);
        // A trait's own method of that name is another.
        let other =
            "mod child; pub struct A; impl A { fn top(&self) {} } struct B; impl B { fn f(&self) { self.down() } }";
        assert_eq!(circles_of(AB, other, "", &child), [""; 0]);
    }

    #[test]
    fn methods_belong_to_the_file_of_the_type_or_below_it() {
        let found = |b: &str, excepted: &[Extended]| {
            let a = "mod child; pub struct A; impl A { fn a(&self) {} }";
            let child = ("src/a/child.rs", "use super::A; impl A { fn child(&self) {} }");
            let crates = tree("src/lib.rs", &[("src/lib.rs", AB), ("src/a.rs", a), ("src/b.rs", b), child]);
            told(&methods_elsewhere(&crates, excepted))
        };
        let trait_only = "use crate::a::A; impl Clone for A {} trait More {} impl More for A {}";
        let inherent = "use crate::a::A;\nimpl A { fn b(&self) {} }";
        assert_eq!(found(trait_only, &[]), [""; 0]);
        let what =
            "src/b.rs:2: methods of A, which is defined in src/a.rs: write functions, or a type of this file's own";
        assert_eq!(found(inherent, &[]), [what]);
        let excepted = [Extended { file: "src/a.rs", type_name: "A", reason: "a test" }];
        assert_eq!(found(inherent, &excepted), [""; 0]);
        assert_eq!(
            found(trait_only, &excepted),
            ["src/a.rs: no methods of A are elsewhere: remove tidy's exception (a test)"]
        );
    }

    #[test]
    fn modules_are_found_where_rustc_looks_for_them() {
        let files = [
            ("x/main.rs", "mod a; #[path = \"../y/b.rs\"] mod b; mod c { mod d; }"),
            ("x/a/mod.rs", "mod e;"),
            ("x/a/e.rs", ""),
            ("y/b.rs", "mod f;"),
            ("y/f.rs", ""),
            ("y/b/f.rs", ""),
            ("x/b/f.rs", ""),
            ("x/c/d.rs", ""),
        ];
        let crates = tree("x/main.rs", &files);
        let found: BTreeSet<String> =
            crates[0].modules.iter().map(|module| module.file.display().to_string()).collect();
        // A file that is named by `path` has its own modules beside it.
        let expected = ["x/a/e.rs", "x/a/mod.rs", "x/c/d.rs", "x/main.rs", "y/b.rs", "y/f.rs"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected));
    }

    #[test]
    fn layers_are_kept_from_below() {
        let order = Layers { folder: "p/src", order: &["low", "high", "main"] };
        let crates = tree(
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
        let crates = tree(
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
                     fn f() { println!(); }\n#[cfg(test)] mod tests { fn f() { println!() } }",
                ),
            ],
        );
        let store = "publisher/src/store.rs";
        assert_eq!(
            told(&layers(&crates)),
            [format!(
                "{store}:2: a library is below commands, but uses super::commands::push::run \
                 (publisher/src/commands/push.rs)"
            )]
        );
        let remedy = "in a library: take a plain struct, and fill it in a command";
        let expected = [format!("{store}:1: `clap::Args` {remedy}"), format!("{store}:4: `clap::Parser` {remedy}")];
        assert_eq!(told(&clap(&crates)), expected);
        let what = format!("{store}:5: println! in a library: return it, or take what it should be written to");
        assert_eq!(told(&printing(&crates)), [what]);
    }
}
