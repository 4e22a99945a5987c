//! A stock Envoy that gets its clusters from istiod as the proxy of a namespace, and nothing else: no listeners, no
//! certificates.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::control_plane::ControlPlane;
use super::netns::Namespace;
use crate::net::http::Client as Http;
use crate::wait::eventually;

/// istiod's port without TLS.
const ISTIOD: u16 = 15010;

/// The first of the ports of the Envoys' admin interfaces.
const ADMIN: u16 = 15100;

/// What istiod learns of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its namespace.
    pub namespace: &'static str,
    /// Where it is, `region/zone`; empty if it does not know.
    pub locality: &'static str,
    /// The labels of its pod.
    pub labels: &'static [(&'static str, &'static str)],
}

/// The Envoy of a client; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Subscriber {
    client: Client,
    machine: Namespace,
    admin: u16,
    log: PathBuf,
    child: Child,
}

impl Subscriber {
    /// Starts the Envoy; `number` tells it from the others of the mesh.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start(control: &ControlPlane, client: Client, number: u16) -> Result<Self> {
        let admin = ADMIN + number;
        let name = format!("envoy-{}", client.namespace);
        let file = control.folder().join(format!("{name}.json"));
        fs::write(&file, bootstrap(&client, admin, number).to_string())?;
        let mut command = control.machine().command(control.parts().envoy());
        command.arg("--config-path").arg(&file).args(["--concurrency", "1", "--log-level", "warning"]);
        command.arg("--disable-hot-restart");
        let log = control.folder().join("logs").join(format!("{name}.log"));
        let child = Namespace::start(&mut command, &log)?;
        let started = Self { client, machine: control.machine().clone(), admin, log, child };
        eventually(&format!("the admin interface of {name}"), || Ok(started.admin("/ready").ok()))?;
        Ok(started)
    }

    /// Whose proxy it is.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What the admin interface has at this path, JSON.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub(crate) fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.admin(path)?).with_context(|| format!("{path} of {}", self.client.namespace))
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn admin(&self, path: &str) -> Result<String> {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin));
        let answer = self.machine.inside(|| Ok(Http::new(target, "localhost").get(path)?))?;
        ensure!(answer.status == 200, "{path} of {}: {}", self.client.namespace, answer.status);
        Ok(answer.text())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // The end of the control plane ends what could not be ended here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bootstrap(client: &Client, admin: u16, number: u16) -> Value {
    let socket = |port: u16| json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let namespace = client.namespace;
    let labels: Map<String, Value> =
        client.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let mut node = json!({
        "id": format!("sidecar~10.66.250.{}~client.{namespace}~{namespace}.svc.cluster.local", number + 1),
        "cluster": format!("client.{namespace}"),
        "metadata": {
            "NAMESPACE": namespace,
            "LABELS": labels,
            "CLUSTER_ID": "Kubernetes",
            "ISTIO_VERSION": "1.31.0",
        },
    });
    if let Some((region, zone)) = client.locality.split_once('/') {
        node["locality"] = json!({ "region": region, "zone": zone });
    }
    let endpoint = json!({ "endpoint": { "address": socket(ISTIOD) } });
    json!({
        "node": node,
        "admin": { "address": socket(admin) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "istiod" } }],
            },
            "cds_config": { "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" },
        },
        "static_resources": { "clusters": [{
            "name": "istiod",
            "type": "STATIC",
            "connect_timeout": "5s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            },
            "load_assignment": { "cluster_name": "istiod", "endpoints": [{ "lb_endpoints": [endpoint] }] },
        }] },
    })
}
