//! The plugin configuration: its types, defaults and ranges, and how it is parsed.
//!
//! Fields have Istio's names where Istio has one, so that a DestinationRule's `outlierDetection` can be pasted. Every
//! field is optional, and an empty text is a valid configuration. Parsing reports problems (path, what came, what was
//! wanted: `read`) but never decides what to do about them: the filter keeps its previous configuration, the publisher
//! fails with an error.

mod duration;
mod matching;
pub mod notify;
mod read;
mod types;

pub use duration::Duration;
pub use types::{
    Attempts, ClusterRule, Config, ConfigError, Events, Failover, Limits, LocalityRule, LogLevel, MAX_TEXT_BYTES,
    OutlierDetection, Parsed, SCHEMA_VERSION, SERVICE_CLUSTERS, Witness,
};

/// Parses a configuration; an empty or blank text gives the default.
///
/// # Errors
/// The first thing wrong with the text: not JSON, a wrong type, a value out of range, or more than
/// [`MAX_TEXT_BYTES`].
pub fn parse(text: &[u8]) -> Result<Parsed, ConfigError> {
    if text.len() > MAX_TEXT_BYTES {
        let problem = format!("the text has {} bytes; at most {MAX_TEXT_BYTES} are read", text.len());
        return Err(ConfigError { path: ".".into(), problem });
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Parsed::default());
    }
    read::config(text)
}

/// The JSON Schema of [`Config`], generated from the types.
#[cfg(feature = "schema")]
pub fn json_schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_text_is_the_default() {
        for text in ["", " \n", "{}"] {
            assert_eq!(parse(text.as_bytes()).unwrap(), Parsed::default(), "{text:?}");
        }
    }

    #[test]
    fn a_destination_rules_block_can_be_pasted() {
        let text = r#"{"outlierDetection": {"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1,
            "consecutive5xxErrors": 1, "interval": "30s", "baseEjectionTime": "5m", "maxEjectionPercent": 100, "minHealthPercent": 50}}"#;
        let parsed = parse(text.as_bytes()).unwrap();
        assert!(parsed.unknown_fields.is_empty());
        let outlier = parsed.config.outlier_detection;
        assert_eq!(
            (outlier.consecutive5xx_errors, outlier.max_ejection_percent, outlier.min_health_percent),
            (1, 100, 50)
        );
        assert_eq!(outlier.base_ejection_time.millis(), 300_000);
    }

    #[test]
    fn errors_name_the_field_and_what_was_wanted() {
        let text = r#"{"clusters": [{"match": "a"}, {"match": "b", "outlierDetection": {"interval": 10}}]}"#;
        assert!(problem(text).starts_with("clusters[1].outlierDetection.interval: got 10, wanted a duration"));
        assert!(problem("{").contains("EOF"));
        assert!(problem("{} x").contains("trailing characters"));
        assert!(
            problem(r#"{"outlierDetection": {"maxEjectionPercent": 101}}"#)
                .contains("got 101, wanted a whole number from 0 to 100")
        );
        assert!(problem(r#"{"outlierDetection": {"consecutive5xxErrors": -1}}"#).contains("consecutive5xxErrors"));
        assert!(problem(r#"{"failover": {"startShare": 0}}"#).starts_with("failover.startShare"));
        assert!(
            problem(r#"{"localities": [{"cidr": "10.0.0.0/33", "locality": "a"}]}"#).contains("localities[0].cidr")
        );
        assert!(problem(&" ".repeat(MAX_TEXT_BYTES + 1)).contains("bytes"));
    }

    #[cfg(feature = "schema")]
    #[test]
    fn every_field_of_the_schema_is_read_with_the_schemas_default() {
        let config = Config {
            clusters: vec![ClusterRule {
                pattern: "a".into(),
                outlier_detection: Some(OutlierDetection::default()),
                ignore: true,
            }],
            localities: vec![LocalityRule { cidr: "10.0.0.0/8".into(), locality: "r".into() }],
            witness: Some(Witness::default()),
            notify: Some(notify::Notify { cluster: "a".into(), ..Default::default() }),
            attempts: Attempts::UpstreamLog,
            events: Events::Compact,
            log_level: LogLevel::Trace,
            ..Config::default()
        };
        let text = serde_json::to_vec(&config).unwrap();
        assert_eq!(parse(&text).unwrap(), Parsed { config, unknown_fields: vec![] });
    }

    #[test]
    fn unknown_fields_are_told_and_do_no_harm() {
        let parsed = parse(br#"{"outlierDetection": {"intervall": "1s"}, "nonsense": 1}"#).unwrap();
        assert_eq!(parsed.unknown_fields, ["outlierDetection.intervall", "nonsense"]);
        assert_eq!(parsed.config, Config::default());
    }

    #[test]
    fn the_first_matching_rule_wins_and_service_clusters_are_ignored() {
        let text = r#"{"clusters": [
            {"match": "outbound|80||a.*", "ignore": true},
            {"match": "outbound|*", "outlierDetection": {"consecutive5xxErrors": 2}},
            {"match": "agent"}]}"#;
        let config = parse(text.as_bytes()).unwrap().config;
        assert_eq!(config.rules_for("outbound|80||a.ns"), None);
        assert_eq!(config.rules_for("outbound|80||b.ns").map(|r| r.consecutive5xx_errors), Some(2));
        assert_eq!(config.rules_for("PassthroughCluster"), None);
        assert_eq!(config.rules_for("agent").map(|r| r.consecutive5xx_errors), Some(5));
    }

    #[test]
    fn localities_can_be_given_by_address() {
        let text = r#"{"localities": [{"cidr": "10.1.0.0/16", "locality": "r/z1"}]}"#;
        let config = parse(text.as_bytes()).unwrap().config;
        assert_eq!(config.locality_of("10.1.2.3:80"), Some("r/z1"));
        assert_eq!(config.locality_of("10.2.2.3:80"), None);
        assert_eq!(config.locality_of("/a/pipe"), None);
    }
}
