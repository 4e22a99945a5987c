//! Clusters of other kinds than a fixed list of TCP endpoints: made of other clusters, of whatever address a request
//! names, of endpoints behind an internal listener.

use serde_json::{Value, json};

use crate::envoy::bootstrap::{Bootstrap, Cluster};
use crate::envoy::outlier::OutlierDetection;

/// What the types of Envoy's transport sockets begin with.
const SOCKETS: &str = "type.googleapis.com/envoy.extensions.transport_sockets";

/// The internal listener behind which [`behind_internal_listener`] puts endpoints.
pub const INTERNAL_LISTENER: &str = "connect_originate";

/// A cluster without endpoints of its own.
fn of_type(name: &str, fields: Value) -> Cluster {
    let mut cluster = Cluster::new(name, Vec::new(), None);
    // A null is a field that is not set.
    let none = json!({ "type": null, "load_assignment": null, "lb_policy": "CLUSTER_PROVIDED" });
    for fields in [none, fields] {
        cluster.more.extend(fields.as_object().cloned().unwrap_or_default());
    }
    cluster
}

/// A cluster whose endpoints are those of the first of these clusters that has healthy ones.
pub fn aggregate(name: &str, members: &[&str]) -> Cluster {
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": members,
    });
    of_type(name, json!({ "cluster_type": { "name": "envoy.clusters.aggregate", "typed_config": config } }))
}

/// A cluster whose endpoints are the addresses in the header `x-envoy-original-dst-host` of requests. Each worker makes
/// an endpoint of its own of an address.
pub fn original_dst(name: &str, rules: &OutlierDetection) -> Cluster {
    let mut cluster = of_type(
        name,
        json!({
            "type": "ORIGINAL_DST",
            "original_dst_lb_config": { "use_http_header": true },
        }),
    );
    cluster.outlier_detection = Some(rules.clone());
    cluster
}

/// A route for a path prefix to an [`original_dst`] cluster, for requests to this address.
pub fn route_to_address(cluster: &str, prefix: &str, address: &str) -> Value {
    json!({
        "match": { "prefix": prefix },
        "route": { "cluster": cluster },
        "request_headers_to_add": [{ "header": { "key": "x-envoy-original-dst-host", "value": address } }],
    })
}

/// Puts the endpoints of the bootstrap's first cluster behind an internal listener, as Istio does for HBONE: their
/// addresses are then `envoy://LISTENER/IP:PORT`.
pub fn behind_internal_listener(bootstrap: &mut Bootstrap) {
    bootstrap.edits.add(|json| {
        let extension = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
        json["bootstrap_extensions"] =
            json!([{ "name": "envoy.bootstrap.internal_listener", "typed_config": { "@type": extension } }]);
        let resources = &mut json["static_resources"];
        let through = internal_upstream(&mut resources["clusters"][0]);
        resources["clusters"][0]["transport_socket"] = through;
        let original = json!({
            "name": "original_dst", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
        });
        for (kind, value) in [("clusters", original), ("listeners", internal_listener())] {
            resources[kind].as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
        }
    });
}

/// Gives each endpoint of a cluster its internal address, and returns the cluster's transport socket.
fn internal_upstream(cluster: &mut Value) -> Value {
    let places = cluster["load_assignment"]["endpoints"].as_array_mut().into_iter().flatten();
    for host in places.flat_map(|place| place["lb_endpoints"].as_array_mut().into_iter().flatten()) {
        let at = &host["endpoint"]["address"]["socket_address"];
        let at = format!("{}:{}", at["address"].as_str().unwrap_or_default(), at["port_value"]);
        let internal = json!({ "server_listener_name": INTERNAL_LISTENER, "endpoint_id": at });
        host["endpoint"]["address"] = json!({ "envoy_internal_address": internal });
        host["metadata"] = json!({ "filter_metadata": { "envoy.filters.listener.original_dst": { "local": at } } });
    }
    let raw = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
    json!({
        "name": "envoy.transport_sockets.internal_upstream",
        "typed_config": {
            "@type": format!("{SOCKETS}.internal_upstream.v3.InternalUpstreamTransport"),
            "passthrough_metadata": [{ "kind": { "host": {} }, "name": "envoy.filters.listener.original_dst" }],
            "transport_socket": { "name": "raw", "typed_config": { "@type": raw } },
        },
    })
}

fn internal_listener() -> Value {
    let original = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
    let proxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    json!({
        "name": INTERNAL_LISTENER,
        "internal_listener": {},
        "listener_filters": [{ "name": "original_dst", "typed_config": { "@type": original } }],
        "filter_chains": [{ "filters": [{
            "name": "tcp",
            "typed_config": { "@type": proxy, "stat_prefix": "internal", "cluster": "original_dst" },
        }] }],
    })
}
