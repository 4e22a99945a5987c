//! The sidecar of a pod, seen as an operator sees it: its log, its statistics, its agent's metrics.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::kubelet::{PROXY, Pod};
use crate::envoy::events::Event;
use crate::net::http::Client;

/// Envoy's admin interface.
const ADMIN: u16 = 15000;

/// The agent's metrics.
const AGENT: u16 = 15020;

/// The answer to a call from a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code; 0 if there was no answer.
    pub status: u16,
    /// The body without the last line end, or why there is none.
    pub text: String,
}

/// A pod with a sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pod: Arc<Pod>,
}

impl Proxy {
    /// The sidecar of this pod.
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        Self { pod }
    }

    /// The pod.
    pub(crate) fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The log so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.pod.log(PROXY))?).into_owned())
    }

    /// The filter's events so far.
    ///
    /// # Errors
    /// Like [`Proxy::log`].
    pub(crate) fn events(&self) -> Result<Vec<Event>> {
        Ok(self.log()?.lines().filter_map(Event::in_line).collect())
    }

    /// Envoy's counters and gauges whose names match this regular expression.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub(crate) fn stats(&self, filter: &str) -> Result<Vec<(String, u64)>> {
        let text = self.get(ADMIN, &format!("/stats?filter={filter}"))?;
        let line =
            |line: &str| line.rsplit_once(": ").and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Ok(text.lines().filter_map(line).collect())
    }

    /// The filter that Envoy runs now for the extension whose name contains `name`, as its type's last word: `Wasm`, or
    /// `RBAC` where the agent could not fetch the module. `None` if there is no such extension.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub(crate) fn filter(&self, name: &str) -> Result<Option<String>> {
        let dump: Value = serde_json::from_str(&self.get(ADMIN, "/config_dump?resource=ecds_filters")?)?;
        let configs = dump["configs"].as_array().cloned().unwrap_or_default();
        let of_name = configs
            .iter()
            .map(|config| &config["ecds_filter"])
            .find(|filter| filter["name"].as_str().is_some_and(|found| found.contains(name)));
        let type_url = of_name.and_then(|filter| filter["typed_config"]["@type"].as_str());
        Ok(type_url.and_then(|url| url.rsplit('.').next()).map(str::to_owned))
    }

    /// Lines of the agent's metrics that begin with `beginning`.
    ///
    /// # Errors
    /// If the agent does not answer.
    pub(crate) fn agent_metrics(&self, beginning: &str) -> Result<Vec<String>> {
        let text = self.get(AGENT, "/metrics")?;
        Ok(text.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect())
    }

    /// The text that Envoy's admin interface has at this path.
    ///
    /// # Errors
    /// If Envoy does not answer with 200.
    pub(crate) fn admin(&self, path: &str) -> Result<String> {
        self.get(ADMIN, path)
    }

    /// Calls `host` at `target` from inside the pod, as its application would: through the sidecar.
    pub(crate) fn call(&self, target: SocketAddr, host: &str) -> Answer {
        let called = self.pod.net().inside(|| Ok(Client::new(target, host).get("/")?));
        match called {
            Ok(answer) => Answer { status: answer.status, text: answer.text().trim_end().to_owned() },
            Err(error) => Answer { status: 0, text: format!("{error:#}") },
        }
    }

    fn get(&self, port: u16, path: &str) -> Result<String> {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let answer = self.pod.net().inside(|| Ok(Client::new(target, "localhost").get(path)?))?;
        ensure!(answer.status == 200, "{path} at port {port} of {}: {}", self.pod.name, answer.status);
        Ok(answer.text())
    }
}
