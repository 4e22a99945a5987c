//! A sidecar as Istio lays it out: a real Envoy under uid 1337 behind Istio's own rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::istio::Namespace;
use crate::programs::tools::Tool;
use crate::wait::eventually;

use super::callers::get;
use super::capture::{Capture, Extent};

/// Whether a request that the application sends is marked as having gone through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    Yes,
    No,
}

/// A sidecar.
#[derive(Debug)]
pub(super) struct Sidecar {
    namespace: Namespace,
    folder: PathBuf,
    capture: &'static Capture,
    envoy: Option<Child>,
}

impl Sidecar {
    /// Starts Envoy and sets the rules.
    pub(super) fn start(
        namespace: &Namespace,
        folder: &Path,
        name: &str,
        outbound: Marks,
        capture: &'static Capture,
    ) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("envoy.json"), configuration(outbound, capture.extent))?;
        let mut sidecar = Self { namespace: namespace.clone(), folder, capture, envoy: None };
        sidecar.launch()?;
        sidecar.is_ready()?;
        capture.set(namespace)?;
        Ok(sidecar)
    }

    /// Starts Envoy, and does not wait for it.
    pub(super) fn launch(&mut self) -> Result<()> {
        let mut command = self.namespace.command(Path::new("setpriv"));
        // As Istio's injector has it: with TPROXY, where its sockets have others' addresses, a sidecar is root with one
        // capability, and only its group tells its packets from the application's.
        let (user, power) = if self.capture.extent.tproxy_dns { ("0", "-all,+net_admin") } else { ("1337", "-all") };
        command.args(["--reuid", user, "--regid", "1337", "--clear-groups", "--bounding-set", power]);
        command.arg(Tool::Envoy.path()?);
        command.arg("-c").arg(self.folder.join("envoy.json"));
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
        self.envoy = Some(Namespace::start(&mut command, &self.folder.join("envoy.log"))?);
        Ok(())
    }

    /// Waits until it is ready.
    pub(super) fn is_ready(&self) -> Result<()> {
        let ready = || {
            let asked = || Ok(get(([127, 0, 0, 1], 15021).into(), "/healthz/ready", std::time::Duration::from_secs(1)));
            let answer = self.namespace.inside(asked)?;
            Ok(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")).then_some(()))
        };
        eventually(&format!("Envoy in {} is ready", self.folder.display()), ready)
    }

    /// Sends a signal to Envoy.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<()> {
        let envoy = self.envoy.as_mut().context("there is no Envoy")?;
        let pid = i32::try_from(envoy.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        kill_process(pid, signal)?;
        if signal == Signal::KILL {
            envoy.wait()?;
            self.envoy = None;
        }
        Ok(())
    }

    /// All rules, without the counters of packets.
    pub(super) fn rules(&self) -> Result<String> {
        self.capture.saved(&self.namespace)
    }
}

/// The type of a part of Envoy.
fn typed(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.filters.{name}")
}

/// A listener on this port; one that gets redirected connections finds out where they were going.
fn listener(name: &str, port: u16, redirected: bool, extent: Extent, routes: &Value) -> Value {
    let mut filters = Vec::new();
    if redirected {
        filters.push(json!({"name": "original_dst", "typed_config":
            {"@type": typed("listener.original_dst.v3.OriginalDst")}}));
    }
    let is_transparent = extent.tproxy_dns && name == "inbound";
    if is_transparent {
        // The application sees its caller's address, and the mark keeps these packets from coming here again.
        filters.push(json!({"name": "original_src", "typed_config":
            {"@type": typed("listener.original_src.v3.OriginalSrc"), "mark": 1337}}));
    }
    let manager = json!({"name": "http", "typed_config": {
        "@type": typed("network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": typed("http.router.v3.Router")}}],
    }});
    let at = |address: &str| json!({"socket_address": {"address": address, "port_value": port}});
    let mut listener = json!({
        "name": name,
        "address": at("0.0.0.0"),
        "listener_filters": filters,
        "filter_chains": [{"filters": [manager]}],
    });
    if extent.ipv6 {
        listener["additional_addresses"] = json!([{"address": at("::")}]);
    }
    if is_transparent {
        listener["transparent"] = true.into();
    }
    listener
}

/// Inbound on 15006 and outbound on 15001 to wherever the connection was going; 15021 and 15020 for health, as
/// pilot-agent has them; the admin interface on loopback.
fn configuration(outbound: Marks, extent: Extent) -> String {
    // A request's way shows in its path, which each answer is made from.
    let marked = |cluster: &str| {
        json!([{"match": {"prefix": "/"}, "route": {"cluster": cluster, "regex_rewrite":
            {"pattern": {"regex": "^.*$"}, "substitution": "/?via=proxy"}}}])
    };
    let unmarked = json!([{"match": {"prefix": "/"}, "route": {"cluster": "outbound"}}]);
    let outbound = if outbound == Marks::Yes { marked("outbound") } else { unmarked };
    let ready = json!({"match": {"path": "/healthz/ready"}, "direct_response": {"status": 200}});
    let app = json!({"match": {"prefix": "/app-health/"}, "route": {"cluster": "app"}});
    let by_destination = |name: &str, bind: Value| {
        json!({"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "1s", "upstream_bind_config": bind})
    };
    let from = |address: &str| json!({"address": address, "port_value": 0});
    let mut passthrough = json!({"source_address": from("127.0.0.6")});
    if extent.ipv6 {
        passthrough["extra_source_addresses"] = json!([{"address": from("::6")}]);
    }
    json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
        "static_resources": {
            "listeners": [
                listener("inbound", 15006, true, extent, &marked("inbound")),
                listener("outbound", 15001, true, extent, &outbound),
                listener("health", 15021, false, extent, &json!([ready])),
                listener("agent", 15020, false, extent, &json!([ready, app])),
            ],
            "clusters": [
                by_destination("inbound", passthrough),
                by_destination("outbound", Value::Null),
                {"name": "app", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "app",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
                        {"address": "127.0.0.1", "port_value": 8080}}}}]}]}},
            ],
        },
    })
    .to_string()
}
