//! The interface of the proxy for tests: its logs, metrics, shared data, costs and faults.
//!
//! Other files add what happens to it: `lifecycle` configurations and reloads, `streams` traffic, `time` the clock,
//! ticks and HTTP calls. `builder` starts it.

use crate::costs::Costs;
use crate::faults::Fault;
use crate::ids::{RootId, StreamRecord, VmId};
use crate::module::Module;
use crate::process::{Cluster, LogLine, SharedProcess};
use crate::prometheus;
use crate::state::RootConfig;
use crate::stats::{Metric, MetricKind};
use crate::vm::Vm;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A proxy that runs a module.
pub struct Harness {
    pub(crate) process: SharedProcess,
    pub(crate) module: Module,
    /// VMs by serial number: those that serve and those that still drain.
    pub(crate) vms: BTreeMap<u64, Vm>,
    /// Serial number of the VM that serves on each thread.
    pub(crate) current: BTreeMap<VmId, u64>,
    pub(crate) next_serial: u64,
    pub(crate) plugins: BTreeMap<usize, Rc<RootConfig>>,
    pub(crate) next_plugin: usize,
    pub(crate) streams: BTreeMap<u64, StreamRecord>,
    pub(crate) next_stream: u64,
    pub(crate) workers: usize,
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("workers", &self.workers)
            .field("plugins", &self.plugins)
            .finish_non_exhaustive()
    }
}

impl Harness {
    /// Virtual time since the harness was built.
    pub fn now(&self) -> Duration {
        self.process.borrow().now
    }

    /// The time of the module's wall clock, since the Unix epoch.
    pub fn wall_clock(&self) -> Duration {
        self.process.borrow().wall
    }

    /// The plugin the proxy was built with.
    pub fn root(&self) -> RootId {
        RootId(0)
    }

    /// All lines logged by all VMs and not yet taken, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        self.process.borrow().logs.clone()
    }

    /// Takes the lines, so that the next call returns only newer ones.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.process.borrow_mut().logs)
    }

    /// Value of a counter; `None` if no VM defined it. The name is the module's own, without `wasmcustom.`.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.metric(MetricKind::Counter, name).map(|metric| metric.value)
    }

    /// Value of a gauge; `None` if no VM defined it.
    pub fn gauge(&self, name: &str) -> Option<u64> {
        self.metric(MetricKind::Gauge, name).map(|metric| metric.value)
    }

    /// The samples of a histogram, in order; `None` if no VM defined it.
    pub fn histogram(&self, name: &str) -> Option<Vec<u64>> {
        self.metric(MetricKind::Histogram, name).map(|metric| metric.samples)
    }

    fn metric(&self, kind: MetricKind, name: &str) -> Option<Metric> {
        self.process.borrow().stats.find(kind, name).cloned()
    }

    /// Every metric, in order of definition.
    pub fn metrics(&self) -> Vec<Metric> {
        self.process.borrow().stats.all().to_vec()
    }

    /// Counters and gauges as `/stats/prometheus` shows them when `tags` are Istio's `extraStatTags`.
    pub fn prometheus(&self, tags: &[&str]) -> String {
        prometheus::render(self.process.borrow().stats.all(), tags)
    }

    /// A value of the shared data.
    pub fn shared_data(&self, key: &str) -> Option<Vec<u8>> {
        self.process.borrow().shared.get(key.as_bytes()).map(|(value, _)| value)
    }

    /// All shared data, by key.
    pub fn all_shared_data(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let process = self.process.borrow();
        let owned = process.shared.entries().map(|(key, value)| (key.to_vec(), value.to_vec()));
        owned.collect()
    }

    /// Writes shared data as another plugin would, regardless of its compare-and-swap number.
    pub fn set_shared_data(&mut self, key: &str, value: &[u8]) {
        // Number 0 always writes, so there is no mismatch.
        let _ = self.process.borrow_mut().shared.set(key.as_bytes(), value, 0);
    }

    /// Injects a fault: it is active until `heal`, or as often as the fault says.
    pub fn fault(&mut self, fault: Fault) {
        self.process.borrow_mut().faults.add(fault);
    }

    /// Ends all injected faults.
    pub fn heal(&mut self) {
        self.process.borrow_mut().faults.clear();
    }

    /// Changes what HTTP calls find at a cluster; `None` removes the cluster.
    pub fn set_cluster(&mut self, name: &str, cluster: Option<Cluster>) {
        let mut process = self.process.borrow_mut();
        match cluster {
            Some(cluster) => process.clusters.insert(name.into(), cluster),
            None => process.clusters.remove(name),
        };
    }

    /// Host calls and fuel since the start or the last reset.
    pub fn costs(&self) -> Costs {
        self.process.borrow().costs.clone()
    }

    /// Sets the costs to zero.
    pub fn reset_costs(&mut self) {
        self.process.borrow_mut().costs = Costs::default();
    }

    /// The error that ended a VM; `None` if it still works.
    pub fn failure(&self, vm: VmId) -> Option<String> {
        self.vm(vm)?.failed.clone()
    }

    /// Bytes of a VM's linear memory; 0 for one that does not exist.
    pub fn memory_bytes(&self, vm: VmId) -> usize {
        self.vm(vm).map_or(0, Vm::memory_bytes)
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    pub(crate) fn vm(&self, id: VmId) -> Option<&Vm> {
        self.vms.get(self.current.get(&id)?)
    }
}
