//! The pods, and what is said of them, in the tests at a real API server.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::istio::ApiServer;
use lab::wait::SAFETY_NET;
use serde_json::{Value, json};

pub(crate) const OWN: &str = "faultline-hot-switch";
pub(crate) const STAND_IN: &str = "registry.example.com/faultline/hot-switch@sha256:57a4d1";
pub(crate) const REAL: &str = "docker.io/istio/proxyv2:1.31.0";
pub(crate) const TLS: &str = "security.istio.io/tlsMode";

pub(crate) fn note(name: &str) -> String {
    format!("hot-switch.faultline.dev/{name}")
}

/// A pod with a sidecar, of which `mode` is the annotation.
pub(crate) fn pod(name: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "cart", TLS: "istio"},
            "annotations": {note("mode"): mode}},
        "spec": {"nodeName": "n1", "automountServiceAccountToken": false, "containers": [
            {"name": "cart", "image": "shop/cart:1", "ports": [{"containerPort": 8080}]},
            {"name": "istio-proxy", "image": REAL}]},
    })
}

/// A pod that runs, as kubelet would say.
pub(crate) fn run(server: &ApiServer, pod: &Value) -> Result<()> {
    server.apply(pod)?;
    let path = format!("/api/v1/namespaces/shop/pods/{}/status", pod["metadata"]["name"].as_str().unwrap_or_default());
    server.merge(&path, &json!({"status": {"phase": "Running", "podIP": "10.0.0.7"}}))?;
    Ok(())
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !holds()? {
        ensure!(began.elapsed() < SAFETY_NET, "{what}: it did not come");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
