//! One host call in progress: it is counted, an injected fault takes effect, and bytes are copied to and from the
//! module's memory through the module's own allocator, as in Envoy's host.

use crate::abi::Status;
use crate::process::Process;
use crate::state::{Context, StreamView, VmState};
use std::cell::RefMut;
use wasmtime::Caller;

pub(super) type HostCaller<'a> = Caller<'a, VmState>;

/// Why a host function ended early.
pub(super) enum HostError {
    /// The module sees this status.
    Status(Status),
    /// The module itself trapped, in its allocator.
    Trap(wasmtime::Error),
}

impl From<Status> for HostError {
    fn from(status: Status) -> Self {
        HostError::Status(status)
    }
}

pub(super) type HostResult = Result<(), HostError>;

/// One host call in progress.
pub(super) struct Call<'a, 'b> {
    caller: &'a mut HostCaller<'b>,
    name: &'static str,
}

/// Runs a host function and turns its result into the status that the module sees.
pub(super) fn run(
    caller: &mut HostCaller<'_>,
    name: &'static str,
    function: impl FnOnce(&mut Call<'_, '_>) -> HostResult,
) -> wasmtime::Result<u32> {
    let state = caller.data_mut();
    // Envoy traps here too: before the VM has started, only logging is allowed.
    if state.starting && name != "proxy_log" {
        return Err(wasmtime::format_err!("{name} is not allowed while the module starts"));
    }
    state.host_calls += 1;
    let mut process = state.process.borrow_mut();
    *process.costs.host_calls.entry(name).or_default() += 1;
    drop(process);
    match function(&mut Call { caller, name }) {
        Ok(()) => Ok(Status::Ok.0),
        Err(HostError::Status(status)) => Ok(status.0),
        Err(HostError::Trap(trap)) => Err(trap),
    }
}

impl Call<'_, '_> {
    /// Ends the call if a fault was injected for it. Every function calls this once, when it knows its subject. Ok can
    /// be injected too: the call then claims to have worked but has written nothing.
    pub(super) fn fault(&mut self, subject: &str) -> Result<(), Status> {
        let state = self.caller.data();
        let hit = state.process.borrow_mut().faults.hit(state.vm, self.name, subject);
        hit.map_or(Ok(()), Err)
    }

    pub(super) fn state(&mut self) -> &mut VmState {
        self.caller.data_mut()
    }

    pub(super) fn process(&self) -> RefMut<'_, Process> {
        self.caller.data().process.borrow_mut()
    }

    /// The context that the call acts on.
    pub(super) fn context(&mut self) -> Result<&mut Context, Status> {
        let state = self.state();
        let acting = state.acting();
        state.contexts.get_mut(&acting).ok_or(Status::InternalFailure)
    }

    /// The stream that the call acts on; `None` for a root context that is not logging one.
    pub(super) fn stream(&mut self) -> Result<Option<&mut StreamView>, Status> {
        Ok(self.context()?.stream.as_mut())
    }

    /// Bytes of the module's memory.
    pub(super) fn bytes(&self, at: u32, length: u32) -> Result<Vec<u8>, Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let data = memory.data(&self.caller);
        let range = at as usize..at as usize + length as usize;
        data.get(range).map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)
    }

    /// Text in the module's memory; invalid UTF-8 is replaced.
    pub(super) fn text(&self, at: u32, length: u32) -> Result<String, Status> {
        let bytes = self.bytes(at, length)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let written = memory.write(&mut self.caller, at as usize, bytes);
        written.map_err(|_| Status::InvalidMemoryAccess)
    }

    pub(super) fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Status> {
        self.write(at, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: u32, value: u64) -> Result<(), Status> {
        self.write(at, &value.to_le_bytes())
    }

    /// Returns bytes to the module: in memory that the module allocates, with pointer and size written where it asked.
    pub(super) fn return_bytes(&mut self, bytes: &[u8], pointer_at: u32, size_at: u32) -> HostResult {
        let pointer = self.allocate(bytes)?;
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(size_at, bytes.len() as u32)?;
        Ok(())
    }

    /// Copies the bytes into memory that the module allocates; a null pointer if there are none.
    pub(super) fn allocate(&mut self, bytes: &[u8]) -> Result<u32, HostError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let allocate = self.caller.data().allocate.clone().ok_or(Status::InvalidMemoryAccess)?;
        let size = bytes.len() as u32;
        let pointer = allocate.call(&mut self.caller, size).map_err(HostError::Trap)?;
        if pointer == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        self.write(pointer, bytes)?;
        Ok(pointer)
    }
}
