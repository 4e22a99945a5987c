//! The nodes of the cluster: one in each zone of the documents' demo.

use anyhow::Result;
use serde_json::json;

use crate::istio::api::Api;
use crate::zones::ZONES;

/// Creates the nodes, whose kubelet answers at this address and port.
pub(crate) fn create(api: &Api, address: &str, port: u16) -> Result<()> {
    for locality in ZONES {
        let Some((region, zone)) = locality.split_once('/') else { continue };
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name(zone),
                "labels": {
                    "topology.kubernetes.io/region": region,
                    "topology.kubernetes.io/zone": zone,
                    "kubernetes.io/hostname": name(zone),
                },
            },
        });
        api.apply(&node)?;
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": address }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        } });
        api.merge(&format!("/api/v1/nodes/{}/status", name(zone)), &status)?;
    }
    Ok(())
}

/// The node of a zone, or of the first zone if there is none of this name.
pub(crate) fn in_zone(zone: &str) -> String {
    let zones = ZONES.iter().filter_map(|locality| locality.split_once('/').map(|(_, zone)| zone));
    let found = zones.clone().find(|known| *known == zone).or_else(|| zones.clone().next());
    name(found.unwrap_or_default())
}

/// The zone of a node.
pub(crate) fn zone(node: &str) -> &str {
    node.strip_prefix(PREFIX).unwrap_or_default()
}

const PREFIX: &str = "node-";

fn name(zone: &str) -> String {
    format!("{PREFIX}{zone}")
}
