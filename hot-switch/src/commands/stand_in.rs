//! `hot-switch stand-in`

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::agent::stop_on_signal;
use super::outcome::Outcome;
use crate::names::{AGENT_PORT, HEALTH_PORT};
use crate::probe::app::AppProbes;
use crate::stand_in::{Answers, StandIn};

/// The address from which the sidecar's rules let its own user reach the application.
const PASSES: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// The end of the help.
const HELP: &str = "\
Runs in the proxy's place, with the variables that Istio gave it. Passes no traffic. Exits with 0 at SIGTERM and \
SIGINT, with 1 if the probes cannot be read or a port is in use.

Examples:
  hot-switch stand-in
  hot-switch stand-in --address 10.0.0.7 --probes '{\"/app-health/cart/livez\":{\"tcpSocket\":{\"port\":8080}}}'";

/// Options of `stand-in`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Serve {
    /// The application's probes, as Istio keeps them.
    #[arg(long, env = crate::names::APP_PROBERS, value_name = "JSON", default_value = "{}", hide_env_values = true)]
    probes: String,
    /// Where the application listens.
    #[arg(long, env = "INSTANCE_IP", value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
}

impl Serve {
    /// Answers probes on 15020 and 15021 until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If the probes are none, or a port is in use.
    pub fn run(self) -> Result<Outcome> {
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_signal(Arc::clone(&stop))?;
        let probes = AppProbes::read(&self.probes)?;
        let answers = Answers { for_proxy: true, address: self.address, from: Some(PASSES), probes, port: None };
        let _agent = StandIn::serve(AGENT_PORT, answers.clone())?;
        let _health = StandIn::serve(HEALTH_PORT, answers)?;
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Outcome::Done)
    }
}
