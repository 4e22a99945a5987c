//! Stands for the controllers of Deployments, ReplicaSets and EndpointSlices and for the kubelets of all nodes.
//!
//! A thread does over and over what they do: it creates a Pod for each Deployment through the API server, so that
//! Istio's own injector works on it, runs its containers, publishes the addresses of ready pods, then removes the pods
//! that are no longer wanted. Everything else of the cluster is real.

mod logs;
mod nodes;
mod pod;
mod slices;
mod spec;
mod volumes;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::api::Api;
use super::netns::Namespace;
use super::parts::Parts;
use super::servers::{NODE, REGISTRY};
use crate::wait::SAFETY_NET;
use logs::LogServer;
use pod::Order;
use spec::{text, texts};

pub(crate) use pod::{PROXY, Pod};

/// The pause between two looks at what is wanted.
const PACE: Duration = Duration::from_millis(300);

/// How long a pod that has left its services goes on: proxies learn of it a little later.
const GRACE: Duration = Duration::from_secs(2);

/// Pods that are started at the same time: each compiles the filter for each of its threads.
const AT_A_TIME: usize = 3;

/// The deployments of istiod and of the cluster itself are not pods here.
const OF_THE_SYSTEM: [&str; 2] = ["istio-system", "kube-system"];

/// What the kubelet works with.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The API server.
    pub api: Arc<Api>,
    /// The programs.
    pub parts: Parts,
    /// The namespace with the bridge.
    pub lab: Namespace,
    /// The folder of the pods.
    pub folder: PathBuf,
    /// Certificates that the containers trust, PEM.
    pub authority: String,
    /// The kubelet's own certificate and its key, PEM.
    pub certificate: (String, String),
}

/// The running kubelet; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Kubelet {
    shared: Arc<Shared>,
    _logs: LogServer,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    site: Site,
    pods: Mutex<Vec<Arc<Pod>>>,
    ready: Mutex<BTreeSet<String>>,
    more_hosts: Mutex<String>,
    failure: Mutex<Option<String>>,
    number: AtomicU32,
    is_over: AtomicBool,
}

