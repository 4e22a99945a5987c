//! A pod's volumes: folders with what the API server has for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::spec::{field, list, text};
use crate::istio::api::Api;
use crate::wait::eventually;

/// Makes a folder for each of the pod's volumes below `folder`.
pub(crate) fn fill(api: &Api, pod: &Value, folder: &Path) -> Result<()> {
    for volume in list(pod, "/spec/volumes") {
        let dir = place(folder, text(volume, "/name"));
        fs::create_dir_all(&dir)?;
        // Containers run as different users.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
        source(api, pod, volume, &dir).with_context(|| format!("the volume {}", text(volume, "/name")))?;
    }
    Ok(())
}

/// The folder of the volume of this name.
pub(crate) fn place(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

/// Fills a volume, or one source of a projected one.
fn source(api: &Api, pod: &Value, volume: &Value, dir: &Path) -> Result<()> {
    if let Some(map) = volume.get("configMap") {
        let name = if map["name"].is_string() { text(map, "/name") } else { text(volume, "/name") };
        config_map(api, text(pod, "/metadata/namespace"), name, map["optional"] == true, dir)?;
    }
    if let Some(items) = volume.get("downwardAPI") {
        for item in list(items, "/items") {
            let value = field(pod, text(item, "/fieldRef/fieldPath"));
            fs::write(dir.join(text(item, "/path")), value)?;
        }
    }
    if let Some(token) = volume.get("serviceAccountToken") {
        fs::write(dir.join(text(token, "/path")), self::token(api, pod, text(token, "/audience"))?)?;
    }
    for one in list(volume, "/projected/sources") {
        source(api, pod, one, dir)?;
    }
    Ok(())
}

fn config_map(api: &Api, namespace: &str, name: &str, is_optional: bool, dir: &Path) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    let map = if is_optional {
        let Some(map) = api.find(&path)? else { return Ok(()) };
        map
    } else {
        // istiod writes the one with its certificate into each namespace after it has seen the namespace.
        eventually(&format!("the ConfigMap {name} of {namespace}"), || api.find(&path))?
    };
    for (key, value) in map["data"].as_object().into_iter().flatten() {
        fs::write(dir.join(key), value.as_str().unwrap_or_default())?;
    }
    for (key, value) in map["binaryData"].as_object().into_iter().flatten() {
        fs::write(dir.join(key), STANDARD.decode(value.as_str().unwrap_or_default())?)?;
    }
    Ok(())
}

/// A token of the pod's service account for `audience`, bound to the pod.
fn token(api: &Api, pod: &Value, audience: &str) -> Result<String> {
    let account = match text(pod, "/spec/serviceAccountName") {
        "" => "default",
        name => name,
    };
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", text(pod, "/metadata/namespace"));
    let audiences: Vec<&str> = Some(audience).into_iter().filter(|audience| !audience.is_empty()).collect();
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": 43_200,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": text(pod, "/metadata/name"),
                "uid": text(pod, "/metadata/uid"),
            },
        },
    });
    let answer = api.create(&path, &request)?;
    let token = text(&answer, "/status/token");
    ensure!(!token.is_empty(), "no token in {answer}");
    Ok(token.to_owned())
}
