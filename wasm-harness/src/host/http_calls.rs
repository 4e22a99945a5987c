//! Host functions that reach out: HTTP calls, gRPC, foreign functions.
//!
//! HTTP calls are kept for the test to answer. No gRPC service exists here: starting a call is an InternalFailure, as
//! in Envoy when no stream can be opened, and every token is unknown.

use super::{Call, Early, HostCaller, host};
use crate::abi::{Status, decode_pairs};
use crate::expression;
use crate::process::{CallId, Cluster, HttpCall};
use crate::properties::header;
use crate::state::VmState;
use std::time::Duration;
use wasmtime::Linker;

/// Envoy's call ids carry their type in the two lowest bits; HTTP's is 0.
const TOKEN_STEP: u32 = 4;

type Block = (u32, u32);

/// Queues the call and returns its token.
fn http_call(
    call: &mut Call<'_, '_>,
    cluster: Block,
    headers: Block,
    body: Block,
    trailers: Block,
    timeout_ms: u32,
) -> Result<u32, Early> {
    let cluster = call.text(cluster.0, cluster.1)?;
    let headers = decode_pairs(&call.bytes(headers.0, headers.1)?);
    let body = call.bytes(body.0, body.1)?;
    let trailers = decode_pairs(&call.bytes(trailers.0, trailers.1)?);
    call.fault(&cluster)?;
    let known = call.process().clusters.get(&cluster).copied();
    let needed = [":method", ":path", ":authority"];
    let complete = needed.iter().all(|name| header(&headers, name.as_bytes()).is_some());
    // The timeout is a signed number of milliseconds to Envoy.
    if known.is_none() || !complete || timeout_ms > i32::MAX as u32 {
        return Err(Status::BadArgument.into());
    }
    if known == Some(Cluster::NoHost) {
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
    Ok(token)
}

pub(super) fn link(l: &mut Linker<VmState>) -> wasmtime::Result<()> {
    type Word = u32;
    l.func_wrap(
        "env",
        "proxy_http_call",
        |mut c: HostCaller,
         cluster: Word,
         cluster_size: Word,
         headers: Word,
         headers_size: Word,
         body: Word,
         body_size: Word,
         trailers: Word,
         trailers_size: Word,
         timeout_ms: Word,
         token_at: Word| {
            host(&mut c, "proxy_http_call", |call| {
                // Envoy writes the token in any case, to find a bad pointer before anything is sent.
                call.write_u32(token_at, 0)?;
                let token = http_call(
                    call,
                    (cluster, cluster_size),
                    (headers, headers_size),
                    (body, body_size),
                    (trailers, trailers_size),
                    timeout_ms,
                )?;
                Ok(call.write_u32(token_at, token)?)
            })
        },
    )?;
    l.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut c: HostCaller,
         name: Word,
         name_size: Word,
         argument: Word,
         argument_size: Word,
         result_at: Word,
         size_at: Word| {
            host(&mut c, "proxy_call_foreign_function", |call| {
                let name = call.bytes(name, name_size)?;
                let argument = call.bytes(argument, argument_size)?;
                call.fault(&String::from_utf8_lossy(&name))?;
                let result = expression::call(call.state(), &name, &argument);
                // An unknown function leaves the pointers alone; a known one writes them, also when it fails.
                let bytes = match &result {
                    Err(Status::NotFound) if !name.starts_with(b"expr_") => return Err(Status::NotFound.into()),
                    Err(_) => &[][..],
                    Ok(bytes) => bytes,
                };
                if result_at != 0 {
                    let pointer = call.allocate(bytes)?;
                    call.write_u32(result_at, pointer)?;
                }
                if size_at != 0 {
                    call.write_u32(size_at, bytes.len() as u32)?;
                }
                Ok(result.map(|_| ())?)
            })
        },
    )?;
    l.func_wrap(
        "env",
        "proxy_grpc_call",
        |mut c: HostCaller,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word,
         _: Word| {
            host(&mut c, "proxy_grpc_call", |call| {
                call.fault("")?;
                Err(Status::InternalFailure.into())
            })
        },
    )?;
    l.func_wrap(
        "env",
        "proxy_grpc_stream",
        |mut c: HostCaller, _: Word, _: Word, _: Word, _: Word, _: Word, _: Word, _: Word, _: Word, _: Word| {
            host(&mut c, "proxy_grpc_stream", |call| {
                call.fault("")?;
                Err(Status::InternalFailure.into())
            })
        },
    )?;
    l.func_wrap("env", "proxy_grpc_send", |mut c: HostCaller, _: Word, _: Word, _: Word, _: Word| {
        host(&mut c, "proxy_grpc_send", |call| {
            call.fault("")?;
            Err(Status::NotFound.into())
        })
    })?;
    for name in ["proxy_grpc_cancel", "proxy_grpc_close"] {
        l.func_wrap("env", name, move |mut c: HostCaller, _token: Word| {
            host(&mut c, name, |call| {
                call.fault("")?;
                Err(Status::NotFound.into())
            })
        })?;
    }
    Ok(())
}
