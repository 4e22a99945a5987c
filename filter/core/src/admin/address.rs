//! Addresses of hosts, as the attribute `upstream.address` writes them.

use super::values::text;
use crate::json::Value;

/// Writes an address (`envoy.config.core.v3.Address` as JSON): `ip:port`, `[ip]:port` for IPv6, the path of a pipe, or
/// `envoy://LISTENER/ENDPOINT_ID` for an internal listener. `None` if it is none of these.
pub(super) fn written(address: &Value) -> Option<String> {
    if let Some(socket) = address.get("socket_address") {
        let (ip, port) = (text(socket, "address"), socket.get("port_value").map_or(Some(0), Value::as_u64)?);
        return match ip {
            "" => None,
            ip if ip.contains(':') => Some(format!("[{ip}]:{port}")),
            ip => Some(format!("{ip}:{port}")),
        };
    }
    if let Some(internal) = address.get("envoy_internal_address") {
        let (listener, endpoint) = (text(internal, "server_listener_name"), text(internal, "endpoint_id"));
        return Some(format!("envoy://{listener}/{endpoint}"));
    }
    let path = text(address.get("pipe")?, "path");
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_is_written_as_the_attribute_writes_it() {
        for (address, text) in [
            (json!({"socket_address": {"address": "10.0.0.1", "port_value": 80}}), Some("10.0.0.1:80")),
            (json!({"socket_address": {"address": "fd00::1", "port_value": 81}}), Some("[fd00::1]:81")),
            (json!({"pipe": {"path": "/run/x.sock", "mode": 1}}), Some("/run/x.sock")),
            (
                json!({"envoy_internal_address": {"server_listener_name": "l", "endpoint_id": "10.0.0.7:80"}}),
                Some("envoy://l/10.0.0.7:80"),
            ),
            (json!({"envoy_internal_address": {"server_listener_name": "l"}}), Some("envoy://l/")),
            (json!({"socket_address": {"address": "10.0.0.1", "port_value": "x"}}), None),
            (json!({"pipe": {}}), None),
            (json!({}), None),
            (json!(5), None),
        ] {
            let parsed = crate::json::parse(address.to_string().as_bytes()).unwrap();
            assert_eq!(written(&parsed).as_deref(), text, "{address}");
        }
    }
}
