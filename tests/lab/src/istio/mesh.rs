//! A mesh: everything that makes one, brought up in order and taken down as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

use super::api::Api;
use super::control_plane::ControlPlane;
use super::document;
use super::kubelet::{Kubelet, Site};
use super::operator::Operator;
use super::parts::Branch;
use super::proxy::Proxy;
use super::servers::{self, NODE, Server};

/// The document whose commands the operator types.
const DOCUMENT: &str = "deploy/istio/README.md";

/// A running mesh. When it is dropped, and when a signal ends the program, nothing of it stays.
#[derive(Debug)]
pub(crate) struct Mesh {
    kubelet: Kubelet,
    operator: Operator,
    document: String,
    registry: Option<Server>,
    // Last, because fields are dropped in this order.
    control: ControlPlane,
}

impl Mesh {
    /// Brings up a mesh with this branch of Istio and no pods; `say` is told each step.
    ///
    /// # Errors
    /// If a part is missing, or does not answer; what had been started is removed.
    pub(crate) fn start(branch: Branch, say: impl Fn(&str)) -> Result<Self> {
        let control = ControlPlane::start(branch, &say)?;
        let (lab, parts, folder, authority) =
            (control.machine(), control.parts(), control.folder(), control.authority());
        fs::create_dir_all(folder.join("pods"))?;
        say("a registry starts");
        let registry = servers::registry(lab, parts, folder, authority)?;
        let site = Site {
            api: Arc::clone(control.shared_api()),
            parts: parts.clone(),
            lab: lab.clone(),
            folder: folder.join("pods"),
            authority: authority.pem(),
            certificate: authority.issue_for(&[NODE])?,
        };
        Ok(Self {
            kubelet: Kubelet::start(site)?,
            operator: Operator::new(lab, parts, folder, &authority.pem())?,
            document: operator_document()?,
            registry: Some(registry),
            control,
        })
    }

    /// The branch of its Istio.
    pub(crate) fn branch(&self) -> Branch {
        self.control.branch()
    }

    /// The API server.
    pub(crate) fn api(&self) -> &Api {
        self.control.api()
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
        self.control.machine().ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"])?;
        self.kubelet.add_host(name, address);
        Ok(())
    }

    /// Does `work` on the node, where its addresses are.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn on_node<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.control.machine().inside(work)
    }

    /// Stops the registry, or starts it with what it had.
    ///
    /// # Errors
    /// If it does not stop or start.
    pub(crate) fn set_registry(&mut self, state: State) -> Result<()> {
        let start = |mesh: &Self| {
            let control = &mesh.control;
            servers::registry(control.machine(), control.parts(), control.folder(), control.authority())
        };
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
        match state {
            State::Away => self.control.stop_istiod(),
            State::There => self.control.start_istiod(),
        }
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
        for entry in fs::read_dir(self.control.folder().join("logs"))? {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        for pod in fs::read_dir(self.control.folder().join("pods"))? {
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

fn operator_document() -> Result<String> {
    let file = super::operator::repository().join(DOCUMENT);
    fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
}
