//! How a stream continues: resumed, closed, or answered by the module.
//!
//! The harness performs every step itself, so there is nothing to resume or to close: only the statuses matter.

use super::call::{Call, HostResult};
use crate::abi::{Status, decode_pairs};
use crate::state::LocalReply;

/// Kinds of stream, in the ABI's order: HTTP request and response, then the two directions of a TCP connection.
const HTTP_RESPONSE: u32 = 1;
const UPSTREAM: u32 = 3;

pub(super) fn continue_stream(call: &mut Call<'_, '_>, kind: u32) -> HostResult {
    call.fault("")?;
    if kind <= HTTP_RESPONSE { Ok(()) } else { Err(Status::BadArgument.into()) }
}

pub(super) fn close_stream(call: &mut Call<'_, '_>, kind: u32) -> HostResult {
    call.fault("")?;
    if kind <= UPSTREAM { Ok(()) } else { Err(Status::BadArgument.into()) }
}

/// Answers instead of the endpoint; the reply is sent when the callback is over. Without a stream it returns Ok and
/// does nothing.
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(super) fn send_local_response(
    call: &mut Call<'_, '_>,
    code: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    _grpc_status: u32,
) -> HostResult {
    let details = call.text(details, details_size)?.replace(' ', "_");
    let body = call.bytes(body, body_size)?;
    let headers = decode_pairs(&call.bytes(headers, headers_size)?);
    call.fault("")?;
    if let Some(stream) = call.stream()? {
        stream.local_reply = Some(LocalReply { code, details, body, headers });
    }
    Ok(())
}
