//! HTTP calls, which are stored for the test to answer.

use super::call::{Call, HostResult};
use crate::abi::{Status, decode_pairs};
use crate::ids::CallId;
use crate::process::{Cluster, HttpCall};
use crate::properties::header;
use std::time::Duration;

/// In Envoy, the two lowest bits of a call's id are its type; HTTP's is 0.
const TOKEN_STEP: u32 = 4;

#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(super) fn http_call(
    call: &mut Call<'_, '_>,
    cluster: u32,
    cluster_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout_ms: u32,
    token_at: u32,
) -> HostResult {
    // Envoy always writes the token first, to find a bad pointer before anything is sent.
    call.write_u32(token_at, 0)?;
    let cluster = call.text(cluster, cluster_size)?;
    let headers = decode_pairs(&call.bytes(headers, headers_size)?);
    let body = call.bytes(body, body_size)?;
    let trailers = decode_pairs(&call.bytes(trailers, trailers_size)?);
    call.fault(&cluster)?;
    let known = call.process().clusters.get(&cluster).copied();
    let needed = [":method", ":path", ":authority"];
    let complete = needed.iter().all(|name| header(&headers, name.as_bytes()).is_some());
    // Envoy reads the timeout as a signed number of milliseconds.
    if known.is_none() || !complete || timeout_ms > i32::MAX as u32 {
        return Err(Status::BadArgument.into());
    }
    if known == Some(Cluster::NoEndpoint) {
        return Err(Status::InternalFailure.into());
    }
    let state = call.state();
    let acting = state.acting();
    let root = state.root_of(acting).ok_or(Status::InternalFailure)?.root;
    state.next_call_token += TOKEN_STEP;
    let (token, vm, serial) = (state.next_call_token, state.vm, state.serial);
    let mut process = call.process();
    process.next_call += 1;
    let (id, made_at) = (CallId(process.next_call), process.now);
    let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()));
    process.calls.push(HttpCall { id, vm, cluster, headers, body, trailers, timeout, made_at, serial, root, token });
    drop(process);
    Ok(call.write_u32(token_at, token)?)
}
