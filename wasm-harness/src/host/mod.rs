//! The functions that a module imports from `env`: one function and one row of the table below for each.
//!
//! All of ABI 0.2.1 is here, so an import fails to link only if Envoy does not know it either. WASI is not offered:
//! modules for wasm32-wasip1 do not load. A function reads its arguments from the module's memory, asks `Call` whether
//! a fault was injected, acts, and returns the status that the module sees.

mod buffers;
mod call;
mod contexts;
mod foreign;
mod grpc;
mod header_maps;
mod http_calls;
mod metrics;
mod properties;
mod shared;
mod streams;
mod system;

use self::call::HostCaller;
use crate::state::VmState;
use wasmtime::Linker;

/// Links imports, one per row: its name, its arguments, and its function.
macro_rules! imports {
    ($linker:ident: $($name:ident($($argument:ident),*) => $function:path;)*) => {
        $($linker.func_wrap("env", stringify!($name), |mut caller: HostCaller<'_>, $($argument),*| {
            call::run(&mut caller, stringify!($name), |call| $function(call, $($argument),*))
        })?;)*
    };
}

/// Adds every function of the ABI.
pub(crate) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    imports! { linker:
        proxy_log(level, text, length) => system::log;
        proxy_get_log_level(level_at) => system::get_log_level;
        proxy_get_current_time_nanoseconds(time_at) => system::get_current_time;
        proxy_set_tick_period_milliseconds(period) => system::set_tick_period;
        proxy_set_effective_context(context) => contexts::set_effective_context;
        proxy_done() => contexts::done;
        proxy_get_status(code_at, message_at, size_at) => contexts::get_status;
        proxy_get_property(path, length, value_at, size_at) => properties::get;
        proxy_set_property(path, length, value, size) => properties::set;
        proxy_get_header_map_value(map, key, length, value_at, size_at) => header_maps::get_value;
        proxy_get_header_map_pairs(map, pairs_at, size_at) => header_maps::get_pairs;
        proxy_get_header_map_size(map, size_at) => header_maps::get_size;
        proxy_set_header_map_pairs(map, pairs, size) => header_maps::set_pairs;
        proxy_add_header_map_value(map, key, length, value, size) => header_maps::add_value;
        proxy_replace_header_map_value(map, key, length, value, size) => header_maps::replace_value;
        proxy_remove_header_map_value(map, key, length) => header_maps::remove_value;
        proxy_get_buffer_bytes(buffer, start, length, bytes_at, size_at) => buffers::get_bytes;
        proxy_get_buffer_status(buffer, size_at, flags_at) => buffers::get_status;
        proxy_set_buffer_bytes(buffer, start, length, bytes, size) => buffers::set_bytes;
        proxy_continue_stream(kind) => streams::continue_stream;
        proxy_close_stream(kind) => streams::close_stream;
        proxy_send_local_response(
            code, details, details_size, body, body_size, headers, headers_size, grpc_status
        ) => streams::send_local_response;
        proxy_define_metric(kind, name, length, id_at) => metrics::define;
        proxy_increment_metric(id, offset) => metrics::increment;
        proxy_record_metric(id, value) => metrics::record;
        proxy_get_metric(id, value_at) => metrics::get;
        proxy_get_shared_data(key, length, value_at, size_at, cas_at) => shared::get_data;
        proxy_set_shared_data(key, length, value, size, cas) => shared::set_data;
        proxy_register_shared_queue(name, length, token_at) => shared::register_queue;
        proxy_resolve_shared_queue(vm, vm_length, name, length, token_at) => shared::resolve_queue;
        proxy_enqueue_shared_queue(token, item, size) => shared::enqueue;
        proxy_dequeue_shared_queue(token, item_at, size_at) => shared::dequeue;
        proxy_http_call(
            cluster, cluster_size, headers, headers_size, body, body_size, trailers, trailers_size, timeout_ms, token_at
        ) => http_calls::http_call;
        proxy_call_foreign_function(
            name, name_size, argument, argument_size, result_at, size_at
        ) => foreign::call_foreign_function;
        proxy_grpc_call(
            service, service_size, name, name_size, method, method_size, metadata, metadata_size, message, message_size,
            timeout_ms, token_at
        ) => grpc::call;
        proxy_grpc_stream(
            service, service_size, name, name_size, method, method_size, metadata, metadata_size, token_at
        ) => grpc::stream;
        proxy_grpc_send(token, message, size, end) => grpc::send;
        proxy_grpc_cancel(token) => grpc::cancel;
        proxy_grpc_close(token) => grpc::close;
    }
    Ok(())
}
