//! The block `notify`: which receiver gets messages at once, and how.
//!
//! Not here: how the block is parsed ([`super::read`]) and what is sent ([`crate::notify`]).

use super::duration::Duration;

/// Labels of an alert that the filter sets itself and the configuration cannot set.
pub const OWN_LABELS: [&str; 7] =
    ["alertname", "service", "upstream_cluster", "failover_from", "failover_to", "region", "proxy"];

/// The maximum length of a path, host or cluster name, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 1024;

/// The maximum number of configured labels.
pub const MAX_LABELS: usize = 16;

/// The maximum length of a label's name or value, in bytes.
pub const MAX_LABEL_BYTES: usize = 256;

/// The maximum of `timeout`, in milliseconds.
pub const MAX_TIMEOUT: u64 = 60_000;

/// Whom to tell of failovers and of clusters without a healthy endpoint as they start and end, without waiting for a
/// scrape of the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct Notify {
    /// The cluster that reaches the receiver; requests to it must not pass through this filter.
    pub cluster: String,
    /// What the receiver takes.
    pub format: Format,
    /// The path to post to; `/api/v2/alerts` for Alertmanager and `/` for others when absent.
    pub path: Option<String>,
    /// The host to ask for; the host in the cluster's name (`outbound|9093||host`) or else that name when absent.
    pub host: Option<String>,
    /// How long an answer may take, up to 1m.
    pub timeout: Duration,
    /// How often a post that fails is tried again, 0 to 10, with waits from 0.5s on that double.
    #[cfg_attr(feature = "schema", schemars(range(max = 10)))]
    pub retries: u32,
    /// One proxy in so many, chosen by its node id, sends failovers, 1 to 10,000; 1 is every one. Clusters without a
    /// healthy endpoint are sent by every proxy.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub one_in: u32,
    /// Labels that every alert gets, 16 at most: texts.
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    #[cfg_attr(feature = "schema", serde(serialize_with = "as_object"))]
    pub labels: Vec<(String, String)>,
}

#[cfg(feature = "schema")]
fn as_object<S: serde::Serializer>(labels: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(name, value)| (name, value)))
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            format: Format::Alertmanager,
            path: None,
            host: None,
            timeout: Duration::from_millis(2_000),
            retries: 5,
            one_in: 1,
            labels: Vec::new(),
        }
    }
}

impl Notify {
    /// The path to post to.
    pub fn path(&self) -> &str {
        match (&self.path, self.format) {
            (Some(path), _) => path,
            (None, Format::Alertmanager) => "/api/v2/alerts",
            (None, Format::Webhook) => "/",
        }
    }

    /// The host to send as authority: receivers reject one that contains `|`.
    pub fn host(&self) -> &str {
        self.host.as_deref().unwrap_or_else(|| crate::names::service(&self.cluster))
    }
}

/// What a receiver takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase"))]
pub enum Format {
    /// Alerts, as Alertmanager's v2 API takes them.
    #[default]
    Alertmanager,
    /// Each event by itself, as in the log.
    Webhook,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn notify(text: &str) -> Result<Notify, String> {
        let parsed = parse(format!(r#"{{"notify": {text}}}"#).as_bytes()).map_err(|error| error.to_string())?;
        Ok(parsed.config.notify.unwrap())
    }

    #[test]
    fn the_cluster_is_enough_and_tells_the_host() {
        let read = notify(r#"{"cluster": "outbound|9093||alertmanager.monitoring.svc.cluster.local"}"#).unwrap();
        assert_eq!((read.path(), read.host()), ("/api/v2/alerts", "alertmanager.monitoring.svc.cluster.local"));
        let read =
            notify(r#"{"cluster": "hook", "format": "webhook", "host": "a:80", "labels": {"team": "x"}}"#).unwrap();
        assert_eq!((read.path(), read.host()), ("/", "a:80"));
        assert_eq!(read.labels, [("team".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_says_where() {
        for (text, wrong) in [
            (r#"{}"#, "notify.cluster: got nothing"),
            (r#"{"cluster": ""}"#, "notify.cluster"),
            (r#"{"cluster": "a", "format": "slack"}"#, "notify.format"),
            (r#"{"cluster": "a", "path": "api"}"#, "notify.path"),
            (r#"{"cluster": "a", "path": "/a b"}"#, "notify.path"),
            (r#"{"cluster": "a", "host": "a\r\nx: y"}"#, "notify.host"),
            (r#"{"cluster": "a", "timeout": "2m"}"#, "notify.timeout: got 2m, wanted from 1ms to 1m"),
            (r#"{"cluster": "a", "retries": 11}"#, "notify.retries"),
            (r#"{"cluster": "a", "oneIn": 0}"#, "notify.oneIn: got 0, wanted a whole number from 1 to 10000"),
            (r#"{"cluster": "a", "labels": {"a-b": "x"}}"#, "notify.labels: got a-b: \"x\", wanted a name"),
            (
                r#"{"cluster": "a", "labels": {"proxy": "x"}}"#,
                "notify.labels: got proxy: \"x\", wanted none of the labels",
            ),
            (r#"{"cluster": "a", "labels": {"a": 1}}"#, "notify.labels: got a: 1, wanted a text"),
        ] {
            let error = notify(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
        let many: Vec<String> = (0..=MAX_LABELS).map(|i| format!(r#""l{i}": "x""#)).collect();
        assert!(notify(&format!(r#"{{"cluster": "a", "labels": {{{}}}}}"#, many.join(","))).is_err());
    }
}
