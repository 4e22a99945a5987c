//! Lists the functions that Envoy lets a plugin import, by the ABI version that the plugin declares.
//!
//! The lists are those of Envoy's own wasm host. They were determined by letting Envoy 1.36, 1.37, 1.39 and 1.40 load
//! modules that import one function each. Types are not compared: a plugin built with an SDK has them right.

use serde::Serialize;

/// A version of the interface between proxy and plugin. A plugin declares it by exporting a function of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Abi {
    /// `proxy_abi_version_0_1_0`
    #[serde(rename = "0.1.0")]
    V0_1_0,
    /// `proxy_abi_version_0_2_0`
    #[serde(rename = "0.2.0")]
    V0_2_0,
    /// `proxy_abi_version_0_2_1`
    #[serde(rename = "0.2.1")]
    V0_2_1,
}

impl Abi {
    /// The version that an export of this name declares, if any.
    pub(crate) fn exported_as(name: &str) -> Option<Self> {
        match name {
            "proxy_abi_version_0_1_0" => Some(Self::V0_1_0),
            "proxy_abi_version_0_2_0" => Some(Self::V0_2_0),
            "proxy_abi_version_0_2_1" => Some(Self::V0_2_1),
            _ => None,
        }
    }

    /// The version as text, such as `0.2.1`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        }
    }
}

/// Available in every version of the ABI, from module `env`; each name is prefixed with `proxy_`.
const ALWAYS: [&str; 36] = [
    "add_header_map_value",
    "call_foreign_function",
    "define_metric",
    "dequeue_shared_queue",
    "done",
    "enqueue_shared_queue",
    "get_buffer_bytes",
    "get_buffer_status",
    "get_current_time_nanoseconds",
    "get_header_map_pairs",
    "get_header_map_size",
    "get_header_map_value",
    "get_metric",
    "get_property",
    "get_shared_data",
    "get_status",
    "grpc_call",
    "grpc_cancel",
    "grpc_close",
    "grpc_send",
    "grpc_stream",
    "http_call",
    "increment_metric",
    "log",
    "record_metric",
    "register_shared_queue",
    "remove_header_map_value",
    "replace_header_map_value",
    "resolve_shared_queue",
    "send_local_response",
    "set_buffer_bytes",
    "set_effective_context",
    "set_header_map_pairs",
    "set_property",
    "set_shared_data",
    "set_tick_period_milliseconds",
];

const ONLY_0_1_0: [&str; 4] = ["clear_route_cache", "continue_request", "continue_response", "get_configuration"];
const SINCE_0_2_0: [&str; 2] = ["close_stream", "continue_stream"];
const SINCE_0_2_1: [&str; 1] = ["get_log_level"];

/// For modules compiled by Emscripten, from `env`.
const EMSCRIPTEN: [&str; 2] = ["emscripten_notify_memory_growth", "pthread_equal"];

const WASI_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// WASI functions that every supported Envoy provides.
const WASI: [&str; 18] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// WASI functions that Envoy provides since 1.39; all they do is fail.
const WASI_SINCE_1_39: [&str; 27] = [
    "clock_res_get",
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_readdir",
    "fd_renumber",
    "fd_sync",
    "fd_tell",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// Which proxies provide a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Every supported Envoy.
    Always,
    /// Envoy 1.39 and later.
    Since1_39,
    /// No Envoy.
    Never,
}

/// Which proxies provide the function `name` of `module` to a plugin that declares `abi`.
pub(crate) fn offers(abi: Abi, module: &str, name: &str) -> Offer {
    if WASI_MODULES.contains(&module) {
        return match name {
            name if WASI.contains(&name) => Offer::Always,
            name if WASI_SINCE_1_39.contains(&name) => Offer::Since1_39,
            _ => Offer::Never,
        };
    }
    let ours = |name: &str| match abi {
        _ if ALWAYS.contains(&name) => true,
        Abi::V0_1_0 => ONLY_0_1_0.contains(&name),
        Abi::V0_2_0 => SINCE_0_2_0.contains(&name),
        Abi::V0_2_1 => SINCE_0_2_0.contains(&name) || SINCE_0_2_1.contains(&name),
    };
    let offered = module == "env" && (EMSCRIPTEN.contains(&name) || name.strip_prefix("proxy_").is_some_and(ours));
    if offered { Offer::Always } else { Offer::Never }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_depends_on_the_abi() {
        let offer = |abi, name| offers(abi, "env", name);
        for abi in [Abi::V0_1_0, Abi::V0_2_0, Abi::V0_2_1] {
            assert_eq!(offer(abi, "proxy_log"), Offer::Always);
            assert_eq!(offer(abi, "proxy_nope"), Offer::Never);
            assert_eq!(offer(abi, "log"), Offer::Never);
        }
        assert_eq!(offer(Abi::V0_2_1, "proxy_get_log_level"), Offer::Always);
        assert_eq!(offer(Abi::V0_2_0, "proxy_get_log_level"), Offer::Never);
        assert_eq!(offer(Abi::V0_1_0, "proxy_clear_route_cache"), Offer::Always);
        assert_eq!(offer(Abi::V0_2_1, "proxy_clear_route_cache"), Offer::Never);
        assert_eq!(offers(Abi::V0_2_1, "wasi_snapshot_preview1", "fd_write"), Offer::Always);
        assert_eq!(offers(Abi::V0_2_1, "wasi_unstable", "fd_sync"), Offer::Since1_39);
        assert_eq!(offers(Abi::V0_2_1, "wasi_snapshot_preview1", "proc_raise"), Offer::Never);
        assert_eq!(offers(Abi::V0_2_1, "wasi_snapshot_preview1", "proxy_log"), Offer::Never);
    }
}
