//! Writes and reads the Leases.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::words::{Answers, Asks};
use crate::names::{ALL_FAILED, ANSWERS, ASKS, COMPONENT, LEADER};

/// How long an agent that says nothing counts as living.
pub const LIVES_FOR: i64 = 30;

/// The Leases of a namespace.
#[derive(Clone)]
pub struct Leases {
    api: Api<Lease>,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Leases")
    }
}

/// What a node's Lease says.
#[derive(Clone, Debug)]
pub struct NodeLease {
    /// The node.
    pub node: String,
    /// Whether its agent lives.
    pub alive: bool,
    /// What it wants.
    pub asks: Asks,
    /// What it was told.
    pub answers: Answers,
}

impl Leases {
    /// Those of this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    /// Says that the node's agent lives, and what it wants; what it has been told comes back.
    ///
    /// # Errors
    /// If the API server cannot be reached, or refuses.
    pub async fn ask(&self, node: &str, now: OffsetDateTime, asks: &Asks) -> Result<Answers> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": node,
                "labels": {COMPONENT.0: COMPONENT.1},
                "annotations": {ASKS: serde_json::to_string(asks)?},
            },
            "spec": {"holderIdentity": node, "leaseDurationSeconds": LIVES_FOR, "renewTime": micro_time(now)?},
        });
        // Applied, so that it is made where it is not there yet, and the controller's annotation is left alone.
        let params = PatchParams::apply("hot-switch-agent").force();
        let lease = self.api.patch(node, &params, &Patch::Apply(&lease)).await.context("the node's Lease")?;
        Ok(answers(&lease))
    }

    /// Says what the controller answers to a node.
    ///
    /// # Errors
    /// If the API server cannot be reached, or refuses.
    pub async fn answer(&self, node: &str, answers: &Answers) -> Result<()> {
        let change = json!({"metadata": {"annotations": {ANSWERS: serde_json::to_string(answers)?}}});
        self.api.patch(node, &PatchParams::default(), &Patch::Merge(&change)).await.context("the node's Lease")?;
        Ok(())
    }

    /// A person's word to the controller that leads: what fails now may be bypassed, though much of the mesh fails at
    /// once.
    ///
    /// # Errors
    /// If no controller leads, or the API server cannot be reached, or refuses.
    pub async fn close_breaker(&self, now: OffsetDateTime) -> Result<()> {
        let change = json!({"metadata": {"annotations": {ALL_FAILED: micro_time(now)?}}});
        match self.api.patch(LEADER, &PatchParams::default(), &Patch::Merge(&change)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                bail!("no controller leads: there is no Lease {LEADER}")
            }
            Err(error) => Err(error).context("the controllers' Lease"),
        }
    }

    /// All nodes.
    ///
    /// # Errors
    /// If the API server cannot be reached, or refuses.
    pub async fn nodes(&self, now: OffsetDateTime) -> Result<Vec<NodeLease>> {
        let of_agents = ListParams::default().labels(&format!("{}={}", COMPONENT.0, COMPONENT.1));
        let leases = self.api.list(&of_agents).await.context("the nodes' Leases")?;
        Ok(leases.items.iter().map(|lease| node_lease(lease, now)).collect())
    }
}

/// A moment as Leases have it: microseconds, all six digits of them.
pub(crate) fn micro_time(now: OffsetDateTime) -> Result<String> {
    let at = now.replace_nanosecond(now.nanosecond() / 1000 * 1000)?;
    let text = at.replace_nanosecond(0)?.format(&Rfc3339)?;
    Ok(text.replace('Z', &format!(".{:06}Z", at.microsecond())))
}

fn node_lease(lease: &Lease, now: OffsetDateTime) -> NodeLease {
    let renewed = serde_json::to_value(lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref())).ok();
    let renewed = renewed.as_ref().and_then(serde_json::Value::as_str);
    let renewed = renewed.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    NodeLease {
        node: lease.name_any(),
        alive: renewed.is_some_and(|renewed| (now - renewed).whole_seconds() <= LIVES_FOR),
        // Asks that cannot be read are none; what was granted stays until they can be.
        asks: note(lease.annotations(), ASKS).unwrap_or_default(),
        answers: answers(lease),
    }
}

fn answers(lease: &Lease) -> Answers {
    note(lease.annotations(), ANSWERS).unwrap_or_default()
}

fn note<T: serde::de::DeserializeOwned>(annotations: &BTreeMap<String, String>, key: &str) -> Option<T> {
    serde_json::from_str(annotations.get(key)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_alive_for_its_time_and_hostile_asks_are_none() {
        let now = OffsetDateTime::from_unix_timestamp(1_764_423_000).unwrap();
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"name": "n1", "annotations": {ASKS: "[1,2", ANSWERS: "{\"answers\":[]}"}},
            "spec": {"renewTime": micro_time(now).unwrap()},
        }))
        .unwrap();
        let at = |seconds| node_lease(&lease, now + time::Duration::seconds(seconds));
        assert!(at(30).alive && !at(31).alive);
        assert_eq!(at(0).asks, Asks::default());
    }
}
