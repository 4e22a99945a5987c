//! The controller's rounds: lead, look, decide, change, answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use hot_switch_core::Moment;
use hot_switch_core::fleet::{Fleet, Limits};
use hot_switch_core::refusal::Refusal;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod as Object};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, ResourceExt};
use mesh::Mesh;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::changes::has_sidecar;
use super::decide::{Done, Known, adopt, budget_used, decide, proxies};
use crate::cluster::lease::Leases;
use crate::cluster::live::{self, Configurations, POLICIES};
use crate::cluster::words::Answers;
use crate::names::{ALL_FAILED, LEADER, REVISION};
use crate::told::metrics::Metrics;

/// Between two rounds: a wish waits this long at most.
const EVERY: Duration = Duration::from_millis(250);
/// A leader that says nothing for this long leads no longer.
const LEADS_FOR: i64 = 15;
/// So often in a row the Lease may be changed by others while it is renewed.
const TRIES: u32 = 4;
/// A change that was denied is tried again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// What is around pods, namespaces' annotations and policies, changes seldom.
const AROUND_EVERY: Duration = Duration::from_secs(10);
/// So soon it is read again while it cannot be.
const AROUND_AGAIN: Duration = Duration::from_secs(2);
/// A leader renews its Lease, and hears what a person notes on it.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// What a controller needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its own name, by which it leads.
    pub name: String,
    /// hot-switch's own namespace.
    pub namespace: String,
    /// The stand-in's image.
    pub stand_in: Option<String>,
    /// The limits of all together.
    pub limits: Limits,
}

/// Runs for ever.
///
/// # Errors
/// If the API server's address or credentials are not known.
pub async fn run(options: Options, metrics: Arc<Mutex<Metrics>>) -> Result<()> {
    let client =
        Client::try_default().await.context("no API server is known: run it in a pod, or with a kubeconfig")?;
    let (store, writer) = reflector::store();
    // A sidecar is a container: a label that Istio's injector sets may have been taken away, or never set.
    let all = watcher(Api::<Object>::all(client.clone()), watcher::Config::default()).modify(keep_what_is_needed);
    let stream = reflector(writer, all).default_backoff();
    tokio::spawn(stream.for_each(|_| std::future::ready(())));
    store.wait_until_ready().await.context("pods cannot be watched")?;
    let mut controller = Controller::new(client, store, options);
    let mut complained = String::new();
    loop {
        let went = controller.round(&metrics).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        if went != complained && !went.is_empty() {
            eprintln!("error: {went}; nothing new is granted meanwhile");
        }
        complained = went;
        tokio::time::sleep(EVERY).await;
    }
}

/// Of a pod without a sidecar nothing is kept but its name: most of a cluster's may be such.
fn keep_what_is_needed(pod: &mut Object) {
    pod.metadata.managed_fields = None;
    if !has_sidecar(pod) {
        (pod.spec, pod.status) = (None, None);
        (pod.metadata.labels, pod.metadata.annotations, pod.metadata.owner_references) = (None, None, None);
    }
}

/// What a person asks of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// What fails now is to be bypassed, though much of the mesh fails at once.
    AllFailed,
}

/// How claiming the Lease went.
enum Claim {
    /// It is known who leads: this controller, of which something may be asked, or another.
    Settled(Option<Asked>),
    /// The Lease was changed meanwhile.
    Overtaken,
}

struct Controller {
    client: Client,
    leases: Leases,
    store: Store<Object>,
    /// While it leads.
    fleet: Option<Fleet>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Istio's policies, while they can be read.
    policies: Option<Mesh>,
    /// Pods of which a change was denied, and when: whoever writes records of ours into pods of their own, which the
    /// admission policy then finds false, does not keep the controller busy.
    denied: BTreeMap<String, Instant>,
    /// When the Lease was renewed last, while it leads.
    renewed: Option<Instant>,
    /// When what is around pods was read last, or could not be.
    around: Option<Instant>,
    /// A person closed the breaker, and no round has heard it yet: one that ended early does not lose it.
    all_failed: bool,
    options: Options,
}

