//! Changes of configuration: plugins are added, changed and removed, modules reloaded, failed VMs rebuilt.
//!
//! As in Envoy, a configuration is first tried in a canary VM, which is then dropped without any callback. The canary's
//! changes to metrics and shared data stay; its ticks and HTTP calls do not.

use crate::harness::Harness;
use crate::ids::{RootId, VmId};
use crate::module::{LoadError, Module};
use crate::state::RootConfig;
use crate::vm::Vm;
use std::rc::Rc;

impl Harness {
    pub(crate) fn start(&mut self, root: RootConfig) -> Result<(), LoadError> {
        self.next_plugin = 1;
        let plugin = Rc::new(root);
        self.plugins.insert(0, Rc::clone(&plugin));
        self.try_in_canary(&self.module.clone(), &plugin)?;
        self.start_all_vms()?;
        self.run_deferred();
        Ok(())
    }

    /// Adds a plugin with the same code to the same VMs: another listener, another direction, an access logger. If it
    /// equals a plugin that already serves, that plugin's id is returned.
    ///
    /// # Errors
    /// If the configuration is rejected; then nothing has changed.
    pub fn add_root(&mut self, root: RootConfig) -> Result<RootId, LoadError> {
        if let Some((number, _)) = self.plugins.iter().find(|(_, plugin)| ***plugin == root) {
            return Ok(RootId(*number));
        }
        let number = self.next_plugin;
        self.apply(number, root)?;
        self.next_plugin += 1;
        Ok(RootId(number))
    }

    /// Gives a plugin a new configuration: the VMs stay and get a new root context. The old root gets `proxy_on_done`
    /// and `proxy_on_delete` when its last stream has ended.
    ///
    /// # Errors
    /// If the configuration is rejected; then the old one keeps serving.
    pub fn reconfigure(&mut self, root: RootId, config: impl Into<Vec<u8>>) -> Result<(), LoadError> {
        let mut plugin = (*self.plugin(root)).clone();
        plugin.config = config.into();
        if *self.plugin(root) == plugin {
            return Ok(());
        }
        self.apply(root.0, plugin)
    }

    /// Removes a plugin. Its roots drain.
    pub fn remove_root(&mut self, root: RootId) {
        self.plugins.remove(&root.0);
        for vm in self.vms.values_mut() {
            vm.drain(root.0);
        }
        self.run_deferred();
    }

    /// Replaces the module: new VMs, empty memories. Metrics and shared data survive. The old VMs' roots get
    /// `proxy_on_done` when their last streams have ended.
    ///
    /// # Errors
    /// If the canary rejects the new module or a configuration; then the old module keeps serving.
    pub fn reload(&mut self, module: &Module) -> Result<(), LoadError> {
        for plugin in self.plugins.values().cloned().collect::<Vec<_>>() {
            self.try_in_canary(module, &plugin)?;
        }
        let old_module = std::mem::replace(&mut self.module, module.clone());
        let old = std::mem::take(&mut self.current);
        if let Err(error) = self.start_all_vms() {
            // The canary accepted it but a VM did not: restore the old VMs.
            for serial in std::mem::replace(&mut self.current, old).into_values() {
                self.drop_vm(serial);
            }
            self.module = old_module;
            return Err(error);
        }
        for serial in old.values() {
            if let Some(vm) = self.vms.get_mut(serial) {
                for number in vm.roots.keys().copied().collect::<Vec<_>>() {
                    vm.drain(number);
                }
            }
        }
        self.run_deferred();
        Ok(())
    }

    /// Drops a VM and starts a new one in its place, as Envoy does after a crash under FAIL_RELOAD. The old VM gets no
    /// callback, and its streams fail.
    ///
    /// # Errors
    /// If the new VM does not start.
    pub fn rebuild(&mut self, vm: VmId) -> Result<(), LoadError> {
        if let Some(serial) = self.current.remove(&vm) {
            self.drop_vm(serial);
        }
        self.start_vm(vm)?;
        self.run_deferred();
        Ok(())
    }

    pub(crate) fn plugin(&self, root: RootId) -> Rc<RootConfig> {
        let plugin = self.plugins.get(&root.0);
        Rc::clone(plugin.expect("this root was removed from the harness"))
    }

    fn apply(&mut self, number: usize, root: RootConfig) -> Result<(), LoadError> {
        let plugin = Rc::new(root);
        self.try_in_canary(&self.module.clone(), &plugin)?;
        let mut outcome = Ok(());
        for serial in self.current.values() {
            if let Some(vm) = self.vms.get_mut(serial)
                && vm.failed.is_none()
            {
                vm.drain(number);
                outcome = outcome.and(vm.start_root(number, &plugin));
            }
        }
        self.plugins.insert(number, plugin);
        self.run_deferred();
        outcome.map_err(|error| self.with_logs(error))
    }

    /// Tries the plugin in a VM that is then dropped.
    fn try_in_canary(&mut self, module: &Module, plugin: &Rc<RootConfig>) -> Result<(), LoadError> {
        let serial = self.serial();
        let tried =
            Vm::new(module, &self.process, VmId::Canary, serial).and_then(|mut canary| canary.start_root(0, plugin));
        self.drop_vm(serial);
        tried.map_err(|error| self.with_logs(error))
    }

    fn start_all_vms(&mut self) -> Result<(), LoadError> {
        let workers = (0..self.workers).map(VmId::Worker);
        for id in [VmId::Main].into_iter().chain(workers) {
            self.start_vm(id)?;
        }
        Ok(())
    }

    fn start_vm(&mut self, id: VmId) -> Result<(), LoadError> {
        let serial = self.serial();
        let start = || {
            let mut vm = Vm::new(&self.module, &self.process, id, serial)?;
            for (number, plugin) in &self.plugins {
                vm.start_root(*number, plugin)?;
            }
            Ok(vm)
        };
        let vm = start().map_err(|error| self.with_logs(error))?;
        self.vms.insert(serial, vm);
        self.current.insert(id, serial);
        Ok(())
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    fn drop_vm(&mut self, serial: u64) {
        self.vms.remove(&serial);
        self.process.borrow_mut().forget(serial, |_| true);
    }

    fn with_logs(&self, mut error: LoadError) -> LoadError {
        error.logs = self.logs();
        error
    }

    /// What Envoy does between callbacks: it notifies the owners of queues, and shuts down roots and VMs that have
    /// drained.
    pub(crate) fn run_deferred(&mut self) {
        loop {
            let ready = self.process.borrow_mut().queues.ready.pop_front();
            let Some((serial, root, token)) = ready else { break };
            let vm = self.vms.get_mut(&serial);
            if let Some(vm) = vm.filter(|vm| vm.state().context(root).is_some()) {
                vm.call("proxy_on_queue_ready", root, &[token]);
            }
        }
        for vm in self.vms.values_mut() {
            vm.shut_down_idle();
        }
        let retired = self.vms.values().filter(|vm| self.current.get(&vm.id) != Some(&vm.serial));
        let over = retired.filter(|vm| vm.is_over()).map(|vm| vm.serial);
        for serial in over.collect::<Vec<_>>() {
            self.drop_vm(serial);
        }
    }
}
