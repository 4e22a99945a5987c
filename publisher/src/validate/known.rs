//! Context for the rules: facts collected from all files.

use std::collections::BTreeSet;

use filter_core::config::OutlierDetection;

use mesh::Mesh;
use mesh::lookup::Lookup;
use mesh::outlier;
use mesh::services::Services;
use mesh::yaml::node::Node;

/// Facts from all files that a rule about one of them needs.
pub(crate) struct Known<'a> {
    pub(crate) services: Services,
    pub(crate) lookup: Lookup<'a>,
    pub(crate) domain: &'a str,
    pub(crate) namespaces: BTreeSet<&'a str>,
    /// Whether the files include the nodes, so that no locality is missing.
    pub(crate) all_localities: bool,
    /// Whether the mesh applies outlier detection to every service.
    pub(crate) mesh_detects: bool,
    /// That outlier detection, if Istio takes it.
    pub(crate) mesh_detection: Option<OutlierDetection>,
    /// The mesh's own locality settings.
    pub(crate) mesh_locality: Option<&'a Node>,
    /// Whether the mesh turns locality load balancing off.
    pub(crate) locality_off: bool,
}

impl<'a> Known<'a> {
    /// Collects them from the files; `domain` is the DNS domain of the cluster's services.
    pub(super) fn of(mesh: &'a Mesh, domain: &'a str) -> Self {
        Self {
            services: Services::of(mesh, domain),
            lookup: Lookup::of(mesh, domain),
            domain,
            namespaces: namespaces(mesh),
            all_localities: mesh.resources.iter().any(|r| r.kind == "Node" && r.group.is_empty()),
            mesh_detects: mesh
                .mesh_configs()
                .any(|config| config.node.at("defaultTrafficPolicy.outlierDetection").is_some()),
            mesh_detection: mesh
                .mesh_configs()
                .find_map(|config| config.node.at("defaultTrafficPolicy.outlierDetection"))
                .and_then(|block| outlier::translate(block).ok()),
            mesh_locality: mesh.mesh_configs().find_map(|config| config.node.field("localityLbSetting")),
            locality_off: mesh
                .mesh_configs()
                .any(|config| config.node.flag("localityLbSetting.enabled") == Some(false)),
        }
    }
}

/// Whether a locality is in the one that a rule names: `region`, `region/zone`, `region/*`, `*`.
pub(super) fn is_in(locality: &str, place: &str) -> bool {
    let mut parts = locality.split('/');
    place.split('/').all(|wanted| {
        let part = parts.next();
        wanted == "*" || part == Some(wanted)
    })
}

/// The namespaces of everything in the files.
pub(crate) fn namespaces(mesh: &Mesh) -> BTreeSet<&str> {
    mesh.resources.iter().filter_map(|resource| resource.namespace.as_deref()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn a_place_holds_what_is_inside_it() {
        for place in ["*", "r", "r/*", "r/z", "r/z/*", "r/z/s"] {
            assert!(is_in("r/z/s", place), "{place}");
        }
        for place in ["q", "r/y", "r/z/t", "z"] {
            assert!(!is_in("r/z/s", place), "{place}");
        }
    }
}
