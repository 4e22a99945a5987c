//! Makes the files of a release from the workspace, into a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::archive::{self, Entry};
use super::base::Base;
use super::layout::hex_digest;
use super::programs::{Built, PROGRAMS};
use super::source::Source;
use super::target::Target;
use super::{companions, image, krew, programs};
use crate::process;
use crate::tools::zigbuild::{self, Zigbuild};
use crate::tools::{self, toolchain};
use crate::workspace::Workspace;
use crate::{sbom, wasm};

/// The list of checksums, in the form of `sha256sum --check`.
pub(crate) const SUMS: &str = "SHA256SUMS";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a release is to have.
pub(crate) struct Wanted<'a> {
    /// What the programs are to run on.
    pub(crate) targets: &'a [Target],
    /// Where the archives will be fetched from, for krew.
    pub(crate) download_url: Option<&'a str>,
    /// A layout with the image that hot-switch's is built upon.
    pub(crate) hot_switch_base: Option<&'a Path>,
    /// The programs for this machine, if they are built already.
    pub(crate) local_programs: Option<&'a [PathBuf]>,
}

/// A target that could not be built, and why.
type Missing = (Target, String);

/// What was made.
pub(crate) struct Made {
    /// The programs for this machine.
    pub(crate) local_programs: Vec<PathBuf>,
    /// The targets that could not be built.
    pub(crate) missing: Vec<Missing>,
}

/// A folder that gets the files of a release.
struct Release<'a> {
    folder: &'a Path,
    source: &'a Source,
    /// Name and SHA-256 of each file.
    sums: Vec<(String, String)>,
}

/// Builds module and programs, and writes everything that is wanted into the empty folder `folder`.
///
/// # Errors
/// If something cannot be built other than a target, or not a single target can.
pub(crate) fn make(workspace: &Workspace, folder: &Path, source: &Source, wanted: &Wanted) -> Result<Made> {
    let (toolchain, _) = toolchain::ensure(workspace)?;
    wasm::build(workspace, toolchain)?;
    let zigbuild = zigbuild::ensure(workspace)?;
    let (built, missing) = build(workspace, &zigbuild, source, wanted.targets)?;
    let local_programs = match wanted.local_programs {
        Some(programs) => programs.to_vec(),
        None => companions::local_programs(workspace, &built)?,
    };
    let scratch = workspace.target.join("dist-scratch");
    empty(&scratch)?;
    empty(folder)?;
    let mut release = Release { folder, source, sums: Vec::new() };
    release.module(workspace, &local_programs, &scratch)?;
    let archives = release.programs(workspace, &built, companions::entries(&local_programs, &scratch.join("man"))?)?;
    for (program, _) in PROGRAMS {
        let layout = scratch.join(format!("{program}-image"));
        // Of the two, only hot-switch's agent runs other programs.
        let base = wanted.hot_switch_base.filter(|_| program == "hot-switch").map(Base::new);
        image::write(&layout, program, &built, source, base.as_ref())?;
        release.layout(&format!("{program}-image"), &layout)?;
    }
    if let Some(url) = wanted.download_url {
        release.add("faultline.krew.yaml", krew::manifest(url, &archives).as_bytes())?;
    }
    release.finish()?;
    Ok(Made { local_programs, missing })
}

/// The programs for each target that can be built here, and the other targets.
fn build(
    workspace: &Workspace,
    zigbuild: &Zigbuild,
    source: &Source,
    targets: &[Target],
) -> Result<(Vec<Built>, Vec<Missing>)> {
    let mut built = Vec::new();
    let mut missing = Vec::new();
    for target in targets {
        match programs::build(workspace, zigbuild, source, *target) {
            Ok(programs) => built.push(programs),
            Err(error) => {
                let why = format!("{error:#}");
                eprintln!("dist: no programs for linux/{}: {why}", target.architecture());
                missing.push((*target, why));
            }
        }
    }
    if built.is_empty() {
        bail!("nothing could be built: see the lines above");
    }
    Ok((built, missing))
}

