//! A controller that runs, and a node's Lease by which it is asked, as an agent writes it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::istio::{Account, ApiServer};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pods::{OWN, STAND_IN, note};

/// Does `work` while a controller runs, and tells its complaints if that fails.
pub(crate) fn with_controller(
    server: &ApiServer,
    controller: &Account,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let words = ["controller", "--name", "c1", "--stand-in-image", STAND_IN];
    let mut program = server.run(Path::new(env!("CARGO_BIN_EXE_hot-switch")), &words, controller)?;
    let done = work();
    program.kill()?;
    program.wait()?;
    done.with_context(|| std::fs::read_to_string(server.log("hot-switch")).unwrap_or_default())
}

/// The Lease of the node `n1`.
pub(crate) struct Lease<'a> {
    server: &'a ApiServer,
    agent: &'a Account,
    path: String,
}

impl<'a> Lease<'a> {
    /// Makes it, unless it is there.
    pub(crate) fn create(server: &'a ApiServer, agent: &'a Account) -> Result<Self> {
        let all = format!("/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases");
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1",
            "labels": {note("component"): "agent"}}});
        let (status, text) = agent.ask("POST", &all, &lease)?;
        ensure!(matches!(status, 201 | 409), "the Lease: {status}: {text}");
        Ok(Self { server, agent, path: format!("{all}/n1") })
    }

    /// What the agent wants since this moment, with the stand-in, and what fails.
    pub(crate) fn say(&self, since: u64, wishes: &[&str], failing: &[&str]) -> Result<()> {
        let wish = |pod: &&str| json!({"pod": pod, "since": since, "why": "proxy_dead", "stand_in": true});
        let asks = json!({"wishes": wishes.iter().map(wish).collect::<Vec<Value>>(), "failing": failing});
        let now = OffsetDateTime::now_utc().format(&Rfc3339)?;
        let at = format!("{}.000000Z", now.get(..19).context("a time")?);
        let change = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"annotations": {note("asks"): asks.to_string()}}, "spec": {"renewTime": at}});
        let (status, text) = self.agent.ask("PATCH", &self.path, &change)?;
        ensure!(status == 200, "the Lease: {status}: {text}");
        Ok(())
    }

    /// What the controller answers.
    pub(crate) fn answers(&self) -> Result<String> {
        let lease = self.server.get(&self.path)?;
        Ok(lease["metadata"]["annotations"][note("answers")].as_str().unwrap_or_default().to_owned())
    }

    /// Whether this pod's wish of this moment is refused for this reason; granted, if there is none.
    pub(crate) fn is_answered(&self, pod: &str, since: u64, refused: Option<&str>) -> Result<bool> {
        let answers: Value = serde_json::from_str(&self.answers()?).unwrap_or_default();
        let answer = json!({"pod": pod, "since": since, "refused": refused});
        Ok(answers["answers"].as_array().is_some_and(|all| all.contains(&answer)))
    }
}
