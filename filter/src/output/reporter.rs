//! Reports events as log lines, metrics and notifications, keeps gauges up to date, and logs remarks.
//!
//! Nothing here runs while the plugin is configured: Envoy also configures a canary VM, which it then discards.

use super::metrics::Metrics;
use super::remark::Remark;
use crate::host::{self, LogLevel};
use crate::shared::open_findings::OpenFindings;
use crate::shared::question::PollResult;
use crate::shared::{claims, cluster_states, outbox};
use filter_core::cluster::ClusterState;
use filter_core::config::{self, Config, Events};
use filter_core::endpoint::outcome::Outcome;
use filter_core::event::{Event, EventKind};
use filter_core::locality::Locality;
use filter_core::metric::{Level, Metric};
use filter_core::notify::Message;
use filter_core::notify::spread::Spread;
use filter_core::time::{Millis, seconds_between};

/// How long events are held back before a summary is logged, in milliseconds.
const SUM_UP_AFTER_MS: Millis = 1_000;

/// The result of a notification: the label `result` of `faultline_notifications_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryResult {
    /// The receiver accepted it.
    Ok,
    /// It was rejected, or failed as often as the configured number of retries allows.
    Failed,
    /// The outbox had no room for it.
    Dropped,
}

impl DeliveryResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The class of an event's log line, and how many times `limits.eventsPerSecond` lines of the class are allowed in a
/// second. Each class has room of its own, so that in a flood the lines that say how it began do not use up the room of
/// those that say what it means.
const fn class_of(kind: &EventKind) -> (&'static str, u32) {
    match kind {
        EventKind::ErrorStreak { .. } => ("streaks", 1),
        EventKind::EndpointEjected { .. }
        | EventKind::EndpointReturned { .. }
        | EventKind::EndpointRemoved { .. }
        | EventKind::EjectionBlocked { .. } => ("ejections", 4),
        _ => ("clusters", 20),
    }
}

/// Reports events, and holds back those that exceed the limit per second.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    /// The gauge that shows whether anything is open in the proxy.
    pub(crate) open_findings: OpenFindings,
    metrics: Metrics,
    /// The lowest severity of remarks.
    log_level: config::LogLevel,
    is_version_shown: bool,
    held_back: u64,
    held_back_since: Millis,
}

impl Reporter {
    /// Applies a configuration: its log level and its limit of series.
    pub(crate) fn configure(&mut self, config: &Config) {
        self.log_level = config.log_level;
        self.metrics.set_limit(&config.limits);
    }

    /// Reports events in their order: always as metrics, as log lines within `limits.eventsPerSecond`, and as
    /// notifications through the outbox, in the turn of the proxy with this hash. True if there were any notifications.
    pub(crate) fn report(&mut self, events: &[Event], config: &Config, node_hash: u32) -> bool {
        let mut next = events;
        while let Some((event, rest)) = next.split_first() {
            next = rest;
            self.write(event, config, config.events == Events::All || !event.is_streak_of_ejection(rest));
        }
        let Some(notify) = &config.notify else { return false };
        let messages: Vec<(Message, Millis)> = events
            .iter()
            .flat_map(|event| Message::of(event, notify.format).into_iter().map(|message| (message, event.at)))
            .collect();
        if messages.is_empty() {
            return false;
        }
        let spread = Spread::new(node_hash, notify.one_in);
        let lost = outbox::change(|outbox| {
            messages.iter().filter(|(message, at)| !outbox.push(message.clone(), *at, spread)).count()
        });
        self.count_notifications(DeliveryResult::Dropped, lost.unwrap_or(messages.len()));
        true
    }

    /// Reports how many events were held back, once there is room again.
    pub(crate) fn report_held_back(&mut self, now: Millis, config: &Config) {
        let waited = now.saturating_sub(self.held_back_since);
        if self.held_back == 0 || waited < SUM_UP_AFTER_MS {
            return;
        }
        let count = std::mem::take(&mut self.held_back);
        let seconds = seconds_between(self.held_back_since, now);
        self.write(&Event::of_cluster(now, "", EventKind::EventsSuppressed { count, seconds }), config, true);
    }

