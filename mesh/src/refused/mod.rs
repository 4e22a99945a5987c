//! What never gets into a mesh: resources that the API server or Istio's webhook refuses.
//!
//! The API server compares with the schema ([`types`]); the webhook has rules of its own, which are istiod's
//! `pkg/config/validation`: [`rule`] (DestinationRules), [`locality`], [`entry`] (ServiceEntries, WorkloadEntries),
//! [`exports`], with [`names`]. Of outlier detection [`crate::outlier`] tells what is refused.

mod entry;
mod exports;
mod locality;
mod names;
mod rule;
mod types;

use crate::yaml::node::Node;
use crate::{MESH_CONFIG, Resource};

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A value of another type than the schema has, or outside of its bounds.
    Type,
    /// A value, or what is missing beside it.
    Value,
    /// Locality settings that exclude each other.
    Exclusive,
    /// A failover that is not from one region to another.
    Regions,
    /// Weights that do not add up to 100.
    Weights,
    /// A threshold of local-origin failures that are not split from others.
    Split,
}

/// Why a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where.
    pub path: String,
    /// What.
    pub what: What,
    /// What is there.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
    /// Whether it is refused every time; else by chance.
    pub is_certain: bool,
}

impl Refusal {
    /// A value that is refused.
    fn new(path: impl Into<String>, problem: impl Into<String>, fix: &str) -> Self {
        let (path, problem, fix) = (path.into(), problem.into(), fix.to_owned());
        Self { path, what: What::Value, problem, fix, is_certain: true }
    }

    /// The same, of another kind.
    fn of(self, what: What) -> Self {
        Self { what, ..self }
    }
}

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

/// The texts of a list.
fn texts<'a>(node: &'a Node, path: &str) -> Vec<&'a str> {
    node.list(path).iter().map(|item| item.text("").unwrap_or_default()).collect()
}
