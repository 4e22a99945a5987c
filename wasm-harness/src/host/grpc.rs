//! gRPC calls. No gRPC service exists here: starting a call returns InternalFailure, as in Envoy when no stream can be
//! opened, and every token is unknown.

use super::call::{Call, HostResult};
use crate::abi::Status;

#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(super) fn call(
    call: &mut Call<'_, '_>,
    _service: u32,
    _service_size: u32,
    _service_name: u32,
    _service_name_size: u32,
    _method: u32,
    _method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    _message: u32,
    _message_size: u32,
    _timeout_ms: u32,
    _token_at: u32,
) -> HostResult {
    fail(call, Status::InternalFailure)
}

#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(super) fn stream(
    call: &mut Call<'_, '_>,
    _service: u32,
    _service_size: u32,
    _service_name: u32,
    _service_name_size: u32,
    _method: u32,
    _method_size: u32,
    _metadata: u32,
    _metadata_size: u32,
    _token_at: u32,
) -> HostResult {
    fail(call, Status::InternalFailure)
}

pub(super) fn send(call: &mut Call<'_, '_>, _token: u32, _message: u32, _size: u32, _end_of_stream: u32) -> HostResult {
    fail(call, Status::NotFound)
}

pub(super) fn cancel(call: &mut Call<'_, '_>, _token: u32) -> HostResult {
    fail(call, Status::NotFound)
}

pub(super) fn close(call: &mut Call<'_, '_>, _token: u32) -> HostResult {
    fail(call, Status::NotFound)
}

fn fail(call: &mut Call<'_, '_>, status: Status) -> HostResult {
    call.fault("")?;
    Err(status.into())
}
