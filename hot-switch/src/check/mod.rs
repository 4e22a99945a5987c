//! What a bypass would bring back for each workload, and what not: judged from files or a cluster, before any
//! outage.
//!
//! [`judge`] reads nothing and prints nothing. Facts: [`workload`], [`sidecar`] (does it have one), [`consent`] (what
//! the annotations allow), [`mtls`] and [`policies`] (Istio's security policies, composed as istiod does),
//! [`services`], [`scope`] (Sidecar resources), [`peers`] (what each port wants of a caller), together in [`known`].
//! Rules, a file for each group: [`unread`], [`whether`], [`inbound`], [`outbound`], [`meanwhile`], [`upkeep`]. Form:
//! [`finding`], [`rules`], [`report`], [`text`], [`sarif`].
//!
//! A finding is an error or a warning only of a workload that is set to `act`: to others nothing happens.

mod consent;
pub mod finding;
mod inbound;
mod known;
mod meanwhile;
mod mtls;
mod outbound;
mod peers;
mod policies;
pub mod protection;
pub mod report;
pub mod rules;
pub mod sarif;
mod scope;
mod services;
mod sidecar;
pub mod text;
mod unread;
mod upkeep;
mod whether;
mod workload;

use hot_switch_core::standing::Mode;
use mesh::Mesh;

use finding::{Draft, Finding, Severity};
use known::{Assumed, Case, Known};
use peers::Peers;
use report::{Direction, Judged, Report, Verdict};
use rules::{HS102, HS108};

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// The DNS domain of the cluster's services.
    pub domain: String,
    /// Judge every workload as if this were its mode.
    pub mode: Option<Mode>,
}

/// Judges every workload.
#[must_use]
pub fn judge(mesh: &Mesh, options: &Options) -> Report {
    let known = Known::of(mesh, &options.domain);
    let mut assumed = Assumed::default();
    let peers = Peers::of(&known, &mut assumed);
    let workloads: Vec<Judged> = known
        .workloads
        .iter()
        .map(|workload| of_workload(&peers, &Case::of(&known, workload, options.mode), &mut assumed))
        .collect();
    let with_sidecar = workloads.iter().filter(|it| it.has_sidecar).count();
    Report {
        workloads,
        files: unread::check(&known),
        assumed: assumed.all().chain(unread::missing(&known, with_sidecar)).map(Into::into).collect(),
        not_looked_into: unread::not_looked_into(&known).into_iter().map(Into::into).collect(),
        read: report::Read { files: mesh.files.len(), resources: mesh.resources.len() },
    }
}

/// Judges one workload.
fn of_workload<'a>(peers: &Peers<'a>, case: &Case<'_, 'a>, assumed: &mut Assumed) -> Judged {
    let mut judged = report::Judged::of(case);
    let place = |draft: Draft| placed(case, draft);
    if case.sidecar == sidecar::Sidecar::Assumed {
        assumed
            .of("workload whose namespace is not among the files, taken for one with a sidecar", case.workload.title());
    }
    if let Some(draft) = whether::never(case) {
        judged.has_sidecar = draft.rule != HS102 && judged.has_sidecar;
        judged.refused = vec![draft.rule.code];
        judged.findings = vec![place(draft)];
        return judged;
    }
    let mut drafts = whether::check(case, &meanwhile::protection(case));
    drafts.extend(upkeep::check(case));
    let errors = drafts.iter().filter(|draft| draft.severity == Severity::Error && draft.rule != HS108);
    judged.refused = errors.map(|draft| draft.rule.code).collect();
    if case.consent.directions.inbound() {
        let inbound = inbound::check(case);
        judged.inbound = Direction { verdict: verdict(&inbound.found), restored: inbound.restored };
        drafts.extend(inbound.found);
    }
    if case.consent.directions.outbound() {
        let outbound = outbound::check(case, peers);
        judged.outbound = Direction { verdict: verdict(&outbound.found), restored: outbound.restored };
        drafts.extend(outbound.found);
    }
    drafts.extend(meanwhile::check(case));
    judged.findings = drafts.into_iter().map(place).collect();
    judged.findings.sort_by_key(|finding| finding.code);
    judged
}

/// How much of a direction is brought back.
fn verdict(found: &[Draft]) -> Verdict {
    match found.iter().map(|draft| draft.severity).max() {
        Some(Severity::Error) => Verdict::None,
        Some(Severity::Warning) => Verdict::Part,
        Some(Severity::Note) | None => Verdict::All,
    }
}

/// A finding at its place in the workload's resource.
fn placed(case: &Case<'_, '_>, draft: Draft) -> Finding {
    let resource = case.workload.resource;
    let path = if draft.path.is_empty() { "metadata.name" } else { draft.path.as_str() };
    let position = resource.node.position_of(path);
    // A wrong annotation is one whatever the mode: it may be the one that was to set it.
    let severity = match case.consent.mode {
        Mode::Act => draft.severity,
        _ if draft.rule == HS108 => draft.severity,
        _ => Severity::Note,
    };
    Draft { severity, ..draft }.found(&resource.file, Some(case.workload.title()), Some(position))
}
