//! Envoy's outlier detector: its settings, in the three notations that need them, and its own record of ejections and
//! returns, which is the ground truth for the filter's.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The settings of one `outlierDetection` block, under Istio's names. The default is the meaning of an empty block.
#[derive(Clone, Debug)]
pub struct OutlierDetection {
    /// Consecutive 5xx that eject an endpoint; 0 is off.
    pub consecutive_5xx_errors: u32,
    /// Consecutive 502, 503, 504 that eject an endpoint; 0 is off.
    pub consecutive_gateway_errors: u32,
    /// Whether failures to reach the endpoint are counted separately from its answers.
    pub split_external_local_origin_errors: bool,
    /// Consecutive failures to reach the endpoint that eject it; used only with `split_external_local_origin_errors`.
    pub consecutive_local_origin_failures: u32,
    /// How often ejected endpoints are considered for return.
    pub interval: Duration,
    /// The shortest ejection; the n-th in a row lasts n times as long.
    pub base_ejection_time: Duration,
    /// The maximum share of the cluster's endpoints that may be ejected at once, in percent.
    pub max_ejection_percent: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx_errors: 5,
            consecutive_gateway_errors: 0,
            split_external_local_origin_errors: false,
            consecutive_local_origin_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 10,
        }
    }
}

impl OutlierDetection {
    /// One error ejects, every endpoint may be ejected, and times are in seconds instead of minutes: the rules of a
    /// service that fails over at the first error, made short enough to watch.
    pub fn first_error() -> Self {
        Self {
            consecutive_5xx_errors: 1,
            split_external_local_origin_errors: true,
            consecutive_local_origin_failures: 1,
            interval: Duration::from_secs(1),
            base_ejection_time: Duration::from_secs(3),
            max_ejection_percent: 100,
            ..Self::default()
        }
    }

    /// The block as in a DestinationRule and in the plugin's configuration.
    pub fn to_istio(&self) -> Value {
        json!({
            "consecutive5xxErrors": self.consecutive_5xx_errors,
            "consecutiveGatewayErrors": self.consecutive_gateway_errors,
            "splitExternalLocalOriginErrors": self.split_external_local_origin_errors,
            "consecutiveLocalOriginFailures": self.consecutive_local_origin_failures,
            "interval": seconds(self.interval),
            "baseEjectionTime": seconds(self.base_ejection_time),
            "maxEjectionPercent": self.max_ejection_percent,
        })
    }

    /// Envoy's `config.cluster.v3.OutlierDetection`, as Istio derives it from the block.
    pub fn to_envoy(&self) -> Value {
        let enforcing = |threshold: u32| if threshold == 0 { 0 } else { 100 };
        let mut envoy = json!({
            "interval": seconds(self.interval),
            "base_ejection_time": seconds(self.base_ejection_time),
            "max_ejection_percent": self.max_ejection_percent,
            "enforcing_success_rate": 0,
            "consecutive_5xx": self.consecutive_5xx_errors,
            "enforcing_consecutive_5xx": enforcing(self.consecutive_5xx_errors),
            "consecutive_gateway_failure": self.consecutive_gateway_errors,
            "enforcing_consecutive_gateway_failure": enforcing(self.consecutive_gateway_errors),
        });
        if self.split_external_local_origin_errors {
            envoy["split_external_local_origin_errors"] = json!(true);
            envoy["consecutive_local_origin_failure"] = json!(self.consecutive_local_origin_failures);
            envoy["enforcing_consecutive_local_origin_failure"] =
                json!(enforcing(self.consecutive_local_origin_failures));
            envoy["enforcing_local_origin_success_rate"] = json!(0);
        }
        envoy
    }
}

/// A duration in the form that Envoy's JSON, Istio and the plugin all accept, such as `0.5s`.
pub fn seconds(duration: Duration) -> String {
    // Formatted from integers: a binary fraction may print more than the nine digits that Envoy accepts.
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// An action of the detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Took it out of rotation.
    Eject,
    /// Put it back.
    Return,
    /// Lost it while it was ejected: it left the cluster, or a new host took its address. Envoy's log does not have
    /// this.
    Remove,
}

/// One line of Envoy's outlier event log, except for ejections that were detected but not enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether the endpoint was ejected or returned.
    pub action: Action,
    /// The cluster's name.
    pub cluster: String,
    /// The endpoint, `ip:port`.
    pub endpoint: String,
    /// For an ejection, the detector that fired, in lower case, such as `consecutive_5xx`; empty for a return.
    pub reason: String,
    /// How often the endpoint has been ejected so far, including this time.
    pub ejections: u64,
    /// When it happened, RFC 3339 in UTC with milliseconds.
    pub timestamp: String,
}

/// Parses Envoy's outlier event log. An incomplete last line is left for the next time.
///
/// # Errors
/// If a complete line is not an event.
pub fn parse_log(text: &str) -> Result<Vec<Record>> {
    let complete = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    let records = complete.map(|l| parse_record(l, true).with_context(|| format!("outlier event log: {l}")));
    records.filter_map(Result::transpose).collect()
}

/// Parses the ejections in Envoy's outlier event log that were detected but not enforced.
///
/// # Errors
/// Like [`parse_log`].
pub fn parse_unenforced(text: &str) -> Result<Vec<Record>> {
    let complete = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    let records = complete.map(|l| parse_record(l, false).with_context(|| format!("outlier event log: {l}")));
    let records: Vec<Record> = records.filter_map(Result::transpose).collect::<Result<_>>()?;
    Ok(records.into_iter().filter(|record| record.action == Action::Eject).collect())
}

/// Ejections are those that were enforced, or those that were not.
fn parse_record(line: &str, enforced: bool) -> Result<Option<Record>> {
    let event: Value = serde_json::from_str(line)?;
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let action = match event["action"].as_str() {
        Some("EJECT") if (event["enforced"] == json!(true)) == enforced => Action::Eject,
        Some("UNEJECT") => Action::Return,
        _ => return Ok(None),
    };
    // A return always has CONSECUTIVE_5XX here, the field's default.
    let reason = if action == Action::Eject { text("type").to_lowercase() } else { String::new() };
    Ok(Some(Record {
        action,
        cluster: text("cluster_name"),
        endpoint: text("upstream_url"),
        reason,
        ejections: event["num_ejections"].as_u64().unwrap_or(0),
        timestamp: text("timestamp"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_enforced_counts_and_a_cut_line_waits() {
        let eject = r#"{"type":"CONSECUTIVE_GATEWAY_FAILURE","timestamp":"t","cluster_name":"c","upstream_url":"127.0.1.1:1","action":"EJECT","num_ejections":2,"enforced":true}"#;
        let detected = eject.replace("true", "false");
        let back = eject.replace("EJECT", "UNEJECT").replace("true", "false");
        let records = parse_log(&format!("{detected}\n{eject}\n{back}\n{{\"type\":")).unwrap();
        let seen: Vec<_> = records.iter().map(|r| (r.action, r.reason.as_str(), r.ejections)).collect();
        assert_eq!(seen, [(Action::Eject, "consecutive_gateway_failure", 2), (Action::Return, "", 2)]);
        assert_eq!(
            parse_unenforced(&format!("{detected}\n{eject}\n{back}\n")).unwrap(),
            [Record { timestamp: "t".to_owned(), ..records[0].clone() }]
        );
    }
}
