//! The proxy as a test sees it: building it, and looking at what came of it.
//!
//! What moves it lives apart: `lifecycle` (configurations and reloads), `streams` (traffic), `time` (clock, ticks, HTTP
//! calls).

use crate::abi::Level;
use crate::costs::Costs;
use crate::faults::{Fault, Faults};
use crate::ids::{RootId, StreamRecord, VmId};
use crate::module::{LoadError, Module};
use crate::process::{Cluster, LogLine, Process, Shared};
use crate::prometheus;
use crate::shared::{Queues, SharedData};
use crate::state::RootConfig;
use crate::stats::{Metric, MetricKind, Stats};
use crate::upstream::Node;
use crate::vm::Vm;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// 2026-01-01T00:00:00Z, where the wall clock starts unless told otherwise.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

/// Settings of a proxy before it starts.
pub struct Builder {
    workers: usize,
    root: RootConfig,
    process: Process,
}

impl Builder {
    /// Number of worker VMs; 1 unless set. The main thread's VM comes on top.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Plugin configuration of the first root.
    pub fn config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.root.config = config.into();
        self
    }

    /// The first root in full, with its name, root id and listener.
    pub fn root(mut self, root: RootConfig) -> Self {
        self.root = root;
        self
    }

    /// The node, and with it the proxy's own locality.
    pub fn node(mut self, node: Node) -> Self {
        self.process.node = node;
        self
    }

    /// VM id; empty unless set, as in Istio.
    pub fn vm_id(mut self, id: &str) -> Self {
        self.process.vm_id = id.into();
        self
    }

    /// VM configuration, for `proxy_on_vm_start`.
    pub fn vm_config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.process.vm_config = config.into();
        self
    }

    /// Level of the proxy's wasm log: `Info` unless set, as in Envoy; Istio's is `Warn`. Lines below it are dropped.
    pub fn log_level(mut self, level: Level) -> Self {
        self.process.log_level = level;
        self
    }

    /// Wall clock at the start, since the Unix epoch; the beginning of 2026 unless set.
    pub fn wall_clock(mut self, since_epoch: Duration) -> Self {
        self.process.wall = since_epoch;
        self
    }

    /// A cluster that HTTP calls of the module can go to. Calls to any other are a BadArgument.
    pub fn cluster(mut self, name: &str) -> Self {
        self.process.clusters.insert(name.into(), Cluster::Up);
        self
    }

    /// A fault that is in force from the start, also in the canary.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.process.faults.add(fault);
        self
    }

    /// Starts the proxy: the canary first, which is thrown away, then the main thread's VM, then the workers.
    ///
    /// # Errors
    /// When the plugin is refused, with what it had logged.
    pub fn build(self, module: &Module) -> Result<Harness, LoadError> {
        let mut harness = Harness {
            process: Rc::new(RefCell::new(self.process)),
            module: module.clone(),
            vms: BTreeMap::new(),
            current: BTreeMap::new(),
            next_serial: 1,
            plugins: BTreeMap::new(),
            next_plugin: 0,
            streams: BTreeMap::new(),
            next_stream: 1,
            workers: self.workers,
        };
        harness.start(self.root)?;
        Ok(harness)
    }
}

/// A proxy with a module in it.
pub struct Harness {
    pub(crate) process: Shared,
    pub(crate) module: Module,
    /// By serial: those in force and those that still drain.
    pub(crate) vms: BTreeMap<u64, Vm>,
    /// Serial of the VM in force on each thread.
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
    /// One worker, an empty configuration, the wall clock at the beginning of 2026.
    pub fn builder() -> Builder {
        Builder {
            workers: 1,
            root: RootConfig::default(),
            process: Process {
                now: Duration::ZERO,
                wall: NEW_YEAR,
                stats: Stats::default(),
                shared: SharedData::default(),
                queues: Queues::default(),
                logs: Vec::new(),
                log_level: Level::Info,
                faults: Faults::default(),
                costs: Costs::default(),
                clusters: BTreeMap::new(),
                calls: Vec::new(),
                next_call: 0,
                timers: Vec::new(),
                armed: 0,
                node: Node::default(),
                vm_id: String::new(),
                vm_config: Vec::new(),
            },
        }
    }

    /// The plugin the proxy was built with.
    pub fn root(&self) -> RootId {
        RootId(0)
    }

    /// All lines logged and not yet taken, oldest first, of all VMs.
    pub fn logs(&self) -> Vec<LogLine> {
        self.process.borrow().logs.clone()
    }

    /// The same, and forgets them.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.process.borrow_mut().logs)
    }

    /// Value of a counter; `None` if nobody defined it. The name is the module's own, without `wasmcustom.`.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.metric(MetricKind::Counter, name).map(|metric| metric.value)
    }

    /// Value of a gauge; `None` if nobody defined it.
    pub fn gauge(&self, name: &str) -> Option<u64> {
        self.metric(MetricKind::Gauge, name).map(|metric| metric.value)
    }

    /// What a histogram was given; `None` if nobody defined it.
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

    /// Writes shared data as another plugin would, whatever its number was.
    pub fn set_shared_data(&mut self, key: &str, value: &[u8]) {
        // Number 0 forces, so there is no mismatch.
        let _ = self.process.borrow_mut().shared.set(key.as_bytes(), value, 0);
    }

    /// Injects a fault.
    pub fn fault(&mut self, fault: Fault) {
        self.process.borrow_mut().faults.add(fault);
    }

    /// Ends all injected faults.
    pub fn heal(&mut self) {
        self.process.borrow_mut().faults.clear();
    }

    /// Changes what HTTP calls find at a cluster; `None` takes it away.
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

    /// Starts the costs at zero.
    pub fn reset_costs(&mut self) {
        self.process.borrow_mut().costs = Costs::default();
    }

    /// The error that ended a VM; `None` while it works.
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
