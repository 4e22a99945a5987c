//! Writes the comments at the head of a manifest: what a reader needs to know and no schema says. They tell where the
//! manifest goes, how to apply and remove it, what must exist first, and how to see that it works.

use super::bootstrap::ADMIN_PORT;
use super::kind::Kind;
use super::plan::{Plan, Source, Target};
use super::stats;

/// The comments, each line with its comment sign. `reference` is the argument for `faultline pull`.
pub(crate) fn head(plan: &Plan, reference: &str, with_stats: bool) -> String {
    let mut lines = vec![
        "faultline: tells which endpoint is failing, ejected or back, and where traffic failed over to.".to_owned(),
        format!("Goes into {}. It only watches.", place(plan)),
    ];
    if let Source::File { path, .. } = &plan.source {
        lines.extend(match plan.kind {
            Kind::Envoy => envoy(path, reference),
            _ => mounted(plan, path, reference),
        });
    }
    if plan.kind != Kind::Envoy {
        lines.push("Apply:  kubectl apply -f THIS_FILE      Take out again:  kubectl delete -f THIS_FILE".to_owned());
    }
    lines.extend(see(plan));
    lines.extend(remarks(plan));
    if with_stats && plan.kind != Kind::Envoy {
        lines.extend(stats::for_istio(plan));
    }
    lines.iter().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

fn place(plan: &Plan) -> String {
    match (plan.kind, &plan.target, &plan.namespace) {
        (Kind::Envoy, _, _) => "an Envoy without a mesh, as its bootstrap".to_owned(),
        (Kind::HigressWasmPlugin, _, _) => "Higress's gateway".to_owned(),
        (Kind::EnvoyExtensionPolicy, _, _) => {
            "the gateways of the resources in targetRefs, which must be in the same namespace".to_owned()
        }
        (_, Target::Resources(_), _) => "the proxies of the resources in targetRefs".to_owned(),
        (_, Target::Workloads(labels), None) if labels.is_empty() => {
            "every sidecar and gateway of the current namespace (of the mesh, in Istio's root namespace)".to_owned()
        }
        (_, Target::Workloads(labels), Some(namespace)) if labels.is_empty() => format!(
            "every sidecar and gateway of namespace {namespace} (of the mesh, if that is Istio's root namespace)"
        ),
        (_, Target::Workloads(_), _) => "the sidecars and gateways that the selector names".to_owned(),
    }
}

/// How to start a plain Envoy with it.
fn envoy(path: &str, reference: &str) -> Vec<String> {
    vec![
        "Replace backend and its two addresses by your own services; `node` says where this proxy is. Then:".to_owned(),
        format!("  faultline pull {reference} -o {path}"),
        "  envoy --mode validate -c THIS_FILE && envoy -c THIS_FILE".to_owned(),
        "Each cluster needs its outlier_detection, which the filter reads from Envoy; backend has one to start from."
            .to_owned(),
    ]
}

/// How to get the module's file into a proxy's container.
fn mounted(plan: &Plan, path: &str, reference: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let namespace = plan.namespace.as_deref().map(|name| format!(" -n {name}")).unwrap_or_default();
    let name = &plan.name;
    let mut lines = vec![
        format!("FIRST the module must be in the proxy's container, as {path}: Istio pulls"),
        "modules for HTTP filters only. An Envoy without the file refuses its listeners: running pods keep their old"
            .to_owned(),
        "ones, and a new pod never gets ready (503). From a ConfigMap (1 MiB at most):".to_owned(),
        format!("  faultline pull {reference} -o {file}"),
        format!("  kubectl{namespace} create configmap {name} --from-file={file}"),
    ];
    match plan.target {
        Target::Workloads(_) => lines.extend([
            "and these annotations on the workload's pod template, which restarts it:".to_owned(),
            format!(r#"  sidecar.istio.io/userVolume: '{{"{name}":{{"configMap":{{"name":"{name}"}}}}}}'"#),
            format!(r#"  sidecar.istio.io/userVolumeMount: '{{"{name}":{{"mountPath":"{folder}","readOnly":true}}}}'"#),
            "These are for injected sidecars; in a gateway, mount it with the Deployment's own volumes.".to_owned(),
        ]),
        Target::Resources(_) => lines.push(format!(
            "and a volume with it in the gateway's Deployment, at {folder} in the container istio-proxy."
        )),
    }
    lines.push("Take this out before the file.".to_owned());
    lines
}

/// What a registry that does not answer costs, and how to make proxies fetch once more. Istio's agent tries once, for
/// 30 s, whenever it gets the resource, and does not try again.
fn registry_away(plan: &Plan) -> Vec<String> {
    let plural = match plan.kind {
        Kind::WasmPlugin => "wasmplugins.extensions.istio.io",
        Kind::TrafficExtension => "trafficextensions.extensions.istio.io",
        Kind::EnvoyFilter => "envoyfilters.networking.istio.io",
        // Envoy Gateway's controller fetches, not its proxies; an Envoy alone has the file; of Higress it was not seen.
        Kind::EnvoyExtensionPolicy | Kind::HigressWasmPlugin | Kind::Envoy => return Vec::new(),
    };
    let namespace = plan.namespace.as_deref().map(|name| format!(" -n {name}")).unwrap_or_default();
    vec![
        "While the registry is away, a new pod is ready 30 s late, and a proxy that gets a change of this goes on"
            .to_owned(),
        "without the filter, until it gets another one. To make the proxies fetch again:".to_owned(),
        format!("  kubectl{namespace} annotate {plural} {} touch=\"$(date +%s)\" --overwrite", plan.name),
    ]
}

/// How to see that it works.
fn see(plan: &Plan) -> Vec<String> {
    // The quote before the name only: in a log of JSON, the one after it is escaped.
    let events = r#"grep '"faultline'"#;
    let namespace = plan.namespace.as_deref().map(|name| format!(" -n {name}")).unwrap_or_default();
    match plan.kind {
        Kind::Envoy => vec![
            format!("Its events are lines of Envoy's log: envoy -c THIS_FILE 2>&1 | {events}"),
            format!("Its metrics:  curl -s localhost:{ADMIN_PORT}/stats/prometheus | grep faultline_"),
        ],
        Kind::EnvoyExtensionPolicy => {
            let gateway = match &plan.target {
                Target::Resources(refs) => refs.iter().find(|target| target.kind == "Gateway"),
                Target::Workloads(_) => None,
            };
            let label = "gateway.envoyproxy.io/owning-gateway-name";
            let name = gateway.map_or("NAME", |gateway| &gateway.name);
            vec![
                "Its events are lines of Envoy's log:".to_owned(),
                format!("  kubectl -n envoy-gateway-system logs -l {label}={name} -c envoy | {events}"),
            ]
        }
        Kind::HigressWasmPlugin => vec![
            "Its events are lines of the gateway's log:".to_owned(),
            format!("  kubectl{namespace} logs deployment/higress-gateway | {events}"),
        ],
        Kind::WasmPlugin | Kind::TrafficExtension | Kind::EnvoyFilter => vec![
            "That it runs, and its events as lines of the proxy's log:".to_owned(),
            format!(
                "  kubectl{namespace} exec POD -c istio-proxy -- pilot-agent request GET \
                    'stats?filter=faultline_build_info'"
            ),
            format!("  kubectl{namespace} logs POD -c istio-proxy | {events}"),
        ],
    }
}

/// What a filter that has no thresholds assumes, and what to do about it, in two lines.
pub(crate) fn assumed(plan: &Plan) -> Option<[String; 2]> {
    let instead = match plan.kind {
        Kind::WasmPlugin | Kind::TrafficExtension | Kind::EnvoyFilter => {
            "let it ask Envoy (`{\"witness\": {}}`, the default), or give rules with --from or --config"
        }
        Kind::HigressWasmPlugin => "give your rules with --from, or thresholds with --config",
        Kind::EnvoyExtensionPolicy => "give the thresholds of your BackendTrafficPolicy with --config",
        Kind::Envoy => return None, // a bootstrap has a witness
    };
    plan.assumes_defaults().then(|| {
        [
            "no thresholds are given, so Envoy's defaults are assumed: 5 errors in a row, 10 % of a cluster at most"
                .to_owned(),
            format!("(with fewer than 10 endpoints, no ejection is told); {instead}"),
        ]
    })
}

/// Explains fields that look odd, and what else must exist.
fn remarks(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some([assumed, instead]) = assumed(plan) {
        lines.extend([format!("ATTENTION: {assumed}"), instead]);
    }
    match plan.kind {
        Kind::EnvoyExtensionPolicy => {
            lines.push("failOpen: if the module cannot run, traffic goes on without it.".to_owned());
        }
        _ if matches!(plan.source, Source::Image(_)) => {
            lines.push("FAIL_OPEN: if the module cannot be fetched or run, traffic goes on without it.".to_owned());
        }
        // Envoy reads a file of its bootstrap, or of a patch, before it knows a failure policy.
        _ => lines.extend([
            "FAIL_OPEN: if the module stops while it runs, traffic goes on without it. A file that is missing or cut"
                .to_owned(),
            "keeps Envoy from starting, or from taking this configuration: put the module there first.".to_owned(),
        ]),
    }
    let istio_plugin = matches!(plan.kind, Kind::WasmPlugin | Kind::TrafficExtension);
    if istio_plugin && matches!(plan.target, Target::Workloads(_)) {
        lines.push("CLIENT: what these proxies send, not what they receive.".to_owned());
    }
    if plan.digest.is_some() && matches!(plan.source, Source::Image(_)) {
        lines.push(
            "url: by digest (that of the image's manifest), so the tag may move: old and new proxies agree.".to_owned(),
        );
    }
    if matches!(plan.source, Source::Image(_)) {
        lines.extend(registry_away(plan));
    }
    if let Some(secret) = &plan.pull_secret {
        lines.push(format!("Secret {secret}: of type kubernetes.io/dockerconfigjson, in the same namespace."));
    }
    if plan.kind == Kind::TrafficExtension {
        lines.push("TrafficExtension: Istio 1.30 or later.".to_owned());
    }
    lines
}
