//! Translates a DestinationRule's `outlierDetection` to what Envoy receives.
//!
//! istiod leaves out what is not set, so Envoy's defaults apply. The exceptions that matter are handled here one by
//! one.

use filter_core::config::Duration;
use filter_core::config::OutlierDetection;
use serde_json::{Value, json};

use crate::durations;
use crate::yaml::node::Node;

/// The largest count that the filter accepts; no streak gets that long.
const MAX_COUNT: u64 = 1_000_000;

/// A field and what is wrong with its value.
pub type Problem = (&'static str, String);

/// Translates a block.
///
/// # Errors
/// Every field that Istio or the API server refuses, with its problem.
pub fn translate(block: &Node) -> Result<OutlierDetection, Vec<Problem>> {
    let mut problems = Vec::new();
    let default = OutlierDetection::default();
    let consecutive5xx_errors = count(block, "consecutive5xxErrors", &mut problems);
    let gateway = count(block, "consecutiveGatewayErrors", &mut problems);
    let local = count(block, "consecutiveLocalOriginFailures", &mut problems);
    let interval = duration(block, "interval", &mut problems);
    let base = duration(block, "baseEjectionTime", &mut problems);
    let percent = percent(block, "maxEjectionPercent", &mut problems);
    let health = self::percent(block, "minHealthPercent", &mut problems);
    let split = flag(block, "splitExternalLocalOriginErrors", &mut problems).unwrap_or(false);
    let not_zero = |n: Option<u32>| n.filter(|n| *n > 0);
    if not_zero(local).is_some() && !split {
        let problem = "is set, and splitExternalLocalOriginErrors is not".to_owned();
        problems.push(("consecutiveLocalOriginFailures", problem));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(OutlierDetection {
        // If unset, Envoy's default of 5 applies; 0 turns it off.
        consecutive5xx_errors: consecutive5xx_errors.unwrap_or(default.consecutive5xx_errors),
        // If unset, it is not enforced, so it never ejects.
        consecutive_gateway_errors: gateway.unwrap_or(0),
        split_external_local_origin_errors: split,
        // A 0 is not passed on, so Envoy's 5 applies.
        consecutive_local_origin_failures: not_zero(local).unwrap_or(default.consecutive_local_origin_failures),
        interval: interval.unwrap_or(default.interval),
        base_ejection_time: base.unwrap_or(default.base_ejection_time),
        // Istio has no such field. Envoy uses 300s, or the base time if that is longer; the filter does the same.
        max_ejection_time: default.max_ejection_time,
        // A 0 is not passed on here either.
        max_ejection_percent: not_zero(percent).unwrap_or(default.max_ejection_percent),
        // Istio sets Envoy's panic threshold to this value, or to 0 if it is unset.
        min_health_percent: health.unwrap_or(0),
    })
}

fn count(block: &Node, name: &'static str, problems: &mut Vec<Problem>) -> Option<u32> {
    let field = block.field(name)?;
    match block.number(name) {
        Some(n) if n > u64::from(u32::MAX) => {
            problems.push((name, format!("got {n}, wanted {} at most", u32::MAX)));
        }
        Some(n) => return Some(u32::try_from(n.min(MAX_COUNT)).unwrap_or(u32::MAX)),
        None => problems.push((name, format!("got {}, wanted a whole number", field.json()))),
    }
    None
}

/// Istio's `ValidatePercent`.
fn percent(block: &Node, name: &'static str, problems: &mut Vec<Problem>) -> Option<u32> {
    let percent = count(block, name, problems)?;
    if percent > 100 {
        problems.push((name, format!("got {percent}, wanted a percentage from 0 to 100")));
        return None;
    }
    Some(percent)
}

fn duration(block: &Node, name: &'static str, problems: &mut Vec<Problem>) -> Option<Duration> {
    let field = block.field(name)?;
    match block.text(name).map(durations::read) {
        Some(Ok(duration)) => return Some(duration),
        Some(Err(problem)) => problems.push((name, problem)),
        None => problems.push((name, format!("got {}, wanted a duration such as \"30s\"", field.json()))),
    }
    None
}

fn flag(block: &Node, name: &'static str, problems: &mut Vec<Problem>) -> Option<bool> {
    let field = block.field(name)?;
    if block.flag(name).is_none() {
        problems.push((name, format!("got {}, wanted true or false", field.json())));
    }
    block.flag(name)
}

/// A rule in the form of the plugin's configuration; `None` is a cluster whose endpoints Envoy never ejects.
pub fn written(rules: Option<&OutlierDetection>) -> Value {
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
        assert_eq!(wrong[0].0, "interval");
        let wrong = translate(&yaml::read("{interval: 10s, maxEjectionPercent: '50'}").unwrap()[0]).unwrap_err();
        assert_eq!(wrong, [("maxEjectionPercent", "got \"50\", wanted a whole number".into())]);
        let text = "{maxEjectionPercent: 150, minHealthPercent: 101, consecutive5xxErrors: -1}";
        let wrong = translate(&yaml::read(text).unwrap()[0]).unwrap_err();
        assert_eq!(
            wrong.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
            ["consecutive5xxErrors", "maxEjectionPercent", "minHealthPercent"]
        );
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
