//! The tools with which the tests check Istio's resources: the schemas of Istio's API, kustomize and Helm.
//!
//! If Go is installed, it downloads them; otherwise the tests that need them are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{self, LONG, find_on_path};
use crate::workspace::Workspace;

/// The variable with the path of a folder of CustomResourceDefinitions, each in a file `PLURAL.GROUP.yaml`.
pub(crate) const SCHEMAS: &str = "FAULTLINE_CRDS";

/// The variable with the path of the user's own kustomize.
pub(crate) const KUSTOMIZE: &str = "FAULTLINE_KUSTOMIZE";

/// The variable with the path of the user's own Helm.
pub(crate) const HELM: &str = "FAULTLINE_HELM";

/// Istio's API as a Go module, and the file of it that is needed.
const API: &str = "istio.io/api";
const API_VERSION: &str = "v1.30.3";
const DEFINITIONS: &str = "kubernetes/customresourcedefinitions.gen.yaml";

const KUSTOMIZE_MODULE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.6.0";
const HELM_MODULE: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";

/// The result of looking for a tool.
pub(crate) enum Found {
    /// At this path.
    At(PathBuf),
    /// The tests find it without set-up's help.
    Beside,
    /// Not found, and Go is not installed to download it.
    NoGo,
}

/// Each tool's variable, and where it is or why Go could not download it.
pub(crate) fn find(workspace: &Workspace) -> Vec<(&'static str, Result<Found>)> {
    // The tests find schemas next to the workspace without set-up's help.
    let has_schemas = workspace.root.join("../shared/crds").is_dir();
    let has_kustomize = find_on_path("kustomize").or_else(|| find_on_path("kubectl")).is_some();
    vec![
        (SCHEMAS, find_one(workspace, SCHEMAS, has_schemas, schemas)),
        (KUSTOMIZE, find_one(workspace, KUSTOMIZE, has_kustomize, kustomize)),
        (HELM, find_one(workspace, HELM, find_on_path("helm").is_some(), helm)),
    ]
}

fn find_one(
    workspace: &Workspace,
    variable: &str,
    is_beside: bool,
    download: fn(&Workspace, &Path) -> Result<PathBuf>,
) -> Result<Found> {
    if let Some(own) = std::env::var_os(variable).filter(|own| !own.is_empty()) {
        return Ok(Found::At(own.into()));
    }
    if is_beside {
        return Ok(Found::Beside);
    }
    match find_on_path("go") {
        Some(go) => download(workspace, &go).map(Found::At),
        None => Ok(Found::NoGo),
    }
}

fn schemas(workspace: &Workspace, go: &Path) -> Result<PathBuf> {
    let folder = workspace.tools().join(format!("istio-{API_VERSION}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("set-up: downloading Istio's schemas {API_VERSION}: the tests check manifests against them");
    let module = format!("{API}@{API_VERSION}");
    let cache = run_go(workspace, go, &["mod", "download", &module])?;
    let all = cache.join("pkg/mod").join(&module).join(DEFINITIONS);
    let text = fs::read_to_string(&all).with_context(|| format!("{} cannot be read", all.display()))?;
    // Written to another folder and then renamed, so that an interrupted run does not leave an incomplete one.
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
    program(workspace, go, "kustomize", KUSTOMIZE_MODULE, "the tests build deploy/istio with it")
}

fn helm(workspace: &Workspace, go: &Path) -> Result<PathBuf> {
    program(workspace, go, "helm", HELM_MODULE, "the tests render deploy/helm with it; it takes some minutes, once")
}

/// A program that Go builds from `module`, if it is not there yet.
fn program(workspace: &Workspace, go: &Path, name: &str, module: &str, why: &str) -> Result<PathBuf> {
    let file = workspace.tools().join("go/bin").join(name);
    if !file.is_file() {
        eprintln!("set-up: installing {name} with Go: {why}");
        run_go(workspace, go, &["install", module])?;
    }
    Ok(file)
}

/// Runs Go with a separate folder for downloads, which it returns.
fn run_go(workspace: &Workspace, go: &Path, args: &[&str]) -> Result<PathBuf> {
    let folder = workspace.tools().join("go");
    let mut command = Command::new(go);
    // By default Go makes its downloads read-only, and `cargo clean` could not remove them.
    command.args(args).env("GOPATH", &folder).env("GOFLAGS", "-modcacherw").current_dir(&workspace.target);
    command.env_remove("GOMODCACHE").env_remove("GOBIN");
    process::run_logged(&mut command, &workspace.log(), LONG)?;
    Ok(folder)
}
