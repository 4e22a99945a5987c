//! What is wrong with the files themselves (HS001 to HS003), with annotations that are no workload's (HS108), what is
//! missing in them, and what nobody looks into.

use findings::rule::Rule;
use std::collections::BTreeMap;
use std::rc::Rc;

use mesh::yaml::node::Position;
use mesh::{MESH_CONFIG, Resource, refused};

use super::consent;
use super::finding::{Draft, Finding, Severity};
use super::known::Known;
use super::rules::{HS001, HS002, HS003};

/// The kinds that some rule looks into.
const LOOKED_INTO: [&str; 19] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Service",
    "Namespace",
    "PeerAuthentication",
    "AuthorizationPolicy",
    "RequestAuthentication",
    "DestinationRule",
    "ServiceEntry",
    "Sidecar",
    "VirtualService",
    "EnvoyFilter",
    "WasmPlugin",
    "TrafficExtension",
    "Telemetry",
    MESH_CONFIG,
];

/// Every finding about the files.
pub(super) fn check(known: &Known<'_>) -> Vec<Finding> {
    let mesh = known.mesh;
    let mut found = Vec::new();
    let mut add = |rule: Rule, severity, file: &Rc<str>, position: Option<Position>, words: [&str; 3]| {
        found.push(Draft::new(rule, severity, words).found(file, None, position));
    };
    for broken in &mesh.broken {
        let words = [
            broken.problem.as_str(),
            "nothing in this document was looked at, so what is said of the workloads may be wrong",
            "correct the syntax at this place",
        ];
        add(HS001, Severity::Error, &broken.file, broken.position, words);
    }
    for empty in &mesh.empty {
        let words = [empty.what, "nothing is judged from it", "see why what wrote it wrote nothing"];
        add(HS002, Severity::Warning, &empty.file, None, words);
    }
    let nothing = "nothing in it was looked at, so what is said of the workloads may be wrong";
    for unread in mesh.unread.iter().filter(|unread| unread.is_meant) {
        let problem = format!("is {}", unread.what);
        let fix = unread.remedy.replace("faultline validate", "hot-switch check");
        add(HS002, Severity::Error, &unread.file, unread.position, [&problem, nothing, &fix]);
    }
    for config in &mesh.configurations {
        let words = ["is no resource", nothing, "resources have `apiVersion` and `kind`"];
        add(HS002, Severity::Error, &config.file, config.node.as_ref().map(|node| node.position), words);
    }
    for resource in &mesh.resources {
        let drafts = match resource.kind.as_str() {
            "Namespace" => consent::unknown(&resource.node, "metadata.annotations"),
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => consent::misplaced(resource),
            _ => continue,
        };
        let position = resource.node.position_of("metadata.annotations");
        found.extend(
            drafts.into_iter().map(|draft| draft.found(&resource.file, Some(resource.title()), Some(position))),
        );
    }
    found.extend(mesh.resources.iter().filter_map(not_taken));
    for (policy, draft) in known.peers.not_understood() {
        let position = policy.node.position_of(&draft.path);
        found.push(draft.found(&policy.file, Some(policy.title()), Some(position)));
    }
    found
}

/// HS003: a resource that the API server or Istio refuses, so that the mesh has it otherwise than the files.
fn not_taken(resource: &Resource) -> Option<Finding> {
    let refusal = refused::first(resource)?;
    let words = [
        &*format!("{}: {}: {}", resource.title(), refusal.path, refusal.problem),
        "the API server or Istio's webhook refuses the resource: what the mesh has is not what is here, so what is \
         said of the workloads may be wrong",
        &*refusal.fix,
    ];
    let position = resource.node.position_of(&refusal.path);
    let draft = Draft::new(HS003, Severity::Error, words);
    Some(draft.found(&resource.file, Some(resource.title()), Some(position)))
}

/// The kinds that are not among the files, and what is assumed of so many workloads for it.
pub(super) fn missing(known: &Known<'_>, workloads: usize) -> Vec<(&'static str, usize)> {
    if workloads == 0 {
        return Vec::new();
    }
    let has = |kind: &str| known.mesh.resources.iter().any(|resource| resource.kind == kind);
    let missing = [
        (known.peers.len() > 0, "workload judged without any PeerAuthentication: taken for PERMISSIVE"),
        (
            known.policies.authorizations() > 0,
            "workload judged without any AuthorizationPolicy: nobody is taken to ask who calls",
        ),
        (has("Service"), "workload judged without any Service"),
        (has("DestinationRule"), "workload judged without any DestinationRule: mTLS is taken for automatic"),
        (has(MESH_CONFIG), "workload judged without a MeshConfig: Istio's defaults are taken"),
    ];
    missing.into_iter().filter(|(is_there, _)| !is_there).map(|(_, what)| (what, workloads)).collect()
}

/// What was read and is looked into by no rule: how many of each kind.
pub(super) fn not_looked_into(known: &Known<'_>) -> Vec<(String, usize)> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    // istiod's own ConfigMap is read: what it holds stands beside it as a MeshConfig.
    let is_config = |it: &Resource| it.kind == "ConfigMap" && it.node.at("data.mesh").is_some();
    let others = known.mesh.resources.iter().filter(|it| !LOOKED_INTO.contains(&it.kind.as_str()) && !is_config(it));
    for resource in others {
        *kinds.entry(resource.kind.clone()).or_default() += 1;
    }
    if known.ended > 0 {
        kinds.insert("Pod that ends by itself (of a Job, or done)".to_owned(), known.ended);
    }
    let beside = known.mesh.unread.iter().filter(|unread| !unread.is_meant).count();
    if beside > 0 {
        kinds.insert("document that is no resource".to_owned(), beside);
    }
    kinds.into_iter().collect()
}
