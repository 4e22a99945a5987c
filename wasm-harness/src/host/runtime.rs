//! Host functions that do not need a stream: log, time, ticks, metrics, shared data and queues, contexts.

use super::{HostCaller, host};
use crate::abi::{Level, Status};
use crate::process::LogLine;
use std::time::Duration;
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<crate::state::VmState>) -> wasmtime::Result<()> {
    let l = linker;
    l.func_wrap("env", "proxy_log", |mut c: HostCaller, level: u32, at: u32, length: u32| {
        host(&mut c, "proxy_log", |call| {
            let level = Level::from_abi(level).ok_or(Status::BadArgument)?;
            let message = call.text(at, length)?;
            call.fault("")?;
            let vm = call.state().vm;
            let mut process = call.process();
            if level >= process.log_level {
                let at = process.now;
                process.logs.push(LogLine { level, message, vm, at });
            }
            Ok(())
        })
    })?;
    l.func_wrap("env", "proxy_get_log_level", |mut c: HostCaller, at: u32| {
        host(&mut c, "proxy_get_log_level", |call| {
            call.fault("")?;
            let level = call.process().log_level as u32;
            Ok(call.write_u32(at, level)?)
        })
    })?;
    l.func_wrap("env", "proxy_get_current_time_nanoseconds", |mut c: HostCaller, at: u32| {
        host(&mut c, "proxy_get_current_time_nanoseconds", |call| {
            call.fault("")?;
            let wall = call.process().wall;
            Ok(call.write_u64(at, wall.as_nanos() as u64)?)
        })
    })?;
    l.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut c: HostCaller, period: u32| {
        host(&mut c, "proxy_set_tick_period_milliseconds", |call| {
            call.fault("")?;
            let state = call.state();
            let acting = state.acting();
            let root = state.contexts.get(&acting).map_or(acting, |context| context.root);
            let serial = state.serial;
            call.process().arm(serial, root, Duration::from_millis(period.into()));
            Ok(())
        })
    })?;
    l.func_wrap("env", "proxy_set_effective_context", |mut c: HostCaller, id: u32| {
        host(&mut c, "proxy_set_effective_context", |call| {
            call.fault("")?;
            let state = call.state();
            // Context 0 is the VM's own: setting it is the same as having none.
            if id != 0 && !state.contexts.contains_key(&id) {
                return Err(Status::BadArgument.into());
            }
            state.effective = id;
            Ok(())
        })
    })?;
    l.func_wrap("env", "proxy_done", |mut c: HostCaller| {
        host(&mut c, "proxy_done", |call| {
            call.fault("")?;
            let state = call.state();
            let acting = state.acting();
            let root = state.root_of(acting).ok_or(Status::NotFound)?;
            if !root.pending_done {
                return Err(Status::NotFound.into());
            }
            root.pending_done = false;
            let id = root.root;
            state.done.push(id);
            Ok(())
        })
    })?;
    link_metrics(l)?;
    link_shared_data(l)?;
    link_queues(l)
}

fn link_metrics(l: &mut Linker<crate::state::VmState>) -> wasmtime::Result<()> {
    let define = |mut c: HostCaller, kind: u32, name: u32, length: u32, id_at: u32| {
        host(&mut c, "proxy_define_metric", |call| {
            let name = call.text(name, length)?;
            call.fault(&name)?;
            let state = call.state();
            let id = state.metric_ids.define(&mut state.process.borrow_mut().stats, kind, &name)?;
            Ok(call.write_u32(id_at, id)?)
        })
    };
    l.func_wrap("env", "proxy_define_metric", define)?;
    l.func_wrap("env", "proxy_increment_metric", |mut c: HostCaller, id: u32, offset: i64| {
        host(&mut c, "proxy_increment_metric", |call| {
            call.fault("")?;
            let state = call.state();
            let stats = &mut state.process.borrow_mut().stats;
            Ok(state.metric_ids.increment(stats, id, offset)?)
        })
    })?;
    l.func_wrap("env", "proxy_record_metric", |mut c: HostCaller, id: u32, value: u64| {
        host(&mut c, "proxy_record_metric", |call| {
            call.fault("")?;
            let state = call.state();
            let stats = &mut state.process.borrow_mut().stats;
            Ok(state.metric_ids.record(stats, id, value)?)
        })
    })?;
    l.func_wrap("env", "proxy_get_metric", |mut c: HostCaller, id: u32, value_at: u32| {
        host(&mut c, "proxy_get_metric", |call| {
            call.fault("")?;
            let state = call.state();
            let value = state.metric_ids.get(&mut state.process.borrow_mut().stats, id)?;
            Ok(call.write_u64(value_at, value)?)
        })
    })?;
    Ok(())
}

