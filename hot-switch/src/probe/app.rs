//! The application's own probes, as Istio keeps them while it rewrites the pod's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::http::{self, Reply, Request};

/// What kubelet gives a probe that says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// A pod's owner chooses its probes' time-outs, and the agent's rounds wait for them: none is longer than this.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The probes by the paths that kubelet asks pilot-agent for, such as `/app-health/cart/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct AppProbes(BTreeMap<String, Probe>);

/// One probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Probe {
    http_get: Option<HttpGet>,
    tcp_socket: Option<Port>,
    grpc: Option<Port>,
    timeout_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Port {
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpGet {
    #[serde(default)]
    path: String,
    port: u16,
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    http_headers: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Header {
    name: String,
    value: String,
}

impl AppProbes {
    /// Reads the value of `ISTIO_KUBE_APP_PROBERS`.
    ///
    /// # Errors
    /// If it is not what Istio writes.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("ISTIO_KUBE_APP_PROBERS is not what Istio writes")
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs the probe that kubelet asks for by this path. `None`: there is none.
    #[must_use]
    pub fn run(&self, path: &str, host: IpAddr, from: Option<IpAddr>) -> Option<bool> {
        self.0.get(path).map(|probe| probe.succeeds(host, from))
    }

    /// Whether the application is ready by its readiness probes, or by all of its probes where it has no such.
    /// `None`: it has no probe at all.
    #[must_use]
    pub fn ready(&self, host: IpAddr, from: Option<IpAddr>) -> Option<bool> {
        let readiness: Vec<&Probe> =
            self.0.iter().filter(|(path, _)| path.ends_with("/readyz")).map(|(_, probe)| probe).collect();
        let probes = if readiness.is_empty() { self.0.values().collect() } else { readiness };
        (!probes.is_empty()).then(|| probes.iter().all(|probe| probe.succeeds(host, from)))
    }
}

impl Probe {
    /// gRPC and HTTPS are asked as TCP is: whether the port takes connections.
    fn succeeds(&self, host: IpAddr, from: Option<IpAddr>) -> bool {
        let timeout = self.timeout_seconds.filter(|seconds| *seconds > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let timeout = timeout.min(LONGEST_TIMEOUT);
        if let Some(get) = self.http_get.as_ref().filter(|get| !get.scheme.eq_ignore_ascii_case("https")) {
            let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
            let headers: Vec<_> =
                get.http_headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
            let to = SocketAddr::new(host, get.port);
            let reply = http::ask(&Request { to, from, path: &path, headers: &headers, timeout });
            return matches!(reply, Reply::Status { code: 200..400, .. });
        }
        let port = self.http_get.as_ref().map(|get| get.port);
        let port = port.or(self.tcp_socket.as_ref().or(self.grpc.as_ref()).map(|port| port.port));
        port.is_some_and(|port| http::connect(SocketAddr::new(host, port), from, timeout).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_istio_writes_is_read() {
        let text = r#"{"/app-health/cart/readyz":{"httpGet":{"path":"/ready","port":8080,"scheme":"HTTP",
            "httpHeaders":[{"name":"Host","value":"cart"}]},"timeoutSeconds":2},
            "/app-health/cart/livez":{"tcpSocket":{"port":8080}},"/app-health/db/startupz":{"grpc":{"port":9000,"service":null}}}"#;
        let probes = AppProbes::read(text).unwrap();
        assert_eq!(probes.0.len(), 3);
        assert_eq!(probes.run("/app-health/nobody/livez", IpAddr::from([127, 0, 0, 1]), None), None);
        assert!(AppProbes::read("[]").is_err());
        assert!(AppProbes::read(r#"{"/x":{"tcpSocket":{"port":-1}}}"#).is_err());
    }

    #[test]
    fn an_application_without_probes_is_unknown_and_one_that_refuses_is_not_ready() {
        let host = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(AppProbes::default().ready(host, None), None);
        let listener = std::net::TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let probes =
            AppProbes::read(&format!(r#"{{"/app-health/a/readyz":{{"tcpSocket":{{"port":{port}}}}}}}"#)).unwrap();
        assert_eq!(probes.ready(host, None), Some(true));
        drop(listener);
        assert_eq!(probes.ready(host, None), Some(false));
    }
}
