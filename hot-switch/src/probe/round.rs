//! One round: the proxy's three ports and the application, asked at the same time from inside the pod.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use hot_switch_core::sighting::{Answer, App, Container, Sighting};

use super::app::AppProbes;
use super::http::{self, Reply, Request};
use crate::names::{ADMIN_PORT, AGENT_PORT, HEALTH_PORT};

/// Whom a round asks.
#[derive(Clone, Debug)]
pub struct Target {
    /// The pod's address; the application may listen on it alone.
    pub address: IpAddr,
    /// The application's probes.
    pub probes: AppProbes,
    /// A port of the application, for a pod without probes.
    pub port: Option<u16>,
    /// What kubelet says of the proxy's container.
    pub container: Container,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After this it is late.
    pub late: Duration,
    /// After this it does not come.
    pub silent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { late: Duration::from_millis(250), silent: Duration::from_millis(500) }
    }
}

/// Asks all at once, in the calling thread's network namespace, and waits for all.
#[must_use]
pub fn look(target: &Target, patience: Patience) -> Sighting {
    let proxy = |port, path| move || answer(port, path, patience);
    thread::scope(|scope| {
        let health = scope.spawn(proxy(HEALTH_PORT, "/healthz/ready"));
        let agent = scope.spawn(proxy(AGENT_PORT, "/healthz/ready"));
        let admin = scope.spawn(proxy(ADMIN_PORT, "/ready"));
        let app = app(target, patience);
        Sighting {
            health: health.join().unwrap_or(Answer::Silent),
            agent: agent.join().unwrap_or(Answer::Silent),
            admin: admin.join().unwrap_or(Answer::Silent),
            container: target.container,
            app,
        }
    })
}

fn answer(port: u16, path: &str, patience: Patience) -> Answer {
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    match http::ask(&Request { to, from: None, path, headers: &[], timeout: patience.silent }) {
        Reply::Status { stand_in: true, .. } => Answer::StandIn,
        Reply::Status { code: 200, took, .. } if took > patience.late => Answer::Late,
        Reply::Status { code: 200, .. } => Answer::Good,
        Reply::Status { .. } => Answer::Bad,
        Reply::Refused => Answer::Refused,
        Reply::Silent => Answer::Silent,
    }
}

/// Whether the application answers: by its own probes, or else by its port.
#[must_use]
pub fn app(target: &Target, patience: Patience) -> App {
    let answers = target.probes.ready(target.address, None).or_else(|| {
        let to = SocketAddr::new(target.address, target.port?);
        Some(http::connect(to, None, patience.silent).is_ok())
    });
    match answers {
        Some(true) => App::Answers,
        Some(false) => App::Fails,
        None => App::Unknown,
    }
}
