//! The rule that only a registry can decide (FL307): whether a pinned digest is the digest of an index.

use super::finding::{Draft, Finding, Severity};
use super::rules;
use crate::mesh::{Mesh, Resource};
use crate::reference::Reference;
use crate::store::Store;
use crate::store::registry::access::Access;
use crate::yaml::node::Node;

/// An image that a resource pins by digest.
pub(crate) struct Pinned<'a> {
    resource: &'a Resource,
    path: String,
    reference: String,
}

/// The images that WasmPlugins and TrafficExtensions pin, by `sha256` or in the URL.
pub(crate) fn pinned(mesh: &Mesh) -> Vec<Pinned<'_>> {
    let of = |path: &str, code: &Node| {
        let url = code.text("url")?;
        let name = url.strip_prefix("oci://").or_else(|| (!url.contains("://")).then_some(url))?;
        match (name.split_once('@'), code.text("sha256").filter(|hex| !hex.is_empty())) {
            (Some(_), _) => Some((format!("{path}.url"), name.to_owned())),
            (None, Some(hex)) => Some((format!("{path}.sha256"), format!("{name}@sha256:{hex}"))),
            (None, None) => None,
        }
    };
    let istio = mesh.resources.iter().filter(|resource| resource.group == "extensions.istio.io");
    istio
        .filter_map(|resource| {
            let (path, code) = match resource.kind.as_str() {
                "WasmPlugin" => ("spec", resource.node.at("spec")?),
                "TrafficExtension" => ("spec.wasm", resource.node.at("spec.wasm")?),
                _ => return None,
            };
            of(path, code).map(|(path, reference)| Pinned { resource, path, reference })
        })
        .collect()
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
                    at_run_time:
                        "the proxy looks into the index, compares with the digest of the image in it, and refuses the \
                                  module: `has checksum …, which does not match`"
                            .into(),
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
