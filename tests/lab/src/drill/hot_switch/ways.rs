//! Traffic in every way in which Istio's rules capture a pod's: bypassed by hand in one direction, in the other, and in
//! both while the proxy is dead; and given back.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::application;
use super::callers::{Held, Way, call};
use super::capture::{self, Capture};
use super::resolver::{self, Resolver};
use super::sidecar::{Marks, Sidecar};
use crate::drill::Screen;
use crate::istio::{Namespace, Teardown, folder, mesh_name, sweep};
use crate::programs::tools::Tool;
use crate::wait::eventually;

const NODE: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const POD: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
const NODE6: Ipv6Addr = Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 1);
const POD6: Ipv6Addr = Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 2);
/// The application's port, and that of the service which it calls.
const APP: u16 = 8080;
const PEER: u16 = 8081;
/// Many enough that a request which is lost now and then shows.
const CALLS: usize = 25;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was not as it should be.
    pub wrong: Vec<String>,
    /// The ways that this machine does not have, and why.
    pub left_out: Vec<String>,
}

/// Plays every way.
///
/// # Errors
/// If no namespace can be made, or no Envoy started.
pub fn play(screen: &Screen) -> Result<Outcome> {
    sweep().context("what an earlier drill left cannot be removed")?;
    let _teardown = Teardown::prepare()?;
    let folder = folder(&mesh_name());
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    screen.heading("Every way in which Istio's rules capture traffic: bypassed by hand, and given back");
    let mut outcome = Outcome::default();
    for (number, capture) in capture::ALL.iter().enumerate() {
        if let Some(program) = capture.missing() {
            let why = format!("{}: {program} is not installed", capture.name);
            screen.note(&format!("not played here: {why}"));
            outcome.left_out.push(why);
            continue;
        }
        let mut pod = Pod::set(&folder.join(format!("way-{number}")), number, capture)
            .with_context(|| capture.name.to_owned())?;
        let wrong = pod.play().with_context(|| capture.name.to_owned())?;
        let came = if wrong.is_empty() { "as it should be" } else { "WRONG" };
        screen.note(&format!("{}: {}: {came}", capture.name, pod.flows_in_words()));
        outcome.wrong.extend(wrong.into_iter().map(|what| format!("{}: {what}", capture.name)));
    }
    Ok(outcome)
}

/// Traffic of one kind.
#[derive(Clone, Copy, Debug)]
struct Flow {
    name: &'static str,
    inbound: bool,
    target: SocketAddr,
    is_dns: bool,
}

struct Pod {
    node: Namespace,
    pod: Namespace,
    sidecar: Sidecar,
    dns: Option<Resolver>,
    _resolver: Option<Resolver>,
    flows: Vec<Flow>,
    before: String,
}

impl Pod {
    /// A pod with a sidecar, its node, an application in each.
    fn set(folder: &Path, number: usize, capture: &'static Capture) -> Result<Self> {
        let node = Namespace::create(&format!("-way{number}-node"))?;
        node.ip(&["link", "add", "br0", "type", "bridge"])?;
        node.ip(&["addr", "add", &format!("{NODE}/16"), "dev", "br0"])?;
        node.ip(&["-6", "addr", "add", &format!("{NODE6}/64"), "dev", "br0", "nodad"])?;
        node.ip(&["link", "set", "br0", "up"])?;
        let pod = Namespace::create(&format!("-way{number}-pod"))?;
        node.attach(&pod, "pod", &POD.to_string(), &NODE.to_string())?;
        pod.ip(&["-6", "addr", "add", &format!("{POD6}/64"), "dev", "eth0", "nodad"])?;
        if capture.extent.ipv6 {
            // From this address the proxy calls the application, as Istio's own program sets it.
            pod.ip(&["-6", "addr", "add", "::6/128", "dev", "lo", "nodad"])?;
        }
        application::serve(&pod, (Ipv6Addr::UNSPECIFIED, APP).into())?;
        application::serve(&node, (Ipv6Addr::UNSPECIFIED, PEER).into())?;
        let tproxy_dns = capture.extent.tproxy_dns;
        let dns = tproxy_dns.then(|| Resolver::of_proxy(&pod)).transpose()?;
        let resolver = tproxy_dns.then(|| Resolver::of_cluster(&node, (NODE, 53).into())).transpose()?;
        let sidecar = Sidecar::start(&pod, folder, "sidecar", Marks::Yes, capture)?;
        let before = sidecar.rules()?;
        let flow = |name, inbound, to: IpAddr, port, is_dns| Flow { name, inbound, target: (to, port).into(), is_dns };
        let mut flows =
            vec![flow("inbound", true, POD.into(), APP, false), flow("outbound", false, NODE.into(), PEER, false)];
        if capture.extent.ipv6 {
            flows.push(flow("inbound over IPv6", true, POD6.into(), APP, false));
            flows.push(flow("outbound over IPv6", false, NODE6.into(), PEER, false));
        }
        if tproxy_dns {
            flows.push(flow("DNS", false, NODE.into(), 53, true));
        }
        Ok(Self { node, pod, sidecar, dns, _resolver: resolver, flows, before })
    }

