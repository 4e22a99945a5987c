//! Checks the words of the code: they are the glossary's, and not those that it replaced.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

use super::files::Source;
use super::finding::Finding;

const GLOSSARY: &str = "docs/glossary.md";

/// Identifiers that a newcomer cannot understand, and the field's word for each.
const OLD: [(&str, &str); 16] = [
    ("Charges", "DetectorInput"),
    ("Ledger", "EjectionCounts"),
    ("Observed", "AttemptObservation"),
    ("Whole", "RequestAttributes"),
    ("QUICK", "a name of what it is and its unit"),
    ("SOON", "a name of what it is and its unit"),
    ("SAID", "a name of what it is and its unit"),
    ("CALM", "IDLE_TICK_MS"),
    ("Leg", "Destination"),
    ("give_back", "uneject"),
    ("hurry", "shorten_tick"),
    ("knock", "probe_auth"),
    ("overtaken", "admin_view_stale"),
    ("push_ejected", "record_ejection"),
    ("usual_away", "baseline_spill_permille"),
    ("weigh", "reconcile_host"),
];

/// The glossary exists and is not empty.
pub(crate) fn glossary(sources: &[Source]) -> Vec<Finding> {
    let glossary = sources.iter().find(|source| source.path == Path::new(GLOSSARY));
    if glossary.is_some_and(|glossary| !glossary.text.trim().is_empty()) {
        return Vec::new();
    }
    vec![Finding::in_file(Path::new(GLOSSARY), "no glossary: the words that the code and the documents share go there")]
}

/// No identifier is one of the old words.
pub(crate) fn old_words(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is("rs")) {
        match source.text.parse::<TokenStream>() {
            Ok(tokens) => find(tokens, &source.path, &mut findings),
            Err(error) => findings.push(Finding::in_file(&source.path, format!("is not Rust: {error}"))),
        }
    }
    findings
}

fn find(tokens: TokenStream, file: &Path, findings: &mut Vec<Finding>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => find(group.stream(), file, findings),
            TokenTree::Ident(word) => {
                if let Some((old, new)) = OLD.iter().find(|(old, _)| word == *old) {
                    let what = format!("`{old}` is not a word of {GLOSSARY}: write {new}");
                    findings.push(Finding::at(file, word.span().start().line, what));
                }
            }
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let source = Source { path: "a.rs".into(), text: text.to_owned() };
        old_words(&[source]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn old_words_are_found_as_identifiers_only() {
        assert_eq!(found("//! The whole Ledger.\nfn f() { let x = \"Ledger\"; WholeBody; }"), [""; 0]);
        assert_eq!(
            found("use a::Ledger;\nfn f() { assert!(x.hurry()); }"),
            [
                "a.rs:1: `Ledger` is not a word of docs/glossary.md: write EjectionCounts",
                "a.rs:2: `hurry` is not a word of docs/glossary.md: write shorten_tick",
            ]
        );
    }

    #[test]
    fn an_empty_glossary_is_none() {
        let glossary_of = |path: &str, text: &str| glossary(&[Source { path: path.into(), text: text.to_owned() }]);
        assert!(glossary_of(GLOSSARY, "# Words\n").is_empty());
        assert_eq!(glossary_of(GLOSSARY, "\n").len(), 1);
        assert_eq!(glossary_of("README.md", "# Words\n").len(), 1);
    }
}
