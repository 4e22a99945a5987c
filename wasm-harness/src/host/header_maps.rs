//! Host functions about the stream at hand: attributes, header maps, bodies and other buffers, local replies.

use super::{Call, Done, HostCaller, host};
use crate::abi::{MapKind, Pairs, Status, decode_pairs, encode_pairs};
use crate::properties::{Path, header};
use crate::state::{Context, LocalReply, StreamView, VmState};
use wasmtime::Linker;

/// Kinds of buffer, in the ABI's order.
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_RESPONSE_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;
const LAST_BUFFER: u32 = 8;

impl Call<'_, '_> {
    fn context(&mut self) -> Result<&mut Context, Status> {
        let state = self.state();
        let acting = state.acting();
        state.contexts.get_mut(&acting).ok_or(Status::InternalFailure)
    }

    fn stream(&mut self) -> Result<Option<&mut StreamView>, Status> {
        Ok(self.context()?.stream.as_mut())
    }

    /// The map as a read sees it. For the answer of an HTTP call it is the root context's.
    fn map(&mut self, kind: MapKind) -> Option<Pairs> {
        let state = self.state();
        let acting = state.acting();
        match kind {
            MapKind::CallHeaders => state.root_of(acting)?.answer.as_ref().map(|a| a.headers.clone()),
            MapKind::CallTrailers => state.root_of(acting)?.answer.as_ref()?.trailers.clone(),
            kind => state.contexts.get(&acting)?.stream.as_ref()?.map(kind).cloned(),
        }
    }

    fn change_map(&mut self, kind: MapKind, change: impl FnOnce(&mut Pairs)) -> Done {
        let map = self.stream()?.and_then(|stream| stream.map_mut(kind));
        change(map.ok_or(Status::BadArgument)?);
        Ok(())
    }
}

fn map_kind(kind: u32) -> Result<MapKind, Status> {
    MapKind::from_abi(kind).ok_or(Status::BadArgument)
}

pub(super) fn link(l: &mut Linker<VmState>) -> wasmtime::Result<()> {
    let get = |mut c: HostCaller, path: u32, length: u32, value_at: u32, size_at: u32| {
        host(&mut c, "proxy_get_property", |call| {
            let path = Path::from_module(&call.bytes(path, length)?);
            call.fault(&path.dotted())?;
            let state = call.state();
            let value = state.property(state.acting(), &path).serialise()?;
            call.give(&value, value_at, size_at)
        })
    };
    l.func_wrap("env", "proxy_get_property", get)?;
    let set = |mut c: HostCaller, path: u32, length: u32, value: u32, size: u32| {
        host(&mut c, "proxy_set_property", |call| {
            let path = call.bytes(path, length)?;
            let value = call.bytes(value, size)?;
            call.fault(&Path::from_module(&path).dotted())?;
            let state = call.state();
            let acting = state.acting();
            let context = state.contexts.get_mut(&acting).ok_or(Status::InternalFailure)?;
            // A root has nothing to set it on, also while it logs a stream.
            let own = context.stream.as_mut().filter(|_| context.root != acting);
            own.ok_or(Status::NotFound)?.custom.insert(path, value);
            Ok(())
        })
    };
    l.func_wrap("env", "proxy_set_property", set)?;
    link_maps(l)?;
    link_buffers(l)?;
    link_control(l)
}

