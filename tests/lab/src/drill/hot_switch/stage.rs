//! The stage: a pod with a sidecar, a client pod with another, and a node, each in a network namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::json;

use super::agent::{Agent, Mark};
use super::application;
use super::callers::{Caller, Callers, Kubelet};
use super::capture;
use super::sidecar::{Marks, Sidecar};
use crate::drill::Screen;
use crate::istio::{Namespace, Teardown, folder, mesh_name, sweep};
use crate::wait::eventually;

/// The agent's probes come once in this time.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

const NODE: [u8; 4] = [10, 78, 0, 1];
const SERVER: [u8; 4] = [10, 78, 0, 2];
/// So many calls of each caller that go well are enough to see that they do.
const STEADY: usize = 100;
/// How often a proxy that crash-loops starts, and for how long it lives and is dead each time.
const CRASHES: usize = 3;
const ALIVE: Duration = Duration::from_secs(1);
const DEAD: Duration = Duration::from_secs(4);

/// How a proxy is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Killed,
    Frozen,
    CrashLoop,
}

impl Broken {
    pub(super) const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::CrashLoop];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::CrashLoop => "crash-loop",
        }
    }

    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Killed => "The proxy is killed (SIGKILL)",
            Self::Frozen => "The proxy freezes (SIGSTOP)",
            Self::CrashLoop => "The proxy dies again and again",
        }
    }
}

/// The stage. Fields are dropped in this order: callers before what they call, and the namespaces last.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) callers: Callers,
    pub(super) kubelet: Kubelet,
    pub(super) agent: Agent,
    server: Sidecar,
    _client: Sidecar,
    folder: PathBuf,
    _teardown: Teardown,
}

impl Stage {
    /// Sets it.
    pub(super) fn set(screen: &Screen) -> Result<Self> {
        sweep().context("what an earlier drill left cannot be removed")?;
        let teardown = Teardown::prepare()?;
        let folder = folder(&mesh_name());
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let node = Namespace::create("-node")?;
        node.ip(&["link", "add", "br0", "type", "bridge"])?;
        node.ip(&["addr", "add", "10.78.0.1/16", "dev", "br0"])?;
        node.ip(&["link", "set", "br0", "up"])?;
        let pod = |part: &str, link: &str, address: &str| -> Result<Namespace> {
            let pod = Namespace::create(part)?;
            node.attach(&pod, link, address, "10.78.0.1")?;
            Ok(pod)
        };
        let (server, client) = (pod("-server", "server", "10.78.0.2")?, pod("-client", "client", "10.78.0.3")?);
        application::serve(&server, ([0, 0, 0, 0], 8080).into())?;
        application::serve(&node, (NODE, 8081).into())?;
        screen.note("Envoy starts in both pods, under uid 1337, behind Istio's 18 rules");
        let server_sidecar = Sidecar::start(&server, &folder, "server", Marks::Yes, &capture::DEFAULT)?;
        let client_sidecar = Sidecar::start(&client, &folder, "client", Marks::No, &capture::DEFAULT)?;
        let pods = pods_file(&server);
        fs::write(folder.join("pods.json"), pods.to_string())?;
        screen.note("hot-switch's agent starts, from outside the pods");
        let agent = Agent::start(&folder)?;
        let callers = vec![
            Caller::start("a caller without a sidecar", &node, (SERVER, 8080).into())?,
            Caller::start("a caller with a sidecar", &client, (SERVER, 8080).into())?,
            Caller::start("the application, outwards", &server, (NODE, 8081).into())?,
        ];
        let kubelet = Kubelet::start(&node, (SERVER, 15020).into())?;
        Ok(Self {
            callers: Callers(callers),
            kubelet,
            agent,
            server: server_sidecar,
            _client: client_sidecar,
            folder,
            _teardown: teardown,
        })
    }