    fn flows_in_words(&self) -> String {
        self.flows.iter().map(|flow| flow.name).collect::<Vec<_>>().join(", ")
    }

    fn play(&mut self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        // Neighbours find each other, and workers of Envoy begin to listen.
        for flow in &self.flows {
            let through = || Ok(self.once(flow)?.is_ok_and(|way| way == Way::Through).then_some(()));
            eventually(&format!("{} goes through the proxy", flow.name), through)?;
        }
        self.all_take("before", &mut wrong, |_| Way::Through)?;
        for (directions, inbound) in [("inbound", true), ("outbound", false)] {
            self.order(&["bypass", "--directions", directions])?;
            let past = |flow: &Flow| if flow.inbound == inbound { Way::Past } else { Way::Through };
            self.all_take(&format!("{directions} bypassed"), &mut wrong, past)?;
            self.order(&["restore"])?;
            self.all_take(&format!("{directions} restored"), &mut wrong, |_| Way::Through)?;
            self.unchanged(directions, &mut wrong)?;
        }
        self.with_a_dead_proxy(&mut wrong)?;
        Ok(wrong)
    }

    fn with_a_dead_proxy(&mut self, wrong: &mut Vec<String>) -> Result<()> {
        self.sidecar.signal(Signal::KILL)?;
        let has_dns = self.dns.take().is_some();
        for flow in &self.flows {
            if let Ok(way) = self.once(flow)? {
                wrong.push(format!("the proxy is dead, and {} goes {way:?} it: it was never captured", flow.name));
            }
        }
        self.order(&["bypass"])?;
        self.all_take("bypassed while the proxy is dead", wrong, |_| Way::Past)?;
        let mut held = self.hold()?;
        self.sidecar.launch()?;
        self.sidecar.is_ready()?;
        if has_dns {
            self.dns = Some(Resolver::of_proxy(&self.pod)?);
        }
        self.all_take("bypassed while the proxy is well again", wrong, |_| Way::Past)?;
        self.order(&["restore"])?;
        self.all_take("restored", wrong, |_| Way::Through)?;
        for (name, connection) in &mut held {
            match connection.call() {
                Ok(Way::Past) => {}
                got => wrong.push(format!("{name}: a connection made in the bypass did not survive: {got:?}")),
            }
        }
        self.unchanged("both", wrong)
    }

    /// A connection for each flow that has some, made and used now.
    fn hold(&self) -> Result<Vec<(&'static str, Held)>> {
        let connected = self.flows.iter().filter(|flow| !flow.is_dns);
        let open = |flow: &Flow| {
            let opened = self.place(flow).inside(|| {
                let mut held = Held::connect(flow.target)?;
                ensure!(held.call()? == Way::Past, "it does not go past the proxy");
                Ok(held)
            });
            opened.with_context(|| format!("{}: a connection in the bypass", flow.name))
        };
        connected.map(|flow| Ok((flow.name, open(flow)?))).collect()
    }

    fn place(&self, flow: &Flow) -> &Namespace {
        if flow.inbound { &self.node } else { &self.pod }
    }

    fn once(&self, flow: &Flow) -> Result<std::io::Result<Way>> {
        let target = flow.target;
        self.place(flow).inside(|| Ok(if flow.is_dns { resolver::ask(target) } else { call(target) }))
    }

    /// Each of many requests takes this way, from the first one on.
    fn all_take(&self, when: &str, wrong: &mut Vec<String>, way: impl Fn(&Flow) -> Way) -> Result<()> {
        for flow in &self.flows {
            let (mut others, mut first) = (0, String::new());
            for _ in 0..CALLS {
                let got = self.once(flow)?;
                if !matches!(&got, Ok(taken) if *taken == way(flow)) {
                    others += 1;
                    if first.is_empty() {
                        let _ = write!(first, "{got:?}");
                    }
                }
            }
            if others > 0 {
                let wanted = way(flow);
                wrong
                    .push(format!("{when}: {others} of {CALLS} requests {} did not go {wanted:?}: {first}", flow.name));
            }
        }
        Ok(())
    }

    /// The program by hand, on this pod.
    fn order(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(Tool::HotSwitch.path()?);
        let output = command.args(words).arg("--netns").arg(self.pod.path()).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "hot-switch {}: {}", words.join(" "), said.trim());
        Ok(())
    }

    fn unchanged(&self, after: &str, wrong: &mut Vec<String>) -> Result<()> {
        let now = self.sidecar.rules()?;
        if now != self.before {
            wrong.push(format!("after a bypass of {after} the rules were\n{}\nand are\n{now}", self.before));
        }
        Ok(())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for namespace in [&self.pod, &self.node] {
            // What is left goes with the drill.
            let _ = namespace.remove();
        }
    }
}
