//! Checks that no files of a crate use each other in a circle, and that a type's methods do not hide a circle.

use std::collections::BTreeSet;
use std::path::Path;

use super::finding::Finding;
use super::rust::graph::{self, Graph, Use};
use super::rust::module_tree::Crate;

/// A type with methods outside its own file and the files below that.
struct Extended {
    /// The file that defines the type.
    file: &'static str,
    type_name: &'static str,
    /// Why that is not a circle: those files are above the type's.
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

/// No file uses itself through other files that it imports or names.
pub(crate) fn circles(crates: &[Crate]) -> Vec<Finding> {
    circles_by(crates, |step| !step.is_call, |_| true)
}

/// No file uses itself through other files, where some of these uses are calls of a method of the same type.
pub(crate) fn circles_of_calls(crates: &[Crate]) -> Vec<Finding> {
    circles_by(crates, |_| true, |step| step.is_call)
}

/// Circles of the uses that are `followed`, of which at least one is `wanted`.
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

/// The methods of a type are in its own file or in files below it, and there is no unused exception to that.
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

#[cfg(test)]
mod tests {
    use super::super::rust::module_tree::crate_of;
    use super::*;

    fn told(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    /// The circles of a crate with the files `root`, `a.rs`, `b.rs` and `more`.
    fn circles_of(root: &str, a: &str, b: &str, more: &[(&str, &str)]) -> Vec<String> {
        let files = [&[("src/lib.rs", root), ("src/a.rs", a), ("src/b.rs", b)], more].concat();
        let crates = crate_of("src/lib.rs", &files);
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
        assert_eq!(told(&circles(&crate_of("src/lib.rs", &files))), [what]);
    }

    #[test]
    fn a_circle_may_be_long_and_is_told_once() {
        let c = [("src/c.rs", "pub use crate::a::A;"), ("src/d.rs", "use crate::c::A;")];
        let found = circles_of("mod a; mod b; mod c; mod d;", "pub struct A; use crate::b;", "use crate::c;", &c);
        assert_eq!(found, ["src/a.rs -> src/b.rs -> src/c.rs -> src/a.rs"]);
        // One wrong use is one finding, no matter how many files are above it.
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
        // A trait's own method with the same name is a different one.
        let other =
            "mod child; pub struct A; impl A { fn top(&self) {} } struct B; impl B { fn f(&self) { self.down() } }";
        assert_eq!(circles_of(AB, other, "", &child), [""; 0]);
    }

    #[test]
    fn methods_belong_to_the_file_of_the_type_or_below_it() {
        let found = |b: &str, excepted: &[Extended]| {
            let a = "mod child; pub struct A; impl A { fn a(&self) {} }";
            let child = ("src/a/child.rs", "use super::A; impl A { fn child(&self) {} }");
            let crates = crate_of("src/lib.rs", &[("src/lib.rs", AB), ("src/a.rs", a), ("src/b.rs", b), child]);
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
        let crates = crate_of("x/main.rs", &files);
        let found: BTreeSet<String> =
            crates[0].modules.iter().map(|module| module.file.display().to_string()).collect();
        // A file that is named by `path` has its own modules next to it.
        let expected = ["x/a/e.rs", "x/a/mod.rs", "x/c/d.rs", "x/main.rs", "y/b.rs", "y/f.rs"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected));
    }
}
