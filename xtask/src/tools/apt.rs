//! Debian packages: installed only when something is missing, and only with what they strictly need.
//!
//! Works as root or through a `sudo` that asks no password. Anything else is refused with the command to type, because
//! set-up never asks a question. Nothing that is installed is ever removed to make room.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, LONG, SHORT, capture, find_on_path};

/// What to think of apt's lists of packages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// Any version will do: the lists are fetched only if the installation fails without.
    Any,
    /// The newest version is wanted: the lists are fetched first.
    Newest,
}

/// Installs `packages`, logging into `log`. The error says what to type where it cannot be done from here.
pub(crate) fn install(packages: &[&str], lists: Lists, log: &Path) -> Result<()> {
    let names = packages.join(" ");
    if find_on_path("apt-get").is_none() {
        bail!("there is no apt-get to install {names} with");
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
    // No lists yet, or lists so old that their packages are gone. One source out of many may be unreachable, so whether
    // the lists will do is left for the installation to find out.
    let updated = apt_get(&["update"], log);
    apt_get(&install, log).map_err(|error| match updated {
        Ok(()) => error,
        Err(update) => error.context(format!("{update:#}")),
    })
}

/// Sees to it that a service that came with a package neither runs nor starts at boot.
pub(crate) fn disable_service(service: &str, log: &Path) -> Result<()> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    let mut systemctl = as_root("systemctl").context("the rights of root went away")?;
    process::run_logged(systemctl.args(["disable", "--now", service]), log, SHORT)
        .with_context(|| format!("the service {service}, which its package started, still runs"))
}

fn apt_get(words: &[&str], log: &Path) -> Result<()> {
    let mut command = as_root("env").context("the rights of root went away")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]);
    // A closed network should fail soon, and another apt that is at work should be waited for.
    for option in
        ["Acquire::http::Timeout=30", "Acquire::https::Timeout=30", "Acquire::Retries=1", "DPkg::Lock::Timeout=300"]
    {
        command.args(["-o", option]);
    }
    process::run_logged(command.args(words), log, LONG)
}

/// `program` with the rights of root; `None` if there is no way to them without a question.
fn as_root(program: &str) -> Option<Command> {
    if capture(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Some(Command::new(program));
    }
    capture(Command::new("sudo").args(["-n", "true"]))?;
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    Some(sudo)
}
