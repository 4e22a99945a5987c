//! What does not hold while a proxy is bypassed (HS401 to HS405).

use findings::rule::Rule;
use mesh::Resource;

use super::finding::{Draft, Severity, plural};
use super::known::Case;
use super::rules::{HS401, HS402, HS403, HS404, HS405};
use super::{outbound, protection};

/// The policies without which the workload is less protected than somebody asked for, inbound: what needs a second
/// consent.
pub(super) fn protection<'a>(case: &Case<'_, 'a>) -> Vec<&'a Resource> {
    if !case.consent.directions.inbound() {
        return Vec::new();
    }
    protection::inbound(&case.known.peers, &case.known.policies, case.workload.namespace(), &case.workload.labels)
}

/// Everything that does not hold meanwhile.
pub(super) fn check(case: &Case<'_, '_>) -> Vec<Draft> {
    let (namespace, labels) = (case.workload.namespace(), &case.workload.labels);
    let mut found = Vec::new();
    if case.consent.directions.inbound() {
        let strict = case.known.peers.for_pods(namespace, labels).strict();
        found.extend(lost(
            HS401,
            Severity::Warning,
            &strict,
            "requires mTLS",
            "anybody who reaches the pod's address gets an answer, in plaintext, and nobody's certificate is checked",
            "a NetworkPolicy that lets in only who may call holds with or without a proxy",
        ));
        found.extend(lost(
            HS402,
            Severity::Warning,
            &case.known.policies.authorization(namespace, labels),
            "is enforced by the proxy",
            "every caller may do everything, as if there were no policy",
            "a NetworkPolicy for who may call at all; for who may do what, a check in the application",
        ));
        found.extend(lost(
            HS403,
            Severity::Warning,
            &case.known.policies.requests(namespace, labels),
            "has the proxy check tokens",
            "tokens are not checked: forged and expired ones come through, and headers that the proxy made of claims \
             are missing, or are what the caller wrote",
            "let the application check tokens itself, and not trust such headers without the proxy",
        ));
    }
    if case.consent.directions.outbound() {
        found.extend(lost(
            HS404,
            Severity::Warning,
            &outbound::egress_control(case).into_iter().collect::<Vec<_>>(),
            "lets the application call only what the mesh knows",
            "the application may call anything",
            "a NetworkPolicy for egress holds with or without a proxy",
        ));
    }
    found.extend(added(case));
    found
}

/// One kind of policy that does not hold.
fn lost(rule: Rule, severity: Severity, policies: &[&Resource], does: &str, meaning: &str, fix: &str) -> Option<Draft> {
    let (first, more) = policies.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
    let problem = format!("{}{more} {does}", first.title());
    Some(Draft::new(rule, severity, [&problem, meaning, fix]).because(policies.iter().copied()))
}

/// HS405: filters, plugins and telemetry.
fn added(case: &Case<'_, '_>) -> Option<Draft> {
    let all = case.known.policies.extensions(case.workload.namespace(), &case.workload.labels);
    let (first, _) = all.split_first()?;
    let count = plural(all.len(), "resource");
    let problem = format!("{count} (such as {}) change what its proxy does", first.title());
    let words = [
        problem.as_str(),
        "rate limits, plugins, access logs, traces and metrics of the proxy are missing; retries and time-outs of \
         routes too",
        "nothing is to be done unless one of them protects the application",
    ];
    Some(Draft::new(HS405, Severity::Note, words).because(all.iter().copied()))
}