impl Release<'_> {
    /// Writes a file, and notes its checksum.
    fn add(&mut self, name: &str, content: &[u8]) -> Result<String> {
        let file = self.folder.join(name);
        fs::write(&file, content).with_context(|| format!("{} cannot be written", file.display()))?;
        let digest = hex_digest(content);
        self.sums.push((name.to_owned(), digest.clone()));
        Ok(digest)
    }

    /// The module, what is in it, and the artifact that `faultline push` makes of it.
    fn module(&mut self, workspace: &Workspace, local_programs: &[PathBuf], scratch: &Path) -> Result<()> {
        let read = |file: &Path| fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
        self.add(&format!("faultline-{VERSION}.wasm"), &read(&workspace.module())?)?;
        self.add(&format!("faultline-{VERSION}.wasm.cdx.json"), &read(&workspace.components())?)?;
        let publisher = local_programs.first().context("the publisher was not built")?;
        let layout = scratch.join("faultline-module");
        let mut push = Command::new(publisher);
        push.arg("push").arg(format!("oci:{}:{VERSION}", layout.display()));
        push.arg("--wasm").arg(workspace.module()).env("SOURCE_DATE_EPOCH", self.source.epoch.to_string());
        let pushed = process::capture(&mut push);
        pushed.context("`faultline push` into a layout failed: run it with --wasm target/faultline.wasm to see why")?;
        self.layout("faultline-module", &layout)
    }

    /// An OCI layout as an archive.
    fn layout(&mut self, name: &str, layout: &Path) -> Result<()> {
        let mut entries = Vec::new();
        collect(layout, "", &mut entries)?;
        let archive = archive::tar(entries, self.source.epoch)?;
        self.add(&format!("{name}-{VERSION}.oci.tar"), &archive).map(|_| ())
    }

    /// An archive of the programs and what goes with them for each target, and what is in the programs.
    fn programs(
        &mut self,
        workspace: &Workspace,
        built: &[Built],
        companions: Vec<Entry>,
    ) -> Result<Vec<(Target, String, String)>> {
        let licence = workspace.root.join("LICENSE");
        let licence = fs::read(&licence).with_context(|| format!("{} cannot be read", licence.display()))?;
        let mut archives = Vec::new();
        for built in built {
            let stem = format!("faultline-{VERSION}-linux-{}", built.target.architecture());
            let mut entries = companions.clone();
            entries.push(Entry::file("LICENSE", licence.clone()));
            // kubectl runs `kubectl-NAME` of PATH for `kubectl NAME`.
            entries.push(Entry::link("kubectl-faultline", "faultline"));
            entries.extend(built.programs.iter().map(|(name, bytes)| Entry::program(*name, bytes.clone())));
            let name = format!("{stem}.tar.gz");
            let digest = self.add(&name, &archive::gzip(&archive::tar(entries, self.source.epoch)?)?)?;
            archives.push((built.target, name, digest));
            let compiler = tools::toolchain::version_of("rustc").context("rustc does not say which version it is")?;
            for ((program, bytes), (_, package)) in built.programs.iter().zip(PROGRAMS) {
                let subject = sbom::Subject { name: program, package, bytes, target: built.target.triple() };
                let list = sbom::components(workspace, &subject, &compiler)?;
                self.add(&format!("{program}-{VERSION}-linux-{}.cdx.json", built.target.architecture()), &list)?;
            }
        }
        Ok(archives)
    }

    /// Writes the list of checksums.
    fn finish(mut self) -> Result<()> {
        self.sums.sort();
        let text: String = self.sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        let file = self.folder.join(SUMS);
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// The files below `folder`, by their paths from there, which begin with `prefix`.
fn collect(folder: &Path, prefix: &str, entries: &mut Vec<Entry>) -> Result<()> {
    for found in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let found = found?;
        let name = format!("{prefix}{}", found.file_name().display());
        if found.file_type()?.is_dir() {
            entries.push(Entry::folder(format!("{name}/"), 0o755, 0));
            collect(&found.path(), &format!("{name}/"), entries)?;
        } else {
            entries.push(Entry::file(name, fs::read(found.path())?));
        }
    }
    Ok(())
}

/// Makes a folder, and removes what an earlier run left in it.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}
