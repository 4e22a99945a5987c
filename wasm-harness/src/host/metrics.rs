//! Metrics of the process, with this VM's ids.

use super::call::{Call, HostResult};

pub(super) fn define(call: &mut Call<'_, '_>, kind: u32, name: u32, length: u32, id_at: u32) -> HostResult {
    let name = call.text(name, length)?;
    call.fault(&name)?;
    let state = call.state();
    let id = state.metric_ids.define(&mut state.process.borrow_mut().stats, kind, &name)?;
    Ok(call.write_u32(id_at, id)?)
}

pub(super) fn increment(call: &mut Call<'_, '_>, id: u32, offset: i64) -> HostResult {
    call.fault("")?;
    let state = call.state();
    let stats = &mut state.process.borrow_mut().stats;
    Ok(state.metric_ids.increment(stats, id, offset)?)
}

pub(super) fn record(call: &mut Call<'_, '_>, id: u32, value: u64) -> HostResult {
    call.fault("")?;
    let state = call.state();
    let stats = &mut state.process.borrow_mut().stats;
    Ok(state.metric_ids.record(stats, id, value)?)
}

pub(super) fn get(call: &mut Call<'_, '_>, id: u32, value_at: u32) -> HostResult {
    call.fault("")?;
    let state = call.state();
    let value = state.metric_ids.get(&mut state.process.borrow_mut().stats, id)?;
    Ok(call.write_u64(value_at, value)?)
}
