//! `hot-switch bypass` and `hot-switch restore`: one pod of this node, by hand; or all that failed, by a person's word
//! to the controller.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use hot_switch_core::standing::Directions;
use kube::Client;
use time::OffsetDateTime;

use super::outcome::Outcome;
use crate::cluster::lease::Leases;
use crate::kernel::netns::Netns;
use crate::kernel::reading::Reading;
use crate::pods::Place;

/// Which pod.
#[derive(Debug, Args)]
pub struct Which {
    /// The pod's UID.
    #[arg(long, value_name = "UID", conflicts_with = "netns")]
    uid: Option<String>,
    /// Its network namespace, such as /proc/PID/ns/net.
    #[arg(long, value_name = "FILE")]
    netns: Option<PathBuf>,
    /// Where the node's processes are seen.
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    proc: PathBuf,
}

/// The end of the help of `bypass`.
const BYPASS_HELP: &str = "\
Sets the gate in one pod's kernel at once, whatever its annotations say: no budget, no consent. An agent that runs \
looks after it from then on, and restores when the proxy is well. Callers in the mesh are told only by the controller. \
Exits with 0 when traffic goes past the proxy, with 1 if the pod is not found, is not captured or refuses, with 2 on \
wrong usage.

Examples:
  hot-switch bypass --uid 0b1c2d3e-aaaa-bbbb-cccc-123456789abc
  hot-switch bypass --netns /proc/4711/ns/net --directions outbound
  hot-switch bypass --all-failed";

/// The end of the help of `restore`.
const RESTORE_HELP: &str = "\
Takes gate and probes' redirection away; what is not there is no error. An agent does not bypass the pod again before \
its proxy was well. Exits with 0 when traffic goes through the proxy, with 1 if the pod is not found or refuses, with \
2 on wrong usage.

Examples:
  hot-switch restore --uid 0b1c2d3e-aaaa-bbbb-cccc-123456789abc
  hot-switch restore --netns /run/netns/cart-1";

/// Options of `bypass`.
#[derive(Debug, Args)]
#[command(after_help = BYPASS_HELP)]
pub struct Bypass {
    #[command(flatten)]
    which: Which,
    /// Which traffic goes past the proxy.
    #[arg(long, value_enum, default_value_t = Ways::Both)]
    directions: Ways,
    /// Close the circuit breaker: what fails now, anywhere, may be bypassed, though much of the mesh fails at once.
    /// Consent, budget and rate hold as ever. Needs a kubeconfig that may change hot-switch's Leases.
    #[arg(long, conflicts_with_all = ["uid", "netns", "directions"])]
    all_failed: bool,
    /// hot-switch's own namespace, for --all-failed.
    #[arg(long, value_name = "NAMESPACE", default_value = "faultline-hot-switch")]
    namespace: String,
}

/// Options of `restore`.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub struct Restore {
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ways {
    Both,
    Inbound,
    Outbound,
}

impl Which {
    fn open(&self) -> Result<Netns> {
        let place = match (&self.uid, &self.netns) {
            (Some(uid), _) => Place::Uid(uid.clone()),
            (None, Some(path)) => Place::Path(path.clone()),
            (None, None) => bail!("say which pod: --uid UID, or --netns FILE"),
        };
        place.open(&self.proc)
    }
}

impl Bypass {
    /// Sets the gate in the pod's kernel. An agent that runs looks after it from then on. Or tells the controller that
    /// all that failed is to be bypassed.
    ///
    /// # Errors
    /// If the pod is not found, nothing redirects its traffic, or its kernel refuses.
    pub fn run(self) -> Result<Outcome> {
        if self.all_failed {
            return all_failed(&self.namespace);
        }
        let directions = match self.directions {
            Ways::Both => Directions::Both,
            Ways::Inbound => Directions::Inbound,
            Ways::Outbound => Directions::Outbound,
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.which.open()?.inside(|| {
            let reading = Reading::take()?;
            ensure!(
                reading.found(directions).captured,
                "nothing redirects this pod's traffic: there is no proxy to pass"
            );
            reading.gate_on(directions, u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        })?;
        eprintln!("traffic goes past the proxy: no mTLS, no policy, no telemetry; `hot-switch restore` ends it");
        Ok(Outcome::Done)
    }
}

fn all_failed(namespace: &str) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::try_default().await.context("no API server is known: give a kubeconfig")?;
        Leases::new(client, namespace).close_breaker(OffsetDateTime::now_utc()).await
    })?;
    eprintln!("told to the controller: what fails now may be bypassed, within consent, budget and rate");
    Ok(Outcome::Done)
}

impl Restore {
    /// Takes gate and probes' redirection out of the pod's kernel.
    ///
    /// # Errors
    /// If the pod is not found, or its kernel refuses.
    pub fn run(self) -> Result<Outcome> {
        self.which.open()?.inside(|| {
            Reading::take()?.gate_off()?;
            Reading::take()?.return_probes()
        })?;
        eprintln!("traffic goes through the proxy");
        Ok(Outcome::Done)
    }
}
