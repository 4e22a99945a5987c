//! Lints plugin configurations and mesh rules: will they do what they say?
//!
//! Each finding says what will happen at run time and what to write instead. A rule has a code, a page ([`rules`]) and
//! a group: [`plugin`] (plugin configurations), [`carrier`] (resources that carry a plugin) with [`image`],
//! [`local_file`] and [`twice`] with [`places`], [`bootstrap`] (an Envoy without a mesh), [`outlier`] with [`cap`],
//! [`locality`], [`replaced`], [`destinations`], [`subsets`] and [`visibility`] (DestinationRules and the MeshConfig),
//! [`fields`] (fields that Istio does not read), [`kind`] and [`unread`] (what is none of these), [`backend_policies`]
//! (Envoy Gateway's rules), [`pinned`] (what only a registry can tell).
//!
//! A finding is an error only if it is certain from what was read; else it says on what it rests.

mod backend_policies;
mod bootstrap;
mod cap;
mod carrier;
mod destinations;
mod dns_priorities;
mod fields;
pub(crate) mod finding;
mod image;
mod kind;
mod known;
mod local_file;
mod locality;
mod outlier;
pub(crate) mod pinned;
mod places;
mod plugin;
mod replaced;
pub(crate) mod report;
pub(crate) mod rules;
mod subsets;
mod thresholds;
mod twice;
mod unread;
mod visibility;
mod webhook;
mod witness;

use finding::{Draft, Finding, Severity};
use known::Known;
use mesh::policy::HostRules;
use mesh::yaml::node::Position;
use mesh::{Empty, Mesh, NOTHING, Resource, dns_name};

/// Applies every rule that needs only the files, and no registry.
pub(crate) fn judge(mesh: &Mesh, domain: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for broken in &mesh.broken {
        let draft = Draft {
            rule: rules::FL003,
            severity: Severity::Error,
            path: ".".into(),
            problem: broken.problem.clone(),
            at_run_time: match broken.is_json {
                true => "kubectl refuses it; as a plugin configuration, the last of the two holds".into(),
                false => "kubectl refuses it; nothing in this document was checked".into(),
            },
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
    findings.extend(visibility::of_rules(&known));
    findings.extend(unread::check(mesh));
    findings.extend(twice::check(mesh));
    findings.extend(thresholds::check(mesh, &known));
    findings.extend(witness::check(mesh));
    findings.extend(backend_policies::check(mesh));
    findings
}

/// FL006: a file with nothing in it.
fn nothing_in(empty: &Empty) -> Finding {
    let severity = if empty.what == NOTHING { Severity::Warning } else { Severity::Note };
    let words = [
        empty.what,
        "kubectl has nothing to apply; as a plugin configuration it is the defaults, with which Envoy is not asked",
        "see why what wrote the file wrote nothing; if the defaults are meant, write `{}`",
    ];
    let first = Position { line: 1, column: None };
    Draft::new(rules::FL006, severity, ".".into(), words).at(&empty.file, None, Some(first))
}

fn of_resource(resource: &Resource, mesh: &Mesh, known: &Known<'_>) -> Vec<Draft> {
    let mut found = carrier::check(resource, mesh);
    found.extend(bootstrap::check(resource));
    found.extend(kind::check(resource));
    found.extend(fields::check(resource));
    if resource.is_istio("EnvoyFilter") {
        found.extend(local_file::check(resource, mesh));
    }
    if resource.is_istio("DestinationRule") {
        found.extend(outlier::check(resource, known));
        found.extend(replaced::check(resource, known));
        found.extend(visibility::of_rule(resource, mesh, known));
        found.extend(destinations::check(resource, known));
        found.extend(subsets::check(resource, known));
        found.extend(dns_priorities::check(resource, known));
        let name =
            dns_name::full(resource.node.text("spec.host").unwrap_or_default(), resource.namespace(), known.domain);
        let service = known.services.get(&name);
        let rules = HostRules::of(&resource.node);
        for (port, subset) in rules.scopes() {
            if let Some(settings) = rules.locality(port, subset) {
                let drafts = locality::check(settings.node, service, known).into_iter();
                found.extend(drafts.map(|draft| draft.inside(&settings.path)));
            }
        }
    } else if resource.kind == mesh::MESH_CONFIG {
        if let Some(settings) = resource.node.field("localityLbSetting") {
            let mut drafts = locality::check(settings, None, known);
            drafts.extend(locality::left_out_of_mesh(settings, known));
            found.extend(dns_priorities::of_mesh(resource, known));
            let drafts = drafts.into_iter();
            found.extend(drafts.map(|draft| draft.inside("localityLbSetting")));
        }
        if let Some(block) = resource.node.at("defaultTrafficPolicy.outlierDetection") {
            let drafts = outlier::of_block(block, cap::Of::default(), known).into_iter();
            found.extend(drafts.map(|draft| draft.inside("defaultTrafficPolicy.outlierDetection")));
        }
    }
    webhook::add(resource, &mut found);
    found
}

/// The errors that forbid publishing a configuration.
pub(crate) fn check(text: &[u8]) -> Vec<Draft> {
    plugin::errors(text)
}
