//! The functions that Envoy offers a module, as proxy-wasm ABI 0.2.1 declares them.
//!
//! Outside wasm there is no host, and every call fails. The functions exist there so that the crate builds and is
//! checked like any other.

#![expect(unsafe_code, reason = "the host's functions are foreign ones")]

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub(super) fn proxy_log(level: u32, text: *const u8, len: usize) -> u32;
    pub(super) fn proxy_get_current_time_nanoseconds(out: *mut u64) -> u32;
    pub(super) fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
    pub(super) fn proxy_get_property(path: *const u8, len: usize, out: *mut *mut u8, out_len: *mut usize) -> u32;
    pub(super) fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        len: usize,
        out: *mut *mut u8,
        out_len: *mut usize,
    ) -> u32;
    pub(super) fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        out: *mut *mut u8,
        out_len: *mut usize,
    ) -> u32;
    pub(super) fn proxy_get_shared_data(
        key: *const u8,
        len: usize,
        out: *mut *mut u8,
        out_len: *mut usize,
        cas: *mut u32,
    ) -> u32;
    pub(super) fn proxy_set_shared_data(
        key: *const u8,
        len: usize,
        value: *const u8,
        value_len: usize,
        cas: u32,
    ) -> u32;
    pub(super) fn proxy_define_metric(kind: u32, name: *const u8, len: usize, out: *mut u32) -> u32;
    pub(super) fn proxy_get_metric(id: u32, out: *mut u64) -> u32;
    pub(super) fn proxy_increment_metric(id: u32, by: i64) -> u32;
    pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
    pub(super) fn proxy_set_effective_context(context: u32) -> u32;
    pub(super) fn proxy_http_call(
        cluster: *const u8,
        cluster_len: usize,
        headers: *const u8,
        headers_len: usize,
        body: *const u8,
        body_len: usize,
        trailers: *const u8,
        trailers_len: usize,
        timeout_millis: u32,
        call: *mut u32,
    ) -> u32;
    pub(super) fn proxy_call_foreign_function(
        name: *const u8,
        name_len: usize,
        args: *const u8,
        args_len: usize,
        out: *mut *mut u8,
        out_len: *mut usize,
    ) -> u32;
}
/// The status `Unimplemented` of the ABI.
#[cfg(not(target_arch = "wasm32"))]
const UNIMPLEMENTED: u32 = 12;

#[cfg(not(target_arch = "wasm32"))]
macro_rules! no_host {
    ($($name:ident($($arg:ty),*);)*) => {
        $(
            #[allow(clippy::too_many_arguments, reason = "some have as many as the ABI gives them")]
            pub(super) unsafe fn $name($(_: $arg),*) -> u32 {
                UNIMPLEMENTED
            }
        )*
    };
}

#[cfg(not(target_arch = "wasm32"))]
no_host! {
    proxy_log(u32, *const u8, usize);
    proxy_get_current_time_nanoseconds(*mut u64);
    proxy_set_tick_period_milliseconds(u32);
    proxy_get_property(*const u8, usize, *mut *mut u8, *mut usize);
    proxy_get_header_map_value(u32, *const u8, usize, *mut *mut u8, *mut usize);
    proxy_get_buffer_bytes(u32, usize, usize, *mut *mut u8, *mut usize);
    proxy_get_shared_data(*const u8, usize, *mut *mut u8, *mut usize, *mut u32);
    proxy_set_shared_data(*const u8, usize, *const u8, usize, u32);
    proxy_define_metric(u32, *const u8, usize, *mut u32);
    proxy_get_metric(u32, *mut u64);
    proxy_increment_metric(u32, i64);
    proxy_record_metric(u32, u64);
    proxy_set_effective_context(u32);
    proxy_http_call(
        *const u8, usize, *const u8, usize, *const u8, usize, *const u8, usize, u32, *mut u32
    );
    proxy_call_foreign_function(*const u8, usize, *const u8, usize, *mut *mut u8, *mut usize);
}
