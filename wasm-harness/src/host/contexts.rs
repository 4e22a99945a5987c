//! The context that host calls act on, and how it ends.

use super::call::{Call, HostResult};
use crate::abi::Status;

/// Context 0 is the VM's own: setting it is the same as setting none.
pub(super) fn set_effective_context(call: &mut Call<'_, '_>, context: u32) -> HostResult {
    call.fault("")?;
    let state = call.state();
    if context != 0 && !state.contexts.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.effective = context;
    Ok(())
}

/// Ends a root whose `proxy_on_done` returned false.
pub(super) fn done(call: &mut Call<'_, '_>) -> HostResult {
    call.fault("")?;
    let state = call.state();
    let acting = state.acting();
    let root = state.root_of(acting).ok_or(Status::NotFound)?;
    if !root.pending_done {
        return Err(Status::NotFound.into());
    }
    root.pending_done = false;
    let id = root.root;
    state.done.push(id);
    Ok(())
}

/// Why the HTTP call that is being answered failed.
pub(super) fn get_status(call: &mut Call<'_, '_>, code_at: u32, message_at: u32, size_at: u32) -> HostResult {
    call.fault("")?;
    let (code, message) = call.context()?.status;
    call.write_u32(code_at, code)?;
    call.return_bytes(message.as_bytes(), message_at, size_at)
}