fn link_shared_data(l: &mut Linker<crate::state::VmState>) -> wasmtime::Result<()> {
    let get = |mut c: HostCaller, key: u32, length: u32, value_at: u32, size_at: u32, cas_at: u32| {
        host(&mut c, "proxy_get_shared_data", |call| {
            let key = call.bytes(key, length)?;
            call.fault(&String::from_utf8_lossy(&key))?;
            let found = call.process().shared.get(&key);
            let (value, cas) = found.ok_or(Status::NotFound)?;
            call.give(&value, value_at, size_at)?;
            Ok(call.write_u32(cas_at, cas)?)
        })
    };
    l.func_wrap("env", "proxy_get_shared_data", get)?;
    let set = |mut c: HostCaller, key: u32, length: u32, value: u32, size: u32, cas: u32| {
        host(&mut c, "proxy_set_shared_data", |call| {
            let key = call.bytes(key, length)?;
            let value = call.bytes(value, size)?;
            call.fault(&String::from_utf8_lossy(&key))?;
            Ok(call.process().shared.set(&key, &value, cas)?)
        })
    };
    l.func_wrap("env", "proxy_set_shared_data", set)?;
    Ok(())
}

fn link_queues(l: &mut Linker<crate::state::VmState>) -> wasmtime::Result<()> {
    let register = |mut c: HostCaller, name: u32, length: u32, token_at: u32| {
        host(&mut c, "proxy_register_shared_queue", |call| {
            let name = call.bytes(name, length)?;
            call.fault(&String::from_utf8_lossy(&name))?;
            let state = call.state();
            let acting = state.acting();
            // Only root contexts hear of items, so a stream registers for its root.
            let root = state.contexts.get(&acting).map_or(acting, |context| context.root);
            let owner = (state.serial, root);
            let token = call.process().queues.register(&name, owner);
            Ok(call.write_u32(token_at, token)?)
        })
    };
    l.func_wrap("env", "proxy_register_shared_queue", register)?;
    let resolve = |mut c: HostCaller, vm: u32, vm_length: u32, name: u32, length: u32, token_at: u32| {
        host(&mut c, "proxy_resolve_shared_queue", |call| {
            let vm_id = call.text(vm, vm_length)?;
            let name = call.bytes(name, length)?;
            call.fault(&String::from_utf8_lossy(&name))?;
            let process = call.process();
            let ours = vm_id.is_empty() || vm_id == process.vm_id;
            let token = process.queues.resolve(&name).filter(|_| ours);
            drop(process);
            Ok(call.write_u32(token_at, token.ok_or(Status::NotFound)?)?)
        })
    };
    l.func_wrap("env", "proxy_resolve_shared_queue", resolve)?;
    l.func_wrap("env", "proxy_enqueue_shared_queue", |mut c: HostCaller, token: u32, data: u32, size: u32| {
        host(&mut c, "proxy_enqueue_shared_queue", |call| {
            let item = call.bytes(data, size)?;
            call.fault("")?;
            Ok(call.process().queues.enqueue(token, item)?)
        })
    })?;
    l.func_wrap("env", "proxy_dequeue_shared_queue", |mut c: HostCaller, token: u32, data_at: u32, size_at: u32| {
        host(&mut c, "proxy_dequeue_shared_queue", |call| {
            call.fault("")?;
            let item = call.process().queues.dequeue(token)?;
            call.give(&item, data_at, size_at)
        })
    })?;
    Ok(())
}
