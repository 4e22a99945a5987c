//! Checks the links of the documents: each leads to a file that is there, and to a heading of it.
//!
//! Links into the world are not followed: a check must give the same answer tomorrow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::files;
use super::finding::Finding;
use crate::workspace::Workspace;

/// The book's table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Every relative link in a Markdown file leads to a file or folder of the workspace, and its fragment to a heading.
pub(crate) fn links(workspace: &Workspace) -> Result<Vec<Finding>> {
    let sources = files::sources(&workspace.root, &workspace.target)?;
    let pages: BTreeMap<&Path, &str> = sources
        .iter()
        .filter(|source| source.is("md"))
        .map(|source| (source.path.as_path(), source.text.as_str()))
        .collect();
    let headings: BTreeMap<&Path, BTreeSet<String>> = pages.iter().map(|(path, text)| (*path, slugs(text))).collect();
    let mut findings = Vec::new();
    for (page, text) in &pages {
        for (line, link) in targets(text) {
            let (path, fragment) = link.split_once('#').map_or((link, None), |(path, it)| (path, Some(it)));
            let target = if path.is_empty() { page.to_path_buf() } else { resolved(page, path) };
            if !workspace.root.join(&target).exists() {
                findings.push(Finding::at(page, line, format!("`{link}` leads nowhere: correct the path")));
            } else if let (Some(fragment), Some(there)) = (fragment, headings.get(target.as_path()))
                && !there.contains(fragment)
            {
                let what = format!("`{link}`: {} has no such heading", target.display());
                findings.push(Finding::at(page, line, what));
            }
        }
    }
    Ok(findings)
}

/// Every page of `docs` and `deploy` is in the book's table of contents, or nobody would find it there.
pub(crate) fn summary(workspace: &Workspace) -> Result<Vec<Finding>> {
    let summary = Path::new(SUMMARY);
    let sources = files::sources(&workspace.root, &workspace.target)?;
    let text = sources.iter().find(|source| source.path == summary).map(|source| source.text.as_str());
    let listed = linked(summary, text.unwrap_or_default());
    let pages = sources.iter().filter(|source| {
        source.is("md") && source.path != summary && ["docs", "deploy"].iter().any(|part| source.path.starts_with(part))
    });
    let missing = pages.filter(|page| !listed.contains(&page.path));
    Ok(missing.map(|page| Finding::in_file(&page.path, format!("not in {SUMMARY}: add it"))).collect())
}

/// What a page links to, from the workspace's root.
pub(crate) fn linked(page: &Path, text: &str) -> BTreeSet<PathBuf> {
    let paths = targets(text).into_iter().filter_map(|(_, link)| link.split('#').next());
    paths.filter(|path| !path.is_empty()).map(|path| resolved(page, path)).collect()
}

/// A link's path, from the workspace's root.
fn resolved(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// The targets of a text's relative links, each with its line; what stands in code is no link.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Odd pieces between backticks are code. A link's text may have code in it, its target not.
        let mut rest = line;
        while let Some(at) = rest.find("](") {
            let in_code = rest[..at].matches('`').count() % 2 == 1;
            rest = &rest[at + 2..];
            let Some(end) = rest.find([')', ' ']) else { break };
            let target = &rest[..end];
            if !in_code && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number, target));
            }
            rest = &rest[end..];
        }
    }
    found
}

/// The lines of a text that are outside fences, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!in_code && !fence).then_some((index + 1, line))
    })
}

/// The fragments by which a text's headings are reached, as GitHub and mdBook make them.
fn slugs(text: &str) -> BTreeSet<String> {
    let mut slugs = BTreeSet::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
            .collect();
        let before = seen.entry(slug.clone()).and_modify(|count| *count += 1).or_default();
        slugs.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
    }
    slugs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code_only() {
        let text =
            "See [a](b.md#c), ![d](e.svg) and `[no](no.md)`.\n```\n[no](no.md)\n```\n[w](https://x.y/z) [`f`](g)\n";
        assert_eq!(targets(text), [(1, "b.md#c"), (1, "e.svg"), (5, "g")]);
        assert_eq!(resolved(Path::new("docs/rules/A.md"), "../../deploy/x.yaml"), Path::new("deploy/x.yaml"));
        assert_eq!(resolved(Path::new("README.md"), "docs/a.md"), Path::new("docs/a.md"));
    }

    #[test]
    fn headings_are_reached_as_github_reaches_them() {
        let text = "# What is `notify`: a *word*, or two?\n## A\n## A\n```\n# no\n```\n#no\n";
        let expected = ["what-is-notify-a-word-or-two", "a", "a-1"].map(str::to_owned);
        assert_eq!(slugs(text), BTreeSet::from(expected));
    }
}
