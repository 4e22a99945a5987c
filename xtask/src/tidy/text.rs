//! Checks a file's text: its header, its size, its lines, and paths of somebody's machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

use super::files::Source;
use super::finding::Finding;

/// The maximum number of lines of a file.
const MOST_LINES: usize = 500;
/// The maximum number of lines of the README.
const MOST_README_LINES: usize = 120;
/// The maximum length of a line, in code and in prose, in characters.
const MOST_COLUMNS: usize = 120;
/// A folder with more Rust files than this needs a file that says what the folder is about.
const FEW_FILES: usize = 3;

/// The only file that may declare functions of the host.
const BOUNDARY: &str = "filter/src/host/envoy_imports.rs";

/// Every `.rs` file begins with a `//!` header.
pub(crate) fn headers(sources: &[Source]) -> Vec<Finding> {
    let missing = sources.iter().filter(|source| source.is("rs") && idea(&source.text).is_none());
    let what = "no `//!` header: say first what the file is, why, and what is not in it";
    missing.map(|source| Finding::at(&source.path, 1, what)).collect()
}

/// A folder of more than a few Rust files has a file whose header says what the folder is about.
///
/// Crate roots that are next to each other, such as integration tests, have only the folder in common: `roots` and the
/// targets of the fuzzer do not count, unless one of them is the folder's own head.
pub(crate) fn folders(sources: &[Source], roots: &[&Path]) -> Vec<Finding> {
    let mut folders: BTreeMap<&Path, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is("rs")) {
        let folder = source.path.parent().unwrap_or(Path::new(""));
        let is_root = roots.contains(&source.path.as_path()) || source.text.contains("\n#![no_main]");
        if is_head(&source.path) || !is_root {
            folders.entry(folder).or_default().push(source);
        }
    }
    let mut findings = Vec::new();
    for (folder, files) in folders.into_iter().filter(|(_, files)| files.len() > FEW_FILES) {
        let mut heads = files.iter().filter(|source| is_head(&source.path));
        if !heads.any(|head| idea(&head.text).is_some()) {
            let what = format!("{} Rust files without a mod.rs that says in one sentence what they are", files.len());
            findings.push(Finding::in_file(folder, what));
        }
    }
    findings
}

fn is_head(file: &Path) -> bool {
    file.file_name().is_some_and(|name| ["mod.rs", "lib.rs", "main.rs"].iter().any(|head| name == *head))
}

/// The first line of a file's header.
fn idea(text: &str) -> Option<&str> {
    let line = text.lines().next()?.strip_prefix("//!")?.trim();
    (!line.is_empty()).then_some(line)
}

/// No `.rs` file is longer than a person can read at once.
pub(crate) fn lengths(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is("rs")) {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            let what = format!("{lines} lines, at most {MOST_LINES}: split it by what changes for different reasons");
            findings.push(Finding::in_file(&source.path, what));
        }
    }
    findings
}

/// The README is short; what else there is to say is in `docs`.
pub(crate) fn readme(sources: &[Source]) -> Vec<Finding> {
    let readme = sources.iter().find(|source| source.path == Path::new("README.md"));
    let lines = readme.map_or(0, |readme| readme.text.lines().count());
    let what = format!("{lines} lines, at most {MOST_README_LINES}: move details to docs");
    if lines > MOST_README_LINES { vec![Finding::in_file(Path::new("README.md"), what)] } else { Vec::new() }
}

/// No line of code or prose is too wide.
///
/// What cannot be wrapped may be wider: in Rust, raw strings; in Markdown, tables, code, images and long addresses.
pub(crate) fn widths(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is("rs") || source.is("md")) {
        let mut in_code = false;
        let raw = if source.is("rs") { raw_strings(&source.text) } else { BTreeSet::new() };
        for (number, line) in source.lines().filter(|(number, _)| !raw.contains(number)) {
            let width = line.chars().count();
            if source.is("md") {
                let start = line.trim_start();
                let is_fence = start.starts_with("```") || start.starts_with("~~~");
                in_code ^= is_fence;
                if in_code || is_fence || start.starts_with('|') || !can_wrap(start) {
                    continue;
                }
            }
            if width > MOST_COLUMNS {
                findings.push(Finding::at(&source.path, number, format!("{width} columns, at most {MOST_COLUMNS}")));
            }
        }
    }
    findings
}

/// Whether a line of Markdown would fit if it were wrapped: an image, or a word as wide as a line, has no place to
/// break at.
fn can_wrap(line: &str) -> bool {
    let is_image = line.starts_with("![") || line.starts_with("[![");
    !is_image && line.split(' ').all(|word| word.chars().count() < MOST_COLUMNS)
}

/// The lines of raw strings in Rust.
fn raw_strings(text: &str) -> BTreeSet<usize> {
    fn add(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => add(group.stream(), lines),
                TokenTree::Literal(literal) if is_raw_string(&literal.to_string()) => {
                    let span = literal.span();
                    lines.extend(span.start().line..=span.end().line);
                }
                _ => {}
            }
        }
    }
    let mut lines = BTreeSet::new();
    if let Ok(tokens) = text.parse() {
        add(tokens, &mut lines);
    }
    lines
}

