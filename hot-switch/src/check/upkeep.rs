//! How the service is kept up until and during a bypass: probes, replicas, the order of starts (HS501 to HS505).

use mesh::yaml::node::Node;

use super::finding::{Draft, Severity};
use super::known::Case;
use super::rules::{HS501, HS502, HS503, HS504, HS505};
use super::sidecar;

/// How long hot-switch looks before it takes a pod's probes over, in seconds, by default.
const SUSPECTED_AFTER: u64 = 3;

/// Every finding.
pub(super) fn check(case: &Case<'_, '_>) -> Vec<Draft> {
    let mut found = Vec::new();
    found.extend(health(case));
    found.extend(too_fast(case));
    found.extend(one(case));
    found.extend(not_rewritten(case));
    found.extend(waiting(case));
    found
}

/// HS501: how hot-switch knows that the application itself is well.
fn health(case: &Case<'_, '_>) -> Option<Draft> {
    let asked = |probe: &Node| ["httpGet", "tcpSocket", "grpc"].iter().any(|how| probe.field(how).is_some());
    let has = |name: &str| case.workload.applications().any(|it| it.field(name).is_some_and(asked));
    let has_port =
        case.workload.applications().any(|it| it.list("ports").iter().any(|it| it.field("containerPort").is_some()));
    let is_command = case.workload.applications().any(|it| it.at("readinessProbe.exec").is_some());
    let lacks = match is_command {
        true => "its readiness probe is a command, which only kubelet can run",
        false => "no container has a readiness probe",
    };
    let (severity, problem, meaning) = match (has("livenessProbe") || has("startupProbe"), has_port) {
        _ if has("readinessProbe") => return by_port(case),
        (true, _) => (
            Severity::Note,
            lacks.to_owned(),
            "its other probes tell whether the application is well, which may be before it can serve",
        ),
        (false, true) => (
            Severity::Warning,
            lacks.to_owned(),
            "only whether a port accepts connections tells that the application is well: one that hangs is taken for \
             well, and is exposed",
        ),
        (false, false) => (
            Severity::Error,
            format!("{lacks}, and none names a port"),
            "nothing tells whether the application is well, so its proxy is never bypassed",
        ),
    };
    let fix = "give the application a readiness probe by HTTP, TCP or gRPC on the port that it serves";
    Some(Draft::new(HS501, severity, [&problem, meaning, fix]).at(&case.at("spec.containers")))
}

/// HS501, where there is a readiness probe: some kinds are asked in part only.
fn by_port(case: &Case<'_, '_>) -> Option<Draft> {
    let in_part =
        |probe: &Node| probe.field("grpc").is_some() || probe.text("httpGet.scheme").is_some_and(|it| it == "HTTPS");
    let mut probes = case.workload.applications().filter_map(|it| it.field("readinessProbe"));
    probes.any(in_part).then_some(())?;
    let words = [
        "its readiness probe is by gRPC or HTTPS",
        "hot-switch asks it by whether its port accepts connections: one that hangs is taken for well",
        "nothing is to be done; a probe by plain HTTP is asked as kubelet does",
    ];
    Some(Draft::new(HS501, Severity::Note, words).at(&case.at("spec.containers")))
}

/// HS502: liveness probes with which kubelet kills the application before anything was done.
fn too_fast(case: &Case<'_, '_>) -> Option<Draft> {
    let containers = case.workload.applications();
    let fast = containers.filter_map(|container| {
        let probe = container.field("livenessProbe")?;
        // A command does not go through the proxy.
        probe.field("httpGet").or(probe.field("tcpSocket")).or(probe.field("grpc"))?;
        let number = |name: &str, default: u64| probe.number(name).unwrap_or(default).max(1);
        let seconds = (number("failureThreshold", 3) - 1).saturating_mul(number("periodSeconds", 10));
        (seconds <= SUSPECTED_AFTER).then(|| (container.text("name").unwrap_or("?"), seconds))
    });
    let (name, seconds) = fast.min_by_key(|(_, seconds)| *seconds)?;
    let problem =
        format!("the liveness probe of `{name}` may give up {seconds} s after the first answer that fails to come");
    let meaning = format!(
        "probes go through the proxy, and hot-switch takes them over after {SUSPECTED_AFTER} s at the latest: kubelet \
         may kill the healthy application before"
    );
    let words = [problem.as_str(), &meaning, "raise `failureThreshold` or `periodSeconds`"];
    Some(Draft::new(HS502, Severity::Warning, words).at(&case.at("spec.containers")))
}

/// HS503: nobody serves while the only pod switches.
fn one(case: &Case<'_, '_>) -> Option<Draft> {
    (case.workload.replicas() == Some(1)).then_some(())?;
    let words = [
        "it has one replica",
        "it may be bypassed, as the budget is at least one pod. Nobody else serves while it switches, and where the \
         stand-in took the container's place, the real proxy needs its seconds to start again at restore",
        "run two replicas or more",
    ];
    Some(Draft::new(HS503, Severity::Note, words))
}

/// HS504: probes that Istio does not send to its agent.
fn not_rewritten(case: &Case<'_, '_>) -> Option<Draft> {
    const NAME: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
    (case.workload.annotations.get(NAME) == Some(&"false")).then_some(())?;
    let words = [
        "`sidecar.istio.io/rewriteAppHTTPProbers` is `false`",
        "kubelet's probes go through the proxy like any request: hot-switch cannot answer them, and they fail until \
         the traffic is taken past the proxy",
        "remove the annotation, or see that the liveness probe waits longer than a bypass takes",
    ];
    Some(Draft::new(HS504, Severity::Warning, words).at(&case.at("metadata.annotations")))
}

/// HS505: an application that does not run before its sidecar.
fn waiting(case: &Case<'_, '_>) -> Option<Draft> {
    let how = sidecar::is_waited_for(case.sidecar, &case.workload.annotations, case.known.mesh)?;
    let problem = format!("the application starts after its proxy: {how}");
    let words = [
        problem.as_str(),
        "a proxy that does not start keeps the application from starting, and one that was never well is not bypassed",
        "nothing is to be done; an alert on pods that do not start tells it",
    ];
    Some(Draft::new(HS505, Severity::Note, words))
}