/// A pod that is wanted.
#[derive(Debug)]
struct Wanted {
    namespace: String,
    deployment: String,
    template: Value,
    hash: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kubelet {
    /// Creates the nodes and starts to work.
    pub(crate) fn start(site: Site) -> Result<Self> {
        nodes::create(&site.api, NODE, logs::PORT)?;
        let shared = Arc::new(Shared {
            site,
            pods: Mutex::default(),
            ready: Mutex::default(),
            more_hosts: Mutex::default(),
            failure: Mutex::default(),
            number: AtomicU32::new(1),
            is_over: AtomicBool::new(false),
        });
        let having = Arc::clone(&shared);
        let find = move |namespace: &str, name: &str, container: &str| {
            let pods = lock(&having.pods);
            let found = pods.iter().find(|pod| pod.namespace == namespace && pod.name == name);
            found.map(|pod| pod.log(container))
        };
        let logs = LogServer::start(&shared.site.lab, NODE, &shared.site.certificate, find)?;
        let working = Arc::clone(&shared);
        let work = move || {
            while !working.is_over.load(Ordering::SeqCst) {
                if let Err(error) = working.sync() {
                    *lock(&working.failure) = Some(format!("{error:#}"));
                    break;
                }
                thread::sleep(PACE);
            }
        };
        let thread = thread::Builder::new().name("kubelet".to_owned()).spawn(work)?;
        Ok(Self { shared, _logs: logs, thread: Some(thread) })
    }

    /// The running pod of a Deployment, once there is one.
    ///
    /// # Errors
    /// If there is none, or the kubelet has failed.
    pub(crate) fn pod(&self, namespace: &str, deployment: &str) -> Result<Arc<Pod>> {
        self.check()?;
        let pods = lock(&self.shared.pods);
        let found = pods.iter().rev().find(|pod| pod.namespace == namespace && pod.deployment == deployment);
        found.cloned().with_context(|| format!("there is no pod of {namespace}/{deployment}"))
    }

    /// The running pods with a sidecar.
    pub(crate) fn pods(&self) -> Vec<Arc<Pod>> {
        lock(&self.shared.pods).iter().filter(|pod| pod.has_proxy()).cloned().collect()
    }

    /// Lets all pods resolve this name to this address.
    pub(crate) fn add_host(&self, name: &str, address: &str) {
        *lock(&self.shared.more_hosts) += &format!("{address} {name}\n");
    }

    /// Complains if the kubelet has stopped because of a failure.
    ///
    /// # Errors
    /// That failure.
    pub(crate) fn check(&self) -> Result<()> {
        match &*lock(&self.shared.failure) {
            Some(failure) => Err(anyhow!("the kubelet failed: {failure}")),
            None => Ok(()),
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn sync(&self) -> Result<()> {
        let api = &self.site.api;
        self.accounts()?;
        let services = api.list("/api/v1/services")?;
        let hosts = self.hosts(&services);
        let deployments = api.list("/apis/apps/v1/deployments")?;
        let wanted: Vec<Wanted> = deployments.iter().filter_map(wanted).collect();
        let is_there = |one: &&Wanted| lock(&self.pods).iter().any(|pod| one.is(pod));
        let missing: Vec<&Wanted> = wanted.iter().filter(|one| !is_there(one)).collect();
        for some in missing.chunks(AT_A_TIME) {
            self.start(some, &hosts)?;
        }
        let (kept, rest): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) =
            lock(&self.pods).iter().cloned().partition(|pod| wanted.iter().any(|one| one.is(pod)));
        self.look(&kept)?;
        if !rest.is_empty() {
            // New pods serve before old ones leave.
            self.publish(&services, &[&kept[..], &rest].concat())?;
        }
        self.publish(&services, &kept)?;
        if !rest.is_empty() {
            thread::sleep(GRACE);
        }
        for pod in &rest {
            api.delete(&format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name))?;
            pod.stop()?;
        }
        lock(&self.pods).clone_from(&kept);
        kept.iter().try_for_each(|pod| pod.set_hosts(&hosts))?;
        deployments.iter().filter(|deployment| wanted_at_all(deployment)).try_for_each(|one| self.report(one))
    }

    /// Creates what the controllers of service accounts would.
    fn accounts(&self) -> Result<()> {
        for namespace in self.site.api.list("/api/v1/namespaces")? {
            let path = format!("/api/v1/namespaces/{}/serviceaccounts", text(&namespace, "/metadata/name"));
            let is_new = text(&namespace, "/status/phase") == "Active"
                && self.site.api.find(&format!("{path}/default"))?.is_none();
            if is_new {
                let account =
                    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
                self.site.api.create(&path, &account)?;
            }
        }
        Ok(())
    }

    /// What a cluster's DNS would answer, as `/etc/hosts`.
    fn hosts(&self, services: &[Value]) -> String {
        let mut hosts = format!("127.0.0.1 localhost\n{NODE} istiod.istio-system.svc {REGISTRY}\n");
        for service in services {
            let address = text(service, "/spec/clusterIP");
            let (name, namespace) = (text(service, "/metadata/name"), text(service, "/metadata/namespace"));
            if !["", "None"].contains(&address) && name != "istiod" {
                hosts += &format!(
                    "{address} {name}.{namespace}.svc.cluster.local {name}.{namespace}.svc {name}.{namespace}\n"
                );
            }
        }
        hosts + &lock(&self.more_hosts)
    }

    /// Starts pods at the same time, and waits until their proxies are ready.
    fn start(&self, wanted: &[&Wanted], hosts: &str) -> Result<()> {
        let started: Vec<Result<Arc<Pod>>> = thread::scope(|scope| {
            let starting: Vec<_> = wanted.iter().map(|one| scope.spawn(move || self.start_one(one, hosts))).collect();
            let joined = starting.into_iter().map(|one| one.join());
            joined.map(|one| one.unwrap_or_else(|_| Err(anyhow!("a start panicked")))).collect()
        });
        started.into_iter().collect::<Result<Vec<_>>>().map(drop)
    }

    fn start_one(&self, wanted: &Wanted, hosts: &str) -> Result<Arc<Pod>> {
        let Site { api, parts, lab, folder, authority, .. } = &self.site;
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let path = format!("/api/v1/namespaces/{}/pods", wanted.namespace);
        let created = api.create(&path, &wanted.object(number))?;
        let path = format!("{path}/{}", text(&created, "/metadata/name"));
        let address = format!("10.66.{}.{}", 1 + number / 250, 1 + number % 250);
        let status = json!({ "status": {
            "phase": "Pending",
            "podIP": address, "podIPs": [{ "ip": address }],
            "hostIP": NODE, "hostIPs": [{ "ip": NODE }],
        } });
        let object = api.merge(&format!("{path}/status"), &status)?;
        let order = Order { api, parts, lab, node: NODE, folder, hosts, authority };
        let pod = Arc::new(Pod::start(&order, &object, &wanted.deployment, &wanted.hash, number)?);
        lock(&self.pods).push(Arc::clone(&pod));
        let started = Instant::now();
        while !(pod.is_proxy_ready() && pod.is_ready()) {
            let (name, limit) = (&pod.name, SAFETY_NET.as_secs());
            if let Some(why) = pod.ended()? {
                bail!("{name} does not run: {why}");
            }
            ensure!(
                started.elapsed() < SAFETY_NET,
                "{name} is not ready after {limit} s: {}",
                pod.log(PROXY).display()
            );
            ensure!(!self.is_over.load(Ordering::SeqCst), "the end came before {name} was ready");
            thread::sleep(Duration::from_millis(100));
        }
        lock(&self.ready).insert(pod.name.clone());
        api.merge(&format!("{path}/status"), &pod.status(true))?;
        Ok(pod)
    }

    /// Asks the readiness probes, and notes what has changed.
    fn look(&self, pods: &[Arc<Pod>]) -> Result<()> {
        for pod in pods {
            let is_ready = pod.is_ready();
            let was_ready = lock(&self.ready).contains(&pod.name);
            if is_ready != was_ready {
                let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
                self.site.api.merge(&path, &pod.status(is_ready))?;
                let mut ready = lock(&self.ready);
                _ = if is_ready { ready.insert(pod.name.clone()) } else { ready.remove(&pod.name) };
            }
        }
        Ok(())
    }

    fn publish(&self, services: &[Value], pods: &[Arc<Pod>]) -> Result<()> {
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        slices::publish(&self.site.api, services, &pods, &lock(&self.ready).clone())
    }

    /// Says in a Deployment's status that its pod runs, for `kubectl rollout status`.
    fn report(&self, deployment: &Value) -> Result<()> {
        let (namespace, name) = (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
        if deployment.pointer("/status/observedGeneration") == deployment.pointer("/metadata/generation") {
            return Ok(());
        }
        let count = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1).min(1);
        let status = json!({ "status": {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": count, "updatedReplicas": count, "readyReplicas": count, "availableReplicas": count,
        } });
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status");
        self.site.api.merge(&path, &status).map(drop)
    }
}

fn wanted_at_all(deployment: &Value) -> bool {
    !OF_THE_SYSTEM.contains(&text(deployment, "/metadata/namespace"))
}

/// The pod of a Deployment; one pod, however many replicas.
fn wanted(deployment: &Value) -> Option<Wanted> {
    if !wanted_at_all(deployment) || deployment.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0) {
        return None;
    }
    let template = deployment.pointer("/spec/template")?.clone();
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    Some(Wanted {
        namespace: text(deployment, "/metadata/namespace").to_owned(),
        deployment: text(deployment, "/metadata/name").to_owned(),
        hash: format!("{:08x}", hasher.finish() & 0xffff_ffff),
        template,
    })
}

impl Wanted {
    fn is(&self, pod: &Pod) -> bool {
        pod.namespace == self.namespace && pod.deployment == self.deployment && pod.hash == self.hash
    }

    /// The Pod object, as the ReplicaSet controller makes it: Istio names the workload after its owner.
    fn object(&self, number: u32) -> Value {
        let set = format!("{}-{}", self.deployment, self.hash);
        let mut labels = texts(&self.template, "/metadata/labels");
        labels.insert("pod-template-hash".to_owned(), self.hash.clone());
        let mut spec = self.template["spec"].clone();
        let zone = self.template.pointer("/spec/nodeSelector/topology.kubernetes.io~1zone");
        spec["nodeName"] = nodes::in_zone(zone.and_then(Value::as_str).unwrap_or_default()).into();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": format!("{set}-{number:05}"),
                "generateName": format!("{set}-"),
                "namespace": self.namespace,
                "labels": labels,
                "annotations": texts(&self.template, "/metadata/annotations"),
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "controller": true,
                    "uid": format!("00000000-0000-0000-0000-{number:012}"),
                }],
            },
            "spec": spec,
        })
    }
}
