//! The callbacks of proxy-wasm ABI 0.2.1 that Envoy calls: those that the filter needs, and no others.
//!
//! The SDK's dispatcher is not used for two reasons. It panics, and so takes the VM down, on re-entry and on a context
//! whose creation it has not seen. It also takes part in every callback of every stream, while this filter needs two
//! crossings into the VM for a finished request: one when the response headers pass and one when it is logged. A host
//! calls only the exported callbacks, and without `proxy_on_context_create` it leaves the management of contexts to the
//! plugin.
//!
//! On re-entry (a host call of ours makes Envoy call us) the VM is busy, and the callback does nothing.
//!
//! The module's position (HTTP filter, both upstream log and HTTP filter in one VM, or logs of what failed alone) is
//! decided only here; what each callback then does is in [`crate::callbacks`].

#![expect(unsafe_code, reason = "exported names must be as the ABI has them, and the allocator is the host's")]

use crate::callbacks::{configure, heartbeat, notify, requests, upstream_log, witness};
use crate::host::request_attributes::Response;
use crate::vm::state::Vm;
use filter_core::config::Attempts;
use std::cell::RefCell;

/// One VM, one thread: WebAssembly without atomics has no other.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// Runs `act` on the VM's state unless it is in use further up the stack.
fn with_vm(act: impl FnOnce(&mut Vm)) {
    // It fails only where a thread is at its end.
    let _ = VM.try_with(|vm| {
        if let Ok(mut vm) = vm.try_borrow_mut() {
            act(vm.get_or_insert_with(Vm::default));
        }
    });
}

/// Its export marks the version of the ABI.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Allocates memory in which the host returns bytes; null if there is none.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let Ok(layout) = std::alloc::Layout::array::<u8>(size) else { return std::ptr::null_mut() };
    if size == 0 {
        return std::ptr::null_mut();
    }
    // SAFETY: the layout is not of size zero.
    unsafe { std::alloc::alloc(layout) }
}

/// The VM starts; there is nothing to do.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    1
}

/// A root context gets its configuration. It is always accepted: a bad one is reported, and the last good one stays.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    with_vm(|vm| configure::on_configure(vm, root, size));
    1
}

/// A root context ticks.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_tick(root: u32) {
    with_vm(|vm| heartbeat::on_tick(vm, root));
}

/// Response headers pass. They always continue (0).
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, end_of_stream: u32) -> u32 {
    let response = if end_of_stream != 0 { Response::HeadersOnly } else { Response::Streamed };
    with_vm(|vm| {
        vm.enter(context);
        match vm.current.config.attempts {
            Attempts::Final => requests::on_response_headers(vm, context, response),
            Attempts::UpstreamLog => upstream_log::on_response_headers(vm, response),
            Attempts::Failed => {}
        }
    });
    0
}

/// A request is over. In the upstream log's position, which logs in a root context, an attempt is over.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_log(context: u32) {
    with_vm(|vm| {
        vm.enter(context);
        match (vm.current.config.attempts, vm.roots.contains(context)) {
            (Attempts::Final, true) => {}
            (Attempts::Final, false) => requests::on_log(vm, context),
            (Attempts::UpstreamLog, true) => upstream_log::on_attempt_log(vm),
            (Attempts::UpstreamLog, false) => upstream_log::on_request_log(vm),
            (Attempts::Failed, true) => upstream_log::on_failure_log(vm),
            (Attempts::Failed, false) => {}
        }
    });
}

/// An HTTP call of ours was answered or failed (no headers).
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_http_call_response(_root: u32, call: u32, _headers: usize, body: usize, _trailers: usize) {
    with_vm(|vm| {
        if !notify::on_notify_response(vm, call) {
            witness::on_admin_response(vm, call, body);
        }
    });
}
