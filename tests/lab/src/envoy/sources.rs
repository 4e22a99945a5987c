//! The sources of what can change while Envoy runs: clusters, endpoints, the filter.
//!
//! They are files next to its bootstrap, or a server for the REST form of discovery, which can stop and come back as a
//! control plane can. Not here: what is delivered, and the server.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::envoy::topology::socket_address;

const CLUSTER: &str = "xds-rest";

/// The source of discovery.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sources {
    /// Files, which need no server.
    #[default]
    Files,
    /// A server of `/v3/discovery:clusters` and so on, polled five times a second.
    Rest(SocketAddr),
}

impl Sources {
    /// Envoy's `config.core.v3.ConfigSource` for the resources that `file` would deliver.
    pub(crate) fn config_source(self, file: &Path) -> Value {
        match self {
            Self::Files => json!({ "resource_api_version": "V3", "path_config_source": { "path": file } }),
            Self::Rest(_) => json!({ "resource_api_version": "V3", "api_config_source": {
                "api_type": "REST",
                "transport_api_version": "V3",
                "cluster_names": [CLUSTER],
                "refresh_delay": "0.2s",
                "request_timeout": "1s",
            } }),
        }
    }

    /// The fixed cluster that reaches the server.
    pub(crate) fn cluster(self) -> Option<Value> {
        let Self::Rest(address) = self else { return None };
        Some(json!({
            "name": CLUSTER,
            "type": "STATIC",
            "connect_timeout": "0.250s",
            "load_assignment": { "cluster_name": CLUSTER, "endpoints": [{
                "lb_endpoints": [{ "endpoint": { "address": socket_address(address) } }],
            }] },
        }))
    }
}
