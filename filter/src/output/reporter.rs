//! What goes out: events as log lines, metrics, and the filter's own remarks.
//!
//! Metrics are defined once per VM and then known by number: Envoy keeps an entry for every definition. Series are
//! bounded by `limits.series`, because Envoy never frees one; changes beyond it are counted in
//! `faultline_series_overflow_total`. Gauges are set and never changed by a difference: with a new module or a new
//! listener they may start over at 0, while shared data lives on. Nothing here runs while the plugin is configured: a canary VM does that too.

use crate::host::{self, LOG_ERROR, LOG_INFO, LOG_WARN, METRIC_COUNTER, METRIC_GAUGE};
use crate::shared;
use filter_core::config::Limits;
use filter_core::event::{Event, EventKind};
use filter_core::metric::{Change, Kind, Level, Metric};
use filter_core::time::Millis;
use rustc_hash::FxHashMap;

/// The metrics that this VM has defined.
#[derive(Debug, Default)]
pub struct Metrics {
    ids: FxHashMap<String, u32>,
    open_findings: Option<u32>,
    limit: u32,
    /// What this VM has raised above 0, by cluster.
    raised: FxHashMap<String, Vec<Level>>,
}

impl Metrics {
    /// Bounds the number of series.
    pub fn set_limit(&mut self, limits: &Limits) {
        self.limit = limits.series;
    }

    /// Lets a counter grow.
    pub fn change(&mut self, metric: Metric, values: &[&str], by: i64) {
        if by <= 0 {
            return;
        }
        if let Some(id) = self.id(metric, values) {
            let _ = host::increment_metric(id, by);
        }
    }

    /// Applies a change that an event asks for.
    pub fn apply(&mut self, change: &Change) {
        let values: Vec<&str> = change.values.iter().map(String::as_str).collect();
        self.change(change.metric, &values, change.by);
    }

    /// Sets a gauge; whether it is set now.
    pub fn set(&mut self, metric: Metric, values: &[&str], value: u64) -> bool {
        self.id(metric, values).is_some_and(|id| host::record_metric(id, value).is_ok())
    }

    /// Whether anything is not over anywhere in the proxy. One cheap host call.
    pub fn anything_open(&mut self) -> bool {
        // Where it cannot be read, look closer.
        self.open_findings_id().is_none_or(|id| host::metric(id) != Ok(0))
    }

    /// Sets the number of open findings.
    pub fn set_open_findings(&mut self, count: u64) {
        if let Some(id) = self.open_findings_id() {
            let _ = host::record_metric(id, count);
        }
    }

    /// Sets a gauge as a cluster asks for.
    pub fn show(&mut self, cluster: &str, level: &Level) {
        let values: Vec<&str> = level.values.iter().map(String::as_str).collect();
        let is_set = self.set(level.metric, &values, level.value);
        let raised = self.raised.entry(cluster.to_owned()).or_default();
        let was_raised = raised.iter().any(|known| known.is_of(level));
        raised.retain(|known| !known.is_of(level));
        if level.value > 0 || (was_raised && !is_set) {
            raised.push(level.clone());
        } else if raised.is_empty() {
            self.raised.remove(cluster);
        }
    }

    /// Sets a cluster's gauges to what they should be now, whatever was set: two workers may have set them in the wrong
    /// order, and a gauge may be new.
    pub fn show_all(&mut self, cluster: &str, levels: &[Level]) {
        let over = |raised: &&Level| !levels.iter().any(|level| level.is_of(raised));
        let over: Vec<Level> = self.raised.get(cluster).into_iter().flatten().filter(over).cloned().collect();
        for level in over.iter().map(|level| Level { value: 0, ..level.clone() }).chain(levels.iter().cloned()) {
            self.show(cluster, &level);
        }
    }

    /// Whether this VM has raised any of a cluster's gauges above 0.
    pub fn has_raised(&self, cluster: &str) -> bool {
        self.raised.contains_key(cluster)
    }

    fn open_findings_id(&mut self) -> Option<u32> {
        if self.open_findings.is_none() {
            self.open_findings = host::define_metric(METRIC_GAUGE, Metric::OpenFindings.name()).ok();
        }
        self.open_findings
    }

    fn id(&mut self, metric: Metric, values: &[&str]) -> Option<u32> {
        let name = metric.stat_name(values);
        if let Some(id) = self.ids.get(&name) {
            return Some(*id);
        }
        let full = self.ids.len() >= usize::try_from(self.limit).unwrap_or(usize::MAX);
        // The filter's own few series have room always.
        if full && metric.labels().contains(&"upstream_cluster") {
            self.change(Metric::SeriesOverflow, &[], 1);
            return None;
        }
        let kind = match metric.kind() {
            Kind::Counter => METRIC_COUNTER,
            Kind::Gauge => METRIC_GAUGE,
        };
        let id = host::define_metric(kind, &name).ok()?;
        self.ids.insert(name, id);
        Some(id)
    }
}

/// Writes events, and holds back what is too much in a second.
#[derive(Debug, Default)]
pub struct Reporter {
    /// Metrics.
    pub metrics: Metrics,
    held_back: u64,
    held_back_since: Millis,
}

impl Reporter {
    /// Reports events in their order: metrics always, log lines as far as `limits.eventsPerSecond` allows.
    pub fn report(&mut self, events: &[Event], limits: &Limits) {
        for event in events {
            for change in event.changes() {
                self.metrics.apply(&change);
            }
            if shared::take_log_line(event.at, limits.events_per_second, &mut self.metrics) {
                let rejected = matches!(event.kind, EventKind::ConfigRejected { .. });
                let _ = host::log(if rejected { LOG_ERROR } else { LOG_WARN }, &event.to_json());
            } else {
                if self.held_back == 0 {
                    self.held_back_since = event.at;
                }
                self.held_back = self.held_back.saturating_add(1);
            }
        }
    }

    /// Sums up what was held back, once there is room again.
    pub fn sum_up(&mut self, now: Millis, limits: &Limits) {
        let waited = now.saturating_sub(self.held_back_since);
        if self.held_back == 0 || waited < 1000 {
            return;
        }
        let count = std::mem::take(&mut self.held_back);
        let seconds = filter_core::time::seconds_between(self.held_back_since, now);
        self.report(&[Event::of_cluster(now, "", EventKind::EventsSuppressed { count, seconds })], limits);
    }
}

/// Sends the filter's own remarks, made with the `log` crate, to the host.
struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => LOG_ERROR,
            log::Level::Warn => LOG_WARN,
            log::Level::Info => LOG_INFO,
            log::Level::Debug => 1,
            log::Level::Trace => 0,
        };
        let _ = host::log(level, &format!("faultline: {}", record.args()));
    }

    fn flush(&self) {}
}

/// Makes the `log` crate write through the host, from `level` on.
pub fn set_log_level(level: filter_core::config::LogLevel) {
    use filter_core::config::LogLevel;
    // A second call of `set_logger` in the same VM finds the first one's, which is the same.
    let _ = log::set_logger(&HostLog);
    log::set_max_level(match level {
        LogLevel::Trace => log::LevelFilter::Trace,
        LogLevel::Debug => log::LevelFilter::Debug,
        LogLevel::Info => log::LevelFilter::Info,
        LogLevel::Warn => log::LevelFilter::Warn,
        LogLevel::Error => log::LevelFilter::Error,
    });
}
