//! What goes with the programs: completions for each shell, and manual pages. The programs write them themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::Entry;
use super::programs::{self, Built, PROGRAMS};
use crate::process;
use crate::workspace::Workspace;

/// Each shell, and the file that it looks for: `%` is the program's name.
const SHELLS: [(&str, &str); 5] =
    [("bash", "%"), ("zsh", "_%"), ("fish", "%.fish"), ("powershell", "_%.ps1"), ("elvish", "%.elv")];

/// The programs that can be asked, in the order of [`PROGRAMS`]: of those that were built, the ones that this machine
/// runs; if it runs none of them, others are built for it.
///
/// # Errors
/// If they cannot be built.
pub(crate) fn local_programs(workspace: &Workspace, built: &[Built]) -> Result<Vec<PathBuf>> {
    if let Some(here) = built.iter().find(|built| built.target.is_here()) {
        return Ok(PROGRAMS.iter().map(|(name, _)| programs::file(workspace, here.target, name)).collect());
    }
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--bins"]).env("FAULTLINE_WASM", workspace.module());
    for (_, package) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    process::run(&mut cargo)?;
    Ok(PROGRAMS.iter().map(|(name, _)| workspace.target.join("debug").join(name)).collect())
}

/// Completions and manual pages of these programs, as entries of the archive.
///
/// # Errors
/// If a program does not write them.
pub(crate) fn entries(programs: &[PathBuf], scratch: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (program, (name, _)) in programs.iter().zip(PROGRAMS) {
        for (shell, file) in SHELLS {
            let output = Command::new(program).args(["completions", shell]).output();
            let output = output.with_context(|| format!("{} does not run", program.display()))?;
            anyhow::ensure!(output.status.success(), "`{name} completions {shell}` failed: run it to see why");
            entries.push(Entry::file(format!("completions/{shell}/{}", file.replace('%', name)), output.stdout));
        }
        let pages = scratch.join(name);
        fs::create_dir_all(&pages).with_context(|| format!("{} cannot be made", pages.display()))?;
        process::capture(Command::new(program).args(["man", "--dir"]).arg(&pages))
            .with_context(|| format!("`{name} man --dir {}` failed: run it to see why", pages.display()))?;
        for page in fs::read_dir(&pages)? {
            let page = page?;
            let content = fs::read(page.path())?;
            entries.push(Entry::file(format!("man/man1/{}", page.file_name().display()), content));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_finds_its_completions_by_the_name_of_the_file() {
        let names: Vec<String> = SHELLS.iter().map(|(_, file)| file.replace('%', "hot-switch")).collect();
        assert_eq!(names, ["hot-switch", "_hot-switch", "hot-switch.fish", "_hot-switch.ps1", "hot-switch.elv"]);
    }
}
