//! The workspace's files as text.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The extensions of the files that checks read; a file without an extension, such as `.ci/run`, is named in full.
const ENDINGS: [&str; 8] = ["rs", "toml", "md", "yaml", "yml", "json", "sh", "run"];

/// A file of the workspace.
pub(crate) struct Source {
    /// The path from the workspace's root.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// Whether its name ends in `.ending`.
    pub(crate) fn is(&self, ending: &str) -> bool {
        self.path.extension().is_some_and(|found| found == ending)
    }

    /// Its lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every file that a check may read, in a stable order. Hidden folders are included; build products are not.
pub(crate) fn sources(root: &Path, target: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files_under(root, target)? {
        let ending = path.extension().or(path.file_name());
        if ending.is_some_and(|ending| ENDINGS.iter().any(|wanted| ending == *wanted)) {
            let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

/// Every file below `root`, sorted, except those of git and of cargo.
pub(crate) fn files_under(root: &Path, target: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                files.push(path);
            } else if path != target && entry.file_name() != ".git" && entry.file_name() != "target" {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
