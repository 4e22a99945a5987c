//! The programs of a mesh, as `cargo xtask setup` left them, and why there may be no mesh on this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use super::netns;
use crate::programs::tools::target_dir;

/// A branch of Istio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Branch {
    /// 1.31, with Envoy 1.39
    #[value(name = "1.31")]
    V1_31,
    /// 1.30, with Envoy 1.37
    #[value(name = "1.30")]
    V1_30,
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_31 => "1.31",
            Self::V1_30 => "1.30",
        })
    }
}

/// Where the programs and files of a mesh are.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    files: BTreeMap<String, PathBuf>,
}

/// What [`Parts`] must name; set-up writes a line `KEY=path` for each.
const KEYS: [&str; 9] = [
    "ETCD",
    "KUBE_APISERVER",
    "KUBECTL",
    "REGISTRY",
    "PILOT_DISCOVERY",
    "PILOT_AGENT",
    "ISTIOCTL",
    "ISTIO_SOURCE",
    "ENVOY",
];

impl Parts {
    /// Reads what set-up wrote for this branch: the file that `FAULTLINE_ISTIO` names, or else the branch's in cargo's
    /// target directory.
    ///
    /// # Errors
    /// If there is none, or a program that it names is gone; the message has the remedy.
    pub(crate) fn find(branch: Branch) -> Result<Self> {
        Self::find_these(branch, &KEYS)
    }

    /// Those of an API server alone.
    ///
    /// # Errors
    /// Like [`Parts::find`].
    pub(crate) fn of_api_server(branch: Branch) -> Result<Self> {
        Self::find_these(branch, &["ETCD", "KUBE_APISERVER"])
    }

    fn find_these(branch: Branch, keys: &[&str]) -> Result<Self> {
        let remedy = format!("run `cargo xtask drill istio --istio {branch}`, which builds what is missing");
        let file = match std::env::var_os("FAULTLINE_ISTIO") {
            Some(file) => PathBuf::from(file),
            None => target_dir()?.join(format!("istio-{branch}.env")),
        };
        let Ok(text) = std::fs::read_to_string(&file) else {
            bail!("Istio {branch} is not set up (there is no {}): {remedy}", file.display());
        };
        let line = |line: &str| line.split_once('=').map(|(key, path)| (key.to_owned(), PathBuf::from(path)));
        let files: BTreeMap<_, _> = text.lines().filter_map(line).collect();
        for key in keys {
            match files.get(*key) {
                Some(path) => ensure!(path.exists(), "{key}: {} is gone: {remedy}", path.display()),
                None => bail!("{} names no {key}: {remedy}", file.display()),
            }
        }
        Ok(Self { files })
    }

    /// etcd.
    pub(crate) fn etcd(&self) -> &Path {
        &self.files["ETCD"]
    }

    /// kube-apiserver.
    pub(crate) fn kube_apiserver(&self) -> &Path {
        &self.files["KUBE_APISERVER"]
    }

    /// kubectl, for the operator.
    pub(crate) fn kubectl(&self) -> &Path {
        &self.files["KUBECTL"]
    }

    /// The registry of the CNCF distribution.
    pub(crate) fn registry(&self) -> &Path {
        &self.files["REGISTRY"]
    }

    /// istiod.
    pub(crate) fn pilot_discovery(&self) -> &Path {
        &self.files["PILOT_DISCOVERY"]
    }

    /// Istio's agent, which is in every proxy's container.
    pub(crate) fn pilot_agent(&self) -> &Path {
        &self.files["PILOT_AGENT"]
    }

    /// istioctl.
    pub(crate) fn istioctl(&self) -> &Path {
        &self.files["ISTIOCTL"]
    }

    /// Istio's charts, which must be of istiod's version.
    pub(crate) fn charts(&self) -> PathBuf {
        self.files["ISTIO_SOURCE"].join("manifests")
    }

    /// The template of Envoy's bootstrap, which is in the proxy's image.
    pub(crate) fn bootstrap(&self) -> PathBuf {
        self.files["ISTIO_SOURCE"].join("tools/packaging/common/envoy_bootstrap.json")
    }

    /// The proxies' Envoy.
    pub(crate) fn envoy(&self) -> &Path {
        &self.files["ENVOY"]
    }
}

/// Why this machine cannot run a mesh, with the remedy; `None` if it can.
pub fn obstacle(branch: Branch) -> Option<String> {
    obstacle_to(Parts::find(branch), &["ip", "iptables-restore", "chroot", "mount", "python3"])
}

/// Why this machine cannot run an API server, with the remedy; `None` if it can.
pub fn obstacle_to_api_server(branch: Branch) -> Option<String> {
    obstacle_to(Parts::of_api_server(branch), &["ip"])
}

fn obstacle_to(parts: Result<Parts>, programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a mesh of network namespaces needs root: run this as root".to_owned());
    }
    if let Err(error) = parts {
        return Some(format!("{error:#}"));
    }
    for program in programs {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            return Some(format!("no {program} on PATH: install Debian's iproute2, iptables, util-linux and python3"));
        }
    }
    netns::attempt().err().map(|error| {
        format!("this machine allows no network namespaces ({error:#}): in a container, run it with --privileged")
    })
}
