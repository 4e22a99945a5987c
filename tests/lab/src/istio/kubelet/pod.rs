//! A pod that runs: a network namespace, and a process with a root directory for each container.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::spec::{Role, containers, environment, expand, list, text, texts};
use super::volumes;
use crate::istio::api::Api;
use crate::istio::netns::Namespace;
use crate::istio::parts::Parts;
use crate::istio::root::{Root, User};
use crate::net::http::Client;

/// Istio's sidecar container.
pub(crate) const PROXY: &str = "istio-proxy";

/// Where the programs of Istio's image are in a container.
const IMAGE: &str = "/opt/istio";

/// The port at which a proxy says that it is ready.
const READY: u16 = 15021;

/// What a pod is started with.
pub(crate) struct Order<'a> {
    /// The API server.
    pub api: &'a Api,
    /// The programs.
    pub parts: &'a Parts,
    /// The namespace with the bridge.
    pub lab: &'a Namespace,
    /// The address of the bridge.
    pub node: &'a str,
    /// The folder below which the pod has one.
    pub folder: &'a Path,
    /// The contents of `/etc/hosts`.
    pub hosts: &'a str,
    /// Certificates that the containers trust, PEM.
    pub authority: &'a str,
}

/// A running pod.
#[derive(Debug)]
pub(crate) struct Pod {
    /// The object's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Deployment that it belongs to.
    pub deployment: String,
    /// The hash of the template that it was made from.
    pub hash: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its node.
    pub node: String,
    net: Namespace,
    folder: PathBuf,
    containers: Vec<Container>,
    children: Mutex<BTreeMap<String, Child>>,
}

/// A container of a pod.
#[derive(Debug)]
struct Container {
    name: String,
    root: Root,
    user: User,
    words: Vec<String>,
    environment: BTreeMap<String, String>,
    probe: Option<Value>,
    role: Role,
}

