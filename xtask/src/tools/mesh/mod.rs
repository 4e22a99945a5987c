//! What a real Istio without a cluster is made of, for `cargo xtask drill istio`: etcd, kube-apiserver, istiod,
//! pilot-agent, istioctl, kubectl, a registry and the Envoy that belongs to that Istio.
//!
//! Kubernetes and Istio are built with Go, once, into a folder outside the clone that all clones share. The drill finds
//! everything through a file of `KEY=path` lines in the target directory.

mod modules;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::apt::{self, Lists};
use super::envoy;
use crate::process::{self, LONG, capture, find_on_path};
use crate::workspace::Workspace;
use modules::Module;

/// The variable with the path of the folder that keeps what is built.
const CACHE: &str = "FAULTLINE_CACHE";

/// Time limit of one program's build, downloads included.
const BUILD: Duration = Duration::from_secs(60 * 60);

/// The pause between two lines that say how far a build is.
const NEWS: Duration = Duration::from_secs(30);

/// A branch of Istio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Branch {
    /// Istio 1.31, with Envoy 1.39
    #[value(name = "1.31")]
    V1_31,
    /// Istio 1.30; the Envoy that belongs to it cannot run the filter, so the one before it is used
    #[value(name = "1.30")]
    V1_30,
}

impl Branch {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1_31 => "1.31",
            Self::V1_30 => "1.30",
        }
    }

    fn module(self) -> &'static Module {
        match self {
            Self::V1_31 => &modules::ISTIO_1_31,
            Self::V1_30 => &modules::ISTIO_1_30,
        }
    }

    /// The Envoy of its proxies. PyPI's Envoy 1.38 has no V8, so 1.30 gets its predecessor.
    fn envoy(self) -> &'static str {
        match self {
            Self::V1_31 => "1.39.3",
            Self::V1_30 => "1.37.0",
        }
    }
}

/// Programs that come from Debian: key, program and package.
const OF_DEBIAN: [(&str, &str, &str); 4] = [
    ("ETCD", "etcd", "etcd-server"),
    ("REGISTRY", "docker-registry", "docker-registry"),
    ("IPTABLES", "iptables-restore", "iptables"),
    ("IP", "ip", "iproute2"),
];

/// Why a mesh cannot be built or run here, with the remedy.
pub(crate) fn obstacle() -> Option<&'static str> {
    if find_on_path("go").is_none() {
        return Some("Istio and Kubernetes are built with Go, and there is no go on PATH: install Go 1.26 or newer");
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    (!is_root).then_some("the mesh's network namespaces need root: run this as root")
}

/// Whether everything of this branch has been built before.
pub(crate) fn is_built(workspace: &Workspace, branch: Branch) -> bool {
    workspace.mesh_env(branch.name()).is_file()
}

/// Builds and installs what is missing, and writes the file with which the drill finds everything.
pub(crate) fn ensure(workspace: &Workspace, branch: Branch) -> Result<()> {
    if let Some(why) = obstacle() {
        bail!("{why}");
    }
    let go = find_on_path("go").context("go is on PATH")?;
    let log = workspace.log();
    let mut paths = Vec::new();
    for (key, program, package) in OF_DEBIAN {
        paths.push((key, debian(program, package, &log)?));
    }
    let cache = cache()?;
    let build = Build { go: &go, cache: &cache, log: &log };
    for module in [&modules::KUBERNETES, branch.module()] {
        for (key, file) in build.programs(module)? {
            paths.push((key, file));
        }
    }
    paths.push(("ISTIO_SOURCE", build.source(branch.module())?));
    paths.push(("ENVOY", envoy::ensure_version(workspace, branch.envoy())?.0));
    let text: String = paths.iter().map(|(key, path)| format!("{key}={}\n", path.display())).collect();
    let file = workspace.mesh_env(branch.name());
    fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
}