fn link_maps(l: &mut Linker<VmState>) -> wasmtime::Result<()> {
    let value = |mut c: HostCaller, kind: u32, key: u32, length: u32, value_at: u32, size_at: u32| {
        host(&mut c, "proxy_get_header_map_value", |call| {
            let kind = map_kind(kind)?;
            let key = call.bytes(key, length)?;
            call.fault(&String::from_utf8_lossy(&key))?;
            let Some(map) = call.map(kind) else {
                // A map that is not there at all is a wrong question, except in the log phase.
                let logging = call.stream()?.is_some_and(|stream| stream.logging());
                let status = if logging { Status::NotFound } else { Status::BadArgument };
                return Err(status.into());
            };
            let value = header(&map, &key).ok_or(Status::NotFound)?;
            call.give(value, value_at, size_at)
        })
    };
    l.func_wrap("env", "proxy_get_header_map_value", value)?;
    l.func_wrap("env", "proxy_get_header_map_pairs", |mut c: HostCaller, kind: u32, data_at: u32, size_at: u32| {
        host(&mut c, "proxy_get_header_map_pairs", |call| {
            let kind = map_kind(kind)?;
            call.fault("")?;
            // A map that is not there reads as one without headers: status Ok and a null pointer.
            let map = call.map(kind).filter(|map| !map.is_empty());
            let bytes = map.map(|map| encode_pairs(&map)).unwrap_or_default();
            call.give(&bytes, data_at, size_at)
        })
    })?;
    l.func_wrap("env", "proxy_get_header_map_size", |mut c: HostCaller, kind: u32, size_at: u32| {
        host(&mut c, "proxy_get_header_map_size", |call| {
            let kind = map_kind(kind)?;
            call.fault("")?;
            let map = call.map(kind).ok_or(Status::BadArgument)?;
            let size: usize = map.iter().map(|(name, value)| name.len() + value.len()).sum();
            Ok(call.write_u32(size_at, size as u32)?)
        })
    })?;
    l.func_wrap("env", "proxy_set_header_map_pairs", |mut c: HostCaller, kind: u32, data: u32, size: u32| {
        host(&mut c, "proxy_set_header_map_pairs", |call| {
            let kind = map_kind(kind)?;
            let pairs = decode_pairs(&call.bytes(data, size)?);
            call.fault("")?;
            call.change_map(kind, |map| *map = pairs)
        })
    })?;
    for (name, replace) in [("proxy_add_header_map_value", false), ("proxy_replace_header_map_value", true)] {
        let change = move |mut c: HostCaller, kind: u32, key: u32, length: u32, value: u32, size: u32| {
            host(&mut c, name, |call| {
                let kind = map_kind(kind)?;
                let key = call.bytes(key, length)?.to_ascii_lowercase();
                let value = call.bytes(value, size)?;
                call.fault(&String::from_utf8_lossy(&key))?;
                call.change_map(kind, |map| {
                    if replace {
                        map.retain(|(name, _)| *name != key);
                    }
                    map.push((key, value));
                })
            })
        };
        l.func_wrap("env", name, change)?;
    }
    l.func_wrap("env", "proxy_remove_header_map_value", |mut c: HostCaller, kind: u32, key: u32, length: u32| {
        host(&mut c, "proxy_remove_header_map_value", |call| {
            let kind = map_kind(kind)?;
            let key = call.bytes(key, length)?.to_ascii_lowercase();
            call.fault(&String::from_utf8_lossy(&key))?;
            call.change_map(kind, |map| map.retain(|(name, _)| *name != key))
        })
    })?;
    Ok(())
}

impl Call<'_, '_> {
    /// A buffer's bytes. Bodies outside their callback are there and empty; a plugin configuration outside of
    /// `proxy_on_configure` and an HTTP call's body outside of its callback are NotFound.
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
            // Stream data of a network filter, gRPC messages, data of a foreign call: never filled here, so empty.
            _ => Ok(Vec::new()),
        }
    }
}

