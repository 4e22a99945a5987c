//! The only file that calls the host. Every call gives a `Result` for every status, known or not: the proxy-wasm SDK
//! panics on statuses that it does not list, and a panic takes the VM down.
//!
//! What each call costs: one that returns bytes calls back into our allocator, one to two and a half microseconds; one
//! that returns a number through a pointer is several times cheaper.
//!
//! Not here: any decision.

// The host's functions are foreign ones; this is where they are made safe.
#![allow(unsafe_code)]

pub mod exchange;

use std::ptr::{null, null_mut};

/// A status other than Ok, with its number in the proxy-wasm ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// What was asked for is not there.
    pub const NOT_FOUND: Self = Self(1);
    /// Somebody else changed the value since it was read.
    pub const CAS_MISMATCH: Self = Self(8);
}

/// What a host call gives.
pub type Result<T> = core::result::Result<T, Status>;

/// Severity of a log line, as the ABI numbers it.
pub type LogLevel = u32;
/// `info`: hidden by default in Istio's proxies.
pub const LOG_INFO: LogLevel = 2;
/// `warn`.
pub const LOG_WARN: LogLevel = 3;
/// `error`.
pub const LOG_ERROR: LogLevel = 4;

/// A metric that only grows.
pub const METRIC_COUNTER: u32 = 0;
/// A metric that goes up and down.
pub const METRIC_GAUGE: u32 = 1;

/// The header map of the response.
pub const RESPONSE_HEADERS: u32 = 2;

/// The header map of an HTTP call's answer.
pub const CALL_HEADERS: u32 = 6;

/// The buffer that holds the body of an HTTP call's answer.
pub const CALL_BODY: u32 = 4;
/// The buffer that holds the plugin's configuration.
pub const PLUGIN_CONFIGURATION: u32 = 7;

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: u32, text: *const u8, len: usize) -> u32;
        pub fn proxy_get_current_time_nanoseconds(out: *mut u64) -> u32;
        pub fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
        pub fn proxy_get_property(path: *const u8, len: usize, out: *mut *mut u8, out_len: *mut usize) -> u32;
        pub fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            len: usize,
            out: *mut *mut u8,
            out_len: *mut usize,
        ) -> u32;
        pub fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max: usize,
            out: *mut *mut u8,
            out_len: *mut usize,
        ) -> u32;
        pub fn proxy_get_shared_data(
            key: *const u8,
            len: usize,
            out: *mut *mut u8,
            out_len: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(key: *const u8, len: usize, value: *const u8, value_len: usize, cas: u32) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, len: usize, out: *mut u32) -> u32;
        pub fn proxy_get_metric(id: u32, out: *mut u64) -> u32;
        pub fn proxy_increment_metric(id: u32, by: i64) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub fn proxy_set_effective_context(context: u32) -> u32;
        pub fn proxy_http_call(
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
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_len: usize,
            args: *const u8,
            args_len: usize,
            out: *mut *mut u8,
            out_len: *mut usize,
        ) -> u32;
    }
}

/// Outside wasm there is no host: every call fails, so that the crate builds and is checked like any other.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::too_many_arguments)] // the ABI's
mod imports {
    macro_rules! no_host {
        ($($name:ident($($arg:ty),*);)*) => { $(pub unsafe fn $name($(_: $arg),*) -> u32 { 12 })* };
    }
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
}

fn check(status: u32) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// Runs a call that returns bytes, which the host put into memory that [`crate::abi`] gave it.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let mut data: *mut u8 = null_mut();
    let mut len = 0_usize;
    check(call(&raw mut data, &raw mut len))?;
    if data.is_null() || len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got the block from `proxy_on_memory_allocate` with exactly `len` bytes, filled it, and gave it up.
    Ok(unsafe { Vec::from_raw_parts(data, len, len) })
}

/// Writes a log line.
pub fn log(level: LogLevel, text: &str) -> Result<()> {
    // SAFETY: pointer and length are of a live string; the host copies it.
    check(unsafe { imports::proxy_log(level, text.as_ptr(), text.len()) })
}

/// The wall clock, in nanoseconds since the epoch.
pub fn now_nanoseconds() -> Result<u64> {
    let mut time = 0;
    // SAFETY: the host writes eight bytes to a live local.
    check(unsafe { imports::proxy_get_current_time_nanoseconds(&raw mut time) })?;
    Ok(time)
}

/// Sets how often the current root context ticks.
pub fn set_tick_period(millis: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_set_tick_period_milliseconds(millis) })
}

/// A property; `path` has its parts separated by NUL. An empty value and none look the same to the host.
pub fn property(path: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: pointer and length are of a live slice; the outputs are live locals of `bytes`.
    bytes(|out, len| unsafe { imports::proxy_get_property(path.as_ptr(), path.len(), out, len) })
}

/// The value of a header.
pub fn header(map: u32, key: &str) -> Result<Vec<u8>> {
    // SAFETY: as for `property`.
    bytes(|out, len| unsafe { imports::proxy_get_header_map_value(map, key.as_ptr(), key.len(), out, len) })
}

