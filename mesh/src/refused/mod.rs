//! What never gets into a mesh: resources that the API server or Istio's webhook refuses.
//!
//! The API server compares with the schema ([`types`]); the webhook has rules of its own, which are istiod's
//! `pkg/config/validation`: [`rule`] (DestinationRules), [`locality`], [`entry`] (ServiceEntries, WorkloadEntries),
//! [`exports`], with [`names`]. Of outlier detection [`crate::outlier`] tells what is refused.

mod entry;
mod exports;
mod locality;
mod names;
mod refusal;
mod rule;
mod types;

use crate::{MESH_CONFIG, Resource};
pub use refusal::{Refusal, What};

/// Every reason for which a resource is refused.
pub fn reasons(resource: &Resource) -> Vec<Refusal> {
    let types = types::check(resource);
    let node = &resource.node;
    let mut others = Vec::new();
    if resource.is_istio("DestinationRule") {
        others.extend(rule::check(node));
        others.extend(exports::check(resource, true));
    } else if resource.is_istio("ServiceEntry") {
        others.extend(entry::check(node));
        others.extend(exports::check(resource, false));
    } else if resource.is_istio("WorkloadEntry") {
        others.extend(entry::of_workload(node));
    } else if resource.kind == MESH_CONFIG {
        others.extend(locality::of_mesh(node));
    }
    // What is of the wrong type looks as if it were not there.
    let is_about = |refusal: &Refusal| {
        types.iter().any(|it| is_inside(&it.path, &refusal.path) || is_inside(&refusal.path, &it.path))
    };
    let others: Vec<Refusal> = others.into_iter().filter(|it| !is_about(it)).collect();
    types.into_iter().chain(others).collect()
}

/// Whether a path is another, or of something in it.
pub fn is_inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The first reason for which a resource is refused for certain.
pub fn first(resource: &Resource) -> Option<Refusal> {
    reasons(resource).into_iter().find(|it| it.is_certain)
}
