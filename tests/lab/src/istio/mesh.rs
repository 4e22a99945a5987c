//! A mesh: everything that makes one, brought up in order and taken down as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

use super::api::Api;
use super::kubelet::{Kubelet, Site};
use super::netns::{self, Namespace};
use super::operator::Operator;
use super::parts::{Branch, Parts};
use super::proxy::Proxy;
use super::servers::{self, NODE, Server};
use super::teardown::Teardown;
use super::{document, installation};
use crate::net::authority::Authority;

/// The document whose commands the operator types.
const DOCUMENT: &str = "deploy/istio/README.md";

/// A running mesh. When it is dropped, and when a signal ends the program, nothing of it stays.
#[derive(Debug)]
pub(crate) struct Mesh {
    kubelet: Kubelet,
    operator: Operator,
    document: String,
    api: Arc<Api>,
    registry: Option<Server>,
    istiod: Option<Server>,
    lab: Namespace,
    branch: Branch,
    parts: Parts,
    authority: Authority,
    folder: PathBuf,
    _servers: [Server; 2],
    // Last, because fields are dropped in this order.
    _teardown: Teardown,
}

impl Mesh {
    /// Brings up a mesh with this branch of Istio and no pods; `say` is told each step.
    ///
    /// # Errors
    /// If a part is missing, or does not answer; what had been started is removed.
    pub(crate) fn start(branch: Branch, say: impl Fn(&str)) -> Result<Self> {
        let parts = Parts::find(branch)?;
        netns::sweep()?;
        let teardown = Teardown::prepare()?;
        let folder = netns::folder(&netns::mesh_name());
        for name in ["logs", "pods", "certs"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let lab = node()?;
        let authority = Authority::new()?;
        say("etcd, kube-apiserver and a registry start");
        let etcd = servers::etcd(&lab, &parts, &folder)?;
        let registry = servers::registry(&lab, &parts, &folder, &authority)?;
        let (server, api) = servers::api_server(&lab, &parts, &folder, &authority)?;
        say(&format!("Istio {branch} is installed: istioctl's own manifests, with injector and validator"));
        installation::apply(&api, &lab, &parts, &folder)?;
        let istiod = servers::istiod(&lab, &parts, &folder)?;
        installation::validate(&api, &lab, &parts, &folder)?;
        let api = Arc::new(api);
        let site = Site {
            api: Arc::clone(&api),
            parts: parts.clone(),
            lab: lab.clone(),
            folder: folder.join("pods"),
            authority: authority.pem(),
            certificate: authority.issue_for(&[NODE])?,
        };
        let document = operator_document()?;
        Ok(Self {
            kubelet: Kubelet::start(site)?,
            operator: Operator::new(&lab, &parts, &folder, &authority.pem())?,
            document,
            api,
            registry: Some(registry),
            istiod: Some(istiod),
            lab,
            branch,
            parts,
            authority,
            folder,
            _servers: [etcd, server],
            _teardown: teardown,
        })
    }

    /// The branch of its Istio.
    pub(crate) fn branch(&self) -> Branch {
        self.branch
    }

    /// The API server.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// Types a line at the operator's terminal and returns its output.
    ///
    /// # Errors
    /// If it fails, or the kubelet has.
    pub(crate) fn types(&self, line: &str) -> Result<String> {
        self.kubelet.check()?;
        self.operator.types(line)
    }

    /// The document's command that begins with `beginning`.
    ///
    /// # Errors
    /// If the document has none.
    pub(crate) fn command(&self, beginning: &str) -> Result<String> {
        document::command(&self.document, beginning).context(DOCUMENT)
    }

    /// All commands of the document's block in which one begins with `beginning`.
    ///
    /// # Errors
    /// If the document has none.
    pub(crate) fn block(&self, beginning: &str) -> Result<Vec<String>> {
        document::block(&self.document, beginning).context(DOCUMENT)
    }

    /// Where a file of the operator's folder is.
    pub(crate) fn operators_file(&self, name: &str) -> PathBuf {
        self.operator.file(name)
    }

    /// The sidecar of a Deployment's pod.
    ///
    /// # Errors
    /// If there is no such pod, or the kubelet has failed.
    pub(crate) fn proxy(&self, namespace: &str, deployment: &str) -> Result<Proxy> {
        self.kubelet.pod(namespace, deployment).map(Proxy::new)
    }

    /// The sidecars of all pods.
    pub(crate) fn proxies(&self) -> Vec<Proxy> {
        self.kubelet.pods().into_iter().map(Proxy::new).collect()
    }

    /// Gives the node one more address, with a name that all pods can resolve.
    ///
    /// # Errors
    /// If the node has the address.
    pub(crate) fn add_address(&self, address: &str, name: &str) -> Result<()> {
        self.lab.ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"])?;
        self.kubelet.add_host(name, address);
        Ok(())
    }

    /// Does `work` on the node, where its addresses are.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn on_node<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.lab.inside(work)
    }

    /// Stops the registry, or starts it with what it had.
    ///
    /// # Errors
    /// If it does not stop or start.
    pub(crate) fn set_registry(&mut self, state: State) -> Result<()> {
        let start = |mesh: &Self| servers::registry(&mesh.lab, &mesh.parts, &mesh.folder, &mesh.authority);
        match (state, self.registry.take()) {
            (State::Away, Some(server)) => server.stop()?,
            (State::Away, None) => {}
            (State::There, running) => self.registry = Some(running.map_or_else(|| start(self), Ok)?),
        }
        Ok(())
    }

    /// Stops istiod, or starts it.
    ///
    /// # Errors
    /// If it does not stop or start.
    pub(crate) fn set_istiod(&mut self, state: State) -> Result<()> {
        match (state, self.istiod.take()) {
            (State::Away, Some(server)) => server.stop()?,
            (State::Away, None) => {}
            (State::There, Some(running)) => self.istiod = Some(running),
            (State::There, None) => self.istiod = Some(servers::istiod(&self.lab, &self.parts, &self.folder)?),
        }
        Ok(())
    }

    /// Copies the logs to `folder`, which is emptied before.
    ///
    /// # Errors
    /// If they cannot be copied.
    pub(crate) fn keep_logs(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(self.folder.join("logs"))? {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        for pod in fs::read_dir(self.folder.join("pods"))? {
            let pod = pod?;
            for file in fs::read_dir(pod.path())? {
                let file = file?;
                if file.file_type()?.is_file() {
                    let name = format!("{}.{}", pod.file_name().display(), file.file_name().display());
                    fs::copy(file.path(), folder.join(name))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It answers.
    There,
    /// It does not.
    Away,
}

/// The machine of the servers, with the bridge to which pods are connected.
fn node() -> Result<Namespace> {
    let lab = Namespace::create("")?;
    lab.ip(&["link", "add", "br0", "type", "bridge"])?;
    lab.ip(&["addr", "add", &format!("{NODE}/16"), "dev", "br0"])?;
    lab.ip(&["link", "set", "br0", "up"])?;
    lab.inside(|| Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?)).context("a node that forwards packets")?;
    Ok(lab)
}

fn operator_document() -> Result<String> {
    let file = super::operator::repository().join(DOCUMENT);
    fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
}