/// Up to `max` bytes of a buffer, from `start` on.
pub fn buffer(buffer: u32, start: usize, max: usize) -> Result<Vec<u8>> {
    // SAFETY: no memory of ours is read; the outputs are live locals of `bytes`.
    bytes(|out, len| unsafe { imports::proxy_get_buffer_bytes(buffer, start, max, out, len) })
}

/// A shared value and the number by which a change is made conditional; `None` when there is none.
pub fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>> {
    let mut cas = 0;
    let read = bytes(|out, len| {
        // SAFETY: as for `property`; the host writes four bytes to a live local.
        unsafe { imports::proxy_get_shared_data(key.as_ptr(), key.len(), out, len, &raw mut cas) }
    });
    match read {
        Ok(value) => Ok(Some((value, cas))),
        Err(Status::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}

/// Sets a shared value if it is still the one with the number `cas`; [`Status::CAS_MISMATCH`] if not.
pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<()> {
    // SAFETY: pointers and lengths are of live slices; the host copies them.
    check(unsafe { imports::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

/// The number of the metric with this name, which comes into being if it is not there.
pub fn define_metric(kind: u32, name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: pointer and length are of a live string; the host writes four bytes to a live local.
    check(unsafe { imports::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// The value of a metric.
pub fn metric(id: u32) -> Result<u64> {
    let mut value = 0;
    // SAFETY: the host writes eight bytes to a live local.
    check(unsafe { imports::proxy_get_metric(id, &raw mut value) })?;
    Ok(value)
}

/// Changes a metric by an amount.
pub fn increment_metric(id: u32, by: i64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_increment_metric(id, by) })
}

/// Sets a gauge.
pub fn record_metric(id: u32, value: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_record_metric(id, value) })
}

/// Makes what follows in this callback happen in the name of another context.
pub fn set_effective_context(context: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_set_effective_context(context) })
}

/// Sends a GET of `path` to a cluster; the answer comes to the effective context. Gives the number of the call.
pub fn get(cluster: &str, path: &str, timeout_millis: u32) -> Result<u32> {
    call(cluster, &[(":method", "GET"), (":path", path), (":authority", cluster)], &[], timeout_millis)
}

/// Sends JSON to a host behind a cluster, otherwise like [`get`].
pub fn post(cluster: &str, host: &str, path: &str, json: &[u8], timeout_millis: u32) -> Result<u32> {
    let headers = [(":method", "POST"), (":path", path), (":authority", host), ("content-type", "application/json")];
    call(cluster, &headers, json, timeout_millis)
}

fn call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout_millis: u32) -> Result<u32> {
    let headers = pairs(headers);
    let mut call = 0;
    // SAFETY: pointers and lengths are of live values, which the host copies; there are no trailers; the host writes four
    // bytes to a live local.
    check(unsafe {
        imports::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            null(),
            0,
            timeout_millis,
            &raw mut call,
        )
    })?;
    Ok(call)
}

/// Pairs of texts as the ABI writes them: how many, the lengths of each, then each with a NUL behind it.
fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let length = |n: usize| u32::try_from(n).unwrap_or(0).to_le_bytes();
    let mut bytes = length(pairs.len()).to_vec();
    for (key, value) in pairs {
        bytes.extend_from_slice(&length(key.len()));
        bytes.extend_from_slice(&length(value.len()));
    }
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Calls one of Envoy's foreign functions.
pub fn foreign(name: &str, args: &[u8]) -> Result<Vec<u8>> {
    bytes(|out, len| {
        // SAFETY: pointers and lengths are of live slices; the outputs are live locals of `bytes`.
        unsafe { imports::proxy_call_foreign_function(name.as_ptr(), name.len(), args.as_ptr(), args.len(), out, len) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm::types;

    #[test]
    fn the_abis_numbers_are_the_sdks() {
        assert_eq!(Status::NOT_FOUND.0, types::Status::NotFound as u32);
        assert_eq!(Status::CAS_MISMATCH.0, types::Status::CasMismatch as u32);
        assert_eq!(
            [LOG_INFO, LOG_WARN, LOG_ERROR],
            [types::LogLevel::Info, types::LogLevel::Warn, types::LogLevel::Error].map(|level| level as u32)
        );
        assert_eq!(METRIC_COUNTER, types::MetricType::Counter as u32);
        assert_eq!(METRIC_GAUGE, types::MetricType::Gauge as u32);
        assert_eq!(RESPONSE_HEADERS, types::MapType::HttpResponseHeaders as u32);
        assert_eq!(CALL_HEADERS, types::MapType::HttpCallResponseHeaders as u32);
        assert_eq!(CALL_BODY, types::BufferType::HttpCallResponseBody as u32);
        assert_eq!(PLUGIN_CONFIGURATION, types::BufferType::PluginConfiguration as u32);
    }
}
