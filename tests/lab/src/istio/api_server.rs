//! An API server alone, with roles: for what needs Kubernetes and no mesh.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::control_plane::node;
use super::netns::{self, Namespace};
use super::parts::{Branch, Parts};
use super::servers::{self, Rights, Server};
use super::teardown::Teardown;
use crate::net::authority::Authority;

/// A running API server. When it is dropped, and when a signal ends the program, nothing of it stays.
#[derive(Debug)]
pub struct ApiServer {
    api: Api,
    machine: Namespace,
    authority: Authority,
    folder: PathBuf,
    _servers: [Server; 2],
    // Last, because fields are dropped in this order.
    _teardown: Teardown,
}

/// An account at the API server.
#[derive(Debug)]
pub struct Account {
    api: Api,
    token: String,
}

impl ApiServer {
    /// Brings up etcd and kube-apiserver.
    ///
    /// # Errors
    /// If a part is missing, or does not answer; what had been started is removed.
    pub fn start(branch: Branch) -> Result<Self> {
        let parts = Parts::of_api_server(branch)?;
        netns::sweep()?;
        let teardown = Teardown::prepare()?;
        let folder = netns::folder(&netns::mesh_name());
        for name in ["logs", "certs"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let machine = node()?;
        let authority = Authority::new()?;
        let etcd = servers::etcd(&machine, &parts, &folder)?;
        let (server, api) = servers::api_server(&machine, &parts, &folder, &authority, Rights::ByRole)?;
        Ok(Self { api, machine, authority, folder, _servers: [etcd, server], _teardown: teardown })
    }

    /// Makes an object what this says, with all rights.
    ///
    /// # Errors
    /// If the API server refuses.
    pub fn apply(&self, object: &Value) -> Result<Value> {
        self.api.apply(object)
    }

    /// Merges into the object at this path, with all rights.
    ///
    /// # Errors
    /// If the API server refuses.
    pub fn merge(&self, path: &str, change: &Value) -> Result<Value> {
        self.api.merge(path, change)
    }

    /// The object at this path, with all rights.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.api.get(path)
    }

    /// Deletes the object at this path, with all rights.
    ///
    /// # Errors
    /// If the API server refuses.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.api.delete(path)
    }

    /// A service account, by a token that the API server makes.
    ///
    /// # Errors
    /// If there is no such account.
    pub fn account(&self, namespace: &str, name: &str) -> Result<Account> {
        self.with_token(namespace, name, &json!({}))
    }

    /// The same in one of its pods, as kubelet asks for its token: the API server adds on which node the pod is.
    ///
    /// # Errors
    /// If there is no such account or pod.
    pub fn account_in_pod(&self, namespace: &str, name: &str, pod: &str) -> Result<Account> {
        let uid = &self.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"))?["metadata"]["uid"];
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid});
        self.with_token(namespace, name, &json!({"boundObjectRef": bound}))
    }

    fn with_token(&self, namespace: &str, name: &str, spec: &Value) -> Result<Account> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let object = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let answer = self.api.create(&path, &object)?;
        let token = answer["status"]["token"].as_str().context("a token")?.to_owned();
        Ok(Account { api: self.api.with_token(&token), token })
    }

    /// A kubeconfig for an account.
    #[must_use]
    pub fn kubeconfig(&self, account: &Account) -> String {
        servers::kubeconfig(&self.authority, &account.token)
    }

    /// Starts a program that reaches the API server as this account; its output is in a file of its name.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(&self, program: &Path, words: &[&str], account: &Account) -> Result<Child> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = self.folder.join(format!("{name}.kubeconfig"));
        fs::write(&file, self.kubeconfig(account))?;
        let mut command = self.machine.command(program);
        // What it caches goes when the server goes.
        command.args(words).env("KUBECONFIG", &file).env("HOME", &self.folder);
        Namespace::start(&mut command, &self.log(&name))
    }

    /// Where a program's output is.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Does `work` where the API server can be reached.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.machine.inside(work)
    }
}

impl Account {
    /// Asks for something: the status, and what came. A patch is a strategic merge patch.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub fn ask(&self, method: &str, path: &str, object: &Value) -> Result<(u16, String)> {
        let content = match method {
            "PATCH" => "application/strategic-merge-patch+json",
            _ => "application/json",
        };
        self.api.answer(Method::from_bytes(method.as_bytes())?, path, content, &object.to_string())
    }
}
