//! Translates a DestinationRule's `outlierDetection` to what Envoy receives.
//!
//! istiod leaves out what is not set, so Envoy's defaults apply. The exceptions that matter are handled here one by
//! one.

use filter_core::config::Duration;
use filter_core::config::OutlierDetection;
use serde_json::{Value, json};

use crate::yaml::node::Node;

/// The largest count that the filter accepts; no streak gets that long.
const MAX_COUNT: u64 = 1_000_000;

/// Translates a block.
///
/// # Errors
/// The field and its problem, for a value that Istio refuses.
pub(crate) fn translate(block: &Node) -> Result<OutlierDetection, (&'static str, String)> {
    let default = OutlierDetection::default();
    let count = |name: &'static str, default: u32| match (block.field(name), block.number(name)) {
        (None, _) => Ok(default),
        (Some(_), Some(n)) => Ok(u32::try_from(n.min(MAX_COUNT)).unwrap_or(u32::MAX)),
        (Some(other), None) => Err((name, format!("got {}, wanted a whole number", other.json()))),
    };
    let duration = |name: &'static str, default: Duration| match (block.field(name), block.text(name)) {
        (None, _) => Ok(default),
        (Some(_), Some(text)) => Duration::parse(text).map_err(|problem| (name, problem)),
        (Some(other), None) => Err((name, format!("got {}, wanted a duration such as \"30s\"", other.json()))),
    };
    let not_zero = |n: u32, default: u32| if n == 0 { default } else { n };
    Ok(OutlierDetection {
        // If unset, Envoy's default of 5 applies; 0 turns it off.
        consecutive5xx_errors: count("consecutive5xxErrors", default.consecutive5xx_errors)?,
        // If unset, it is not enforced, so it never ejects.
        consecutive_gateway_errors: count("consecutiveGatewayErrors", 0)?,
        split_external_local_origin_errors: block.flag("splitExternalLocalOriginErrors").unwrap_or(false),
        // A 0 is not passed on, so Envoy's 5 applies.
        consecutive_local_origin_failures: not_zero(
            count("consecutiveLocalOriginFailures", 0)?,
            default.consecutive_local_origin_failures,
        ),
        interval: duration("interval", default.interval)?,
        base_ejection_time: duration("baseEjectionTime", default.base_ejection_time)?,
        // Istio has no such field. Envoy uses 300s, or the base time if that is longer; the filter does the same.
        max_ejection_time: default.max_ejection_time,
        // A 0 is not passed on here either.
        max_ejection_percent: not_zero(count("maxEjectionPercent", 0)?, default.max_ejection_percent).min(100),
        // Istio sets Envoy's panic threshold to this value, or to 0 if it is unset.
        min_health_percent: count("minHealthPercent", 0)?.min(100),
    })
}

/// A rule in the form of the plugin's configuration; `None` is a cluster whose endpoints Envoy never ejects.
pub(crate) fn written(rules: Option<&OutlierDetection>) -> Value {
    let Some(rules) = rules else {
        return json!({"consecutive5xxErrors": 0, "consecutiveGatewayErrors": 0});
    };
    let mut fields = json!({
        "consecutive5xxErrors": rules.consecutive5xx_errors,
        "consecutiveGatewayErrors": rules.consecutive_gateway_errors,
        "interval": rules.interval.to_string(),
        "baseEjectionTime": rules.base_ejection_time.to_string(),
        "maxEjectionPercent": rules.max_ejection_percent,
    });
    if rules.min_health_percent > 0 {
        fields["minHealthPercent"] = rules.min_health_percent.into();
    }
    if rules.split_external_local_origin_errors {
        fields["splitExternalLocalOriginErrors"] = true.into();
        fields["consecutiveLocalOriginFailures"] = rules.consecutive_local_origin_failures.into();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn of(text: &str) -> OutlierDetection {
        translate(&yaml::read(text).unwrap()[0]).unwrap()
    }

    #[test]
    fn what_is_not_set_is_what_envoy_has() {
        assert_eq!(of("{}"), OutlierDetection::default());
        assert_eq!(of("maxEjectionPercent: 0").max_ejection_percent, 10);
        assert_eq!(of("consecutive5xxErrors: 0").consecutive5xx_errors, 0);
        let split = of("{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 0}");
        assert_eq!(split.consecutive_local_origin_failures, 5);
        assert_eq!(of("baseEjectionTime: 1h0m30s").base_ejection_time.millis(), 3_630_000);
        let wrong = translate(&yaml::read("interval: soon").unwrap()[0]).unwrap_err();
        assert_eq!(wrong.0, "interval");
        let wrong = translate(&yaml::read("{interval: 10s, maxEjectionPercent: '50'}").unwrap()[0]).unwrap_err();
        assert_eq!(wrong, ("maxEjectionPercent", "got \"50\", wanted a whole number".into()));
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let rules = of(
            "{splitExternalLocalOriginErrors: true, consecutiveGatewayErrors: 2, interval: 1500ms, minHealthPercent: \
                30}",
        );
        let text = json!({"outlierDetection": written(Some(&rules))}).to_string();
        let parsed = filter_core::config::parse(text.as_bytes()).unwrap();
        assert_eq!((parsed.config.outlier_detection, parsed.unknown_fields), (rules, vec![]));
    }
}
