//! Bodies, configurations and other buffers.

use super::call::{Call, HostResult};
use crate::abi::Status;

/// Kinds of buffer, in the ABI's order.
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_RESPONSE_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;
const LAST_BUFFER: u32 = 8;

impl Call<'_, '_> {
    /// A buffer's bytes. Outside their callback, bodies exist and are empty; a plugin configuration outside
    /// `proxy_on_configure` and an HTTP call's body outside its callback are NotFound.
    fn buffer(&mut self, kind: u32) -> Result<Vec<u8>, Status> {
        if kind > LAST_BUFFER {
            return Err(Status::BadArgument);
        }
        let state = self.state();
        let acting = state.acting();
        match kind {
            REQUEST_BODY | RESPONSE_BODY => {
                let stream = self.stream()?;
                let stream = stream.filter(|stream| stream.body_is_response == (kind == RESPONSE_BODY));
                Ok(stream.map(|stream| stream.body.clone()).unwrap_or_default())
            }
            CALL_RESPONSE_BODY => {
                let answer = state.root_of(acting).and_then(|root| root.answer.as_ref());
                answer.map(|answer| answer.body.clone()).ok_or(Status::NotFound)
            }
            VM_CONFIGURATION => Ok(self.process().vm_config.clone()),
            PLUGIN_CONFIGURATION => {
                let plugin = state.configuring.as_ref().ok_or(Status::NotFound)?;
                Ok(plugin.config.clone())
            }
            // Stream data of a network filter, gRPC messages, data of a foreign call: this host never fills them.
            _ => Ok(Vec::new()),
        }
    }
}

pub(super) fn get_bytes(
    call: &mut Call<'_, '_>,
    buffer: u32,
    start: u32,
    length: u32,
    bytes_at: u32,
    size_at: u32,
) -> HostResult {
    let bytes = call.buffer(buffer)?;
    call.fault(&buffer.to_string())?;
    let start = start as usize;
    let end = bytes.len().min(start.saturating_add(length as usize));
    // Envoy's arithmetic underflows if the start is after the end, so no module can rely on the result.
    let part = bytes.get(start..end).ok_or(Status::BadArgument)?;
    // With nothing to copy, Envoy leaves the module's pointers unchanged.
    if part.is_empty() {
        return Ok(());
    }
    call.return_bytes(part, bytes_at, size_at)
}

pub(super) fn get_status(call: &mut Call<'_, '_>, buffer: u32, size_at: u32, flags_at: u32) -> HostResult {
    let size = call.buffer(buffer)?.len();
    call.fault(&buffer.to_string())?;
    call.write_u32(size_at, size as u32)?;
    Ok(call.write_u32(flags_at, 0)?)
}

pub(super) fn set_bytes(
    call: &mut Call<'_, '_>,
    buffer: u32,
    start: u32,
    length: u32,
    bytes: u32,
    size: u32,
) -> HostResult {
    let old = call.buffer(buffer)?;
    let bytes = call.bytes(bytes, size)?;
    call.fault(&buffer.to_string())?;
    if buffer != REQUEST_BODY && buffer != RESPONSE_BODY {
        return Err(Status::BadArgument.into());
    }
    // Envoy can only prepend, replace the whole, or append.
    let new = match (start as usize, length as usize) {
        (0, 0) => [bytes, old].concat(),
        (0, length) if length >= old.len() => bytes,
        (start, _) if start > 0 && start >= old.len() => [old, bytes].concat(),
        _ => return Err(Status::BadArgument.into()),
    };
    let stream = call.stream()?.ok_or(Status::BadArgument)?;
    stream.body = new;
    Ok(())
}
