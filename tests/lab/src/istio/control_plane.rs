//! What decides in a mesh: etcd, kube-apiserver and istiod, installed from Istio's own manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;

use super::api::Api;
use super::installation;
use super::netns::{self, Namespace};
use super::parts::{Branch, Parts};
use super::servers::{self, NODE, Rights, Server};
use super::teardown::Teardown;
use crate::net::authority::Authority;

/// A running control plane. When it is dropped, and when a signal ends the program, nothing of it stays.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    api: Arc<Api>,
    istiod: Option<Server>,
    machine: Namespace,
    branch: Branch,
    parts: Parts,
    authority: Authority,
    folder: PathBuf,
    _servers: [Server; 2],
    // Last, because fields are dropped in this order.
    _teardown: Teardown,
}

impl ControlPlane {
    /// Brings up this branch of Istio; `say` is told each step.
    ///
    /// # Errors
    /// If a part is missing, or does not answer; what had been started is removed.
    pub(crate) fn start(branch: Branch, say: impl Fn(&str)) -> Result<Self> {
        let parts = Parts::find(branch)?;
        netns::sweep()?;
        let teardown = Teardown::prepare()?;
        let folder = netns::folder(&netns::mesh_name());
        for name in ["logs", "certs"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let machine = node()?;
        let authority = Authority::new()?;
        say("etcd and kube-apiserver start");
        let etcd = servers::etcd(&machine, &parts, &folder)?;
        let (server, api) = servers::api_server(&machine, &parts, &folder, &authority, Rights::All)?;
        say(&format!("Istio {branch} is installed: istioctl's own manifests, with injector and validator"));
        installation::apply(&api, &machine, &parts, &folder)?;
        let istiod = Some(servers::istiod(&machine, &parts, &folder)?);
        installation::validate(&api, &machine, &parts, &folder)?;
        let api = Arc::new(api);
        let _servers = [etcd, server];
        Ok(Self { api, istiod, machine, branch, parts, authority, folder, _servers, _teardown: teardown })
    }

    /// The branch of its Istio.
    pub(crate) fn branch(&self) -> Branch {
        self.branch
    }

    /// The API server.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// The API server, for a thread.
    pub(crate) fn shared_api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The machine of the servers.
    pub(crate) fn machine(&self) -> &Namespace {
        &self.machine
    }

    /// The programs.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The authority that signs the servers' certificates.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The folder of its files, which goes with it; logs are in `logs`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds lines to the MeshConfig, which istiod reads again when it changes.
    ///
    /// # Errors
    /// If the API server refuses.
    pub(crate) fn add_to_mesh_config(&self, lines: &str) -> Result<()> {
        let path = "/api/v1/namespaces/istio-system/configmaps/istio";
        let config = self.api.get(path)?;
        let text = config["data"]["mesh"].as_str().context("istiod's ConfigMap has a MeshConfig")?;
        let text = format!("{}\n{lines}\n", text.trim_end());
        self.api.merge(path, &json!({ "data": { "mesh": text } })).map(drop)
    }

    /// Stops istiod.
    ///
    /// # Errors
    /// If it does not stop.
    pub(crate) fn stop_istiod(&mut self) -> Result<()> {
        self.istiod.take().map_or(Ok(()), Server::stop)
    }

    /// Starts istiod, if it is stopped.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start_istiod(&mut self) -> Result<()> {
        if self.istiod.is_none() {
            self.istiod = Some(servers::istiod(&self.machine, &self.parts, &self.folder)?);
        }
        Ok(())
    }
}

/// The machine of the servers, with the bridge to which pods are connected.
pub(super) fn node() -> Result<Namespace> {
    let machine = Namespace::create("")?;
    machine.ip(&["link", "add", "br0", "type", "bridge"])?;
    machine.ip(&["addr", "add", &format!("{NODE}/16"), "dev", "br0"])?;
    machine.ip(&["link", "set", "br0", "up"])?;
    machine.inside(|| Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?)).context("a node that forwards packets")?;
    Ok(machine)
}
