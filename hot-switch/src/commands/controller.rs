//! `hot-switch controller`

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use hot_switch_core::fleet::Limits;

use super::outcome::Outcome;
use crate::controller::run::{self, Options};
use crate::told::server;

/// The end of the help.
const HELP: &str = "\
One of several leads; without any nothing new is bypassed, and restores go on. Exits with 0 at SIGTERM and SIGINT, \
with 1 if it cannot begin.

Examples:
  hot-switch controller --name $HOSTNAME
  hot-switch controller --name $HOSTNAME --stand-in-image registry.example.com/faultline/hot-switch@sha256:…";

/// Options of `controller`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Controller {
    /// Its own name, by which one of several leads.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    name: String,
    /// hot-switch's own namespace.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "faultline-hot-switch")]
    namespace: String,
    /// The stand-in's image, by digest. Without it, a pod whose proxy's container is down does not become ready.
    #[arg(long, env = "STAND_IN_IMAGE", value_name = "REF")]
    stand_in_image: Option<String>,
    /// Serve metrics at this address.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15098")]
    metrics: SocketAddr,
    /// Percent of a workload's pods that may be bypassed at once; one always may.
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    budget: u8,
    /// Pods that may be bypassed anew within a minute.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    per_minute: usize,
    /// Percent of all proxies that may begin to fail within a minute; beyond it nothing new is bypassed.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    breaker: u8,
}

impl Controller {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If it cannot begin.
    pub fn run(self) -> Result<Outcome> {
        let limits = Limits {
            budget_percent: self.budget.into(),
            per_minute: self.per_minute,
            breaker_percent: self.breaker.into(),
            ..Limits::default()
        };
        let options = Options { name: self.name, namespace: self.namespace, stand_in: self.stand_in_image, limits };
        let metrics = Arc::default();
        server::serve(self.metrics, Arc::clone(&metrics))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                ended = run::run(options, metrics) => ended?,
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            Ok(Outcome::Done)
        })
    }
}
