//! One VM: an instance of the module, its root contexts, and the calls into it.
//!
//! Every call sets the running context, counts fuel, and turns a trap into the VM's failed state. As in Envoy, a failed
//! VM is never called again; only a new VM replaces it.

use crate::exchange::Exchange;
use crate::ids::VmId;
use crate::module::{LoadError, Module, Stage};
use crate::process::SharedProcess;
use crate::properties::Phase;
use crate::state::{Context, RootConfig, StreamView, VmState};
use crate::stats::MetricIds;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use wasmtime::{Func, Store, StoreLimitsBuilder, Val};

/// Envoy's limit on linear memory, in bytes.
const MAX_MEMORY: usize = 1 << 30;
/// Envoy has no such limit. This one, which is minutes of work, only keeps an endless loop from hanging a test.
const MAX_FUEL: u64 = 100_000_000_000;

/// Result of a call into the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// The function ran; its result, or 0 if it has none.
    Returned(u32),
    /// The module does not export the function.
    Absent,
    /// The VM has failed, now or earlier.
    Failed,
}

pub(crate) struct Vm {
    pub(crate) id: VmId,
    pub(crate) serial: u64,
    store: Store<VmState>,
    /// Exported callbacks, each with its number of results.
    callbacks: HashMap<&'static str, (Func, usize)>,
    /// The error that made it fail.
    pub(crate) failed: Option<String>,
    /// The root context of each serving plugin, by the plugin's number.
    pub(crate) roots: BTreeMap<usize, u32>,
    /// Replaced roots that wait for their last stream to end.
    pub(crate) draining: Vec<u32>,
}

