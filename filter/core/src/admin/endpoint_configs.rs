//! Endpoints as the load balancer uses them: the answer of Envoy's admin interface to
//! `/config_dump?include_eds&resource=dynamic_endpoint_configs` (clusters of a control plane) or
//! `static_endpoint_configs` (those of the bootstrap).
//!
//! Every version answers about named clusters only, where `/clusters` lists all before 1.38. There are no counts, and
//! an endpoint that the outlier detector ejected is as UNHEALTHY as one that fails its health check.

use super::address;
use super::elements::each_element;
use super::values::{list, locality, text, whole};
use crate::json::{Value, parse};
use crate::locality::Locality;
use crate::order;
use std::io::Read;

/// A cluster's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointConfigs {
    /// The cluster's name.
    pub cluster: String,
    /// The endpoints by address, each once.
    pub endpoints: Vec<EndpointConfig>,
    /// By how much a priority's healthy endpoints may be overloaded before traffic spills, in percent; Envoy's default
    /// is 140.
    pub overprovisioning_factor: Option<u32>,
}

/// An endpoint as the load balancer uses it. One that is listed several times, with two priorities, is one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointConfig {
    /// As the attribute `upstream.address` writes it.
    pub address: String,
    /// The endpoint's locality.
    pub locality: Locality,
    /// Its lowest priority, from 0.
    pub priority: u32,
    /// Whether it gets traffic, in all of its places: neither ejected nor unhealthy nor draining.
    pub in_rotation: bool,
    /// Whether it is degraded, in any of its places: it gets traffic only if no other endpoint can take it.
    pub degraded: bool,
}

/// Reads an answer and calls `each` with every cluster in it. An endpoint whose address cannot be read is left out.
///
/// # Errors
/// A sentence that says what is wrong with the answer; what was read before still counts.
pub fn read(answer: impl Read, mut each: impl FnMut(&EndpointConfigs)) -> Result<(), String> {
    each_element(answer, "configs", &mut |element| {
        let element = parse(element).map_err(|error| format!("a cluster: {error}"))?;
        if let Some(config) = element.get("endpoint_config") {
            each(&endpoint_configs(config));
        }
        Ok(())
    })?;
    Ok(())
}

fn endpoint_configs(config: &Value) -> EndpointConfigs {
    let of_locality = |localities| {
        let (locality, priority) = (locality(localities), whole(localities, "priority").unwrap_or(0));
        list(localities, "lb_endpoints").filter_map(move |endpoint| endpoint_config(endpoint, &locality, priority))
    };
    let mut endpoints: Vec<EndpointConfig> = list(config, "endpoints").flat_map(of_locality).collect();
    order::sort(&mut endpoints, |a, b| (&a.address, a.priority) < (&b.address, b.priority));
    endpoints.dedup_by(|again, endpoint| {
        let is_same = again.address == endpoint.address;
        endpoint.in_rotation &= again.in_rotation || !is_same;
        endpoint.degraded |= again.degraded && is_same;
        is_same
    });
    let policy = config.get("policy").unwrap_or(&Value::Null);
    EndpointConfigs {
        cluster: text(config, "cluster_name").to_owned(),
        endpoints,
        overprovisioning_factor: whole(policy, "overprovisioning_factor"),
    }
}

