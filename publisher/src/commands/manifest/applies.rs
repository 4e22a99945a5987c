//! Decides which options apply to which kind. An option that does not apply is refused with an alternative: a manifest
//! that silently ignores what the user asked for is worse than none.

use anyhow::{bail, ensure};

use super::args::Manifest;
use crate::manifest::kind::{FilterPosition, Kind};
use crate::manifest::stats;

/// Whether Envoy itself loads the module from a file.
pub(crate) fn loads_a_file(args: &Manifest) -> bool {
    match args.kind {
        Kind::Envoy => true,
        Kind::EnvoyFilter => position(args) != FilterPosition::Http,
        _ => false,
    }
}

/// Where the plugin stands.
pub(crate) fn position(args: &Manifest) -> FilterPosition {
    let usual = if args.kind == Kind::Envoy { FilterPosition::Lean } else { FilterPosition::Http };
    args.position.unwrap_or(usual)
}

/// Checks that the options fit the kind.
///
/// # Errors
/// For the first option that does not fit; the error says why, and what to use instead.
pub(crate) fn check(args: &Manifest) -> anyhow::Result<()> {
    let (kind, name) = (args.kind, args.kind.name());
    let file = loads_a_file(args);
    let istio_plugin = matches!(kind, Kind::WasmPlugin | Kind::TrafficExtension);
    let instead = |option: &str, why: &str| anyhow::anyhow!("{option} does not go with --kind {name}: {why}");

    if args.position.is_some() && !matches!(kind, Kind::EnvoyFilter | Kind::Envoy) {
        bail!(instead("--position", "it is an HTTP filter always; the logs take --kind EnvoyFilter or Envoy"));
    }
    if args.module.is_some() && !file {
        let why = "the module is pulled, and its file is nobody's business; it is for Envoy, and EnvoyFilter with \
            --position upstream-log or lean";
        bail!(instead("--module", why));
    }
    if args.phase.is_some() && !istio_plugin && kind != Kind::HigressWasmPlugin {
        bail!(instead("--phase", "it has no phases; the filter stands last before the router"));
    }
    if args.priority.is_some() && !istio_plugin && kind != Kind::HigressWasmPlugin {
        bail!(instead("--priority", "it does not order plugins; the filter stands last before the router"));
    }
    if args.pull_secret.is_some() && file {
        bail!(instead("--pull-secret", "the proxy pulls nothing; log in where you run `faultline pull`"));
    }
    if args.pull_secret.is_some() && kind == Kind::EnvoyFilter {
        let why = "istiod hands secrets to WasmPlugin and TrafficExtension only; use one of these, or give the proxy's \
            container a DOCKER_CONFIG";
        bail!(instead("--pull-secret", why));
    }
    if args.image_pull_policy.is_some() && matches!(kind, Kind::EnvoyFilter | Kind::Envoy) {
        bail!(instead("--image-pull-policy", "it has none; what runs is what the digest says"));
    }
    if args.image.is_some() && file {
        let usual = kind == Kind::Envoy;
        let with = if usual { String::new() } else { format!(" with --position {}", position(args).name()) };
        bail!("--image does not go with --kind {name}{with}: the proxy loads a file and pulls nothing");
    }
    if !args.rules.from.is_empty() && matches!(kind, Kind::EnvoyExtensionPolicy | Kind::Envoy) {
        bail!(instead("--from", "it reads Istio's rules; write a configuration and give it with --config"));
    }
    if args.rules.no_witness && !kind.is_istio() && args.rules.from.is_empty() {
        bail!(instead("--no-witness", "it is for Istio's kinds, which have a witness without being told"));
    }
    targets(args)?;
    if args.with_stats {
        match kind {
            Kind::HigressWasmPlugin => {
                let tags = stats::labels().join(", ");
                let why = format!("set `extraStatTags` in the mesh configuration of Higress yourself, to {tags}");
                bail!(instead("--with-stats", &why));
            }
            Kind::EnvoyExtensionPolicy => {
                let why = "statistics are configured in an EnvoyProxy, as `stats_config` in spec.bootstrap; `--kind \
                    Envoy` prints one to copy";
                bail!(instead("--with-stats", why));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that the targets fit the kind.
fn targets(args: &Manifest) -> anyhow::Result<()> {
    let (kind, name) = (args.kind, args.kind.name());
    let refused = |option: &str, why: &str| anyhow::anyhow!("{option} does not go with --kind {name}: {why}");
    match kind {
        Kind::WasmPlugin | Kind::TrafficExtension => {}
        Kind::EnvoyExtensionPolicy => {
            ensure!(args.selector.is_empty(), refused("--selector", "it attaches to resources; use --target-ref"));
            ensure!(args.waypoint.is_none(), refused("--waypoint", "Envoy Gateway has none"));
            ensure!(
                !args.target_refs.is_empty(),
                "--kind {name} needs --target-ref, such as --target-ref Gateway/edge"
            );
        }
        Kind::EnvoyFilter => {
            let why = "use WasmPlugin or TrafficExtension, which reach waypoints in every Istio";
            ensure!(args.waypoint.is_none(), refused("--waypoint", why));
            // Envoy rejects a listener whose log has no module, so this must not reach proxies by accident.
            ensure!(
                position(args) == FilterPosition::Http || !args.selector.is_empty() || !args.target_refs.is_empty(),
                "--kind EnvoyFilter with --position {} needs --selector or --target-ref: a proxy without the module's \
                    file would refuse all its listeners, so it must not go to others",
                position(args).name()
            );
        }
        Kind::HigressWasmPlugin => {
            let why = "it goes into Higress's gateway, all of it";
            ensure!(args.selector.is_empty(), refused("--selector", why));
            ensure!(args.target_refs.is_empty(), refused("--target-ref", why));
            ensure!(args.waypoint.is_none(), refused("--waypoint", "Higress has none"));
        }
        Kind::Envoy => {
            let why = "it is a file for one Envoy, not a resource of Kubernetes";
            ensure!(args.selector.is_empty(), refused("--selector", why));
            ensure!(args.target_refs.is_empty(), refused("--target-ref", why));
            ensure!(args.waypoint.is_none(), refused("--waypoint", why));
            ensure!(args.namespace.is_none(), refused("--namespace", why));
        }
    }
    Ok(())
}
