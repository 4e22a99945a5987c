//! Programs that the tests start: a registry, Prometheus, Alertmanager, and tools to check with.
//!
//! Each is taken from its variable, or else from `PATH`, or else from a Debian package.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::apt::{self, Lists};
use crate::process::{find_on_path, is_executable};

/// A program that the tests start.
pub(crate) struct Tool {
    /// The variable with the path of the user's own program; also its name in `tools.env`.
    pub(crate) variable: &'static str,
    program: &'static str,
    package: &'static str,
    /// Why it is needed: the end of a sentence.
    why: &'static str,
    /// The service that the package starts.
    service: Option<&'static str>,
}

/// All programs that the tests start.
pub(crate) const TOOLS: [Tool; 6] = [
    Tool {
        variable: "FAULTLINE_DOCKER_REGISTRY",
        program: "docker-registry",
        package: "docker-registry",
        why: "the tests push to a real registry",
        service: Some("docker-registry"),
    },
    Tool {
        variable: "FAULTLINE_SKOPEO",
        program: "skopeo",
        package: "skopeo",
        why: "the tests read pushed artifacts with another client",
        service: None,
    },
    Tool {
        variable: "FAULTLINE_HTPASSWD",
        program: "htpasswd",
        package: "apache2-utils",
        why: "the tests log in to a registry that asks for a password",
        service: None,
    },
    Tool {
        variable: "FAULTLINE_PROMETHEUS",
        program: "prometheus",
        package: "prometheus",
        why: "the tests run the alerts and the dashboard's queries in a real Prometheus",
        service: Some("prometheus"),
    },
    Tool {
        variable: "FAULTLINE_PROMTOOL",
        program: "promtool",
        package: "prometheus",
        why: "the tests check the alerts with it",
        service: Some("prometheus"),
    },
    Tool {
        variable: "FAULTLINE_ALERTMANAGER",
        // Debian's name. The project's own archive calls it `alertmanager`; the variable can point to that.
        program: "prometheus-alertmanager",
        package: "prometheus-alertmanager",
        why: "the tests wait for alerts where an operator gets them",
        service: Some("prometheus-alertmanager"),
    },
];

impl Tool {
    /// The program's file, and whether it had to be installed.
    pub(crate) fn ensure(&self, log: &Path) -> Result<(PathBuf, bool)> {
        let Self { variable, program, package, why, service } = self;
        if let Some(file) = std::env::var_os(variable).filter(|file| !file.is_empty()) {
            let file = PathBuf::from(file);
            if !is_executable(&file) {
                bail!("{variable}={}: not an executable file; correct it or unset it", file.display());
            }
            return Ok((file, false));
        }
        if let Some(file) = find_on_path(program) {
            return Ok((file, false));
        }
        eprintln!("set-up: installing Debian's {package}: {why}, and there is no {program} on PATH");
        apt::install(&[package], Lists::Any, log)
            .with_context(|| format!("no {program}; install it yourself or set {variable} to its file"))?;
        if let Some(service) = service {
            apt::disable_service(service, log)?;
        }
        let file = find_on_path(program)
            .with_context(|| format!("{package} was installed, but {program} is not on PATH: put it there"))?;
        Ok((file, true))
    }
}

/// What the tests in network namespaces run: a program, and its package.
const RULES: [(&str, &str); 3] = [("ip", "iproute2"), ("iptables-nft-restore", "iptables"), ("nft", "nftables")];

/// Installs those of the programs for packet rules that are missing. Whether any was.
///
/// # Errors
/// If one cannot be installed.
pub(crate) fn ensure_rules(log: &Path) -> Result<bool> {
    let is_missing = |program: &str| {
        let beside = ["/usr/sbin", "/sbin"].iter().any(|folder| is_executable(&Path::new(folder).join(program)));
        find_on_path(program).is_none() && !beside
    };
    let packages: Vec<&str> =
        RULES.iter().filter(|(program, _)| is_missing(program)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(false);
    }
    let names = packages.join(", ");
    eprintln!("set-up: installing Debian's {names}: hot-switch's tests set Istio's rules in network namespaces");
    apt::install(&packages, Lists::Any, log).with_context(|| format!("{names} cannot be installed"))?;
    Ok(true)
}
