//! The metrics: their names, kinds and labels, and the stat names that carry them.
//!
//! The proxy-wasm ABI has no labels. A stat is named `label=.=value;.;…name`, the form that Istio's `extraStatTags`
//! (and the `stats_tags` of `deploy/envoy`) turn into labels. [`Metric`] is the one place that lists them; the
//! documents and `deploy/` are checked against [`Metric::ALL`] by `cargo xtask tidy`.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Every metric of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`Metric::help` describes each")]
pub enum Metric {
    Attempts,
    RetriedRequests,
    ErrorStreaks,
    Ejections,
    EjectionsBlocked,
    EjectedEndpoints,
    Failovers,
    FailoverActive,
    FailoverSeconds,
    NoHealthyUpstream,
    TrackedEndpoints,
    OpenFindings,
    EventsSuppressed,
    SeriesOverflow,
    ConfigRejected,
    WitnessPolls,
    RuleMismatches,
    Notifications,
    BuildInfo,
}

/// Labels that identify a failover.
const FAILOVER: &[&str] = &["upstream_cluster", "failover_from", "failover_to"];

impl Metric {
    /// All metrics, in the order of the documents.
    pub const ALL: [Self; 19] = [
        Self::Attempts,
        Self::RetriedRequests,
        Self::ErrorStreaks,
        Self::Ejections,
        Self::EjectionsBlocked,
        Self::EjectedEndpoints,
        Self::Failovers,
        Self::FailoverActive,
        Self::FailoverSeconds,
        Self::NoHealthyUpstream,
        Self::TrackedEndpoints,
        Self::OpenFindings,
        Self::EventsSuppressed,
        Self::SeriesOverflow,
        Self::ConfigRejected,
        Self::WitnessPolls,
        Self::RuleMismatches,
        Self::Notifications,
        Self::BuildInfo,
    ];

    /// The name, as Prometheus shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempts => "faultline_attempts_total",
            Self::RetriedRequests => "faultline_retried_requests_total",
            Self::ErrorStreaks => "faultline_error_streaks_total",
            Self::Ejections => "faultline_ejections_total",
            Self::EjectionsBlocked => "faultline_ejections_blocked_total",
            Self::EjectedEndpoints => "faultline_ejected_endpoints",
            Self::Failovers => "faultline_failovers_total",
            Self::FailoverActive => "faultline_failover_active",
            Self::FailoverSeconds => "faultline_failover_seconds_total",
            Self::NoHealthyUpstream => "faultline_no_healthy_upstream_total",
            Self::TrackedEndpoints => "faultline_tracked_endpoints",
            Self::OpenFindings => "faultline_open_findings",
            Self::EventsSuppressed => "faultline_events_suppressed_total",
            Self::SeriesOverflow => "faultline_series_overflow_total",
            Self::ConfigRejected => "faultline_config_rejected_total",
            Self::WitnessPolls => "faultline_witness_polls_total",
            Self::RuleMismatches => "faultline_rule_mismatches_total",
            Self::Notifications => "faultline_notifications_total",
            Self::BuildInfo => "faultline_build_info",
        }
    }

    /// Its labels, in the order of the stat name.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Attempts => &["upstream_cluster", "upstream_locality", "outcome"],
            Self::RetriedRequests | Self::EjectionsBlocked | Self::NoHealthyUpstream | Self::RuleMismatches => {
                &["upstream_cluster"]
            }
            Self::ErrorStreaks => &["upstream_cluster", "upstream_locality", "streak_kind"],
            Self::Ejections => &["upstream_cluster", "upstream_locality", "eject_reason", "basis"],
            Self::EjectedEndpoints => &["upstream_cluster", "upstream_locality"],
            Self::Failovers | Self::FailoverActive | Self::FailoverSeconds => FAILOVER,
            Self::WitnessPolls | Self::Notifications => &["result"],
            Self::BuildInfo => &["version"],
            Self::TrackedEndpoints
            | Self::OpenFindings
            | Self::EventsSuppressed
            | Self::SeriesOverflow
            | Self::ConfigRejected => &[],
        }
    }

    /// Counter or gauge.
    pub const fn kind(self) -> Kind {
        match self {
            Self::EjectedEndpoints
            | Self::FailoverActive
            | Self::TrackedEndpoints
            | Self::OpenFindings
            | Self::BuildInfo => Kind::Gauge,
            _ => Kind::Counter,
        }
    }

    /// What the metric counts, as a sentence for the documents.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Attempts => "Attempts seen, by where they went and what they counted as",
            Self::RetriedRequests => "Requests that took more than one attempt",
            Self::ErrorStreaks => "Streaks of errors at one endpoint that reached their threshold",
            Self::Ejections => "Ejections of endpoints",
            Self::EjectionsBlocked => "Thresholds reached at which Envoy kept the endpoint in rotation",
            Self::EjectedEndpoints => "Endpoints that are ejected now",
            Self::Failovers => "Failovers that started, or moved on to another destination",
            Self::FailoverActive => "1 while the failover lasts",
            Self::FailoverSeconds => "Seconds in failover, added when it moves on or ends",
            Self::NoHealthyUpstream => "Times that a cluster lost its last healthy endpoint",
            Self::TrackedEndpoints => "Endpoints known to the filter, over all workers",
            Self::OpenFindings => {
                "Endpoints failing or ejected, failovers, clusters without a healthy endpoint: what is not over"
            }
            Self::EventsSuppressed => "Events not logged because of limits.eventsPerSecond",
            Self::SeriesOverflow => "Metric changes lost because of limits.series",
            Self::ConfigRejected => "Configurations that were rejected",
            Self::RuleMismatches => "Rules of clusters read from Envoy that differ from the configured ones",
            Self::WitnessPolls => "Questions to Envoy's admin interface, by how they ended",
            Self::Notifications => "Messages of `notify`, by how they ended",
            Self::BuildInfo => "1, with the version of the filter",
        }
    }

    /// The stat's name (`label=.=value;.;…name`) with `values` for its labels, in their order.
    pub fn stat_name(self, values: &[&str]) -> String {
        let mut name = String::with_capacity(128);
        for (label, value) in self.labels().iter().zip(values) {
            name.push_str(label);
            name.push_str("=.=");
            push_value(&mut name, value);
            name.push_str(";.;");
        }
        name.push_str(self.name());
        name
    }
}

