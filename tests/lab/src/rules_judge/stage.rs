//! The lab of the judge: a control plane, an Envoy of each namespace, and the objects of one set of rules at a time.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::places::{NAMESPACES, ROOT, clients, nodes, pods};
use super::seen::{Seen, clusters};
use super::write::RuleSet;
use crate::istio::{Admission, Api, Branch, Client, ControlPlane, Subscriber};
use crate::wait::eventually;

/// Between two looks at an Envoy.
const PACE: Duration = Duration::from_millis(100);

/// What has kinds of a set's objects, as the API server lists it.
const LISTS: [(&str, &str, &str); 6] = [
    ("networking.istio.io/v1", "DestinationRule", "/apis/networking.istio.io/v1/destinationrules"),
    ("networking.istio.io/v1", "ServiceEntry", "/apis/networking.istio.io/v1/serviceentries"),
    ("networking.istio.io/v1", "WorkloadEntry", "/apis/networking.istio.io/v1/workloadentries"),
    ("v1", "Service", "/api/v1/services"),
    ("discovery.k8s.io/v1", "EndpointSlice", "/apis/discovery.k8s.io/v1/endpointslices"),
    ("v1", "Node", "/api/v1/nodes"),
];

/// The names of the objects that show how far a proxy is begin with this.
const MARK: &str = "round";

/// The lab.
#[derive(Debug)]
pub(super) struct Stage {
    subscribers: Vec<Subscriber>,
    /// The paths of the objects of the last set.
    written: Vec<String>,
    number: u32,
    // Last, because fields are dropped in this order.
    control: ControlPlane,
}

/// An object that was not taken.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// Kind, namespace and name.
    pub(super) title: String,
    /// What the API server or the webhook said.
    pub(super) why: String,
}

/// What one Envoy has.
#[derive(Debug)]
pub(super) struct View {
    /// Whose Envoy it is.
    pub(super) client: Client,
    /// Its clusters by name.
    pub(super) clusters: BTreeMap<String, Seen>,
}

impl Stage {
    /// Brings up the lab; `say` is told each step.
    ///
    /// # Errors
    /// If a part is missing, or does not answer.
    pub(super) fn start(branch: Branch, say: impl Fn(&str)) -> Result<Self> {
        let control = ControlPlane::start(branch, &say)?;
        // The Envoys have no certificates.
        control.add_to_mesh_config("enableAutoMtls: false")?;
        furnish(control.api())?;
        refuses(control.api())?;
        say("an Envoy of each namespace starts");
        let started = (0..).zip(clients()).map(|(number, client)| Subscriber::start(&control, client, number));
        let subscribers = started.collect::<Result<_>>()?;
        Ok(Self { subscribers, written: Vec::new(), number: 0, control })
    }

    /// Replaces the last set by this one, and waits until every Envoy has it.
    ///
    /// # Errors
    /// If the API server does not answer, or an Envoy does not get it.
    pub(super) fn write(&mut self, set: &RuleSet) -> Result<Vec<Refusal>> {
        let api = self.control.api();
        for path in self.written.drain(..) {
            api.delete(&path)?;
        }
        let mut refused = Vec::new();
        for object in set.objects() {
            match api.admit(&object)? {
                Admission::Admitted(path) => self.written.push(path),
                Admission::Refused(why) => refused.push(Refusal { title: title(&object), why }),
            }
        }
        self.number += 1;
        for object in marks(self.number) {
            match api.admit(&object)? {
                Admission::Admitted(path) => self.written.push(path),
                Admission::Refused(why) => bail!("{}: {why}", title(&object)),
            }
        }
        Ok(refused)
    }

    /// What every Envoy has, once it has all that was written.
    ///
    /// # Errors
    /// If an Envoy does not get it.
    pub(super) fn views(&self) -> Result<Vec<View>> {
        let view = |subscriber: &Subscriber| {
            let client = subscriber.client().clone();
            let what = format!("round {} in the Envoy of {}", self.number, client.namespace);
            let seen = eventually(&what, || {
                let first = self.look(subscriber)?;
                thread::sleep(PACE);
                Ok(if first.is_some() && first == self.look(subscriber)? { first } else { None })
            });
            let clusters = seen.with_context(|| format!("its log ends with\n{}", subscriber.last_words()))?;
            Ok(View { client, clusters })
        };
        self.subscribers.iter().map(view).collect()
    }

    fn look(&self, subscriber: &Subscriber) -> Result<Option<BTreeMap<String, Seen>>> {
        let seen = clusters(&subscriber.json("/config_dump")?, &subscriber.json("/clusters?format=json")?);
        let is_marked = |seen: &BTreeMap<String, Seen>| {
            let mut clusters = marked(self.number).into_iter().map(|name| seen.get(&name));
            clusters.all(|cluster| cluster.is_some_and(|it| !it.hosts.is_empty() && it.detection.is_some()))
        };
        Ok(seen.filter(is_marked))
    }

