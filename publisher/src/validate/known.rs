//! Context for the rules: facts collected from all files.

use std::collections::BTreeSet;

use crate::mesh::Mesh;
use crate::mesh::services::Services;

/// Facts from all files that a rule about one of them needs.
pub(crate) struct Known<'a> {
    pub(crate) services: Services,
    pub(crate) domain: &'a str,
    pub(crate) namespaces: BTreeSet<&'a str>,
    /// Whether the files include the nodes, so that no locality is missing.
    pub(crate) all_localities: bool,
    /// Whether the mesh applies outlier detection to every service.
    pub(crate) mesh_detects: bool,
    /// Whether the mesh turns locality load balancing off.
    pub(crate) locality_off: bool,
}

impl<'a> Known<'a> {
    /// Collects them from the files; `domain` is the DNS domain of the cluster's services.
    pub(super) fn of(mesh: &'a Mesh, domain: &'a str) -> Self {
        Self {
            services: Services::of(mesh, domain),
            domain,
            namespaces: namespaces(mesh),
            all_localities: mesh.resources.iter().any(|r| r.kind == "Node" && r.group.is_empty()),
            mesh_detects: mesh
                .mesh_configs()
                .any(|config| config.node.at("defaultTrafficPolicy.outlierDetection").is_some()),
            locality_off: mesh
                .mesh_configs()
                .any(|config| config.node.flag("localityLbSetting.enabled") == Some(false)),
        }
    }
}

/// The namespaces of everything in the files.
pub(crate) fn namespaces(mesh: &Mesh) -> BTreeSet<&str> {
    mesh.resources.iter().filter_map(|resource| resource.namespace.as_deref()).collect()
}