fn link_buffers(l: &mut Linker<VmState>) -> wasmtime::Result<()> {
    let get = |mut c: HostCaller, kind: u32, start: u32, length: u32, data_at: u32, size_at: u32| {
        host(&mut c, "proxy_get_buffer_bytes", |call| {
            let bytes = call.buffer(kind)?;
            call.fault(&kind.to_string())?;
            let start = start as usize;
            let end = bytes.len().min(start.saturating_add(length as usize));
            // Envoy's arithmetic underflows for a start behind the end; nobody may rely on what it then does.
            let part = bytes.get(start..end).ok_or(Status::BadArgument)?;
            // With nothing to copy, Envoy leaves the module's pointers as they were.
            if part.is_empty() {
                return Ok(());
            }
            call.give(part, data_at, size_at)
        })
    };
    l.func_wrap("env", "proxy_get_buffer_bytes", get)?;
    l.func_wrap("env", "proxy_get_buffer_status", |mut c: HostCaller, kind: u32, size_at: u32, flags_at: u32| {
        host(&mut c, "proxy_get_buffer_status", |call| {
            let size = call.buffer(kind)?.len();
            call.fault(&kind.to_string())?;
            call.write_u32(size_at, size as u32)?;
            Ok(call.write_u32(flags_at, 0)?)
        })
    })?;
    let set = |mut c: HostCaller, kind: u32, start: u32, length: u32, data: u32, size: u32| {
        host(&mut c, "proxy_set_buffer_bytes", |call| {
            let old = call.buffer(kind)?;
            let data = call.bytes(data, size)?;
            call.fault(&kind.to_string())?;
            if kind != REQUEST_BODY && kind != RESPONSE_BODY {
                return Err(Status::BadArgument.into());
            }
            // Envoy can only prepend, replace the whole, or append.
            let new = match (start as usize, length as usize) {
                (0, 0) => [data, old].concat(),
                (0, length) if length >= old.len() => data,
                (start, _) if start > 0 && start >= old.len() => [old, data].concat(),
                _ => return Err(Status::BadArgument.into()),
            };
            let stream = call.stream()?.ok_or(Status::BadArgument)?;
            stream.body = new;
            Ok(())
        })
    };
    l.func_wrap("env", "proxy_set_buffer_bytes", set)?;
    Ok(())
}

fn link_control(l: &mut Linker<VmState>) -> wasmtime::Result<()> {
    #[allow(clippy::too_many_arguments)] // the ABI's own
    fn reply(call: &mut Call<'_, '_>, code: u32, details: (u32, u32), body: (u32, u32), headers: (u32, u32)) -> Done {
        let details = call.text(details.0, details.1)?.replace(' ', "_");
        let body = call.bytes(body.0, body.1)?;
        let headers = decode_pairs(&call.bytes(headers.0, headers.1)?);
        call.fault("")?;
        // Sent when the callback is over. Without a stream it is Ok and nothing happens.
        if let Some(stream) = call.stream()? {
            stream.local_reply = Some(LocalReply { code, details, body, headers });
        }
        Ok(())
    }
    type Word = u32;
    l.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut c: HostCaller,
         code: Word,
         details: Word,
         details_size: Word,
         body: Word,
         body_size: Word,
         headers: Word,
         headers_size: Word,
         _grpc_status: Word| {
            host(&mut c, "proxy_send_local_response", |call| {
                reply(call, code, (details, details_size), (body, body_size), (headers, headers_size))
            })
        },
    )?;
    // The harness drives every step itself, so there is nothing to resume or to cut: only the statuses matter.
    for name in ["proxy_continue_stream", "proxy_close_stream"] {
        l.func_wrap("env", name, move |mut c: HostCaller, kind: u32| {
            host(&mut c, name, |call| {
                call.fault("")?;
                let http = kind <= 1;
                let close = name == "proxy_close_stream" && kind <= 3;
                if http || close { Ok(()) } else { Err(Status::BadArgument.into()) }
            })
        })?;
    }
    l.func_wrap("env", "proxy_get_status", |mut c: HostCaller, code_at: u32, message_at: u32, size_at: u32| {
        host(&mut c, "proxy_get_status", |call| {
            call.fault("")?;
            let (code, message) = call.context()?.status;
            call.write_u32(code_at, code)?;
            call.give(message.as_bytes(), message_at, size_at)
        })
    })?;
    Ok(())
}
