//! Debian packages: installed only if something is missing, without recommended packages.
//!
//! This works as root or with a `sudo` that asks for no password. Otherwise the error gives the command to type,
//! because set-up never asks a question. No installed package is ever removed to make room.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, LONG, SHORT, capture, find_on_path};

/// The wanted version of a package, which determines whether apt's lists of packages must be new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// Any version: the lists are fetched only if the installation fails.
    Any,
    /// The newest version: the lists are fetched first.
    Newest,
}

/// Installs `packages` and logs to `log`. Without the rights to do so, the error gives the command to type.
pub(crate) fn install(packages: &[&str], lists: Lists, log: &Path) -> Result<()> {
    let names = packages.join(" ");
    if find_on_path("apt-get").is_none() {
        bail!("no apt-get to install {names} with");
    }
    if as_root("true").is_none() {
        bail!(
            "not root, and no sudo without a password: \
             run `sudo apt-get update && sudo apt-get install --no-install-recommends {names}`"
        );
    }
    let mut install = vec!["install", "--no-install-recommends", "--no-remove"];
    install.extend(packages);
    if lists == Lists::Any && apt_get(&install, log).is_ok() {
        return Ok(());
    }
    // There are no lists yet, or they are so old that their packages are gone. One of many sources may be unreachable:
    // the installation shows whether the lists are good enough.
    let updated = apt_get(&["update"], log);
    apt_get(&install, log).map_err(|error| match updated {
        Ok(()) => error,
        Err(update) => error.context(format!("{update:#}")),
    })
}

/// Stops a service that a package started, and keeps it from starting at boot.
pub(crate) fn disable_service(service: &str, log: &Path) -> Result<()> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    let mut systemctl = as_root("systemctl").context("root rights are no longer available")?;
    process::run_logged(systemctl.args(["disable", "--now", service]), log, SHORT)
        .with_context(|| format!("the service {service}, which its package started, still runs"))
}

fn apt_get(words: &[&str], log: &Path) -> Result<()> {
    let mut command = as_root("env").context("root rights are no longer available")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]);
    // On a closed network, fail soon; if another apt is running, wait for it.
    for option in
        ["Acquire::http::Timeout=30", "Acquire::https::Timeout=30", "Acquire::Retries=1", "DPkg::Lock::Timeout=300"]
    {
        command.args(["-o", option]);
    }
    process::run_logged(command.args(words), log, LONG)
}

/// `program` with root rights; `None` if they cannot be had without a question.
fn as_root(program: &str) -> Option<Command> {
    if capture(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Some(Command::new(program));
    }
    capture(Command::new("sudo").args(["-n", "true"]))?;
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    Some(sudo)
}
