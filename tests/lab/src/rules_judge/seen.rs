//! What an Envoy has of a cluster.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Outlier detection as Envoy does it: thresholds that are not enforced are 0, and defaults are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detection {
    pub(super) five_xx: u64,
    pub(super) gateway: u64,
    /// Failures to reach an endpoint, if they are counted separately.
    pub(super) local: Option<u64>,
    /// Milliseconds between two looks.
    pub(super) interval: u64,
    /// Milliseconds that the first ejection lasts.
    pub(super) base: u64,
    /// Percent of the endpoints that may be ejected.
    pub(super) cap: u64,
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { five_xx, gateway, interval, base, cap, .. } = self;
        write!(f, "5xx {five_xx}, gateway {gateway}, interval {interval} ms, base {base} ms, cap {cap} %")?;
        self.local.map_or(Ok(()), |local| write!(f, ", local {local}"))
    }
}

/// An endpoint of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host {
    pub(super) address: String,
    pub(super) priority: u64,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// Its name.
    pub(super) name: String,
    /// Its outlier detection, if it has any.
    pub(super) detection: Option<Detection>,
    /// Percent of healthy endpoints below which all are used.
    pub(super) panic: f64,
    /// Its endpoints, sorted.
    pub(super) hosts: Vec<Host>,
}

/// The clusters in Envoy's configuration dump, by name, with the endpoints of its list of clusters. `None` while one of
/// them still waits for something.
pub(super) fn clusters(dump: &Value, list: &Value) -> Option<BTreeMap<String, Seen>> {
    let configs = dump["configs"].as_array()?;
    let of_clusters =
        configs.iter().find(|config| config["@type"].as_str().is_some_and(|it| it.ends_with("ClustersConfigDump")))?;
    if of_clusters["dynamic_warming_clusters"].as_array().is_some_and(|waiting| !waiting.is_empty()) {
        return None;
    }
    let hosts: BTreeMap<&str, Vec<Host>> = list["cluster_statuses"]
        .as_array()?
        .iter()
        .filter_map(|cluster| Some((cluster["name"].as_str()?, hosts(cluster))))
        .collect();
    let active = of_clusters["dynamic_active_clusters"].as_array().map_or(&[][..], Vec::as_slice);
    let seen = active.iter().filter_map(|active| {
        let cluster = &active["cluster"];
        let name = cluster["name"].as_str()?.to_owned();
        let detection = cluster.get("outlier_detection").map(detection);
        let threshold = cluster.pointer("/common_lb_config/healthy_panic_threshold");
        // A percentage of 0 is an empty message.
        let panic = threshold.map_or(50.0, |percent| percent["value"].as_f64().unwrap_or(0.0));
        let hosts = hosts.get(name.as_str()).cloned().unwrap_or_default();
        Some((name.clone(), Seen { name, detection, panic, hosts }))
    });
    Some(seen.collect())
}

fn hosts(cluster: &Value) -> Vec<Host> {
    let statuses = cluster["host_statuses"].as_array().map_or(&[][..], Vec::as_slice);
    let host = |status: &Value| {
        let address = status.pointer("/address/socket_address/address")?.as_str()?.to_owned();
        Some(Host { address, priority: status["priority"].as_u64().unwrap_or(0) })
    };
    let mut hosts: Vec<Host> = statuses.iter().filter_map(host).collect();
    hosts.sort();
    hosts
}

/// Envoy's defaults where a field is absent.
fn detection(fields: &Value) -> Detection {
    let number = |name: &str, default: u64| fields[name].as_u64().unwrap_or(default);
    let duration = |name: &str, default: u64| fields[name].as_str().and_then(millis).unwrap_or(default);
    let enforced = |name: &str, enforcing: u64| {
        if number(&format!("enforcing_{name}"), enforcing) == 0 { 0 } else { number(name, 5) }
    };
    let is_split = fields["split_external_local_origin_errors"] == true;
    Detection {
        five_xx: enforced("consecutive_5xx", 100),
        gateway: enforced("consecutive_gateway_failure", 0),
        local: is_split.then(|| enforced("consecutive_local_origin_failure", 100)),
        interval: duration("interval", 10_000),
        base: duration("base_ejection_time", 30_000),
        cap: number("max_ejection_percent", 10),
    }
}

/// A duration such as `0.500s` or `1m30s`, in milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit].parse().ok()?;
        let end = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| unit + end);
        sum += number
            * match &rest[unit..end] {
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "durations are positive and short")]
    let whole = sum.round() as u64;
    Some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn envoys_defaults_are_filled_in() {
        let found = detection(&json!({ "enforcing_success_rate": 0, "interval": "0.500s" }));
        let expected = Detection { five_xx: 5, gateway: 0, local: None, interval: 500, base: 30_000, cap: 10 };
        assert_eq!(found, expected);
        let off = detection(&json!({ "consecutive_5xx": 0, "enforcing_consecutive_5xx": 0 }));
        assert_eq!(off.five_xx, 0);
        assert_eq!(millis("1h1m30s"), Some(3_690_000));
        assert_eq!(millis("soon"), None);
    }
}