    /// Logs a remark.
    pub(crate) fn remark(&self, remark: Remark<'_>) {
        let (level, text) = remark.line();
        // Both have the ABI's numbers.
        if level as u32 >= self.log_level as u32 {
            let _ = host::log(level, &format!("faultline: {text}"));
        }
    }

    /// Changes a cluster's shared state, and its gauges with it. `change` may run several times, each time on the
    /// latest state. True if its last run was written back.
    pub(crate) fn change_cluster(&mut self, name: &str, change: &mut dyn FnMut(&mut ClusterState)) -> bool {
        let changed = cluster_states::change(name, &mut self.open_findings, change);
        for level in changed.before.iter().filter(|level| !changed.after.iter().any(|other| other.is_of(level))) {
            self.metrics.show(name, &Level { value: 0, ..level.clone() });
        }
        for level in changed.after.iter().filter(|level| !changed.before.contains(level)) {
            self.metrics.show(name, level);
        }
        changed.is_written
    }

    /// Sets all of a cluster's gauges again, to the values of its shared state.
    pub(crate) fn refresh_gauges(&mut self, cluster: &str, levels: &[Level]) {
        self.metrics.show_all(cluster, levels);
    }

    /// Whether this VM has raised any of a cluster's gauges above 0.
    pub(crate) fn has_raised_gauges(&self, cluster: &str) -> bool {
        self.metrics.has_raised(cluster)
    }

    /// Sets the gauge of known endpoints, over all clusters.
    pub(crate) fn show_tracked_endpoints(&mut self, count: u64) {
        self.metrics.set(Metric::TrackedEndpoints, &[], count);
    }

    /// Sets the gauge that shows the running version; once is enough.
    pub(crate) fn show_version(&mut self) {
        if !self.is_version_shown {
            self.is_version_shown = true;
            self.metrics.set(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
        }
    }

    /// Counts attempts at endpoints of one locality that had the same outcome.
    pub(crate) fn count_attempts(&mut self, cluster: &str, locality: &Locality, outcome: Outcome, count: u32) {
        let values = [cluster, locality.as_str(), outcome.as_str()];
        self.metrics.add(Metric::Attempts, &values, i64::from(count));
    }

    /// Counts requests that took more than one attempt.
    pub(crate) fn count_retried_requests(&mut self, cluster: &str, count: u32) {
        self.metrics.add(Metric::RetriedRequests, &[cluster], i64::from(count));
    }

    /// Counts a cluster whose configured rule is not Envoy's.
    pub(crate) fn count_rule_mismatch(&mut self, cluster: &str) {
        self.metrics.add(Metric::RuleMismatches, &[cluster], 1);
    }

    /// Counts a question to Envoy.
    pub(crate) fn count_poll(&mut self, result: PollResult) {
        self.metrics.add(Metric::WitnessPolls, &[result.label()], 1);
    }

    /// Counts notifications.
    pub(crate) fn count_notifications(&mut self, result: DeliveryResult, count: usize) {
        self.metrics.add(Metric::Notifications, &[result.label()], i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn write(&mut self, event: &Event, config: &Config, is_logged: bool) {
        for change in event.changes() {
            self.metrics.apply(&change);
        }
        if !is_logged {
            return;
        }
        let (class, times) = class_of(&event.kind);
        let per_second = config.limits.events_per_second.saturating_mul(times);
        if claims::take_log_line(class, event.at, per_second) {
            let is_rejection = matches!(event.kind, EventKind::ConfigRejected { .. });
            let _ = host::log(if is_rejection { LogLevel::Error } else { LogLevel::Warn }, &event.to_json());
        } else {
            if self.held_back == 0 {
                self.held_back_since = event.at;
            }
            self.held_back = self.held_back.saturating_add(1);
        }
    }
}