fn endpoint_config(lb_endpoint: &Value, locality: &Locality, priority: u32) -> Option<EndpointConfig> {
    let address = address::written(lb_endpoint.get("endpoint")?.get("address")?)?;
    let health = text(lb_endpoint, "health_status");
    let in_rotation = !matches!(health, "UNHEALTHY" | "DRAINING" | "TIMEOUT");
    Some(EndpointConfig { address, locality: locality.clone(), priority, in_rotation, degraded: health == "DEGRADED" })
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{DYNAMIC_ENDPOINTS, STATIC_ENDPOINTS};
    use super::*;

    fn all(answer: &str) -> (Vec<EndpointConfigs>, Result<(), String>) {
        let mut seen = Vec::new();
        let result = read(answer.as_bytes(), |cluster| seen.push(cluster.clone()));
        (seen, result)
    }

    fn endpoints_in(answer: &str, cluster: &str) -> Vec<String> {
        let rotation = |is| if is { "in" } else { "out" };
        let line = |e: &EndpointConfig| {
            let degraded = if e.degraded { " degraded" } else { "" };
            format!("{} {} {} {}{degraded}", e.address, e.priority, e.locality.as_str(), rotation(e.in_rotation))
        };
        let cluster = all(answer).0.into_iter().find(|seen| seen.cluster == cluster).unwrap();
        cluster.endpoints.iter().map(line).collect()
    }

    #[test]
    fn endpoints_are_read_as_the_load_balancer_uses_them() {
        let (seen, result) = all(DYNAMIC_ENDPOINTS);
        assert_eq!((seen.len(), result), (8, Ok(())));
        let reviews = seen.iter().find(|seen| seen.cluster == "outbound|80||reviews.ns.svc.cluster.local").unwrap();
        assert_eq!(reviews.overprovisioning_factor, Some(200));
        assert_eq!(
            endpoints_in(DYNAMIC_ENDPOINTS, &reviews.cluster),
            [
                "127.0.0.1:21290 0 r1/z1 in",
                "127.0.0.1:21291 0 r1/z1 out",
                "127.0.0.1:21292 1 r1/z2/s in",
                "[fd00::1]:8080 1 r1/z2/s out"
            ]
        );
        assert_eq!(
            endpoints_in(DYNAMIC_ENDPOINTS, "outbound|80|v1|reviews.ns.svc.cluster.local"),
            [
                "127.0.0.1:21290 0 r1/z1 in degraded",
                "127.0.0.1:21293 0 r1/z1 out",
                "127.0.0.1:21294 1 r1/z2 in degraded",
                "127.0.0.1:21295 1 r1/z2 out"
            ],
            "a degraded endpoint is in rotation"
        );
        assert_eq!(
            endpoints_in(DYNAMIC_ENDPOINTS, "outbound|80||[::1];x:y"),
            ["/tmp/app-40.sock 0 r1/z1 in", "127.0.0.1:21290 0 r1/z1 in"]
        );
        assert!(endpoints_in(DYNAMIC_ENDPOINTS, "unassigned").is_empty());
    }

    #[test]
    fn an_endpoint_that_is_listed_several_times_is_one() {
        assert_eq!(
            endpoints_in(STATIC_ENDPOINTS, "twice"),
            ["127.0.0.1:21290 0 r1/z1 in", "127.0.0.1:21291 0 r1/z1 out"]
        );
        assert_eq!(
            endpoints_in(STATIC_ENDPOINTS, "static-two"),
            [
                "127.0.0.1:21290 0 r1/z1 in",
                "127.0.0.1:21291 0 r1/z1 out",
                "envoy://inner/10.0.0.7:80 1 r1/z2 in",
                "envoy://inner2/ 1 r1/z2 in"
            ]
        );
        let place = |priority: u32, health: &str| {
            let endpoint = r#"{"endpoint": {"address": {"pipe": {"path": "/p"}}}"#;
            format!(r#"{{"priority": {priority}, "lb_endpoints": [{endpoint}, "health_status": "{health}"}}]}}"#)
        };
        let places = format!("{}, {}", place(1, "UNHEALTHY"), place(0, "HEALTHY"));
        let answer = format!(r#"{{"configs": [{{"endpoint_config": {{"endpoints": [{places}]}}}}]}}"#);
        assert_eq!(endpoints_in(&answer, ""), ["/p 0  out"], "out of rotation in one of its places");
    }

    #[test]
    fn what_is_before_an_error_counts_and_odd_values_are_defaults() {
        assert_eq!(all("{}"), (vec![], Ok(())), "what Envoy answers about no cluster");
        let odd = r#"{"configs": [5, {"endpoint_config": {"cluster_name": 1, "policy": 2, "endpoints": [null,
            {"priority": -1, "lb_endpoints": [3, {"endpoint": {"address": {"pipe": {"path": "/p"}}}}]}]}}, {]}"#;
        let (seen, result) = all(odd);
        assert!(result.is_err());
        let endpoint = EndpointConfig { address: "/p".into(), in_rotation: true, ..EndpointConfig::default() };
        assert_eq!(seen, [EndpointConfigs { endpoints: vec![endpoint], ..EndpointConfigs::default() }]);
    }
}
