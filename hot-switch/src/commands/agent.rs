//! `hot-switch agent`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use hot_switch_core::fleet::Limits;
use hot_switch_core::settings::{OnFlap, OnOverdue, Settings};
use kube::Client;

use super::outcome::Outcome;
use crate::agent::{self, Cluster, Options};
use crate::cluster::lease::Leases;
use crate::cluster::notices::Notices;
use crate::pods::file::PodsFile;
use crate::pods::watch::Watched;
use crate::probe::round::Patience;

/// The end of the help.
const HELP: &str = "\
Events are JSON lines on stdout, complaints on stderr. What is in the pods' kernels stays when it ends; the next agent \
goes on with it. Exits with 0 at SIGTERM and SIGINT, with 1 if it cannot begin.

Examples:
  hot-switch agent --proc /host/proc --metrics 0.0.0.0:15097     in a DaemonSet
  hot-switch agent --pods-file pods.yaml                         without Kubernetes";

/// Options of `agent`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Agent {
    /// The pods to look after, as YAML or JSON, instead of Kubernetes. Read again when it changes. Without a controller
    /// to ask, the limits hold for the pods of the file.
    #[arg(long, value_name = "FILE")]
    pods_file: Option<PathBuf>,
    /// hot-switch's own namespace.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "faultline-hot-switch")]
    namespace: String,
    /// The node's name, for events.
    #[arg(long, env = "NODE_NAME", default_value = "node")]
    node: String,
    /// Where the node's processes are seen; /host/proc in a DaemonSet.
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    proc: PathBuf,
    /// Serve metrics at this address, such as 0.0.0.0:15097.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Milliseconds from one round of probes to the next.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval: u64,
    /// Seconds for which a proxy must be dead before that is confirmed.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    confirm_dead: u64,
    /// Seconds for which a proxy must be silent before that is confirmed.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    confirm_silent: u64,
    /// Seconds for which a proxy must be well before its traffic goes through it again.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    well_for: u64,
    /// Seconds that a bypass lasts at least.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    hold: u64,
    /// Seconds after a bypass until the connections that were made past the proxy are ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
    /// Bypasses of one pod within ten minutes.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    flap_limit: usize,
    /// What happens beyond them.
    #[arg(long, value_enum, default_value_t = Flapping::StayOff)]
    on_flap: Flapping,
    /// Seconds that a bypass may last.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    longest: u64,
    /// What happens then.
    #[arg(long, value_enum, default_value_t = Overdue::Alarm)]
    on_overdue: Overdue,
    /// Percent of a workload's pods that may be bypassed at once; one always may.
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=100))]
    budget: u8,
    /// Pods that may be bypassed anew within a minute.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    per_minute: usize,
    /// Milliseconds by which the agent may be late before it believes nothing that it sees.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    own_delay: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Flapping {
    /// It is not bypassed again before the ten minutes have passed.
    StayOff,
    /// It stays bypassed until then.
    StayBypassed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overdue {
    /// It is told.
    Alarm,
    /// The bypass ends.
    Restore,
}

impl Agent {
    /// Looks after the node's pods until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// If it cannot begin.
    pub fn run(self) -> Result<Outcome> {
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_signal(Arc::clone(&stop))?;
        if let Some(file) = self.pods_file.clone() {
            agent::run(self.options(), Box::new(PodsFile::new(file)), None, &stop)?;
            return Ok(Outcome::Done);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(Client::try_default());
        let client =
            client.context("no API server is known: run it in a pod, with a kubeconfig, or with --pods-file")?;
        let leases = Leases::new(client.clone(), &self.namespace);
        let (source, notices) = {
            let _inside = runtime.enter();
            let complain = |error: &str| eprintln!("error: Events cannot be written: {error}; stdout has what happens");
            (Watched::start(client.clone(), &self.node), Notices::start(client, &self.node, complain))
        };
        agent::run(self.options(), Box::new(source), Some(Cluster { leases, notices }), &stop)?;
        runtime.shutdown_background();
        Ok(Outcome::Done)
    }

    fn options(self) -> Options {
        let settings = Settings {
            confirm_dead: Duration::from_secs(self.confirm_dead),
            confirm_silent: Duration::from_secs(self.confirm_silent),
            well_for: Duration::from_secs(self.well_for),
            hold: Duration::from_secs(self.hold),
            grace: Duration::from_secs(self.grace),
            flap_limit: self.flap_limit,
            on_flap: match self.on_flap {
                Flapping::StayOff => OnFlap::StayOff,
                Flapping::StayBypassed => OnFlap::StayBypassed,
            },
            longest: Duration::from_secs(self.longest),
            on_overdue: match self.on_overdue {
                Overdue::Alarm => OnOverdue::Alarm,
                Overdue::Restore => OnOverdue::Restore,
            },
            ..Settings::default()
        };
        let limits = Limits { budget_percent: self.budget.into(), per_minute: self.per_minute, ..Limits::default() };
        Options {
            node: self.node,
            proc: self.proc,
            interval: Duration::from_millis(self.interval),
            patience: Patience::default(),
            own_delay: Duration::from_millis(self.own_delay),
            settings,
            limits,
            metrics: self.metrics,
        }
    }
}

/// Says stop at SIGTERM or SIGINT.
pub(super) fn stop_on_signal(stop: Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let wait = async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
            return;
        };
        tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
        stop.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}