fn is_raw_string(literal: &str) -> bool {
    ["r\"", "r#", "br\"", "br#", "cr\"", "cr#"].iter().any(|start| literal.starts_with(start))
}

/// Only the boundary imports functions of the host.
pub(crate) fn host_boundary(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let in_filter = |source: &&Source| source.is("rs") && source.path.starts_with("filter");
    for source in sources.iter().filter(in_filter).filter(|source| source.path != Path::new(BOUNDARY)) {
        for (number, line) in source.lines() {
            // A function that is exported to the host is `extern "C" fn`; a block of imports opens a brace.
            let code = line.trim_start();
            let imports = code.contains("extern \"") && code.ends_with('{') && !code.contains("fn ");
            if imports || code.contains("wasm_import_module") {
                let what = format!("declares functions of the host: only {BOUNDARY} may, move it there");
                findings.push(Finding::at(&source.path, number, what));
            }
        }
    }
    findings
}

/// No source contains a directory of the machine on which it was made.
pub(crate) fn machine_paths(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let homes = ["root", "home", "Users"].map(|dir| format!("/{dir}/"));
    for source in sources {
        for (number, line) in source.lines() {
            if homes.iter().any(|home| names_a_directory(line, home)) {
                let what = "a path of somebody's machine: write it relative to the workspace, or with $HOME";
                findings.push(Finding::at(&source.path, number, what));
            }
        }
    }
    findings
}

/// Whether `line` contains `home` at the start of an absolute path, followed by a name.
fn names_a_directory(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + home.len()..].chars().next();
        let inside_a_path = before.is_some_and(|c| c.is_alphanumeric() || "_-.}/*>".contains(c));
        !inside_a_path && after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    fn told(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_home_directory_is_told_from_a_path_that_only_looks_like_one() {
        let home = format!("/{}/", "home");
        assert!(names_a_directory(&format!("see {home}ada/src"), &home));
        assert!(!names_a_directory(&format!("GET /api{home}page"), &home));
        assert!(!names_a_directory(&format!("under {home}"), &home));
        assert!(!names_a_directory("at home", &home));
    }

    #[test]
    fn a_header_has_words_in_its_first_line() {
        let sources =
            [source("a.rs", "//! An idea.\n"), source("b.rs", "//!\n//! Late.\n"), source("c.rs", "fn c() {}\n")];
        let found = told(&headers(&sources));
        assert!(found.len() == 2 && found[0].starts_with("b.rs:1:") && found[1].starts_with("c.rs:1:"), "{found:?}");
    }

    #[test]
    fn a_folder_of_four_files_needs_a_head_and_roots_of_crates_do_not_count() {
        let named = |names: [&str; 4]| names.map(|name| source(name, "//! An idea.\n"));
        let files = named(["a/b.rs", "a/c.rs", "a/d.rs", "a/e.rs"]);
        assert_eq!(told(&folders(&files, &[])).len(), 1);
        assert_eq!(told(&folders(&files, &[Path::new("a/b.rs")])), [""; 0]);
        assert_eq!(told(&folders(&named(["a/b.rs", "a/c.rs", "a/d.rs", "a/mod.rs"]), &[])), [""; 0]);
        assert_eq!(
            told(&folders(&named(["a/b.rs", "a/c.rs", "a/d.rs", "a/main.rs"]), &[Path::new("a/main.rs")])),
            [""; 0]
        );
        let mut silent = named(["a/b.rs", "a/c.rs", "a/d.rs", "a/mod.rs"]);
        silent[3].text = "mod b;\n".to_owned();
        assert_eq!(told(&folders(&silent, &[])).len(), 1);
    }

    #[test]
    fn wide_lines_are_found_but_for_what_cannot_wrap() {
        let wide = "word ".repeat(25);
        let rust = format!("//! {wide}\n");
        let address = format!("see [text](https://{})", "x".repeat(120));
        let prose = format!("{wide}\n| {wide} |\n```\n{wide}\n```\n{address}\n![image]({wide})\n[text](x) {wide}\n");
        let found = told(&widths(&[source("a.rs", &rust), source("a.md", &prose), source("a.json", &wide)]));
        assert_eq!(
            found,
            [
                "a.rs:1: 129 columns, at most 120",
                "a.md:1: 125 columns, at most 120",
                "a.md:8: 135 columns, at most 120"
            ]
        );
        // A raw string has no place to break at; any other string has.
        let strings = format!("fn f() {{\n    r#\"{wide}\"#;\n    \"{wide}\";\n}}\n");
        assert_eq!(told(&widths(&[source("a.rs", &strings)])), ["a.rs:3: 132 columns, at most 120"]);
        // Columns are characters, not bytes.
        assert_eq!(told(&widths(&[source("a.rs", &"é".repeat(120))])), [""; 0]);
    }

    #[test]
    fn imports_from_the_host_are_found_outside_the_boundary() {
        let text = "#[link(wasm_import_module = \"env\")]\nunsafe extern \"C\" {\n}\n";
        let found = host_boundary(&[source(BOUNDARY, text), source("filter/src/vm.rs", text)]);
        assert_eq!(told(&found).len(), 2);
        assert!(told(&found)[0].starts_with("filter/src/vm.rs:1:"));
    }
}
