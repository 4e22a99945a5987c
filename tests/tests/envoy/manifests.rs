//! Tests that Envoy loads what `faultline manifest` writes for it: the bootstrap unchanged, and the values of an
//! EnvoyFilter after they are placed where istiod and Istio's agent put them. They use every Envoy that is installed:
//! the tests' own and others next to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use lab::programs::publisher::Publisher;
use lab::programs::tools::Tool;
use serde_json::{Value, json};

const PINNED: &str =
    "registry.example.com/mesh/faultline:1.0@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A typical operator's configuration: thresholds and a witness.
const CONFIG: &str =
    r#"{"outlierDetection": {"consecutive5xxErrors": 3, "interval": "5s"}, "witness": {"cluster": "admin"}}"#;

/// The tests' own Envoy, and those in the folders `envoy-…` next to it.
fn envoys() -> Result<Vec<PathBuf>> {
    let own = Tool::Envoy.path()?;
    let folder = own.ancestors().find(|dir| dir.file_name().is_some_and(is_envoys));
    let mut found = vec![own.clone()];
    if let Some((folder, beside)) = folder.and_then(|folder| Some((folder, folder.parent()?))) {
        let inside = own.strip_prefix(folder)?;
        for entry in std::fs::read_dir(beside)? {
            let other = entry?.path();
            let program = other.join(inside);
            if other != folder && other.file_name().is_some_and(is_envoys) && program.is_file() {
                found.push(program);
            }
        }
    }
    Ok(found)
}

fn is_envoys(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("envoy-"))
}

fn validate(envoy: &Path, bootstrap: &str, ending: &str) -> Result<Output> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join(format!("bootstrap.{ending}"));
    std::fs::write(&file, bootstrap)?;
    Command::new(envoy).args(["--mode", "validate", "-c"]).arg(&file).output().context("run Envoy")
}

/// Every Envoy accepts the bootstrap without a warning about it.
fn accepted(bootstrap: &str, ending: &str) -> Result<()> {
    for envoy in envoys()? {
        let output = validate(&envoy, bootstrap, ending)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}\n{bootstrap}", envoy.display());
        ensure!(!said.to_lowercase().contains("deprecated"), "{}: {said}", envoy.display());
    }
    Ok(())
}

/// The manifest as text, for the module that was built.
fn manifest(more: &[&str]) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("faultline.json");
    std::fs::write(&config, CONFIG)?;
    let config = config.to_str().context("a path")?;
    Publisher::new()?.ok(&[&["manifest", PINNED, "--offline", "--config", config][..], more].concat())
}

/// An EnvoyFilter's patches: what each applies to, its operation, its context and its value.
fn patches(more: &[&str]) -> Result<Vec<(String, String, String, Value)>> {
    let args = [&["--kind", "EnvoyFilter", "--output", "json"][..], more].concat();
    let resource: Value = serde_json::from_str(&manifest(&args)?)?;
    let word = |value: &Value| value.as_str().map(str::to_owned).context("a word");
    let patches = resource["spec"]["configPatches"].as_array().context("patches")?;
    let parts = patches.iter().map(|patch| {
        let value = patch["patch"]["value"].clone();
        let (to, operation) = (word(&patch["applyTo"])?, word(&patch["patch"]["operation"])?);
        Ok((to, operation, word(&patch["match"]["context"])?, value))
    });
    parts.collect()
}

/// A proxy with these HTTP filters, and with a management server, which extension discovery requires.
fn proxy(http_filters: &[Value]) -> Value {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let cluster = |name: &str| {
        let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address(15_000)}}]}]);
        json!({"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}})
    };
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "node": {"id": "sidecar", "cluster": "shop"},
        "dynamic_resources": {"ads_config": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
        }},
        "static_resources": {
            "clusters": [cluster("xds-grpc"), cluster("admin")],
            "listeners": [{
                "name": "virtualOutbound",
                "address": address(15_001),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": {
                        "@type": manager,
                        "stat_prefix": "outbound",
                        "route_config": {},
                        "http_filters": http_filters,
                    },
                }]}],
            }],
        },
    })
}

fn router() -> Value {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    json!({"name": "envoy.filters.http.router", "typed_config": {"@type": router}})
}

