//! The rule that only a registry can decide (FL307): whether a pinned digest is the digest of an index.

use super::finding::{Draft, Finding, Severity};
use super::rules;
use crate::reference::Reference;
use crate::store::Store;
use crate::store::registry::access::Access;
use mesh::yaml::node::{Node, Value};
use mesh::{Mesh, Resource};

/// What becomes of it, in every mesh.
const REFUSED: &str = "what pulls the module (the proxy, in Envoy Gateway the controller) looks into the index, \
    compares with the digest of the image in it, and refuses the module: `has checksum …, which does not match`";

/// An image that a resource pins by digest.
pub(crate) struct Pinned<'a> {
    resource: &'a Resource,
    path: String,
    reference: String,
}

/// The images that resources pin, by `sha256` or in the URL.
pub(crate) fn pinned(mesh: &Mesh) -> Vec<Pinned<'_>> {
    let of = |resource| {
        let images = images(resource).into_iter();
        images.map(move |(path, reference)| Pinned { resource, path, reference })
    };
    mesh.resources.iter().flat_map(of).collect()
}

/// The images that one resource pins: the path of the field that has the digest, and the reference.
fn images(resource: &Resource) -> Vec<(String, String)> {
    let at = |path: &str| resource.node.at(path).and_then(|code| image(path, code, "url")).into_iter().collect();
    match (resource.kind.as_str(), resource.group.as_str()) {
        ("WasmPlugin", "extensions.istio.io" | "extensions.higress.io") => at("spec"),
        ("TrafficExtension", "extensions.istio.io") => at("spec.wasm"),
        ("EnvoyExtensionPolicy", _) => {
            let paths =
                (0..resource.node.list("spec.wasm").len()).map(|index| format!("spec.wasm[{index}].code.image"));
            paths.flat_map(|path| at(&path)).collect()
        }
        ("EnvoyFilter", _) => {
            let mut found = Vec::new();
            remote(&resource.node, "", &mut found);
            found
        }
        _ => Vec::new(),
    }
}

/// The image that a node pins, which has a field with its URL.
fn image(path: &str, code: &Node, url: &str) -> Option<(String, String)> {
    let address = code.text(url)?;
    let name = address.strip_prefix("oci://").or_else(|| (!address.contains("://")).then_some(address))?;
    match (name.split_once('@'), code.text("sha256").filter(|hex| !hex.is_empty())) {
        (Some(_), _) => Some((format!("{path}.{url}"), name.to_owned())),
        (None, Some(hex)) => Some((format!("{path}.sha256"), format!("{name}@sha256:{hex}"))),
        (None, None) => None,
    }
}

/// Finds the images in Envoy's own configuration, wherever they are: what Istio's agent pulls in Envoy's place.
fn remote(node: &Node, path: &str, found: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            items.iter().enumerate().for_each(|(index, item)| remote(item, &format!("{path}[{index}]"), found));
        }
        Value::Map(fields) => {
            let of = |url: &&str| node.text(url).is_some_and(|address| address.starts_with("oci://"));
            let url = ["http_uri.uri", "httpUri.uri"].into_iter().find(of);
            found.extend(url.and_then(|url| image(path, node, url)));
            let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            fields.iter().for_each(|(name, field)| remote(field, &join(name), found));
        }
    }
}

/// Asks the registries. An image that cannot be looked up goes to `remark` and is not a finding.
pub(crate) async fn check(images: Vec<Pinned<'_>>, access: &Access, remark: impl Fn(&str)) -> Vec<Finding> {
    let mut found = Vec::new();
    for image in images {
        match index(&image.reference, access).await {
            Ok(None) => {}
            Ok(Some(digest)) => {
                let draft = Draft {
                    rule: rules::FL307,
                    severity: Severity::Error,
                    path: image.path,
                    problem: format!("is the digest of an index, in which the image for linux/amd64 is {digest}"),
                    at_run_time: REFUSED.into(),
                    fix: format!("pin {digest}"),
                };
                found.push(draft.in_resource(image.resource));
            }
            Err(error) => remark(&format!("{}: not checked: {error:#}", image.resource.title())),
        }
    }
    found
}

/// The digest of the image inside, if the reference names an index.
async fn index(reference: &str, access: &Access) -> anyhow::Result<Option<String>> {
    let reference = reference.parse::<Reference>()?;
    let resolved = Store::open(&reference, access)?.resolve(&reference).await?;
    Ok(resolved.index.is_some().then(|| resolved.digest.to_string()))
}
