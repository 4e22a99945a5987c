//! Istio's own manifests, applied to the API server, with istiod as a process beside it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::api::Api;
use super::netns::Namespace;
use super::parts::Parts;
use super::servers::NODE;
use crate::programs::run::stdout_of;
use crate::wait::eventually;

/// What is asked of `istioctl`. The stock Envoy has none of Istio's own filters.
const INSTALLATION: &str = "\
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: default
  components:
    ingressGateways:
    - name: istio-ingressgateway
      enabled: false
  values:
    telemetry: {enabled: false}
    pilot:
      env: {PILOT_ENABLE_METADATA_EXCHANGE: 'false', PILOT_ENABLE_ALPN_FILTER: 'false'}
";

/// Applies everything that istiod needs before it starts.
pub(crate) fn apply(api: &Api, namespace: &Namespace, parts: &Parts, folder: &Path) -> Result<()> {
    let file = folder.join("installation.yaml");
    fs::write(&file, INSTALLATION)?;
    let mut istioctl = namespace.command(parts.istioctl());
    istioctl.args(["manifest", "generate", "-f"]).arg(&file).arg("-d").arg(parts.charts());
    let manifests = stdout_of(istioctl.env("HOME", folder), "")?;
    let objects = documents(&manifests).context("istioctl's manifests")?;
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    api.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "istio-system" } }))?;
    for definition in of_kind("CustomResourceDefinition") {
        api.apply(definition)?;
    }
    for definition in of_kind("CustomResourceDefinition") {
        established(api, definition["metadata"]["name"].as_str().unwrap_or_default())?;
    }
    // istiod is not a pod here, and what depends on its Deployment is of no use.
    let without = ["CustomResourceDefinition", "Namespace", "Deployment", "HorizontalPodAutoscaler"];
    for object in objects.iter().filter(|object| !without.iter().any(|kind| object["kind"] == *kind)) {
        api.apply(object).with_context(|| format!("{} {}", object["kind"], object["metadata"]["name"]))?;
    }
    api.apply(&slice())?;
    Ok(())
}

/// Applies what `istioctl install` does in the end: the validator of resources without a revision's label. Without it,
/// nothing of a user's is validated.
pub(crate) fn validate(api: &Api, namespace: &Namespace, parts: &Parts, folder: &Path) -> Result<()> {
    let mut istioctl = namespace.command(parts.istioctl());
    istioctl.args(["tag", "generate", "default", "--revision", "default", "--kubeconfig"]);
    istioctl.arg(folder.join("kubeconfig")).env("HOME", folder);
    let objects = documents(&stdout_of(&mut istioctl, "")?).context("istioctl's tag")?;
    // The injector of the tag would inject a second time.
    for object in objects.iter().filter(|object| object["kind"] == "ValidatingWebhookConfiguration") {
        api.apply(object)?;
    }
    Ok(())
}

fn established(api: &Api, name: &str) -> Result<()> {
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
    eventually(&format!("the kind {name}"), || {
        let definition = api.get(&path)?;
        let conditions = definition.pointer("/status/conditions").and_then(Value::as_array).cloned();
        let is_established = |one: &Value| one["type"] == "Established" && one["status"] == "True";
        let found = conditions.is_some_and(|conditions| conditions.iter().any(is_established)).then_some(());
        if found.is_none() {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(found)
    })
}

/// Where istiod is: at the address of the node.
fn slice() -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "protocol": "TCP" });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "istiod-lab",
            "namespace": "istio-system",
            "labels": {
                "kubernetes.io/service-name": "istiod",
                "endpointslice.kubernetes.io/managed-by": "lab",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [NODE], "conditions": { "ready": true } }],
        "ports": [
            port("grpc-xds", 15010), port("https-dns", 15012), port("https-webhook", 15017),
            port("http-monitoring", 15014),
        ],
    })
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}
