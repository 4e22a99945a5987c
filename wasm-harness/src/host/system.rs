//! The log, the clock and ticks.

use super::call::{Call, HostResult};
use crate::abi::{Level, Status};
use crate::process::LogLine;
use std::time::Duration;

pub(super) fn log(call: &mut Call<'_, '_>, level: u32, text: u32, length: u32) -> HostResult {
    let level = Level::from_abi(level).ok_or(Status::BadArgument)?;
    let message = call.text(text, length)?;
    call.fault("")?;
    let vm = call.state().vm;
    let mut process = call.process();
    if level >= process.log_level {
        let at = process.now;
        process.logs.push(LogLine { level, message, vm, at });
    }
    Ok(())
}

pub(super) fn get_log_level(call: &mut Call<'_, '_>, level_at: u32) -> HostResult {
    call.fault("")?;
    let level = call.process().log_level as u32;
    Ok(call.write_u32(level_at, level)?)
}

pub(super) fn get_current_time(call: &mut Call<'_, '_>, time_at: u32) -> HostResult {
    call.fault("")?;
    let wall = call.process().wall;
    Ok(call.write_u64(time_at, wall.as_nanos() as u64)?)
}

/// Sets the tick period in milliseconds; 0 stops the tick. Only root contexts tick, so a stream sets its root's period.
pub(super) fn set_tick_period(call: &mut Call<'_, '_>, period: u32) -> HostResult {
    call.fault("")?;
    let state = call.state();
    let (serial, root) = (state.serial, state.acting_root());
    call.process().arm(serial, root, Duration::from_millis(period.into()));
    Ok(())
}
