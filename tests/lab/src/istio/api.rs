//! A small blocking client of the API server: what a controller needs of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;

use super::netns::Namespace;

/// Longer than the API server waits for a webhook.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Who wrote a field, as the API server notes it.
const MANAGER: &str = "lab";

/// What became of an object that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is there, at this path.
    Admitted(String),
    /// The API server or a webhook refused it, for this reason.
    Refused(String),
}

/// A client with all rights.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    url: String,
    token: String,
    /// Path of a kind's objects and whether they are in namespaces, by version and kind.
    kinds: Mutex<BTreeMap<(String, String), (String, bool)>>,
}

impl Api {
    /// A client of the API server at `https://HOST:PORT`, whose connections are in `namespace`.
    pub(crate) fn new(namespace: &Namespace, url: &str, authority: &str, token: &str) -> Result<Self> {
        // A second mesh in the same program finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = Certificate::from_pem(authority.as_bytes())?;
        // The client's connections are opened by a thread of its own, which is born where this is called.
        let client = namespace
            .inside(|| Ok(Client::builder().tls_certs_only([authority]).no_proxy().timeout(TIMEOUT).build()?))?;
        Ok(Self { client, url: url.to_owned(), token: token.to_owned(), kinds: Mutex::default() })
    }

    /// The same API server, for whoever has this token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let (client, url) = (self.client.clone(), self.url.clone());
        Self { client, url, token: token.to_owned(), kinds: Mutex::default() }
    }

    /// The status and the text with which a request is answered, whatever it is.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(crate) fn answer(&self, method: Method, path: &str, content: &str, body: &str) -> Result<(u16, String)> {
        let request = self.request(method, path).header("content-type", content).body(body.to_owned());
        let answer = request.send().with_context(|| format!("a request of {path}"))?;
        Ok((answer.status().as_u16(), answer.text()?))
    }

    /// Whether the API server is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.request(Method::GET, "/readyz").send().is_ok_and(|answer| answer.status().is_success())
    }

    /// The object at this path, such as `/api/v1/namespaces/mock`.
    ///
    /// # Errors
    /// If there is none, or the API server does not answer.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.find(path)?.with_context(|| format!("there is no {path}"))
    }

    /// The object at this path, if there is one.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.request(Method::GET, path).send()?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let (status, text) = (answer.status(), answer.text()?);
        ensure!(status.is_success(), "GET {path}: {status}: {text}");
        serde_json::from_str(&text).map(Some).with_context(|| format!("GET {path}"))
    }

    /// The objects of a list.
    ///
    /// # Errors
    /// Like [`Api::get`].
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.get(path)?["items"].as_array().cloned().unwrap_or_default())
    }

    /// Creates an object in the list at this path, and returns it as the webhooks left it.
    ///
    /// # Errors
    /// If the API server or a webhook refuses it.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, "application/json", object)
    }

    /// Like [`Api::create`], in the list that follows from the object's kind and namespace; what the API server or a
    /// webhook answers is told apart from its not answering.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(crate) fn admit(&self, object: &Value) -> Result<Admission> {
        let path = self.path(object)?;
        let list = path.rsplit_once('/').context("a path has a slash")?.0;
        let request = self.request(Method::POST, list).header("content-type", "application/json");
        let answer = request.body(object.to_string()).send().with_context(|| format!("POST {list}"))?;
        let (status, text) = (answer.status(), answer.text()?);
        let value: Value = serde_json::from_str(&text).with_context(|| format!("POST {list}: {status}: {text}"))?;
        Ok(if status.is_success() {
            Admission::Admitted(path)
        } else {
            Admission::Refused(value["message"].as_str().unwrap_or_default().to_owned())
        })
    }

    /// Merges `patch` into the object at this path.
    ///
    /// # Errors
    /// Like [`Api::create`].
    pub(crate) fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch)
    }

    /// Replaces the object at this path, which must not have changed since it was read.
    ///
    /// # Errors
    /// Like [`Api::create`].
    pub(crate) fn replace(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::PUT, path, "application/json", object)
    }

    /// Makes the object at this path what `object` says, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// Like [`Api::create`].
    pub(crate) fn put(&self, path: &str, object: &Value) -> Result<Value> {
        let path = format!("{path}?fieldManager={MANAGER}&force=true");
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", object)
    }

    /// Like [`Api::put`], with the path that follows from the object's kind, namespace and name.
    ///
    /// # Errors
    /// Like [`Api::create`].
    pub(crate) fn apply(&self, object: &Value) -> Result<Value> {
        self.put(&self.path(object)?, object)
    }

    /// The path of an object, from its kind, namespace and name.
    fn path(&self, object: &Value) -> Result<String> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kinds, is_namespaced) = self.kind(&text("/apiVersion"), &text("/kind"))?;
        let (root, plural) = kinds.rsplit_once('/').context("a path has a slash")?;
        let mut namespace = text("/metadata/namespace");
        if namespace.is_empty() {
            "default".clone_into(&mut namespace);
        }
        let name = text("/metadata/name");
        Ok(if is_namespaced {
            format!("{root}/namespaces/{namespace}/{plural}/{name}")
        } else {
            format!("{root}/{plural}/{name}")
        })
    }

    /// Deletes the object at this path at once; it may be gone already.
    ///
    /// # Errors
    /// If the API server refuses.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        let path = format!("{path}?gracePeriodSeconds=0");
        let answer = self.request(Method::DELETE, &path).send()?;
        let status = answer.status();
        ensure!(status.is_success() || status == StatusCode::NOT_FOUND, "DELETE {path}: {status}: {}", answer.text()?);
        Ok(())
    }

    fn kind(&self, version: &str, kind: &str) -> Result<(String, bool)> {
        let key = (version.to_owned(), kind.to_owned());
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.get(&key) {
            return Ok(known.clone());
        }
        let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        let resources = self.get(&root)?["resources"].as_array().cloned().unwrap_or_default();
        // Subresources have the kind of what they belong to, and a slash in their name.
        let found = resources.iter().find_map(|resource| {
            let name = resource["name"].as_str().filter(|name| !name.contains('/'))?;
            let known = (format!("{root}/{name}"), resource["namespaced"].as_bool()?);
            (resource["kind"] == kind).then_some(known)
        });
        let Some(found) = found else { bail!("the API server knows no {kind} of {version}") };
        kinds.insert(key, found.clone());
        Ok(found)
    }

    fn send(&self, method: Method, path: &str, content: &str, object: &Value) -> Result<Value> {
        let request = self.request(method.clone(), path).header("content-type", content).body(object.to_string());
        let answer = request.send().with_context(|| format!("{method} {path}"))?;
        let (status, text) = (answer.status(), answer.text()?);
        ensure!(status.is_success(), "{method} {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{method} {path}"))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }
}
