//! The functions a module imports from `env`.
//!
//! Every host function goes through `Call`: it counts the call, lets an injected fault take effect, and moves bytes in
//! and out of the module's memory through the module's own allocator, as Envoy's host does. All of ABI 0.2.1 is there,
//! so that only an import which Envoy does not know either fails to link. WASI is not offered: modules for
//! wasm32-wasip1 do not load here.

mod header_maps;
mod http_calls;
mod runtime;

use crate::abi::Status;
use crate::state::VmState;
use std::cell::RefMut;
use wasmtime::{Caller, Linker};

pub(crate) type HostCaller<'a> = Caller<'a, VmState>;

/// Why a host function ended early: with a status for the module, or because the module itself trapped in it.
pub(crate) enum Early {
    Status(Status),
    Trap(wasmtime::Error),
}

impl From<Status> for Early {
    fn from(status: Status) -> Self {
        Early::Status(status)
    }
}

pub(crate) type Done = Result<(), Early>;

/// Adds every function of the ABI.
pub(crate) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    header_maps::link(linker)?;
    runtime::link(linker)?;
    http_calls::link(linker)
}

/// One host call under way.
pub(crate) struct Call<'a, 'b> {
    caller: &'a mut HostCaller<'b>,
    name: &'static str,
}

/// Runs a host function and turns how it ended into the status the module sees.
pub(crate) fn host(
    caller: &mut HostCaller<'_>,
    name: &'static str,
    run: impl FnOnce(&mut Call<'_, '_>) -> Done,
) -> wasmtime::Result<u32> {
    let state = caller.data_mut();
    // Envoy traps here too: before the VM has started, only logging works.
    if state.starting && name != "proxy_log" {
        return Err(wasmtime::format_err!("{name} is not allowed while the module starts"));
    }
    state.host_calls += 1;
    let mut process = state.process.borrow_mut();
    *process.costs.host_calls.entry(name).or_default() += 1;
    drop(process);
    match run(&mut Call { caller, name }) {
        Ok(()) => Ok(Status::Ok.0),
        Err(Early::Status(status)) => Ok(status.0),
        Err(Early::Trap(trap)) => Err(trap),
    }
}

impl Call<'_, '_> {
    /// Ends the call if a fault was injected for it. Every function asks once, when it knows its subject. Ok can be
    /// injected too: then the call claims to have worked and has written nothing.
    pub(crate) fn fault(&mut self, subject: &str) -> Result<(), Status> {
        let state = self.caller.data();
        let hit = state.process.borrow_mut().faults.hit(state.vm, self.name, subject);
        hit.map_or(Ok(()), Err)
    }

    pub(crate) fn state(&mut self) -> &mut VmState {
        self.caller.data_mut()
    }

    pub(crate) fn process(&self) -> RefMut<'_, crate::process::Process> {
        self.caller.data().process.borrow_mut()
    }

    /// Bytes of the module's memory.
    pub(crate) fn bytes(&self, at: u32, length: u32) -> Result<Vec<u8>, Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let data = memory.data(&self.caller);
        let range = at as usize..at as usize + length as usize;
        data.get(range).map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)
    }

    pub(crate) fn text(&self, at: u32, length: u32) -> Result<String, Status> {
        let bytes = self.bytes(at, length)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let written = memory.write(&mut self.caller, at as usize, bytes);
        written.map_err(|_| Status::InvalidMemoryAccess)
    }

    pub(crate) fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Status> {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, at: u32, value: u64) -> Result<(), Status> {
        self.write(at, &value.to_le_bytes())
    }

    /// Hands bytes over: allocated by the module, pointer and size written where it asked. No bytes: null and 0.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer_at: u32, size_at: u32) -> Done {
        let pointer = self.allocate(bytes)?;
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(size_at, bytes.len() as u32)?;
        Ok(())
    }

    pub(crate) fn allocate(&mut self, bytes: &[u8]) -> Result<u32, Early> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let allocate = self.caller.data().allocate.clone().ok_or(Status::InvalidMemoryAccess)?;
        let size = bytes.len() as u32;
        let pointer = allocate.call(&mut self.caller, size).map_err(Early::Trap)?;
        if pointer == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        self.write(pointer, bytes)?;
        Ok(pointer)
    }
}
