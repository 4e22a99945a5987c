//! The settings of a proxy, and how it starts.

use crate::abi::Level;
use crate::costs::Costs;
use crate::faults::{Fault, Faults};
use crate::harness::Harness;
use crate::module::{LoadError, Module};
use crate::process::{Cluster, Process};
use crate::shared::{Queues, SharedData};
use crate::state::RootConfig;
use crate::stats::Stats;
use crate::upstream::Node;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// 2026-01-01T00:00:00Z, the default start of the wall clock.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

impl Harness {
    /// One worker, an empty configuration, and the wall clock at the beginning of 2026.
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
}

/// Settings of a proxy before it starts.
pub struct Builder {
    workers: usize,
    root: RootConfig,
    process: Process,
}

impl Builder {
    /// Number of worker VMs; 1 by default. The main thread has another VM.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Plugin configuration of the first root.
    pub fn config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.root.config = config.into();
        self
    }

    /// The complete first root, with its name, root id and listener.
    pub fn root(mut self, root: RootConfig) -> Self {
        self.root = root;
        self
    }

    /// The node, which includes the proxy's own locality.
    pub fn node(mut self, node: Node) -> Self {
        self.process.node = node;
        self
    }

    /// VM id; empty by default, as in Istio.
    pub fn vm_id(mut self, id: &str) -> Self {
        self.process.vm_id = id.into();
        self
    }

    /// VM configuration, for `proxy_on_vm_start`.
    pub fn vm_config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.process.vm_config = config.into();
        self
    }

    /// Level of the proxy's wasm log: by default `Info`, as in Envoy; Istio's is `Warn`. Lines below it are dropped.
    pub fn log_level(mut self, level: Level) -> Self {
        self.process.log_level = level;
        self
    }

    /// Wall clock at the start, since the Unix epoch; by default the beginning of 2026.
    pub fn wall_clock(mut self, since_epoch: Duration) -> Self {
        self.process.wall = since_epoch;
        self
    }

    /// A cluster to which the module can make HTTP calls. Calls to any other cluster return BadArgument.
    pub fn cluster(mut self, name: &str) -> Self {
        self.process.clusters.insert(name.into(), Cluster::Up);
        self
    }

    /// A fault that is active from the start, also in the canary.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.process.faults.add(fault);
        self
    }

    /// Starts the proxy: first the canary, which is then dropped, then the main thread's VM, then the workers.
    ///
    /// # Errors
    /// If the plugin is rejected; the error contains what it has logged.
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
