//! Whether a release can be made again: builds the same commit in another folder, and compares every file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::release::{self, Made, SUMS, Wanted};
use super::source::Source;
use crate::process;
use crate::workspace::Workspace;

/// Makes the release of `made` once more, from a clone of the commit, and compares.
///
/// # Errors
/// If a file has other bytes, or the clone cannot be built.
pub(crate) fn again(workspace: &Workspace, folder: &Path, source: &Source, wanted: &Wanted, made: &Made) -> Result<()> {
    let root = workspace.target.join("dist-check").join("sources");
    eprintln!("dist: the same commit again, in {}", root.display());
    clone(&workspace.root, &root)?;
    let elsewhere = workspace.elsewhere(root.clone());
    let other = elsewhere.target.join("dist");
    let wanted = Wanted { local_programs: Some(&made.local_programs), ..*wanted };
    let cloned = Source::read(&root)?;
    if cloned.revision != source.revision || cloned.is_dirty {
        bail!("{} is not the commit that was built", root.display());
    }
    release::make(&elsewhere, &other, &cloned, &wanted)?;
    let differing = differences(&sums(folder)?, &sums(&other)?);
    if !differing.is_empty() {
        bail!("built twice, and not the same: {} (compare with {})", differing.join(", "), other.display());
    }
    Ok(())
}

/// A clone of the commit of `from`. One of an earlier check is used again, with what was built there.
fn clone(from: &Path, root: &Path) -> Result<()> {
    if !root.join(".git").exists() {
        let mut clone = Command::new("git");
        return process::run(clone.args(["clone", "--quiet", "--no-hardlinks"]).arg(from).arg(root));
    }
    let git = |words: &[&str]| process::run(Command::new("git").args(words).current_dir(root));
    git(&["fetch", "--quiet", &from.display().to_string(), "HEAD"])?;
    git(&["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"])
}

/// The checksum of each file of a release.
fn sums(folder: &Path) -> Result<BTreeMap<String, String>> {
    let file = folder.join(SUMS);
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    Ok(lines.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect())
}

/// The files that only one of two releases has, or that differ.
fn differences(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_differs_or_is_missing_is_named() {
        let sums = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
        };
        let one = sums(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(differences(&one, &one), [""; 0]);
        assert_eq!(differences(&one, &sums(&[("a", "1"), ("b", "4"), ("d", "5")])), ["b", "c", "d"]);
    }
}
