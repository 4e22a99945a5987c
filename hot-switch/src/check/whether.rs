//! Whether hot-switch would bypass the proxy of a workload at all (HS101 to HS109).

use super::consent;
use super::finding::{Draft, Severity};
use super::known::Case;
use super::rules::{HS101, HS102, HS103, HS104, HS105, HS106, HS107, HS109};
use super::sidecar::{self, Sidecar};
use crate::names::SYSTEM_NAMESPACES;
use hot_switch_core::standing::Mode;
use mesh::Resource;

/// Why nothing would be bypassed, whatever is switched on; and what has no sidecar is not looked into further.
pub(super) fn never(case: &Case<'_, '_>) -> Option<Draft> {
    let (workload, mesh) = (case.workload, case.known.mesh);
    let refused = |rule, problem: &str, meaning: &str, fix: &str| {
        Some(Draft::new(rule, Severity::Error, [problem, meaning, fix]))
    };
    if let (Sidecar::None(why), false, false) =
        (case.sidecar, case.consent.is_written, sidecar::is_ambient(workload, mesh))
    {
        let problem = format!("it has no sidecar: {why}");
        let words = [problem.as_str(), "there is nothing to take traffic past", "nothing is to be done"];
        return Some(Draft::new(HS102, Severity::Note, words));
    }
    if workload.namespace() == mesh.root() || SYSTEM_NAMESPACES.contains(&workload.namespace()) {
        let problem = format!("it is in `{}`, a namespace of the mesh or the system", workload.namespace());
        let meaning = "hot-switch never touches these pods";
        return refused(HS106, &problem, meaning, "leave it out; an application belongs into a namespace of its own");
    }
    if let Some(how) = sidecar::gateway(workload) {
        let meaning =
            "its proxy is the application: without it there is nothing behind it. hot-switch never touches it";
        return refused(HS105, &format!("it is a gateway: {how}"), meaning, "run several replicas of the gateway");
    }
    if sidecar::is_ambient(workload, mesh) {
        let meaning = "there is no sidecar to take traffic past: ztunnel serves the whole node, istio-cni puts its \
                       rules back, and peers know the pod by its tunnel. hot-switch never touches it";
        return refused(HS104, "ztunnel takes its traffic (ambient)", meaning, "alert on ztunnel instead");
    }
    if sidecar::is_host_network(workload) {
        let meaning = "its rules would be the node's. hot-switch never touches it";
        return Some(
            refused(HS103, "it uses the network of its node", meaning, "leave it out, or remove `hostNetwork`")?
                .at(&case.at("spec.hostNetwork")),
        );
    }
    match case.sidecar {
        Sidecar::None(why) => {
            let problem = format!("it has no sidecar: {why}");
            let words = [problem.as_str(), "there is nothing to take traffic past", "remove the annotation"];
            Some(Draft::new(HS102, Severity::Note, words))
        }
        _ => None,
    }
}

/// What its annotations say, and what they leave out.
pub(super) fn check(case: &Case<'_, '_>, protection: &[&Resource]) -> Vec<Draft> {
    let mut found = Vec::new();
    found.extend(not_on(case));
    found.extend(consent::unknown(case.workload.template, "metadata.annotations"));
    for draft in &mut found {
        if !draft.path.is_empty() {
            draft.path = case.at(&draft.path);
        }
    }
    if !case.consent.allow_unprotected && !protection.is_empty() {
        found.push(without_consent(case, protection));
    }
    found.extend(not_taken(case));
    found
}

/// HS107: nobody allowed to be without protection.
fn without_consent(case: &Case<'_, '_>, protection: &[&Resource]) -> Draft {
    let titles: Vec<String> = protection.iter().map(|it| it.title()).collect();
    let problem = format!("{} would not hold meanwhile, and nobody allowed that", titles.join(", "));
    let fix = "decide whether being reached unprotected is better than not being reached; if so, annotate the pod \
               template with `hot-switch.faultline.dev/allow-unprotected: \"true\"`";
    let meaning = "a bypass is refused (`unprotected`): it would take away what somebody asked for";
    let draft = Draft::new(HS107, Severity::Error, [&problem, meaning, fix]).at(&case.at("metadata.annotations"));
    draft.because(protection.iter().copied())
}

/// HS101: nothing happens to these pods.
fn not_on(case: &Case<'_, '_>) -> Option<Draft> {
    let (problem, meaning) = match case.consent.mode {
        Mode::Act => return None,
        Mode::Off => ("its mode is `off`", "nothing happens to its pods, and nothing is reported"),
        Mode::Report if case.consent.is_written => {
            ("its mode is `report`", "hot-switch says what it would do, and does nothing")
        }
        Mode::Report => {
            ("no annotation names a mode, so it is `report`", "hot-switch says what it would do, and does nothing")
        }
    };
    let fix = "when what is said below is what you want, annotate the pod template with \
               `hot-switch.faultline.dev/mode: act`";
    Some(Draft::new(HS101, Severity::Note, [problem, meaning, fix]).at("metadata.annotations"))
}

/// HS109: annotations that keep traffic from the proxy.
fn not_taken(case: &Case<'_, '_>) -> Option<Draft> {
    const PORTS: [&str; 6] = [
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        "traffic.sidecar.istio.io/includeInboundPorts",
        "traffic.sidecar.istio.io/includeOutboundPorts",
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
    ];
    let annotations = &case.workload.annotations;
    let path = case.at("metadata.annotations");
    if annotations.get("sidecar.istio.io/interceptionMode") == Some(&"NONE") {
        let words = [
            "`sidecar.istio.io/interceptionMode` is `NONE`",
            "nothing is redirected, so there is nothing to take past the proxy: who talks to it does so by its own \
             address, and is not helped",
            "leave it out of hot-switch",
        ];
        return Some(Draft::new(HS109, Severity::Error, words).at(&path));
    }
    let set: Vec<String> =
        PORTS.iter().filter_map(|name| Some(format!("`{name}: {}`", annotations.get(name)?))).collect();
    let problem = match set.as_slice() {
        [] => return None,
        [one] => format!("{one} is set"),
        several => format!("{} are set", several.join(", ")),
    };
    let words = [
        problem.as_str(),
        "what the proxy does not take goes past it always, and a failure of the proxy does not touch it; a bypass \
         changes nothing for it",
        "nothing is to be done",
    ];
    Some(Draft::new(HS109, Severity::Note, words).at(&path))
}