impl Pod {
    /// Starts the containers of a Pod object that has an address; `number` is different for each pod.
    pub(crate) fn start(order: &Order<'_>, object: &Value, deployment: &str, hash: &str, number: u32) -> Result<Self> {
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let folder = order.folder.join(format!("{namespace}_{name}"));
        volumes::fill(order.api, object, &folder.join("volumes"))?;
        let address = text(object, "/status/podIP").parse::<Ipv4Addr>().context("a pod has an address")?;
        let net = Namespace::create(&format!("-{number}"))?;
        order.lab.attach(&net, &format!("pod{number}"), &address.to_string(), order.node)?;
        let container = |(role, container)| Container::prepare(order, object, &folder, role, container);
        let pod = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            deployment: deployment.to_owned(),
            hash: hash.to_owned(),
            address,
            labels: texts(object, "/metadata/labels"),
            node: text(object, "/spec/nodeName").to_owned(),
            containers: containers(object).into_iter().map(container).collect::<Result<_>>()?,
            children: Mutex::default(),
            net,
            folder,
        };
        for container in &pod.containers {
            pod.run(container).with_context(|| format!("{} of {name}", container.name))?;
        }
        Ok(pod)
    }

    fn run(&self, container: &Container) -> Result<()> {
        let mut child = Namespace::start(&mut container.command(&self.net), &self.log(&container.name))?;
        if container.role == Role::Service {
            self.children().insert(container.name.clone(), child);
            return Ok(());
        }
        let status = child.wait()?;
        let log = || fs::read_to_string(self.log(&container.name)).unwrap_or_default();
        ensure!(status.success(), "{status}: {}", log());
        Ok(())
    }

    /// The log of a container.
    pub(crate) fn log(&self, container: &str) -> PathBuf {
        self.folder.join(format!("{container}.log"))
    }

    /// Its network namespace.
    pub(crate) fn net(&self) -> &Namespace {
        &self.net
    }

    /// Whether it has a sidecar.
    pub(crate) fn has_proxy(&self) -> bool {
        self.containers.iter().any(|container| container.name == PROXY)
    }

    /// A container whose process has ended, with the end of its log.
    pub(crate) fn ended(&self) -> Result<Option<String>> {
        for (name, child) in self.children().iter_mut() {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.log(name)).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                return Ok(Some(format!("{name} ended, {status}: {}", last.join(" | "))));
            }
        }
        Ok(None)
    }

    /// Whether its sidecar, if it has one, says that it is ready.
    pub(crate) fn is_proxy_ready(&self) -> bool {
        !self.has_proxy() || self.answers(READY, "/healthz/ready")
    }

    /// Whether every readiness probe of its applications succeeds now. The sidecar's own is for its start: a machine
    /// that is slow for a moment is no outage.
    pub(crate) fn is_ready(&self) -> bool {
        self.containers.iter().filter(|container| container.name != PROXY).all(|container| match &container.probe {
            Some(probe) => self.succeeds(container, probe),
            None => true,
        })
    }

    fn succeeds(&self, container: &Container, probe: &Value) -> bool {
        if let Some(http) = probe.get("httpGet") {
            let port = http["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(80);
            return self.answers(port, text(http, "/path"));
        }
        let words: Vec<String> =
            list(probe, "/exec/command").iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
        let mut command = container.root.command(&self.net, container.user, &container.environment, &words);
        let run = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    }

    fn answers(&self, port: u16, path: &str) -> bool {
        let asked = self.net.inside(|| Ok(Client::new((self.address, port).into(), "localhost").get(path)?.status));
        asked.is_ok_and(|status| (200..400).contains(&status))
    }

    /// Makes these the contents of `/etc/hosts` in every container.
    pub(crate) fn set_hosts(&self, hosts: &str) -> Result<()> {
        for container in &self.containers {
            let file = container.root.path(Path::new("etc/hosts"));
            if fs::read_to_string(&file).unwrap_or_default() != hosts {
                // Moved into place, because somebody may be reading it.
                container.root.write("etc/hosts.new", hosts)?;
                fs::rename(container.root.path(Path::new("etc/hosts.new")), &file)?;
            }
        }
        Ok(())
    }

    /// Where a path inside a container is on the machine.
    pub(crate) fn path(&self, container: &str, inside: &Path) -> Result<PathBuf> {
        Ok(self.container(container)?.root.path(inside))
    }

    /// Ends a container's process, which the kubelet of this lab does not start again: the address of the pod stays,
    /// and nothing listens there.
    pub(crate) fn break_container(&self, name: &str) -> Result<()> {
        let mut child = self.children().remove(name).with_context(|| format!("{name} does not run"))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts a container's process again.
    pub(crate) fn repair_container(&self, name: &str) -> Result<()> {
        self.run(self.container(name)?)
    }

    fn container(&self, name: &str) -> Result<&Container> {
        let found = self.containers.iter().find(|one| one.name == name);
        found.with_context(|| format!("{} has no container {name}", self.name))
    }

    /// The status of the object of a pod that is ready or not.
    pub(crate) fn status(&self, is_ready: bool) -> Value {
        let state = if is_ready { "True" } else { "False" };
        let condition = |kind, status| json!({ "type": kind, "status": status });
        let container = |container: &&Container| {
            json!({
                "name": container.name, "ready": is_ready, "started": true, "restartCount": 0,
                "image": "lab", "imageID": "lab", "state": { "running": {} },
            })
        };
        let services = || self.containers.iter().filter(|container| container.role == Role::Service);
        json!({ "status": {
            "phase": "Running",
            "conditions": [
                condition("PodScheduled", "True"), condition("Initialized", "True"),
                condition("ContainersReady", state), condition("Ready", state),
            ],
            "containerStatuses": services().map(|one| container(&one)).collect::<Vec<_>>(),
        } })
    }

    /// Ends all its processes, and removes its network namespace; the logs stay.
    pub(crate) fn stop(&self) -> Result<()> {
        self.net.remove()?;
        self.children().values_mut().try_for_each(|child| child.wait().map(drop))?;
        Ok(())
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<String, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Container {
    fn prepare(order: &Order<'_>, pod: &Value, folder: &Path, role: Role, container: &Value) -> Result<Self> {
        let name = text(container, "/name").to_owned();
        let image = text(container, "/image");
        let mut environment = environment(pod, container);
        let mut root = Root::create(&folder.join(&name))?;
        root.write("etc/hosts", order.hosts)?;
        root.write("etc/ssl/certs/ca-certificates.crt", order.authority)?;
        for mount in list(container, "/volumeMounts") {
            let volume = volumes::place(&folder.join("volumes"), text(mount, "/name"));
            root.mount(&volume, Path::new(text(mount, "/mountPath")))?;
        }
        let texts = |pointer: &str| -> Vec<String> {
            let words = list(container, pointer).iter().filter_map(Value::as_str);
            words.map(|word| expand(word, &environment)).collect()
        };
        let mut words = [texts("/command"), texts("/args")].concat();
        if is_istios(image) {
            for (program, file) in [("pilot-agent", order.parts.pilot_agent()), ("envoy", order.parts.envoy())] {
                root.mount(file, &Path::new(IMAGE).join(program))?;
            }
            root.mount(&order.parts.bootstrap(), Path::new("/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"))?;
            words.insert(0, format!("{IMAGE}/pilot-agent"));
            use_envoy(&mut environment)?;
        }
        environment.entry("PATH".to_owned()).or_insert(programs(&root, image)?);
        environment.entry("HOME".to_owned()).or_insert("/".to_owned());
        let user = [container, &pod["spec"]].iter().find_map(|one| one.pointer("/securityContext/runAsUser")?.as_u64());
        let user = user.and_then(|user| User::try_from(user).ok()).unwrap_or(0);
        let probe = container.get("readinessProbe").cloned();
        Ok(Self { name, root, user, words, environment, probe, role })
    }

    fn command(&self, net: &Namespace) -> Command {
        self.root.command(net, self.user, &self.environment, &self.words)
    }
}

fn is_istios(image: &str) -> bool {
    image.contains("proxyv2")
}

/// Where the agent finds Envoy, which is elsewhere than in Istio's image.
fn use_envoy(environment: &mut BTreeMap<String, String>) -> Result<()> {
    let given = environment.get("PROXY_CONFIG").filter(|config| !config.is_empty());
    let mut config: Value = given.map_or(Ok(json!({})), |config| serde_json::from_str(config))?;
    config["binaryPath"] = format!("{IMAGE}/envoy").into();
    environment.insert("PROXY_CONFIG".to_owned(), config.to_string());
    Ok(())
}

/// The `PATH` of an image. The drill's fault is an image without Python: it has only what its command line needs.
fn programs(root: &Root, image: &str) -> Result<String> {
    if !image.contains("busybox") {
        return Ok("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    }
    for program in ["sh", "sleep"] {
        root.link(program, &Path::new("/usr/bin").join(program))?;
    }
    Ok("/image".to_owned())
}
