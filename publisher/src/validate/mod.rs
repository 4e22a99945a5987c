//! Lints plugin configurations and mesh rules: will they do what they say?
//!
//! Each finding says what will happen at run time and what to write instead. A rule has a code, a page ([`rules`]) and
//! a group: [`plugin`] (plugin configurations), [`carrier`] (resources that carry a plugin) with [`image`],
//! [`local_file`] and [`twice`], [`outlier`], [`locality`] and [`destinations`] (DestinationRules and the MeshConfig),
//! [`pinned`] (what only a registry can tell).
//!
//! What the API server's schemas report anyway is deliberately not checked here.

mod carrier;
mod destinations;
pub(crate) mod finding;
mod image;
mod known;
mod local_file;
mod locality;
mod outlier;
pub(crate) mod pinned;
mod plugin;
pub(crate) mod report;
pub(crate) mod rules;
mod twice;

use filter_core::config::MAX_TEXT_BYTES;

use crate::mesh::policy::HostRules;
use crate::mesh::services::Service;
use crate::mesh::{Mesh, Resource, dns_name};
use finding::{Draft, Finding, Severity};
use known::Known;

/// What the files show without asking a registry.
#[derive(Default)]
pub(crate) struct Judged {
    /// What the rules found.
    pub(crate) findings: Vec<Finding>,
    /// Remarks that are useful but not findings.
    pub(crate) remarks: Vec<String>,
}

/// Applies every rule that needs only the files.
pub(crate) fn judge(mesh: &Mesh, domain: &str) -> Judged {
    let Judged { mut findings, mut remarks } = Judged::default();
    for broken in &mesh.broken {
        let draft = Draft {
            rule: rules::FL003,
            severity: Severity::Error,
            path: ".".into(),
            problem: broken.problem.clone(),
            at_run_time: "kubectl refuses the file; nothing in it was checked".into(),
            fix: "correct the syntax at this place".into(),
        };
        findings.push(draft.at(&broken.file, None, broken.position));
    }
    for config in &mesh.configurations {
        if config.text.trim().is_empty() && config.text.len() <= MAX_TEXT_BYTES {
            remarks.push(format!("{}: empty: the defaults apply", config.file));
        }
        let drafts = plugin::check(config.text.as_bytes());
        findings.extend(drafts.into_iter().map(|draft| draft.in_file(&config.file, config.node.as_ref())));
    }
    let known = Known::of(mesh, domain);
    for resource in &mesh.resources {
        let drafts = of_resource(resource, mesh, &known);
        let mut told: Vec<Finding> = Vec::new();
        for finding in drafts.into_iter().map(|draft| draft.in_resource(resource)) {
            // Policies are checked once for each port and subset, so the same finding can come up repeatedly.
            if !told.contains(&finding) {
                told.push(finding);
            }
        }
        findings.extend(told);
    }
    findings.extend(destinations::shared(mesh, &known));
    findings.extend(twice::check(mesh));
    Judged { findings, remarks }
}

fn of_resource(resource: &Resource, mesh: &Mesh, known: &Known<'_>) -> Vec<Draft> {
    let mut found = carrier::check(resource, mesh);
    if resource.is_istio("EnvoyFilter") {
        found.extend(local_file::check(resource, mesh));
    }
    if resource.is_istio("DestinationRule") {
        found.extend(outlier::check(resource, known));
        found.extend(destinations::check(resource, known));
        let name =
            dns_name::full(resource.node.text("spec.host").unwrap_or_default(), resource.namespace(), known.domain);
        let here = known.services.get(&name).and_then(|service: &Service| service.localities.as_ref());
        let rules = HostRules::of(&resource.node);
        for (port, subset) in rules.scopes() {
            if let Some(balancer) = rules.block("loadBalancer", port, subset)
                && let Some(settings) = balancer.node.field("localityLbSetting")
            {
                let path = format!("{}.localityLbSetting", balancer.path);
                found.extend(locality::check(settings, here, known).into_iter().map(|draft| draft.inside(&path)));
            }
        }
    } else if resource.kind == crate::mesh::MESH_CONFIG {
        if let Some(settings) = resource.node.field("localityLbSetting") {
            let drafts = locality::check(settings, None, known).into_iter();
            found.extend(drafts.map(|draft| draft.inside("localityLbSetting")));
        }
        if let Some(block) = resource.node.at("defaultTrafficPolicy.outlierDetection") {
            let drafts = outlier::of_block(block, "", known).into_iter();
            found.extend(drafts.map(|draft| draft.inside("defaultTrafficPolicy.outlierDetection")));
        }
    }
    found
}

/// The errors that forbid publishing a configuration.
pub(crate) fn check(text: &[u8]) -> Vec<Draft> {
    plugin::errors(text)
}
