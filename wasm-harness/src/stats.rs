//! Metrics as in Envoy: one store per process, and handles per VM.
//!
//! A stat is identified by kind and name, so all VMs that define the name share it, including the canary. Each
//! definition returns a new id, even for a known name. No stat is ever removed. `prometheus` renders them.

use crate::abi::Status;
use std::collections::HashMap;

/// Kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the usual names")]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric of the process, with the name that the module gave it (Envoy's name has the prefix `wasmcustom.`).
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Name as defined.
    pub name: String,
    /// Kind as defined; one name may exist once per kind.
    pub kind: MetricKind,
    /// Counter or gauge value; 0 for a histogram.
    pub value: u64,
    /// Samples of a histogram, in order.
    pub samples: Vec<u64>,
}

/// All metrics of the process.
#[derive(Default)]
pub(crate) struct Stats {
    metrics: Vec<Metric>,
    by_name: HashMap<(MetricKind, String), usize>,
}

impl Stats {
    pub(crate) fn find(&self, kind: MetricKind, name: &str) -> Option<&Metric> {
        let at = self.by_name.get(&(kind, name.to_string()))?;
        self.metrics.get(*at)
    }

    /// All metrics, in order of definition.
    pub(crate) fn all(&self) -> &[Metric] {
        &self.metrics
    }

    fn find_or_add(&mut self, kind: MetricKind, name: &str) -> usize {
        let metrics = &mut self.metrics;
        *self.by_name.entry((kind, name.to_string())).or_insert_with(|| {
            metrics.push(Metric { name: name.into(), kind, value: 0, samples: Vec::new() });
            metrics.len() - 1
        })
    }
}

/// The metric ids of one VM. The two lowest bits are the kind, as in Envoy: 4, 8, … 5, 9, … 6, 10, …
#[derive(Default)]
pub(crate) struct MetricIds {
    defined: [u32; 3],
    stats: HashMap<u32, usize>,
}

const KIND_MASK: u32 = 3;
const HISTOGRAM: u32 = 2;
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;

impl MetricIds {
    pub(crate) fn define(&mut self, stats: &mut Stats, kind: u32, name: &str) -> Result<u32, Status> {
        let kinds = [MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram];
        let metric_kind = kinds.get(kind as usize).ok_or(Status::BadArgument)?;
        let count = &mut self.defined[kind as usize];
        *count += 1;
        let id = *count * 4 + kind;
        self.stats.insert(id, stats.find_or_add(*metric_kind, name));
        Ok(id)
    }

    /// Adds to a counter or gauge. Counters only grow: an offset of 0 or less is a BadArgument. Gauges wrap around in
    /// both directions.
    pub(crate) fn increment(&self, stats: &mut Stats, id: u32, offset: i64) -> Result<(), Status> {
        match id & KIND_MASK {
            COUNTER | GAUGE => {}
            _ => return Err(Status::BadArgument),
        }
        let metric = self.metric(stats, id)?;
        if metric.kind == MetricKind::Counter && offset <= 0 {
            return Err(Status::BadArgument);
        }
        metric.value = metric.value.wrapping_add_signed(offset);
        Ok(())
    }

    /// Adds to a counter, sets a gauge, samples a histogram.
    pub(crate) fn record(&self, stats: &mut Stats, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.metric(stats, id)?;
        match metric.kind {
            MetricKind::Counter => metric.value = metric.value.wrapping_add(value),
            MetricKind::Gauge => metric.value = value,
            MetricKind::Histogram => metric.samples.push(value),
        }
        Ok(())
    }

    /// Reads a counter or gauge. Histograms cannot be read.
    pub(crate) fn get(&self, stats: &mut Stats, id: u32) -> Result<u64, Status> {
        if id & KIND_MASK >= HISTOGRAM {
            return Err(Status::BadArgument);
        }
        Ok(self.metric(stats, id)?.value)
    }

    fn metric<'a>(&self, stats: &'a mut Stats, id: u32) -> Result<&'a mut Metric, Status> {
        let at = self.stats.get(&id).ok_or(Status::NotFound)?;
        stats.metrics.get_mut(*at).ok_or(Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_vms_that_define_one_name_share_the_stat_under_ids_of_their_own() {
        let mut stats = Stats::default();
        let (mut one, mut two) = (MetricIds::default(), MetricIds::default());
        let first = one.define(&mut stats, COUNTER, "requests").unwrap();
        let again = one.define(&mut stats, COUNTER, "requests").unwrap();
        let other = two.define(&mut stats, COUNTER, "requests").unwrap();
        assert_eq!((first, again, other), (4, 8, 4));
        one.increment(&mut stats, first, 2).unwrap();
        one.increment(&mut stats, again, 1).unwrap();
        two.record(&mut stats, other, 4).unwrap();
        assert_eq!(stats.find(MetricKind::Counter, "requests").unwrap().value, 7);
        assert_eq!(two.get(&mut stats, other), Ok(7));
    }

    #[test]
    fn statuses_follow_envoy() {
        let mut stats = Stats::default();
        let mut ids = MetricIds::default();
        let counter = ids.define(&mut stats, COUNTER, "c").unwrap();
        let gauge = ids.define(&mut stats, GAUGE, "g").unwrap();
        let histogram = ids.define(&mut stats, HISTOGRAM, "h").unwrap();
        assert_eq!((counter, gauge, histogram), (4, 5, 6));
        assert_eq!(ids.define(&mut stats, 3, "x"), Err(Status::BadArgument));
        assert_eq!(ids.increment(&mut stats, counter, 0), Err(Status::BadArgument));
        assert_eq!(ids.increment(&mut stats, counter, -1), Err(Status::BadArgument));
        assert_eq!(ids.increment(&mut stats, 400, 1), Err(Status::NotFound));
        assert_eq!(ids.increment(&mut stats, histogram, 1), Err(Status::BadArgument));
        assert_eq!(ids.get(&mut stats, histogram), Err(Status::BadArgument));
        assert_eq!(ids.get(&mut stats, 401), Err(Status::NotFound));
        assert_eq!(ids.record(&mut stats, 402, 1), Err(Status::NotFound));
        assert_eq!(ids.record(&mut stats, histogram, 9), Ok(()));
        assert_eq!(stats.find(MetricKind::Histogram, "h").unwrap().samples, [9]);
        assert_eq!(ids.increment(&mut stats, gauge, -1), Ok(()));
        assert_eq!(ids.get(&mut stats, gauge), Ok(u64::MAX), "a gauge wraps around");
    }
}
