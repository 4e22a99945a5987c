//! Attributes: those that the acting context can read now, and those that the module sets.

use super::call::{Call, HostResult};
use crate::abi::Status;
use crate::properties::Path;

pub(super) fn get(call: &mut Call<'_, '_>, path: u32, length: u32, value_at: u32, size_at: u32) -> HostResult {
    let path = Path::from_module(&call.bytes(path, length)?);
    call.fault(&path.dotted())?;
    let state = call.state();
    let value = state.property(state.acting(), &path).serialise()?;
    call.return_bytes(&value, value_at, size_at)
}

pub(super) fn set(call: &mut Call<'_, '_>, path: u32, length: u32, value: u32, size: u32) -> HostResult {
    let path = call.bytes(path, length)?;
    let value = call.bytes(value, size)?;
    call.fault(&Path::from_module(&path).dotted())?;
    let state = call.state();
    let acting = state.acting();
    let context = state.contexts.get_mut(&acting).ok_or(Status::InternalFailure)?;
    // A root context cannot set an attribute, not even while it logs a stream.
    let own = context.stream.as_mut().filter(|_| context.root != acting);
    own.ok_or(Status::NotFound)?.custom.insert(path, value);
    Ok(())
}