/// The maximum length of a label value, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// Appends a label value, without the separator `;.;` and without characters that no label should contain.
fn push_value(name: &mut String, value: &str) {
    let start = name.len();
    for c in value.chars() {
        if name.len().saturating_sub(start).saturating_add(c.len_utf8()) > MAX_VALUE_BYTES {
            break;
        }
        name.push(if c == ';' || c.is_control() { '_' } else { c });
    }
    if value.is_empty() {
        // Istio's tag rules do not match an empty value, which also looks like a mistake.
        name.push_str("unknown");
    }
}

/// The value that one gauge should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Which gauge.
    pub metric: Metric,
    /// The values of its labels, in their order.
    pub values: Vec<String>,
    /// The gauge's value.
    pub value: u64,
}

impl Level {
    /// Whether both are about the same series.
    pub fn is_of(&self, other: &Self) -> bool {
        self.metric == other.metric && self.values == other.values
    }
}

/// A change to one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which metric.
    pub metric: Metric,
    /// The values of its labels, in their order.
    pub values: Vec<String>,
    /// The increase, above 0.
    pub by: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_names_have_the_form_that_istio_extracts() {
        let name = Metric::Ejections.stat_name(&["outbound|80||a.b", "r/z", "consecutive_5xx", "inferred"]);
        assert_eq!(
            name,
            "upstream_cluster=.=outbound|80||a.b;.;upstream_locality=.=r/z;.;eject_reason=.=consecutive_5xx;.;\
             basis=.=inferred;.;faultline_ejections_total"
        );
        assert_eq!(Metric::TrackedEndpoints.stat_name(&[]), "faultline_tracked_endpoints");
    }

    #[test]
    fn values_cannot_break_the_form() {
        let name = Metric::RetriedRequests.stat_name(&["a;.;b\n"]);
        assert_eq!(name, "upstream_cluster=.=a_._b_;.;faultline_retried_requests_total");
        assert!(Metric::RetriedRequests.stat_name(&[""]).contains("=.=unknown;.;"));
        assert!(Metric::RetriedRequests.stat_name(&[&"é".repeat(1_000)]).len() < 400);
    }

    #[test]
    fn counters_are_named_total_and_gauges_are_not() {
        for metric in Metric::ALL {
            assert_eq!(metric.kind() == Kind::Counter, metric.name().ends_with("_total"), "{}", metric.name());
        }
    }
}