impl Controller {
    /// One that has not looked at anything yet.
    fn new(client: Client, store: Store<Object>, options: Options) -> Self {
        Self {
            leases: Leases::new(client.clone(), &options.namespace),
            client,
            store,
            fleet: None,
            namespaces: BTreeMap::new(),
            policies: None,
            denied: BTreeMap::new(),
            renewed: None,
            around: None,
            all_failed: false,
            options,
        }
    }

    async fn round(&mut self, metrics: &Mutex<Metrics>) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        // By the clock: rounds are slow while the API server is.
        if self.renewed.is_none_or(|at| at.elapsed() >= RENEW_EVERY) {
            match self.leads(now).await? {
                Some(asked) => {
                    self.all_failed |= asked == Asked::AllFailed;
                    self.renewed = Some(Instant::now());
                }
                None => {
                    (self.fleet, self.renewed, self.around, self.all_failed) = (None, None, None, false);
                    metrics.lock().unwrap_or_else(PoisonError::into_inner).follows();
                    return Ok(());
                }
            }
        }
        let unread = self.look_around().await.err();
        let done = self.decide(now, metrics).await?;
        let carried_out = self.carry_out(done).await;
        unread.map_or(carried_out, Err)
    }

    /// Reads what is around pods, when it is time. What cannot be read holds up no restore: pods then count as
    /// protected, and namespaces are what they were.
    async fn look_around(&mut self) -> Result<()> {
        let every = if self.policies.is_some() { AROUND_EVERY } else { AROUND_AGAIN };
        if self.around.is_some_and(|at| at.elapsed() < every) {
            return Ok(());
        }
        self.policies = None;
        self.around = Some(Instant::now());
        self.read_namespaces().await?;
        self.policies =
            Some(live::read(&self.client, POLICIES.into_iter(), Configurations::Of(&self.revisions())).await?);
        Ok(())
    }

    /// The revisions of istiod that put the sidecars into pods; the one without a name is called `default`.
    fn revisions(&self) -> BTreeSet<String> {
        let pods = self.store.state();
        let named = pods.iter().filter_map(|pod| pod.annotations().get(REVISION).cloned());
        named.filter(|revision| revision != "default").collect()
    }

    async fn decide(&mut self, now: OffsetDateTime, metrics: &Mutex<Metrics>) -> Result<Done> {
        let pods: BTreeMap<String, Object> = self
            .store
            .state()
            .into_iter()
            .filter(|pod| has_sidecar(pod))
            .map(|pod| (format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any()), (*pod).clone()))
            .collect();
        let nodes = self.leases.nodes(now).await?;
        let limits = self.options.limits.clone();
        let fleet = self.fleet.get_or_insert_with(|| {
            let mut fleet = Fleet::new(limits);
            adopt(&mut fleet, &pods);
            fleet
        });
        let moment: Moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stand_in = self.options.stand_in.as_deref();
        let policies = self.policies.as_ref();
        let known = Known {
            now: moment,
            nodes: &nodes,
            pods: &pods,
            namespaces: &self.namespaces,
            policies,
            stand_in,
            all_failed: std::mem::take(&mut self.all_failed),
        };
        let done = decide(fleet, known);
        let open = fleet.breaker_is_open(moment, proxies(&pods));
        let used = budget_used(fleet, &pods);
        {
            let mut metrics = metrics.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.breaker(open);
            metrics.budget_used(used);
        }
        Ok(done)
    }

    async fn carry_out(&mut self, done: Done) -> Result<()> {
        let mut complaint = None;
        self.denied.retain(|_, at| at.elapsed() < ASK_AGAIN_AFTER);
        for (name, change) in &done.releases {
            if !self.denied.contains_key(name) {
                complaint = self.change(name, change).await.err().or(complaint);
            }
        }
        let mut failed = Vec::new();
        for (name, change) in &done.grants {
            if self.denied.contains_key(name) {
                failed.push(name.clone());
            } else if let Err(error) = self.change(name, change).await {
                failed.push(name.clone());
                complaint = Some(error);
            }
        }
        for (node, mut answers) in done.answers {
            // A grant whose label is not set is none yet: the gate would go on before callers know.
            // What the API server denies is refused, and the agent need not wait for it.
            answers.retain_mut(|answer| {
                if self.denied.contains_key(&answer.pod) && failed.contains(&answer.pod) {
                    answer.refused = Some(Refusal::Denied.word().to_owned());
                }
                answer.refused.is_some() || !failed.contains(&answer.pod)
            });
            self.leases.answer(&node, &Answers { answers }).await?;
        }
        complaint.map_or(Ok(()), Err)
    }

    async fn change(&mut self, name: &str, change: &Value) -> Result<()> {
        let (namespace, pod) = name.split_once('/').context("a pod has a namespace")?;
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        let changed = api.patch(pod, &PatchParams::default(), &Patch::Strategic(change)).await;
        if let Err(kube::Error::Api(status)) = &changed
            && matches!(status.code, 400 | 403 | 422)
        {
            self.denied.insert(name.to_owned(), Instant::now());
        }
        changed.with_context(|| format!("pod {name} cannot be changed"))?;
        Ok(())
    }

    async fn read_namespaces(&mut self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let list = api.list(&ListParams::default()).await.context("namespaces cannot be listed")?;
        let notes = |namespace: &Namespace| (namespace.name_any(), namespace.annotations().clone());
        self.namespaces = list.items.iter().map(notes).collect();
        Ok(())
    }

    /// What is asked of this controller, if it leads. A Lease that somebody changes at this very moment, such as a
    /// person who notes something on it, is read again: who gave up leading for that would forget what fails.
    async fn leads(&mut self, now: OffsetDateTime) -> Result<Option<Asked>> {
        for _ in 0..TRIES {
            if let Claim::Settled(asked) = self.claim(now).await? {
                return Ok(asked);
            }
        }
        Ok(None)
    }

    /// Claims or renews the Lease if it is this controller's own, or nobody's. What a person noted on it goes with the
    /// renewal, so it is heard once.
    async fn claim(&self, now: OffsetDateTime) -> Result<Claim> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.options.namespace);
        let found = api.get_opt(LEADER).await.context("the controllers' Lease")?;
        let leads = match &found {
            None => true,
            Some(lease) => {
                let spec = lease.spec.clone().unwrap_or_default();
                let holder = spec.holder_identity.unwrap_or_default();
                let renewed = serde_json::to_value(&spec.renew_time)?;
                let renewed = renewed
                    .as_str()
                    .and_then(|text| OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok());
                holder == self.options.name || renewed.is_none_or(|renewed| (now - renewed).whole_seconds() > LEADS_FOR)
            }
        };
        if !leads {
            return Ok(Claim::Settled(None));
        }
        let all_failed = found.as_ref().is_some_and(|lease| lease.annotations().contains_key(ALL_FAILED));
        let version = found.as_ref().and_then(ResourceExt::resource_version);
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"name": LEADER, "namespace": self.options.namespace, "resourceVersion": version},
            "spec": {
                "holderIdentity": self.options.name,
                "leaseDurationSeconds": LEADS_FOR,
                "renewTime": crate::cluster::lease::micro_time(now)?,
            },
        }))?;
        let params = PostParams::default();
        let written = match found {
            Some(_) => api.replace(LEADER, &params, &lease).await,
            None => api.create(&params, &lease).await,
        };
        match written {
            Ok(_) => Ok(Claim::Settled(Some(if all_failed { Asked::AllFailed } else { Asked::Nothing }))),
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Claim::Overtaken),
            Err(error) => Err(error).context("the controllers' Lease"),
        }
    }
}

#[cfg(test)]
mod tests;
