//! `cargo xtask book`: the documents as a book, built by mdBook and its links checked as a reader would follow them.
//!
//! mdBook takes one folder, and the documents stand in several, beside what they are about. So they are copied into one
//! with the same paths, each README as its folder's index, which is what mdBook makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::tidy::files::files_under;
use crate::tidy::links::linked;
use crate::tools::cargo_tools;
use crate::workspace::Workspace;

/// The folders whose files the book has whole.
const FOLDERS: [&str; 2] = ["docs", "deploy"];
const SUMMARY: &str = "docs/SUMMARY.md";

/// Puts the book together, builds it, and checks its links; returns the page to begin with.
pub(crate) fn run(workspace: &Workspace) -> Result<PathBuf> {
    let program = cargo_tools::mdbook(workspace)?;
    let folder = workspace.target.join("book");
    assemble(workspace, &folder)?;
    process::run(Command::new(program).arg("build").arg(&folder))?;
    let pages = folder.join("book");
    let broken = broken_links(&pages)?;
    for line in &broken {
        eprintln!("      {line}");
    }
    if !broken.is_empty() {
        bail!("book: {} links lead nowhere, see above", broken.len());
    }
    Ok(pages.join("index.html"))
}

/// Copies the documents, and what they link to, into `folder`.
fn assemble(workspace: &Workspace, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    for file in files(workspace)? {
        let from = workspace.root.join(&file);
        let to = match (file.as_path() == Path::new(SUMMARY), file.file_name()) {
            (true, _) => folder.join("src/SUMMARY.md"),
            (_, Some(name)) if name == "README.md" => folder.join("src").join(&file).with_file_name("index.md"),
            _ => folder.join("src").join(&file),
        };
        let written = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            if file.extension().is_none_or(|ending| ending != "md") {
                return fs::copy(&from, &to).map(drop);
            }
            let text = indexes(&fs::read_to_string(&from)?);
            fs::write(&to, if file.as_path() == Path::new(SUMMARY) { from_root(&text) } else { text })
        });
        written.with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    }
    fs::copy(workspace.root.join("book.toml"), folder.join("book.toml")).context("book.toml cannot be copied")?;
    Ok(())
}

/// What the book has: the pages of its summary, the folders, and the files elsewhere that a page links to.
fn files(workspace: &Workspace) -> Result<BTreeSet<PathBuf>> {
    let summary = PathBuf::from(SUMMARY);
    let mut files = linked(&summary, &read(workspace, &summary)?);
    files.insert(summary);
    for part in FOLDERS {
        let found = files_under(&workspace.root.join(part), &workspace.target)?;
        files.extend(found.iter().filter_map(|file| Some(file.strip_prefix(&workspace.root).ok()?.to_owned())));
    }
    let is_page = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "md");
    for page in files.clone().iter().filter(|file| is_page(file)) {
        let linked = linked(page, &read(workspace, page)?);
        // A page that is not in the summary has no place to be read at.
        files.extend(linked.into_iter().filter(|file| !is_page(file) && workspace.root.join(file).is_file()));
    }
    Ok(files)
}

fn read(workspace: &Workspace, file: &Path) -> Result<String> {
    fs::read_to_string(workspace.root.join(file)).with_context(|| format!("{} cannot be read", file.display()))
}

/// Links to a README lead to the index that it becomes.
fn indexes(text: &str) -> String {
    text.replace("README.md)", "index.md)").replace("README.md#", "index.md#")
}

/// The summary's links, from the root instead of its own folder.
fn from_root(summary: &str) -> String {
    summary.replace("](", "](docs/").replace("](docs/../", "](")
}

/// Each link of a page that leads to no file or to no place in it.
fn broken_links(folder: &Path) -> Result<BTreeSet<String>> {
    let folder = &fs::canonicalize(folder).with_context(|| format!("there is no {}", folder.display()))?;
    let mut pages = BTreeMap::new();
    for file in files_under(folder, Path::new(""))? {
        if file.extension().is_some_and(|ending| ending == "html") {
            let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            pages.insert(file, text);
        }
    }
    let ids: BTreeMap<&PathBuf, BTreeSet<&str>> =
        pages.iter().map(|(page, text)| (page, values(text, " id=\"").collect())).collect();
    let mut broken = BTreeSet::new();
    for (page, text) in &pages {
        // These repeat other pages, from another folder.
        if page
            .file_name()
            .is_some_and(|name| ["print.html", "404.html", "toc.html"].iter().any(|other| name == *other))
        {
            continue;
        }
        for link in values(text, " href=\"").chain(values(text, " src=\"")) {
            if link.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(char::is_alphabetic)) {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            // `..` is followed by the file system; the pages' own names have none.
            let place = fs::canonicalize(&target).ok();
            let there = place
                .as_ref()
                .is_some_and(|place| fragment.is_empty() || ids.get(place).is_none_or(|ids| ids.contains(fragment)));
            if !there {
                let page = page.strip_prefix(folder).unwrap_or(page);
                broken.insert(format!("{}: {link}", page.display()));
            }
        }
    }
    Ok(broken)
}

/// The values of an attribute in a text of HTML.
fn values<'a>(text: &'a str, attribute: &'static str) -> impl Iterator<Item = &'a str> {
    text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summarys_links_are_those_of_the_root() {
        let summary = "[a](../README.md)\n- [b](rules/README.md)\n- [c](glossary.md)\n";
        assert_eq!(
            from_root(&indexes(summary)),
            "[a](index.md)\n- [b](docs/rules/index.md)\n- [c](docs/glossary.md)\n"
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let folder = std::env::temp_dir().join(format!("faultline-book-{}", std::process::id()));
        fs::create_dir_all(folder.join("b")).unwrap();
        let folder = fs::canonicalize(folder).unwrap();
        let page =
            "<h1 id=\"x\">X</h1><a href=\"b/c.html#y\"><a href=\"#x\"><a href=\"https://w.x/\"><a href=\"b/d.html\">";
        fs::write(folder.join("a.html"), page).unwrap();
        fs::write(folder.join("b/c.html"), "<a href=\"../a.html#x\"><img src=\"e.svg\">").unwrap();
        let broken = broken_links(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let expected = ["a.html: b/c.html#y", "a.html: b/d.html", "b/c.html: e.svg"].map(str::to_owned);
        assert_eq!(broken, BTreeSet::from(expected));
    }
}
