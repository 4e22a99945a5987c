//! How clusters eject: the answer of Envoy's admin interface to `/config_dump?resource=dynamic_active_clusters`
//! (clusters of a control plane) or `static_clusters` (those of the bootstrap), masked to what is read here.
//!
//! Envoy shows what it was sent: absent values have Envoy's defaults here (`DetectorConfig` in its source), and
//! overrides by Envoy's runtime are not seen. Whether a cluster has an error matcher or active health checks could be
//! had only together with headers and credentials, so it is not asked.

use super::elements::each_element;
use super::values::{is_set, list, text, whole};
use crate::endpoint::rule::{Enforcing, Rule};
use crate::json::{Value, parse};
use std::io::Read;

/// The type name of a cluster whose hosts are those of other clusters.
const AGGREGATE: &str = "envoy.clusters.aggregate";

/// `healthy_panic_threshold` where a cluster sets none, in percent.
const DEFAULT_PANIC_PERCENT: u32 = 50;

/// How one cluster ejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyRule {
    /// The cluster's name.
    pub name: String,
    /// Its rule; [`Rule::none`] if it has no outlier detection.
    pub rule: Rule,
    /// The clusters that an aggregate cluster consists of, in order of preference; empty for any other cluster.
    pub members: Vec<String>,
}

/// Reads an answer and calls `each` with every cluster in it. Returns how many clusters could not be read and were left
/// out, because they have no name, are not JSON, or have an outlier detection that is no object.
///
/// # Errors
/// A sentence that says what is wrong with the answer; what was read before still counts.
pub fn read(answer: impl Read, mut each: impl FnMut(EnvoyRule)) -> Result<u32, String> {
    let mut unreadable = 0_u32;
    each_element(answer, "configs", &mut |element| {
        let element = parse(element).unwrap_or_default();
        match element.get("cluster").and_then(envoy_rule) {
            Some(rule) => each(rule),
            None => unreadable = unreadable.saturating_add(1),
        }
        Ok(())
    })?;
    Ok(unreadable)
}

fn envoy_rule(cluster: &Value) -> Option<EnvoyRule> {
    let name = cluster.get("name").and_then(Value::as_str).filter(|name| !name.is_empty())?.to_owned();
    let panic_percent = cluster.get("common_lb_config").and_then(|config| config.get("healthy_panic_threshold"));
    let panic_percent = panic_percent.map_or(DEFAULT_PANIC_PERCENT, whole_percent);
    let rule = match cluster.get("outlier_detection") {
        Some(detection) if detection.as_object().is_some() => rule(detection, panic_percent),
        // What is not understood must not pass for a cluster that never ejects.
        Some(detection) if *detection != Value::Null => return None,
        _ => Rule::none(panic_percent),
    };
    let kind = cluster.get("cluster_type").unwrap_or(&Value::Null);
    let members = kind.get("typed_config").filter(|_| text(kind, "name") == AGGREGATE);
    let members = members.into_iter().flat_map(|config| list(config, "clusters"));
    let members = members.filter_map(Value::as_str).map(str::to_owned).collect();
    Some(EnvoyRule { name, rule, members })
}

/// The outlier detection of a cluster (`envoy.config.cluster.v3.OutlierDetection` as JSON).
fn rule(detection: &Value, panic_percent: u32) -> Rule {
    let number = |name, default| whole(detection, name).unwrap_or(default);
    let share = |name, default| u8::try_from(number(name, default).min(100)).unwrap_or(100);
    let time = |name, default| detection.get(name).and_then(Value::as_str).and_then(millis).unwrap_or(default);
    let splits_local_origin = is_set(detection, "split_external_local_origin_errors");
    let base_ejection_millis = time("base_ejection_time", 30_000);
    let ejects = |name, default, applies| applies && share(name, default) > 0;
    let by_percentage = ejects("enforcing_failure_percentage", 0, true)
        || ejects("enforcing_failure_percentage_local_origin", 0, splits_local_origin);
    let by_success_rate = ejects("enforcing_success_rate", 100, true)
        || ejects("enforcing_local_origin_success_rate", 100, splits_local_origin);
    Rule {
        consecutive_5xx: number("consecutive_5xx", 5),
        consecutive_gateway: number("consecutive_gateway_failure", 5),
        consecutive_local_origin: number("consecutive_local_origin_failure", 5),
        enforcing: Enforcing {
            http_5xx: share("enforcing_consecutive_5xx", 100),
            gateway: share("enforcing_consecutive_gateway_failure", 0),
            local_origin: share("enforcing_consecutive_local_origin_failure", 100),
        },
        splits_local_origin,
        interval_millis: time("interval", 10_000),
        base_ejection_millis,
        // Envoy refuses a maximum under the base, and by default raises it to that.
        max_ejection_millis: time("max_ejection_time", 300_000).max(base_ejection_millis),
        jitter_millis: time("max_ejection_time_jitter", 0),
        max_ejection_percent: number("max_ejection_percent", 10).min(100),
        panic_percent,
        by_rate: by_success_rate || by_percentage,
        by_percentage,
        always_ejects_one: is_set(detection, "always_eject_one_host"),
        detects_degraded: is_set(detection, "detect_degraded_hosts"),
        ..Rule::none(panic_percent)
    }
    .with_ejects()
}