    /// All objects that a user would ask `kubectl` for, as a list.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(super) fn dump(&self) -> Result<Value> {
        let mut items = Vec::new();
        for (version, kind, path) in LISTS {
            for mut object in self.control.api().list(path)? {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if !name.starts_with(MARK) {
                    object["apiVersion"] = version.into();
                    object["kind"] = kind.into();
                    items.push(object);
                }
            }
        }
        Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
    }
}

/// Kind, namespace and name of an object, as faultline writes them.
pub(super) fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// Objects of every kind that is watched by itself. A proxy that has them has all that was written before.
fn marks(number: u32) -> Vec<Value> {
    let name = format!("{MARK}-{number}");
    let address = format!("10.78.{}.{}", number / 250, number % 250 + 1);
    let object = |version: &str, kind: &str, name: &str, rest: (&str, Value)| {
        let mut object = json!({ "apiVersion": version, "kind": kind });
        object["metadata"] = json!({ "name": name, "namespace": ROOT });
        object[rest.0] = rest.1;
        object
    };
    let istio = "networking.istio.io/v1";
    let entry = |host: String| {
        json!({
            "hosts": [host], "resolution": "STATIC",
            "ports": [{ "number": 80, "name": "http", "protocol": "HTTP" }],
        })
    };
    let mut listed = entry(format!("{name}.judge.example"));
    listed["endpoints"] = json!([{ "address": address }]);
    let mut selecting = entry(format!("{name}.select.judge.example"));
    selecting["workloadSelector"] = json!({ "labels": { "app": name } });
    let port = json!([{ "name": "http", "port": 80 }]);
    // A proxy's own namespace comes first, so that no rule of the set stands in front of these.
    let rule = |namespace: &str, (index, cluster): (usize, &String)| {
        let host = cluster.rsplit('|').next().unwrap_or_default();
        let spec = json!({ "host": host, "exportTo": ["."], "trafficPolicy": { "outlierDetection": {} } });
        let mut rule = object(istio, "DestinationRule", &format!("{name}-{index}"), ("spec", spec));
        rule["metadata"]["namespace"] = namespace.into();
        rule
    };
    let rules = |namespace: &str| marked(number).iter().enumerate().map(|each| rule(namespace, each)).collect();
    let mut slice = object("discovery.k8s.io/v1", "EndpointSlice", &name, ("addressType", "IPv4".into()));
    slice["metadata"]["labels"] = json!({ "kubernetes.io/service-name": name });
    slice["endpoints"] = json!([{ "addresses": [address], "conditions": { "ready": true } }]);
    slice["ports"] = port.clone();
    let mut marks: Vec<Value> = clients().iter().flat_map(|client| -> Vec<Value> { rules(client.namespace) }).collect();
    marks.extend([
        object(istio, "ServiceEntry", &name, ("spec", listed)),
        object(istio, "ServiceEntry", &format!("{name}-s"), ("spec", selecting)),
        object(istio, "WorkloadEntry", &name, ("spec", json!({ "address": address, "labels": { "app": name } }))),
        object("v1", "Service", &name, ("spec", json!({ "ports": port }))),
        slice,
    ]);
    marks
}

/// The clusters of [`marks`].
fn marked(number: u32) -> [String; 3] {
    let name = format!("{MARK}-{number}");
    [
        format!("outbound|80||{name}.judge.example"),
        format!("outbound|80||{name}.select.judge.example"),
        format!("outbound|80||{name}.{ROOT}.svc.cluster.local"),
    ]
}

/// Creates what all sets share: namespaces, nodes and pods.
fn furnish(api: &Api) -> Result<()> {
    for (name, locality) in nodes() {
        let mut labels = json!({});
        if let Some((region, zone)) = locality.split_once('/') {
            labels = json!({ "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone });
        }
        api.apply(&json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } }))?;
    }
    for name in NAMESPACES {
        api.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))?;
        let account = json!({ "name": "default", "namespace": name });
        api.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": account }))?;
    }
    for pod in pods() {
        api.apply(&pod.object())?;
        api.merge(&format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name), &pod.status())?;
    }
    Ok(())
}

/// Waits until Istio's webhook refuses what it must.
fn refuses(api: &Api) -> Result<()> {
    let wrong = json!({ "maxEjectionPercent": 101 });
    let rule = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": { "name": "wrong", "namespace": ROOT },
        "spec": { "host": "wrong.example.com", "trafficPolicy": { "outlierDetection": wrong } },
    });
    eventually("a validator", || {
        Ok(match api.admit(&rule)? {
            Admission::Refused(_) => Some(()),
            Admission::Admitted(path) => {
                api.delete(&path)?;
                thread::sleep(PACE);
                None
            }
        })
    })
}
