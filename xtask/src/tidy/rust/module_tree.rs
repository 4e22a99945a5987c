//! The modules of a crate and their files, found by following `mod` from the crate's root.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::scan::{Contents, Submodule};

/// Rust files by their paths from the workspace's root.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// A module of a crate.
pub(crate) struct Module {
    /// Its path from the crate's root; empty for the root itself.
    pub(crate) path: Vec<String>,
    pub(crate) file: PathBuf,
    pub(crate) contents: Contents,
}

/// A crate: a library, a program, a test or a bench.
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
    /// Indices in `modules` by path; if a module is declared twice, for two targets, the first counts.
    by_path: BTreeMap<Vec<String>, usize>,
}

impl Crate {
    /// Reads the crate whose root is the file `root`.
    pub(crate) fn read(root: &Path, files: &Files) -> Result<Self> {
        let mut tree = Self { modules: Vec::new(), by_path: BTreeMap::new() };
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        let contents = parsed(root, files)?;
        tree.add(Vec::new(), root.to_owned(), &folder, contents, files)?;
        Ok(tree)
    }

    /// The index in `modules` of the module with this path.
    pub(crate) fn find(&self, path: &[String]) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Adds a module and those below it; `folder` contains the files of those.
    fn add(
        &mut self,
        path: Vec<String>,
        file: PathBuf,
        folder: &Path,
        mut contents: Contents,
        files: &Files,
    ) -> Result<()> {
        let submodules = std::mem::take(&mut contents.submodules);
        self.by_path.entry(path.clone()).or_insert(self.modules.len());
        self.modules.push(Module { path: path.clone(), file: file.clone(), contents });
        for Submodule { name, body, file: named } in submodules {
            let path = [path.as_slice(), std::slice::from_ref(&name)].concat();
            let below = folder.join(&name);
            if let Some(contents) = body {
                self.add(path, file.clone(), &below, contents, files)?;
                continue;
            }
            let beside = file.parent().unwrap_or(Path::new(""));
            let found = match &named {
                Some(named) => normal(&beside.join(named)),
                None => Some(folder.join(format!("{name}.rs")))
                    .filter(|file| files.contains_key(file))
                    .unwrap_or_else(|| below.join("mod.rs")),
            };
            let contents = parsed(&found, files).with_context(|| format!("{}: `mod {name};`", file.display()))?;
            // A file that is named by `path` counts as the head of its folder, whatever its name is.
            let is_head = named.is_some() || found.file_name().is_some_and(|name| name == "mod.rs");
            let below = if is_head { found.parent().unwrap_or(Path::new("")).to_owned() } else { below };
            self.add(path, found, &below, contents, files)?;
        }
        Ok(())
    }
}

fn parsed(file: &Path, files: &Files) -> Result<Contents> {
    let text = files.get(file).with_context(|| format!("there is no {}", file.display()))?;
    let syntax = syn::parse_file(text).with_context(|| format!("{} is not Rust", file.display()))?;
    Ok(Contents::of(&syntax.items))
}

/// Normalises a path: `a/../b` is `b`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// Makes a crate with the root `root` from these files, for tests.
#[cfg(test)]
pub(crate) fn crate_of(root: &str, files: &[(&str, &str)]) -> Vec<Crate> {
    let files: Files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    vec![Crate::read(Path::new(root), &files).expect("the test's crate is complete")]
}
