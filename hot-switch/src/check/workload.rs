//! Collects the workloads in the files: what has a pod template, with its pods if these are there too, and pods by
//! themselves.

use std::collections::BTreeMap;

use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

/// Labels or annotations.
pub(crate) type Pairs<'a> = BTreeMap<&'a str, &'a str>;

/// Kinds of `apps` that keep pods running.
const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

/// A workload.
#[derive(Clone, Debug)]
pub(crate) struct Workload<'a> {
    /// Such as `Deployment`.
    pub(crate) kind: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// The resource whose lines are shown: the one with the template, or the first pod.
    pub(crate) resource: &'a Resource,
    /// The template: what has the pods' `metadata` and `spec`.
    pub(crate) template: &'a Node,
    /// Where the template is in the resource, with a dot behind it; empty for a pod.
    pub(crate) prefix: &'static str,
    /// Its pods, as far as they are in the files.
    pub(crate) pods: Vec<&'a Resource>,
    /// The labels of its pods.
    pub(crate) labels: Pairs<'a>,
    /// The annotations of its pods.
    pub(crate) annotations: Pairs<'a>,
}

impl<'a> Workload<'a> {
    /// Its namespace.
    pub(crate) fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// Kind, namespace and name.
    pub(crate) fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace(), self.name)
    }

    /// What shows its pods best: a pod, which has what was injected, or else the template.
    pub(crate) fn pod(&self) -> &'a Node {
        self.pods.first().map_or(self.template, |pod| &pod.node)
    }

    fn new(owner: (&'a str, &'a str), resource: &'a Resource, template: &'a Node, prefix: &'static str) -> Self {
        let ((kind, name), pods) = (owner, Vec::new());
        Self { kind, name, resource, template, prefix, pods, labels: Pairs::new(), annotations: Pairs::new() }
    }

    /// The template's, which will hold, over what a pod has besides.
    fn merged(&self, path: &str) -> Pairs<'a> {
        let mut all = pairs(self.pod(), path);
        all.extend(pairs(self.template, path));
        all
    }

    /// How many pods it is to have; `None`: as many as there are nodes, or it is not known.
    pub(crate) fn replicas(&self) -> Option<u64> {
        match self.kind {
            "Deployment" | "StatefulSet" | "ReplicaSet" if !self.prefix.is_empty() => {
                Some(self.resource.node.number("spec.replicas").unwrap_or(1))
            }
            "DaemonSet" => None,
            _ => Some(self.pods.len() as u64),
        }
    }

    /// Its containers without Istio's and those that run only at the start.
    pub(crate) fn applications(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        let all = self.pod().list("spec.containers").iter();
        all.filter(|container| container.text("name") != Some(PROXY))
    }
}

/// The name of Istio's container.
pub(crate) const PROXY: &str = "istio-proxy";

/// The pairs of a map of texts. Values that are no text are left out, as the API server refuses them.
pub(crate) fn pairs<'a>(node: &'a Node, path: &str) -> Pairs<'a> {
    node.map(path).iter().filter_map(|(key, value)| Some((key.as_str(), value.text("")?))).collect()
}

/// Whether all of the wanted pairs are there.
pub(crate) fn has_all(labels: &Pairs<'_>, wanted: &Pairs<'_>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The workloads of a mesh, and how many pods belong to what ends by itself and so are none.
pub(crate) fn collect(mesh: &Mesh) -> (Vec<Workload<'_>>, usize) {
    let mut all: Vec<Workload<'_>> = Vec::new();
    for kind in KINDS {
        for resource in mesh.distinct_in("apps", kind) {
            let owned = resource.node.list("metadata.ownerReferences").iter().any(|it| it.text("kind").is_some());
            // Its Deployment stands for it.
            if kind == "ReplicaSet" && owned {
                continue;
            }
            if let Some(template) = resource.node.at("spec.template") {
                all.push(Workload::new((kind, &resource.name), resource, template, "spec.template."));
            }
        }
    }
    let mut ended = 0;
    for pod in mesh.distinct_kubernetes("Pod") {
        let (kind, name) = owner(pod);
        if kind == "Job" || matches!(pod.node.text("status.phase"), Some("Succeeded" | "Failed")) {
            ended += 1;
            continue;
        }
        let is_it = |it: &&mut Workload<'_>| it.namespace() == pod.namespace() && it.kind == kind && it.name == name;
        match all.iter_mut().find(is_it) {
            Some(workload) => workload.pods.push(pod),
            None => {
                let alone = Workload::new((kind, name), pod, &pod.node, "");
                all.push(Workload { pods: vec![pod], ..alone });
            }
        }
    }
    for workload in &mut all {
        workload.labels = workload.merged("metadata.labels");
        workload.annotations = workload.merged("metadata.annotations");
    }
    (all, ended)
}

/// Kind and name of the workload of a pod: of its controller, or of that one's Deployment.
fn owner(pod: &Resource) -> (&str, &str) {
    let owners = pod.node.list("metadata.ownerReferences");
    let owner = owners.iter().find(|it| it.flag("controller") == Some(true)).or(owners.first());
    let known = owner.and_then(|owner| Some((owner.text("kind")?, owner.text("name")?)));
    let labels = pairs(&pod.node, "metadata.labels");
    match (known, labels.get("pod-template-hash")) {
        (Some(("ReplicaSet", name)), Some(hash)) => {
            match name.strip_suffix(hash).and_then(|name| name.strip_suffix('-')) {
                Some(deployment) => ("Deployment", deployment),
                None => ("ReplicaSet", name),
            }
        }
        (Some(known), _) => known,
        (None, _) => ("Pod", &pod.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_belong_to_their_workload() {
        let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 2, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web}]}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-5f-x
  namespace: shop
  labels: {app: web, pod-template-hash: 5f, 'security.istio.io/tlsMode': istio}
  ownerReferences: [{kind: ReplicaSet, name: web-5f, controller: true}]
spec: {containers: [{name: web}, {name: istio-proxy}]}
---
apiVersion: v1
kind: Pod
metadata: {name: once, namespace: shop, ownerReferences: [{kind: Job, name: once}]}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: shop}
";
        let mesh = Mesh::of_text(text);
        let (all, ended) = collect(&mesh);
        let titles: Vec<String> = all.iter().map(Workload::title).collect();
        assert_eq!((titles, ended), (vec!["Deployment shop/web".to_owned(), "Pod shop/alone".to_owned()], 1));
        assert_eq!(all[0].labels.get("security.istio.io/tlsMode"), Some(&"istio"));
        assert_eq!((all[0].replicas(), all[1].replicas()), (Some(2), Some(1)));
    }
}
