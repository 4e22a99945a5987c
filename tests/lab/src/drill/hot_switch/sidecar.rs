//! A sidecar as Istio lays it out: a real Envoy under uid 1337 behind Istio's own rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::istio::Namespace;
use crate::programs::tools::Tool;
use crate::wait::eventually;

use super::callers::get;

/// Istio's rules in their default form.
const RULES: &str = include_str!("../../../../../hot-switch/tests/rules/redirect.rules");

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
    envoy: Option<Child>,
}

impl Sidecar {
    /// Starts Envoy and sets the rules.
    pub(super) fn start(namespace: &Namespace, folder: &Path, name: &str, outbound: Marks) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("envoy.json"), configuration(outbound))?;
        let mut sidecar = Self { namespace: namespace.clone(), folder, envoy: None };
        sidecar.launch()?;
        sidecar.is_ready()?;
        let mut command = namespace.command(Path::new("iptables-nft-restore"));
        let mut restore = command.arg("--noflush").stdin(Stdio::piped()).spawn().context("iptables-nft-restore")?;
        std::io::Write::write_all(&mut restore.stdin.take().context("no stdin")?, RULES.as_bytes())?;
        anyhow::ensure!(restore.wait()?.success(), "Istio's rules cannot be set: is iptables installed?");
        Ok(sidecar)
    }

    /// Starts Envoy, and does not wait for it.
    pub(super) fn launch(&mut self) -> Result<()> {
        let mut command = self.namespace.command(Path::new("setpriv"));
        command.args(["--reuid", "1337", "--regid", "1337", "--clear-groups"]).arg(Tool::Envoy.path()?);
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
        let output = self.namespace.command(Path::new("iptables-nft-save")).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(|line| line.split(" [").next().unwrap_or_default()).collect::<Vec<_>>().join("\n"))
    }
}

/// Inbound on 15006 and outbound on 15001 to wherever the connection was going; 15021 and 15020 for health, as
/// pilot-agent has them; the admin interface on loopback.
fn configuration(outbound: Marks) -> String {
    let manager = |name: &str, routes: serde_json::Value| {
        serde_json::json!({"name": "http", "typed_config": {
            "@type": concat!(
                "type.googleapis.com/envoy.extensions.filters.network.",
                "http_connection_manager.v3.HttpConnectionManager"
            ),
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [{"name": "router", "typed_config":
                {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }})
    };
    let listener = |name: &str, port: u16, redirected: bool, routes: serde_json::Value| {
        let original = serde_json::json!([{"name": "original_dst", "typed_config":
            {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}]);
        serde_json::json!({
            "name": name,
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
            "listener_filters": if redirected { original } else { serde_json::json!([]) },
            "filter_chains": [{"filters": [manager(name, routes)]}],
        })
    };
    // A request's way shows in its path, which each answer is made from.
    let marked = |cluster: &str| {
        serde_json::json!([{"match": {"prefix": "/"}, "route": {"cluster": cluster, "regex_rewrite":
            {"pattern": {"regex": "^.*$"}, "substitution": "/?via=proxy"}}}])
    };
    let unmarked = serde_json::json!([{"match": {"prefix": "/"}, "route": {"cluster": "outbound"}}]);
    let ready = serde_json::json!({"match": {"path": "/healthz/ready"}, "direct_response": {"status": 200}});
    let app = serde_json::json!({"match": {"prefix": "/app-health/"}, "route": {"cluster": "app"}});
    let by_destination = |name: &str, bind: serde_json::Value| {
        serde_json::json!({"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "1s", "upstream_bind_config": bind})
    };
    let inbound_source = serde_json::json!({"source_address": {"address": "127.0.0.6", "port_value": 0}});
    serde_json::json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
        "static_resources": {
            "listeners": [
                listener("inbound", 15006, true, marked("inbound")),
                listener("outbound", 15001, true, if outbound == Marks::Yes { marked("outbound") } else { unmarked }),
                listener("health", 15021, false, serde_json::json!([ready])),
                listener("agent", 15020, false, serde_json::json!([ready, app])),
            ],
            "clusters": [
                by_destination("inbound", inbound_source),
                by_destination("outbound", serde_json::Value::Null),
                {"name": "app", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "app",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
                        {"address": "127.0.0.1", "port_value": 8080}}}}]}]}},
            ],
        },
    })
    .to_string()
}
