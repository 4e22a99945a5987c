//! What the tests check resources of Istio with, where the Go tool is: Istio's own schemas, as its API's module has them, and
//! kustomize.
//!
//! Nothing else needs them, so where they cannot be had it is said and the tests that want them skip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{self, LONG, find_on_path};
use crate::workspace::Workspace;

/// Points to a folder with CustomResourceDefinitions, a file `PLURAL.GROUP.yaml` each.
pub(crate) const SCHEMAS: &str = "FAULTLINE_CRDS";

/// Points to one's own kustomize.
pub(crate) const KUSTOMIZE: &str = "FAULTLINE_KUSTOMIZE";

/// Istio's API as a Go module, and what is wanted of it.
const API: &str = "istio.io/api";
const API_VERSION: &str = "v1.30.3";
const DEFINITIONS: &str = "kubernetes/customresourcedefinitions.gen.yaml";

const KUSTOMIZE_MODULE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.6.0";

/// What is there or can be had, each under its variable.
pub(crate) fn ensure(workspace: &Workspace) -> Vec<(&'static str, PathBuf)> {
    type Get = fn(&Workspace, &Path) -> Result<PathBuf>;
    let wanted: [(&str, bool, Get); 2] = [
        // Beside the workspace the tests find them by themselves.
        (SCHEMAS, workspace.root.join("../shared/crds").is_dir(), schemas),
        (KUSTOMIZE, find_on_path("kustomize").or_else(|| find_on_path("kubectl")).is_some(), kustomize),
    ];
    let mut found = Vec::new();
    for (variable, is_there, get) in wanted {
        if let Some(own) = std::env::var_os(variable).filter(|own| !own.is_empty()) {
            found.push((variable, own.into()));
        } else if !is_there {
            let got = find_on_path("go").context("it comes by the Go tool, which is not on PATH");
            match got.and_then(|go| get(workspace, &go)) {
                Ok(file) => found.push((variable, file)),
                Err(error) => eprintln!("set-up: without {variable}, tests of Istio's resources skip: {error:#}"),
            }
        }
    }
    found
}

fn schemas(workspace: &Workspace, go: &Path) -> Result<PathBuf> {
    let folder = workspace.tools().join(format!("istio-{API_VERSION}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("set-up: fetching Istio's schemas {API_VERSION}: the tests check manifests against them");
    let module = format!("{API}@{API_VERSION}");
    let cache = run_go(workspace, go, &["mod", "download", &module])?;
    let all = cache.join("pkg/mod").join(&module).join(DEFINITIONS);
    let text = fs::read_to_string(&all).with_context(|| format!("{} cannot be read", all.display()))?;
    // Whole or not at all: a run that is broken off must not leave half of them.
    let unfinished = folder.with_extension("unfinished");
    fs::create_dir_all(&unfinished)?;
    let mut count = 0;
    for document in text.split("\n---\n") {
        if let Some(name) = document.lines().find_map(|line| line.strip_prefix("  name: ")) {
            fs::write(unfinished.join(format!("{name}.yaml")), document)?;
            count += 1;
        }
    }
    ensure!(count > 0, "{} defines nothing", all.display());
    fs::rename(&unfinished, &folder)?;
    Ok(folder)
}

fn kustomize(workspace: &Workspace, go: &Path) -> Result<PathBuf> {
    let program = workspace.tools().join("go/bin/kustomize");
    if !program.is_file() {
        eprintln!("set-up: installing kustomize by the Go tool: the tests build deploy/istio with it");
        run_go(workspace, go, &["install", KUSTOMIZE_MODULE])?;
    }
    Ok(program)
}

/// Runs the Go tool with a folder of its own, which it returns.
fn run_go(workspace: &Workspace, go: &Path, args: &[&str]) -> Result<PathBuf> {
    let folder = workspace.tools().join("go");
    let mut command = Command::new(go);
    // By default the tool makes what it fetches read-only, so that `cargo clean` could not remove it.
    command.args(args).env("GOPATH", &folder).env("GOFLAGS", "-modcacherw").current_dir(&workspace.target);
    command.env_remove("GOMODCACHE").env_remove("GOBIN");
    process::run_logged(&mut command, &workspace.log(), LONG)?;
    Ok(folder)
}