impl Vm {
    /// Instantiates the module and runs its start functions.
    pub(crate) fn new(module: &Module, process: &SharedProcess, id: VmId, serial: u64) -> Result<Vm, LoadError> {
        let state = VmState {
            process: Rc::clone(process),
            vm: id,
            serial,
            contexts: HashMap::new(),
            next_context: 1,
            current: 0,
            effective: 0,
            starting: true,
            configuring: None,
            metric_ids: MetricIds::default(),
            next_call_token: 0,
            host_calls: 0,
            done: Vec::new(),
            memory: None,
            allocate: None,
            limits: StoreLimitsBuilder::new().memory_size(MAX_MEMORY).build(),
        };
        let engine = module.pre.module().engine();
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        let start = |error: wasmtime::Error| LoadError::new(Stage::Start, format!("{error:#}"));
        store.set_fuel(MAX_FUEL).map_err(start)?;
        let instance = module.pre.instantiate(&mut store).map_err(start)?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = ["malloc", "proxy_on_memory_allocate"]
            .into_iter()
            .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok());
        store.data_mut().memory = memory;
        store.data_mut().allocate = allocate;
        let mut callbacks = HashMap::new();
        for name in module.callbacks() {
            if let Some(func) = instance.get_func(&mut store, name) {
                let results = func.ty(&store).results().len();
                callbacks.insert(*name, (func, results));
            }
        }
        let mut vm = Vm { id, serial, store, callbacks, failed: None, roots: BTreeMap::new(), draining: Vec::new() };
        if vm.enter("_initialize", 0, &[]) == Called::Absent {
            vm.enter("_start", 0, &[]);
        } else {
            vm.enter("main", 0, &[0, 0]);
        }
        vm.store.data_mut().starting = false;
        match &vm.failed {
            Some(error) => Err(LoadError::new(Stage::Start, error)),
            None => Ok(vm),
        }
    }

    /// Starts a plugin's root context: create, VM start, configure. If the plugin is rejected, the context stays,
    /// because its VM is not used afterwards.
    pub(crate) fn start_root(&mut self, number: usize, plugin: &Rc<RootConfig>) -> Result<(), LoadError> {
        let root = self.new_context(None, plugin, None);
        self.roots.insert(number, root);
        self.store.data_mut().configuring = Some(Rc::clone(plugin));
        self.create(root);
        self.store.data_mut().configuring = None;
        let vm_config = self.state().process.borrow().vm_config.len() as u32;
        let started = self.call("proxy_on_vm_start", root, &[vm_config]);
        self.accepted(started, Stage::VmStart, "proxy_on_vm_start")?;
        self.store.data_mut().configuring = Some(Rc::clone(plugin));
        let configured = self.call("proxy_on_configure", root, &[plugin.config.len() as u32]);
        self.store.data_mut().configuring = None;
        self.accepted(configured, Stage::Configure, "proxy_on_configure")
    }

    fn accepted(&self, called: Called, stage: Stage, callback: &str) -> Result<(), LoadError> {
        match called {
            Called::Returned(0) => Err(LoadError::new(stage, format!("{callback} returned false"))),
            Called::Failed => Err(LoadError::new(stage, self.failed.as_deref().unwrap_or_default())),
            _ => Ok(()),
        }
    }

    /// Creates a context on the host's side; `create` announces it to the module.
    pub(crate) fn new_context(
        &mut self,
        root: Option<u32>,
        plugin: &Rc<RootConfig>,
        exchange: Option<Exchange>,
    ) -> u32 {
        let state = self.store.data_mut();
        let id = state.next_context;
        state.next_context += 1;
        let stream = exchange.map(|exchange| StreamView::new(exchange, Phase::RequestHeaders));
        let context = Context::new(root.unwrap_or(id), Rc::clone(plugin), stream);
        state.contexts.insert(id, context);
        id
    }

    /// Calls `proxy_on_context_create`, once. For Envoy the context is created even if the module has no such export.
    pub(crate) fn create(&mut self, id: u32) {
        let Some(context) = self.store.data_mut().contexts.get_mut(&id) else { return };
        if std::mem::replace(&mut context.created, true) {
            return;
        }
        let parent = if context.root == id { 0 } else { context.root };
        self.call("proxy_on_context_create", id, &[parent]);
    }

    /// Calls a callback for a context.
    pub(crate) fn call(&mut self, callback: &'static str, context: u32, arguments: &[u32]) -> Called {
        let all: Vec<u32> = [&[context], arguments].concat();
        let called = self.enter(callback, context, &all);
        // Roots that called proxy_done are deleted when the callback is over.
        for root in std::mem::take(&mut self.store.data_mut().done) {
            self.delete_root(root);
        }
        called
    }

    fn enter(&mut self, callback: &'static str, context: u32, arguments: &[u32]) -> Called {
        if self.failed.is_some() {
            return Called::Failed;
        }
        let Some((func, results)) = self.callbacks.get(callback).copied() else {
            return Called::Absent;
        };
        let state = self.store.data_mut();
        state.current = context;
        state.effective = 0;
        let host_calls = state.host_calls;
        let arguments: Vec<Val> = arguments.iter().map(|word| Val::I32(*word as i32)).collect();
        let mut results = vec![Val::I32(0); results];
        let ran = self.store.set_fuel(MAX_FUEL).and_then(|()| func.call(&mut self.store, &arguments, &mut results));
        let fuel = MAX_FUEL - self.store.get_fuel().unwrap_or(MAX_FUEL);
        let state = self.store.data();
        let mut process = state.process.borrow_mut();
        let cost = process.costs.callbacks.entry(callback).or_default();
        cost.times += 1;
        cost.fuel += fuel;
        cost.host_calls += state.host_calls - host_calls;
        drop(process);
        match ran {
            Ok(()) => Called::Returned(results.first().and_then(Val::i32).unwrap_or(0) as u32),
            Err(error) => {
                self.fail(format!("{callback}: {error:#}"));
                Called::Failed
            }
        }
    }

    fn fail(&mut self, error: String) {
        self.failed = Some(error);
        let state = self.store.data();
        state.process.borrow_mut().forget(self.serial, |_| true);
    }

    pub(crate) fn state(&self) -> &VmState {
        self.store.data()
    }

    pub(crate) fn context(&mut self, id: u32) -> Option<&mut Context> {
        self.store.data_mut().contexts.get_mut(&id)
    }

    pub(crate) fn stream(&mut self, id: u32) -> Option<&mut StreamView> {
        self.context(id)?.stream.as_mut()
    }

    /// Takes a root out of service: it shuts down when its last stream has ended.
    pub(crate) fn drain(&mut self, number: usize) {
        self.draining.extend(self.roots.remove(&number));
    }

    /// Shuts down draining roots that have no stream left.
    pub(crate) fn shut_down_idle(&mut self) {
        let contexts = &self.store.data().contexts;
        let busy = |root: u32| contexts.iter().any(|(id, context)| context.root == root && *id != root);
        let (busy, idle): (Vec<u32>, Vec<u32>) = self.draining.iter().partition(|root| busy(**root));
        self.draining = busy;
        for root in idle {
            // False means not yet: wait for proxy_done.
            if self.call("proxy_on_done", root, &[]) == Called::Returned(0) {
                if let Some(context) = self.context(root) {
                    context.pending_done = true;
                }
            } else {
                self.delete_root(root);
            }
        }
    }

    fn delete_root(&mut self, root: u32) {
        self.call("proxy_on_delete", root, &[]);
        self.forget_context(root);
        let process = Rc::clone(&self.state().process);
        process.borrow_mut().forget(self.serial, |gone| gone == root);
    }

    pub(crate) fn forget_context(&mut self, id: u32) {
        self.store.data_mut().contexts.remove(&id);
    }

    /// Whether the VM has no contexts left.
    pub(crate) fn is_over(&self) -> bool {
        self.failed.is_some() || self.state().contexts.is_empty()
    }

    /// Bytes of linear memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let memory = self.state().memory;
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }
}