#[test]
fn every_envoy_loads_the_bootstrap() -> Result<()> {
    let module = Tool::Module.path()?;
    let module = module.to_str().context("the module's path")?;
    for position in ["http", "upstream-log", "lean"] {
        let args = ["--kind", "Envoy", "--position", position, "--module", module];
        accepted(&manifest(&args)?, "yaml")?;
    }
    // Envoy does read the module.
    let absent = manifest(&["--kind", "Envoy", "--module", "/nowhere/faultline.wasm"])?;
    let output = validate(&Tool::Envoy.path()?, &absent, "yaml")?;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/nowhere/faultline.wasm"));
    Ok(())
}

#[test]
fn what_an_envoy_filter_delivers_by_discovery_is_loaded() -> Result<()> {
    let module = Tool::Module.path()?;
    let patches = patches(&[])?;
    let (_, _, _, resource) =
        patches.iter().find(|(to, ..)| to == "EXTENSION_CONFIG").context("the resource that is delivered")?;
    let filters: Vec<&Value> =
        patches.iter().filter(|(to, op, ..)| to == "HTTP_FILTER" && op == "INSERT_BEFORE").map(|p| &p.3).collect();
    assert_eq!(filters.len(), 2, "sidecars' outbound listeners and gateways");
    assert_eq!(filters[0], filters[1]);
    // The filter requests the resource by the resource's own name.
    assert_eq!(filters[0]["name"], resource["name"]);
    accepted(&proxy(&[filters[0].clone(), router()]).to_string(), "json")?;
    accepted(&proxy(&[resource.clone(), router()]).to_string(), "json")?;
    // Envoy also loads what Istio's agent makes of it: a file in place of the image.
    let mut delivered = resource.clone();
    let code = delivered.pointer_mut("/typed_config/value/config/vm_config/code").context("the code")?;
    assert!(code["remote"]["http_uri"]["uri"].as_str().is_some_and(|uri| uri.starts_with("oci://")));
    *code = json!({"local": {"filename": module}});
    accepted(&proxy(&[delivered, router()]).to_string(), "json")?;
    Ok(())
}

#[test]
fn what_an_envoy_filter_puts_into_the_router_is_loaded() -> Result<()> {
    let module = Tool::Module.path()?;
    let module = module.to_str().context("the module's path")?;
    let patches = patches(&["--position", "upstream-log", "--selector", "app=cart", "--module", module])?;
    let in_context = |context: &str| {
        let of = |operation: &str| {
            let found = patches.iter().find(|(to, op, at, _)| to == "HTTP_FILTER" && op == operation && at == context);
            found.map(|patch| patch.3.clone()).with_context(|| format!("{operation} in {context}"))
        };
        // Merged into a router without fields of its own, the value is the router.
        Ok::<_, anyhow::Error>([of("INSERT_BEFORE")?, of("MERGE")?])
    };
    let filters = in_context("SIDECAR_OUTBOUND")?;
    assert_eq!(filters, in_context("GATEWAY")?);
    accepted(&proxy(&filters).to_string(), "json")?;
    Ok(())
}

#[test]
fn what_an_envoy_filter_puts_into_the_logs_is_loaded() -> Result<()> {
    let module = Tool::Module.path()?;
    let module = module.to_str().context("the module's path")?;
    let patches = patches(&["--position", "lean", "--selector", "app=cart", "--module", module])?;
    let merged = |kind: &str, context: &str| {
        let found = patches.iter().find(|(to, op, at, _)| to == kind && op == "MERGE" && at == context);
        found.map(|patch| patch.3.clone()).with_context(|| format!("{kind} in {context}"))
    };
    assert_eq!(merged("HTTP_FILTER", "SIDECAR_OUTBOUND")?, merged("HTTP_FILTER", "GATEWAY")?);
    let manager = merged("NETWORK_FILTER", "SIDECAR_OUTBOUND")?;
    let mut proxy = proxy(&[merged("HTTP_FILTER", "SIDECAR_OUTBOUND")?]);
    let own = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    proxy.pointer_mut(own).context("the connection manager")?["access_log"] =
        manager["typed_config"]["access_log"].clone();
    accepted(&proxy.to_string(), "json")?;
    Ok(())
}
