//! Tests that Envoy loads the modules that `push` accepts, and rejects those that `push` calls unloadable with the same
//! words that `inspect` quotes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use lab::programs::publisher::Publisher;
use lab::programs::run::output_of;
use lab::programs::tools::Tool;
use serde_json::json;

const NEEDED: &str = r#"(memory (export "memory") 1) (func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
const LOG: &str = r#"(import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))"#;
const WRITE: &str = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
const LEVEL: &str = r#"(import "env" "proxy_get_log_level" (func (param i32) (result i32)))"#;
const CLEAR: &str = r#"(import "env" "proxy_clear_route_cache" (func (result i32)))"#;
const UNKNOWN: &str = r#"(import "env" "proxy_nope" (func))"#;

/// Whether Envoy accepts a bootstrap with this module as a filter, and its output.
fn envoy_loads(dir: &Path, module: &Path) -> Result<(bool, String)> {
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let code = json!({"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}});
    let filters = json!([
        {"name": "plugin", "typed_config": {"@type": wasm, "config": {"vm_config": code}}},
        {"name": "router", "typed_config": {"@type": router}},
    ]);
    let chain = json!({"filters": [{"name": "http", "typed_config": {
        "@type": manager, "stat_prefix": "http", "route_config": {"virtual_hosts": []}, "http_filters": filters,
    }}]});
    let listener =
        json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}, "filter_chains": [chain]});
    let bootstrap = dir.join("bootstrap.json");
    std::fs::write(&bootstrap, json!({"static_resources": {"listeners": [listener]}}).to_string())?;
    let mut envoy = Command::new(Tool::Envoy.path()?);
    envoy.args(["--mode", "validate", "--disable-hot-restart", "--concurrency", "1", "-c"]).arg(&bootstrap);
    let output = output_of(&mut envoy, "")?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn push_and_envoy_agree_on_what_can_be_loaded() -> Result<()> {
    let (publisher, dir) = (Publisher::new()?, tempfile::tempdir()?);
    let module = dir.path().join("plugin.wasm");
    let layout = format!("oci:{}:1", dir.path().join("layout").display());
    for (abi, parts, envoys_words) in [
        ("0_2_1", format!("{LOG} {WRITE} {LEVEL} {NEEDED}"), None),
        ("0_2_0", format!("{LOG} {NEEDED}"), None),
        ("0_1_0", format!("{CLEAR} {NEEDED}"), None),
        ("0_2_0", format!("{LEVEL} {NEEDED}"), Some("missing import: env.proxy_get_log_level")),
        ("0_2_1", format!("{CLEAR} {NEEDED}"), Some("missing import: env.proxy_clear_route_cache")),
        ("0_2_1", format!("{UNKNOWN} {NEEDED}"), Some("missing import: env.proxy_nope")),
        ("0_3_0", NEEDED.to_owned(), Some("Missing or unknown Proxy-Wasm ABI version")),
        ("0_2_1", r#"(memory (export "memory") 1)"#.to_owned(), Some("Wasm module is missing malloc function.")),
    ] {
        let text = format!(r#"(module {parts} (func (export "proxy_abi_version_{abi}")))"#);
        std::fs::write(&module, wat::parse_str(&text)?)?;
        let file = module.to_str().context("a path")?;
        let pushed = publisher.run(&["push", &layout, "--wasm", file, "--force"], "")?.status.success();
        let (loaded, said) = envoy_loads(dir.path(), &module)?;
        assert_eq!((pushed, loaded), (envoys_words.is_none(), envoys_words.is_none()), "{text}\n{said}");
        if let Some(words) = envoys_words {
            assert!(said.contains(words), "{said}");
        }
    }
    Ok(())
}