/// A program of Debian's; its package is installed if it is missing.
fn debian(program: &str, package: &str, log: &Path) -> Result<PathBuf> {
    if let Some(file) = find_on_path(program) {
        return Ok(file);
    }
    eprintln!("set-up: installing Debian's {package}: the mesh needs it, and there is no {program} on PATH");
    apt::install(&[package], Lists::Any, log).with_context(|| format!("no {program}; install it yourself"))?;
    if package == "etcd-server" {
        apt::disable_service("etcd", log)?;
    }
    find_on_path(program).with_context(|| format!("{package} was installed, but {program} is not on PATH"))
}

/// The folder that keeps what is built: the variable's, or else `faultline` in the user's cache.
fn cache() -> Result<PathBuf> {
    let of_user = || {
        let caches = std::env::var_os("XDG_CACHE_HOME").filter(|own| !own.is_empty()).map(PathBuf::from);
        Some(caches.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("faultline"))
    };
    let own = std::env::var_os(CACHE).filter(|own| !own.is_empty()).map(PathBuf::from);
    Ok(own.or_else(of_user).with_context(|| format!("no home directory: set {CACHE}"))?.join("istio-lab"))
}

/// How programs are built.
struct Build<'a> {
    go: &'a Path,
    cache: &'a Path,
    log: &'a Path,
}

impl Build<'_> {
    /// The programs of a module, built if they are not there: key and file of each.
    fn programs(&self, module: &Module) -> Result<Vec<(&'static str, PathBuf)>> {
        let folder = self.cache.join(module.folder);
        let file = |name: &str| folder.join(name);
        let missing: Vec<_> = module.programs.iter().filter(|program| !file(program.name).is_file()).collect();
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
            eprintln!(
                "set-up: building {} with Go into {}: the drill runs the real ones. Once; {} on two idle cores",
                names.join(", "),
                folder.display(),
                module.takes,
            );
            self.write_module(module)?;
        }
        for program in missing {
            self.build(module, program.name, program.package)?;
        }
        Ok(module.programs.iter().map(|program| (program.key, file(program.name))).collect())
    }

    /// The folder with the module's sources, of which the mesh needs charts and templates.
    fn source(&self, module: &Module) -> Result<PathBuf> {
        let folder = self.cache.join(module.folder).join("module");
        if !folder.is_dir() {
            self.write_module(module)?;
        }
        let what = format!("{}@{}", module.path, module.version);
        process::run_logged(self.go(&folder).args(["mod", "download", &what]), self.log, LONG)?;
        let found = capture(self.go(&folder).args(["env", "GOMODCACHE"])).context("go has a cache of modules")?;
        Ok(PathBuf::from(found).join(what))
    }

    fn write_module(&self, module: &Module) -> Result<()> {
        let folder = self.cache.join(module.folder).join("module");
        let write = |name: &str, text: String| fs::write(folder.join(name), text);
        let written = fs::create_dir_all(&folder)
            .and_then(|()| write("go.mod", module.go_mod()))
            .and_then(|()| write("go.sum", String::new()))
            .and_then(|()| write("tools.go", module.tools_go()));
        written.with_context(|| format!("{} cannot be written", folder.display()))
    }

    fn build(&self, module: &Module, name: &str, package: &str) -> Result<()> {
        let folder = self.cache.join(module.folder);
        // Built under another name, so that an interrupted build leaves no program.
        let unfinished = folder.join(format!("{name}.unfinished"));
        let mut build = self.go(&folder.join("module"));
        build.args(["build", "-v", "-mod=mod", "-buildvcs=false", "-ldflags", &module.ldflags()]);
        build.arg("-o").arg(&unfinished).arg(package);
        let news = |elapsed: Duration, lines: usize| {
            let seconds = elapsed.as_secs();
            eprintln!("set-up: {name}: {} min {:02} s, {lines} packages", seconds / 60, seconds % 60);
        };
        process::run_reported(&mut build, self.log, BUILD, NEWS, news)?;
        fs::rename(&unfinished, folder.join(name)).with_context(|| format!("{name} cannot be moved into place"))
    }

    fn go(&self, folder: &Path) -> Command {
        let mut go = Command::new(self.go);
        go.current_dir(folder).env("GOWORK", "off");
        go
    }
}
