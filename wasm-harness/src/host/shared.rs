//! The process's shared data and shared queues.

use super::call::{Call, HostResult};
use crate::abi::Status;

pub(super) fn get_data(
    call: &mut Call<'_, '_>,
    key: u32,
    length: u32,
    value_at: u32,
    size_at: u32,
    cas_at: u32,
) -> HostResult {
    let key = call.bytes(key, length)?;
    call.fault(&String::from_utf8_lossy(&key))?;
    let found = call.process().shared.get(&key);
    let (value, cas) = found.ok_or(Status::NotFound)?;
    call.return_bytes(&value, value_at, size_at)?;
    Ok(call.write_u32(cas_at, cas)?)
}

pub(super) fn set_data(call: &mut Call<'_, '_>, key: u32, length: u32, value: u32, size: u32, cas: u32) -> HostResult {
    let key = call.bytes(key, length)?;
    let value = call.bytes(value, size)?;
    call.fault(&String::from_utf8_lossy(&key))?;
    Ok(call.process().shared.set(&key, &value, cas)?)
}

/// Only root contexts are notified of items, so a stream registers its root.
pub(super) fn register_queue(call: &mut Call<'_, '_>, name: u32, length: u32, token_at: u32) -> HostResult {
    let name = call.bytes(name, length)?;
    call.fault(&String::from_utf8_lossy(&name))?;
    let state = call.state();
    let owner = (state.serial, state.acting_root());
    let token = call.process().queues.register(&name, owner);
    Ok(call.write_u32(token_at, token)?)
}

pub(super) fn resolve_queue(
    call: &mut Call<'_, '_>,
    vm: u32,
    vm_length: u32,
    name: u32,
    length: u32,
    token_at: u32,
) -> HostResult {
    let vm_id = call.text(vm, vm_length)?;
    let name = call.bytes(name, length)?;
    call.fault(&String::from_utf8_lossy(&name))?;
    let process = call.process();
    let ours = vm_id.is_empty() || vm_id == process.vm_id;
    let token = process.queues.resolve(&name).filter(|_| ours);
    drop(process);
    Ok(call.write_u32(token_at, token.ok_or(Status::NotFound)?)?)
}

pub(super) fn enqueue(call: &mut Call<'_, '_>, token: u32, item: u32, size: u32) -> HostResult {
    let item = call.bytes(item, size)?;
    call.fault("")?;
    Ok(call.process().queues.enqueue(token, item)?)
}

pub(super) fn dequeue(call: &mut Call<'_, '_>, token: u32, item_at: u32, size_at: u32) -> HostResult {
    call.fault("")?;
    let item = call.process().queues.dequeue(token)?;
    call.return_bytes(&item, item_at, size_at)
}
