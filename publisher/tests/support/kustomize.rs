//! Builds kustomizations with `kustomize` or `kubectl kustomize`, whichever is installed.

use std::path::Path;
use std::process::Command;

use crate::skip::{Tool, skip};

/// The command that builds a kustomization, if one is installed; else `name` is listed as skipped.
pub(crate) fn kustomize(name: &str) -> Option<[String; 2]> {
    let own = std::env::var("FAULTLINE_KUSTOMIZE").ok();
    let own = own.iter().map(|program| [program.as_str(), "build"]);
    let commands = own.chain([["kustomize", "build"], ["kubectl", "kustomize"]]);
    let works = |command: &[&str; 2]| {
        Command::new(command[0]).args([command[1], "--help"]).output().is_ok_and(|ran| ran.status.success())
    };
    let found = commands.into_iter().find(works);
    if found.is_none() {
        skip(name, Tool::Optional, "neither kustomize nor kubectl is on PATH, nor named by FAULTLINE_KUSTOMIZE");
    }
    found.map(|command| command.map(str::to_owned))
}

/// What a kustomization builds; a warning is a failure.
#[track_caller]
pub(crate) fn build(kustomize: &[String; 2], folder: &Path) -> String {
    let ran = Command::new(&kustomize[0]).arg(&kustomize[1]).arg(folder).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{}: {said}", folder.display());
    assert_eq!(said, "", "{}: it warns", folder.display());
    String::from_utf8(ran.stdout).unwrap()
}
