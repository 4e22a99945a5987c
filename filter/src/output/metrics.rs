//! The metrics in Envoy.
//!
//! A VM defines a metric once and then uses its number, because Envoy keeps an entry for every definition. The number
//! of series is bounded by `limits.series`, because Envoy never frees one; changes beyond it are counted in
//! `faultline_series_overflow_total`. Gauges are set to a value and never changed by a difference: with a new module or
//! a new listener they may start over at 0, while shared data lives on.

use crate::host::{self, MetricKind};
use filter_core::config::Limits;
use filter_core::metric::{Change, Kind, Level, Metric};
use fnv::FnvHashMap;

/// The metrics that this VM has defined.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Their numbers, by their names. The types are those of another map, so that they share their code.
    ids: FnvHashMap<Box<[u8]>, usize>,
    max_series: u32,
    /// Gauges that this VM has raised above 0, by cluster, in the order of the clusters' names.
    raised: Vec<(String, Vec<Level>)>,
}

impl Metrics {
    /// Sets the maximum number of series.
    pub(super) fn set_limit(&mut self, limits: &Limits) {
        self.max_series = limits.series;
    }

    /// Increases a counter.
    pub(super) fn add(&mut self, metric: Metric, values: &[&str], by: i64) {
        if by <= 0 {
            return;
        }
        if let Some(id) = self.id(metric, values) {
            let _ = host::increment_metric(id, by);
        }
    }

    /// Applies an event's change.
    pub(super) fn apply(&mut self, change: &Change) {
        let values: Vec<&str> = change.values.iter().map(String::as_str).collect();
        self.add(change.metric, &values, change.by);
    }

    /// Sets a gauge; true if that succeeded.
    pub(super) fn set(&mut self, metric: Metric, values: &[&str], value: u64) -> bool {
        self.id(metric, values).is_some_and(|id| host::record_metric(id, value).is_ok())
    }

    /// Sets one of a cluster's gauges.
    pub(super) fn show(&mut self, cluster: &str, level: &Level) {
        let values: Vec<&str> = level.values.iter().map(String::as_str).collect();
        let is_set = self.set(level.metric, &values, level.value);
        let place = self.raised_by(cluster);
        let known = place.ok().and_then(|place| self.raised.get_mut(place));
        let mut none = Vec::new();
        let raised = known.map_or(&mut none, |(_, raised)| raised);
        let was_raised = raised.iter().any(|known| known.is_of(level));
        raised.retain(|known| !known.is_of(level));
        if level.value > 0 || (was_raised && !is_set) {
            raised.push(level.clone());
        }
        let is_empty = raised.is_empty();
        match place {
            Ok(place) if is_empty => {
                self.raised.remove(place);
            }
            Err(place) if !is_empty => self.raised.insert(place, (cluster.to_owned(), none)),
            _ => {}
        }
    }

    /// Sets a cluster's gauges to their present values regardless of what was set before: two workers may have set them
    /// in the wrong order, and a gauge may be new.
    pub(super) fn show_all(&mut self, cluster: &str, levels: &[Level]) {
        let over = |raised: &&Level| !levels.iter().any(|level| level.is_of(raised));
        let raised = self.raised_by(cluster).ok().and_then(|place| self.raised.get(place));
        let over: Vec<Level> = raised.iter().flat_map(|(_, raised)| raised).filter(over).cloned().collect();
        for level in over.iter().map(|level| Level { value: 0, ..level.clone() }).chain(levels.iter().cloned()) {
            self.show(cluster, &level);
        }
    }

    /// Whether this VM has raised any of a cluster's gauges above 0.
    pub(super) fn has_raised(&self, cluster: &str) -> bool {
        self.raised_by(cluster).is_ok()
    }

    /// Where the gauges are that a cluster has raised, or else would be.
    fn raised_by(&self, cluster: &str) -> Result<usize, usize> {
        self.raised.binary_search_by(|(known, _)| known.as_str().cmp(cluster))
    }

    fn id(&mut self, metric: Metric, values: &[&str]) -> Option<u32> {
        let name = metric.stat_name(values);
        if let Some(id) = self.ids.get(name.as_bytes()) {
            return u32::try_from(*id).ok();
        }
        let full = self.ids.len() >= usize::try_from(self.max_series).unwrap_or(usize::MAX);
        // The few series without a cluster are always allowed.
        if full && metric.labels().contains(&"upstream_cluster") {
            self.add(Metric::SeriesOverflow, &[], 1);
            return None;
        }
        let kind = match metric.kind() {
            Kind::Counter => MetricKind::Counter,
            Kind::Gauge => MetricKind::Gauge,
        };
        let id = host::define_metric(kind, &name).ok()?;
        self.ids.insert(name.into_bytes().into(), usize::try_from(id).ok()?);
        Some(id)
    }
}