    /// Everybody is served through the proxy, and the agent has seen it well.
    pub(super) fn calm(&self) -> Result<()> {
        let now = Instant::now();
        for caller in self.callers.all() {
            eventually(&format!("{} goes through the proxy", caller.name), || Ok(caller.first_through(now)))?;
        }
        self.steady(now)?;
        // The agent's first rounds.
        eventually("the agent sees the pod", || {
            let age = now.elapsed() >= INTERVAL * 3;
            Ok(age.then_some(()))
        })
    }

    /// Waits until every caller has got enough good answers since this moment.
    fn steady(&self, since: Instant) -> Result<()> {
        for caller in self.callers.all() {
            eventually(&format!("{STEADY} good answers for {}", caller.name), || {
                Ok((caller.good_since(since) >= STEADY).then_some(()))
            })?;
        }
        Ok(())
    }

    /// The pod's rules.
    pub(super) fn rules(&self) -> Result<String> {
        self.server.rules()
    }

    /// Breaks the proxy.
    pub(super) fn break_proxy(&mut self, how: Broken) -> Result<Mark> {
        let mark = self.agent.mark()?;
        self.server.signal(if how == Broken::Frozen { Signal::STOP } else { Signal::KILL })?;
        Ok(mark)
    }

    /// Kills the agent, and starts another.
    pub(super) fn replace_agent(&mut self) -> Result<Mark> {
        let mark = self.agent.mark()?;
        self.agent.kill()?;
        self.agent = Agent::start(&self.folder)?;
        Ok(mark)
    }

    /// The service goes on while the proxy stays broken; what was wrong meanwhile.
    pub(super) fn goes_on(&mut self, how: Broken, screen: &Screen) -> Result<Vec<String>> {
        let mark = self.agent.mark()?;
        if how == Broken::CrashLoop {
            for _ in 0..CRASHES {
                self.server.launch()?;
                thread::sleep(ALIVE);
                self.server.signal(Signal::KILL)?;
                thread::sleep(DEAD);
            }
        }
        self.steady(mark.at)?;
        let mut wrong = Vec::new();
        for caller in self.callers.all() {
            let counts = caller.since(mark.at);
            screen.note(&format!("{}: {counts}", caller.name));
            if counts.failed > 0 {
                wrong.push(format!("{}: {counts}", caller.name));
            }
        }
        let said = self.agent.names(mark)?;
        if said.iter().any(|name| name == "proxy_restored") {
            wrong.push(format!("it flaps: {}", said.join(", ")));
        }
        Ok(wrong)
    }

    /// Repairs the proxy.
    pub(super) fn repair(&mut self, how: Broken) -> Result<Mark> {
        let mark = self.agent.mark()?;
        match how {
            Broken::Frozen => self.server.signal(Signal::CONT)?,
            Broken::Killed | Broken::CrashLoop => self.server.launch()?,
        }
        self.server.is_ready()?;
        Ok(mark)
    }

    /// Waits until the connections that were made past the proxy have been ended: from then on, everybody goes through.
    pub(super) fn after_the_cut(&self) -> Result<()> {
        // The client's sidecar keeps its connection to the application until it is cut.
        for caller in self.callers.all() {
            eventually(&format!("nothing of {} goes past the proxy", caller.name), || {
                let lately = Instant::now().checked_sub(Duration::from_secs(2)).unwrap_or_else(Instant::now);
                let settled = caller.first_direct(lately).is_none() && caller.good_since(lately) > 0;
                Ok(settled.then_some(()))
            })?;
        }
        self.steady(Instant::now())
    }
}

fn pods_file(server: &Namespace) -> serde_json::Value {
    let probe = json!({"httpGet": {"path": "/", "port": 8080}});
    json!({"pods": [{
        "name": "drill/server-1",
        "workload": "drill/server",
        "netns": server.path(),
        "address": "10.78.0.2",
        "mode": "act",
        "probes": {"/app-health/app/livez": probe, "/app-health/app/readyz": probe},
    }]})
}
