//! What Envoy calls: the callbacks of proxy-wasm ABI 0.2.1 that the filter needs, and no others.
//!
//! Why not the SDK's dispatcher: it panics, and so takes the VM down, on a context it has not seen begin and on
//! re-entry; and it takes part in every callback of every stream, while a finished request here needs two crossings
//! into the VM, one when its response headers pass and one when it is logged. A host calls only the callbacks that are
//! exported, and one that finds no `proxy_on_context_create` leaves the keeping of contexts to the plugin.
//!
//! Re-entry (a host call of ours that makes Envoy call us) finds the VM busy and does nothing.
//!
//! Which of its two positions the module stands in (HTTP filter, or upstream log and HTTP filter in one VM) is decided
//! here, once; what follows is in [`crate::callbacks`].

#![expect(unsafe_code, reason = "exported names must be as the ABI has them, and the allocator is the host's")]

use crate::callbacks::{configure, heartbeat, notify, requests, upstream_log, witness};
use crate::host::request_attributes::Response;
use crate::vm::state::Vm;
use filter_core::config::Attempts;
use std::cell::RefCell;

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::default());
}

/// Runs `act` on the VM's state unless it is in use further up the stack.
fn with_vm(act: impl FnOnce(&mut Vm)) {
    VM.with(|vm| {
        if let Ok(mut vm) = vm.try_borrow_mut() {
            act(&mut vm);
        }
    });
}

/// Marks the version of the ABI.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Gives the host memory for what it returns; null when there is none.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let Ok(layout) = std::alloc::Layout::array::<u8>(size) else { return std::ptr::null_mut() };
    if size == 0 {
        return std::ptr::null_mut();
    }
    // SAFETY: the layout is not of size zero.
    unsafe { std::alloc::alloc(layout) }
}

/// The VM starts; nothing to do.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    1
}

/// A root context gets its configuration. Always accepted: a bad one is reported, and the last good one stays.
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

/// Response headers pass; they continue (0) whatever happens.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, end_of_stream: u32) -> u32 {
    let response = if end_of_stream != 0 { Response::HeadersOnly } else { Response::Streamed };
    with_vm(|vm| match vm.config.attempts {
        Attempts::Final => requests::on_response_headers(vm, context, response),
        Attempts::UpstreamLog => upstream_log::on_response_headers(vm, response),
    });
    0
}

/// A request is over or, in the upstream log's position, which logs in the name of a root context, an attempt is.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_log(context: u32) {
    with_vm(|vm| match (vm.config.attempts, vm.is_root(context)) {
        (Attempts::Final, true) => {}
        (Attempts::Final, false) => requests::on_log(vm, context),
        (Attempts::UpstreamLog, true) => upstream_log::on_attempt_log(vm),
        (Attempts::UpstreamLog, false) => upstream_log::on_request_log(vm),
    });
}

/// An HTTP call of ours is answered, or was given up (no headers).
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn proxy_on_http_call_response(_root: u32, call: u32, _headers: usize, body: usize, _trailers: usize) {
    with_vm(|vm| {
        if !notify::on_notify_response(vm, call) {
            witness::on_admin_response(vm, call, body);
        }
    });
}