/// A percentage (`envoy.type.v3.Percent` as JSON), cut to a whole number as Envoy does; 0 if it has no value.
fn whole_percent(percent: &Value) -> u32 {
    let value = percent.get("value").and_then(Value::as_f64).unwrap_or(0.0);
    value.clamp(0.0, 100.0) as u32
}

/// The whole milliseconds of a duration as protobuf's JSON writes it: `5s`, `0.500s`. `None` if it is none or negative.
fn millis(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.strip_suffix('s')?.split_once('.').unwrap_or((text.strip_suffix('s')?, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds: u64 = seconds.parse().unwrap_or(u64::MAX);
    Some(seconds.saturating_mul(1_000).saturating_add(thousandths.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{DYNAMIC_RULES_1_37, DYNAMIC_RULES_1_40, STATIC_RULES};
    use super::*;
    use serde_json::json;

    fn rule_in(answer: &str, cluster: &str) -> EnvoyRule {
        let mut seen = Vec::new();
        assert_eq!(read(answer.as_bytes(), |rule| seen.push(rule)), Ok(0));
        seen.into_iter().find(|rule| rule.name == cluster).unwrap()
    }

    fn parsed(json: &serde_json::Value) -> Value {
        parse(json.to_string().as_bytes()).unwrap()
    }

    fn rule_of(detection: serde_json::Value) -> Rule {
        envoy_rule(&parsed(&json!({"name": "a", "outlier_detection": detection}))).unwrap().rule
    }

    #[test]
    fn every_field_is_read() {
        let rule = rule_in(DYNAMIC_RULES_1_40, "outbound|80|v1|reviews.ns.svc.cluster.local").rule;
        let read = Rule {
            consecutive_5xx: 3,
            consecutive_gateway: 2,
            consecutive_local_origin: 7,
            enforcing: Enforcing { http_5xx: 80, gateway: 60, local_origin: 50 },
            splits_local_origin: true,
            interval_millis: 1_000,
            base_ejection_millis: 500,
            max_ejection_millis: 120_000,
            jitter_millis: 2_500,
            max_ejection_percent: 90,
            panic_percent: 33,
            by_rate: true,
            by_percentage: DYNAMIC_RULES_1_40.contains("\"enforcing_failure_percentage\":"),
            always_ejects_one: true,
            detects_degraded: true,
            ejects: true,
            by_envoy: false,
        };
        assert_eq!(rule, read);
        let rule = rule_in(DYNAMIC_RULES_1_37, "outbound|80|v1|reviews.ns.svc.cluster.local").rule;
        assert_eq!(rule, Rule { detects_degraded: false, ..read });
    }

    #[test]
    fn absent_values_are_envoys_defaults() {
        let rule = rule_in(DYNAMIC_RULES_1_40, "outbound|80||[::1];x:y").rule;
        let defaults = Rule {
            consecutive_5xx: 5,
            consecutive_gateway: 5,
            consecutive_local_origin: 5,
            enforcing: Enforcing { http_5xx: 100, gateway: 0, local_origin: 100 },
            by_rate: true,
            ejects: true,
            ..Rule::none(50)
        };
        assert_eq!(rule, defaults);
        assert_eq!(rule_of(json!({"base_ejection_time": "400s"})).max_ejection_millis, 400_000);
        assert_eq!(rule_in(DYNAMIC_RULES_1_40, "größe.ns").rule, Rule::none(50));
        assert_eq!(rule_in(STATIC_RULES, "static-plain").rule, Rule::none(50));
    }

    #[test]
    fn a_rule_of_istio_is_read() {
        let rule = rule_in(DYNAMIC_RULES_1_40, "outbound|80||reviews.ns.svc.cluster.local").rule;
        assert_eq!((rule.consecutive_5xx, rule.max_ejection_percent, rule.interval_millis), (2, 100, 500));
        assert!(rule.ejects && !rule.by_rate);
        assert_eq!(rule.panic_percent, 0, "a threshold without a value is 0");
        let rule = rule_in(DYNAMIC_RULES_1_40, "checked").rule;
        assert_eq!((rule.consecutive_5xx, rule.consecutive_gateway, rule.enforcing.gateway), (0, 4, 100));
    }

    #[test]
    fn an_aggregate_cluster_names_its_members() {
        let aggregate = rule_in(DYNAMIC_RULES_1_37, "agg");
        assert_eq!(aggregate.members, ["outbound|80||reviews.ns.svc.cluster.local", "static-two"]);
        assert!(!aggregate.rule.ejects && rule_in(STATIC_RULES, "orig").members.is_empty());
        let other = json!({"name": "a", "cluster_type": {"name": "x", "typed_config": {"clusters": ["b"]}}});
        assert!(envoy_rule(&parsed(&other)).unwrap().members.is_empty());
    }

    #[test]
    fn rates_eject_where_their_shares_say_so() {
        let rates = |success: u32, failure: u32, splits: bool| {
            rule_of(json!({"enforcing_success_rate": success, "enforcing_failure_percentage": failure,
                "split_external_local_origin_errors": splits}))
            .by_rate
        };
        assert!(rates(1, 0, false) && rates(0, 1, false) && rates(0, 0, true), "local origin has its own share of 100");
        assert!(!rates(0, 0, false));
        assert!(rule_of(json!({"enforcing_failure_percentage": 1})).by_percentage && !rule_of(json!({})).by_percentage);
    }

    #[test]
    fn values_out_of_range_or_of_another_type_are_clamped_or_defaults() {
        let rule = rule_of(json!({"consecutive_5xx": 99_999_999_999_u64, "consecutive_gateway_failure": "x",
            "enforcing_consecutive_5xx": 900, "max_ejection_percent": 4_000, "interval": "-1s",
            "base_ejection_time": "1e3s", "max_ejection_time": 5, "max_ejection_time_jitter": "99999999999999999999s",
            "always_eject_one_host": "yes"}));
        assert_eq!((rule.consecutive_5xx, rule.consecutive_gateway, rule.enforcing.http_5xx), (u32::MAX, 5, 100));
        assert_eq!((rule.max_ejection_percent, rule.interval_millis, rule.base_ejection_millis), (100, 10_000, 30_000));
        assert_eq!((rule.max_ejection_millis, rule.jitter_millis), (300_000, u64::MAX));
        assert!(!rule.always_ejects_one);
        for (percent, whole) in
            [(json!({}), 0), (json!({"value": 250.5}), 100), (json!({"value": -3}), 0), (json!(7), 0)]
        {
            assert_eq!(whole_percent(&parsed(&percent)), whole, "{percent}");
        }
    }

    #[test]
    fn durations_are_read_as_protobuf_writes_them() {
        for (text, read) in [("5s", 5_000), ("0.500s", 500), ("1.000001s", 1_000), ("0.25s", 250), ("2.s", 2_000)] {
            assert_eq!(millis(text), Some(read), "{text}");
        }
        for text in ["", "s", "5", "-5s", ".5s", "5ms", "1.5.5s", "x"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn a_cluster_that_cannot_be_read_is_left_out_and_counted() {
        let answer = r#"{"configs": [{"cluster": {"name": "a"}}, {"cluster": {"name": 5}}, {"cluster"}, 7, {"cluster":
            {"name": "b", "outlier_detection": null, "common_lb_config": [], "cluster_type": "x"}}, {"cluster":
            {"name": "c", "outlier_detection": 5}}]}"#;
        let mut seen = Vec::new();
        assert_eq!(read(answer.as_bytes(), |rule| seen.push((rule.name, rule.rule))), Ok(4));
        assert_eq!(seen, [("a".into(), Rule::none(50)), ("b".into(), Rule::none(50))]);
        assert_eq!(read(&b"{}"[..], |_| {}), Ok(0), "what Envoy answers about no cluster");
        let cut = read(&answer.as_bytes()[..60], |rule| seen.push((rule.name, rule.rule)));
        assert_eq!((cut, seen.len()), (Err("the answer is cut".into()), 3));
    }
}
