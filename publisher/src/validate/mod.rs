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

use crate::mesh::policy::HostRules;
use crate::mesh::services::Service;
use crate::mesh::{Empty, Mesh, Resource, dns_name};
use crate::yaml::node::Position;
use finding::{Draft, Finding, Severity};
use known::Known;

/// Applies every rule that needs only the files, and no registry.
pub(crate) fn judge(mesh: &Mesh, domain: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
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
    findings.extend(mesh.empty.iter().map(nothing_in));
    for config in &mesh.configurations {
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
    findings
}

/// FL006: a file with nothing in it.
fn nothing_in(empty: &Empty) -> Finding {
    let (severity, problem) = match empty.has_comments {
        true => (Severity::Note, "has nothing but comments"),
        false => (Severity::Warning, "is empty"),
    };
    let words = [
        problem,
        "kubectl has nothing to apply; as a plugin configuration it is the defaults, with which Envoy is not asked",
        "see why what wrote the file wrote nothing; if the defaults are meant, write `{}`",
    ];
    let first = Position { line: 1, column: None };
    Draft::new(rules::FL006, severity, ".".into(), words).at(&empty.file, None, Some(first))
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
