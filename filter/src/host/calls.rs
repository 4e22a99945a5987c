//! Safe wrappers of the host's functions; nothing else calls the host. Each returns a `Result` for every status, known
//! or unknown: the proxy-wasm SDK panics on statuses that it does not list, and a panic takes the VM down.
//!
//! Cost of a call: one that returns bytes calls back into our allocator and takes 1 to 2.5 microseconds; one that
//! returns a number through a pointer is several times cheaper.

#![expect(unsafe_code, reason = "the host's functions are foreign ones; this is where they are made safe")]

use super::envoy_imports as imports;
use filter_core::time::{Micros, Millis};
use std::ptr::{null, null_mut};

/// A status other than Ok, with its number in the proxy-wasm ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    /// The requested value does not exist.
    pub(crate) const NOT_FOUND: Self = Self(1);
    /// The value was changed after it was read.
    pub(crate) const CAS_MISMATCH: Self = Self(8);
}

/// The result of a host call.
pub(crate) type Result<T> = core::result::Result<T, Status>;

/// Severity of a log line, with the ABI's numbers. By default, Istio's proxies hide lines below `Warn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// The kind of a metric, with the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MetricKind {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
}

/// A readable header map, with the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum HeaderMap {
    Response = 2,
    CallResponse = 6,
}

/// A readable buffer, with the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Buffer {
    CallResponseBody = 4,
    PluginConfiguration = 7,
}

fn check(status: u32) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// Makes a call that returns bytes. The host writes them into memory that it gets from our exported allocator.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let mut data: *mut u8 = null_mut();
    let mut len = 0_usize;
    check(call(&raw mut data, &raw mut len))?;
    if data.is_null() || len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got the block from `proxy_on_memory_allocate` with exactly `len` bytes, filled it, and gave it
    // up.
    Ok(unsafe { Vec::from_raw_parts(data, len, len) })
}

/// Writes a log line.
pub(crate) fn log(level: LogLevel, text: &str) -> Result<()> {
    // SAFETY: pointer and length are of a live string; the host copies it.
    check(unsafe { imports::proxy_log(level as u32, text.as_ptr(), text.len()) })
}

/// The wall clock, in milliseconds.
pub(crate) fn now() -> Result<Millis> {
    Ok(now_micros()? / 1_000)
}

/// The wall clock, in microseconds.
pub(crate) fn now_micros() -> Result<Micros> {
    let mut nanoseconds: u64 = 0;
    // SAFETY: the host writes eight bytes to a live local.
    check(unsafe { imports::proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
    Ok(nanoseconds / 1_000)
}

/// Sets how often the current root context ticks.
pub(crate) fn set_tick_period(millis: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_set_tick_period_milliseconds(millis) })
}

/// A property; the parts of `path` are separated by NUL. The host does not distinguish an empty value from none.
pub(crate) fn property(path: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: pointer and length are of a live slice; the outputs are live locals of `bytes`.
    bytes(|out, len| unsafe { imports::proxy_get_property(path.as_ptr(), path.len(), out, len) })
}

/// The value of a header.
pub(crate) fn header(map: HeaderMap, key: &str) -> Result<Vec<u8>> {
    // SAFETY: as for `property`.
    bytes(|out, len| unsafe { imports::proxy_get_header_map_value(map as u32, key.as_ptr(), key.len(), out, len) })
}

/// Up to `max` bytes of a buffer, from `start` on.
pub(crate) fn buffer(buffer: Buffer, start: usize, max: usize) -> Result<Vec<u8>> {
    // SAFETY: no memory of ours is read; the outputs are live locals of `bytes`.
    bytes(|out, len| unsafe { imports::proxy_get_buffer_bytes(buffer as u32, start, max, out, len) })
}

/// A shared value, and the number that makes a later change conditional; `None` if the value does not exist.
pub(crate) fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>> {
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

/// Sets a shared value if its number is still `cas`; otherwise [`Status::CAS_MISMATCH`].
pub(crate) fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<()> {
    // SAFETY: pointers and lengths are of live slices; the host copies them.
    check(unsafe { imports::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

/// The number of the metric with this name, which is created if it does not exist.
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: pointer and length are of a live string; the host writes four bytes to a live local.
    check(unsafe { imports::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// The value of a metric.
pub(crate) fn metric(id: u32) -> Result<u64> {
    let mut value = 0;
    // SAFETY: the host writes eight bytes to a live local.
    check(unsafe { imports::proxy_get_metric(id, &raw mut value) })?;
    Ok(value)
}

/// Adds to a metric.
pub(crate) fn increment_metric(id: u32, by: i64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_increment_metric(id, by) })
}

/// Sets a gauge.
pub(crate) fn record_metric(id: u32, value: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { imports::proxy_record_metric(id, value) })
}

/// Runs `act` in another context; the rest of the callback runs in its own context again.
pub(crate) fn in_context<R>(context: u32, act: impl FnOnce() -> R) -> R {
    set_effective_context(context);
    let result = act();
    set_effective_context(0);
    result
}

/// Envoy rejects contexts that it does not know; then `act` runs in the callback's own context.
fn set_effective_context(context: u32) {
    // SAFETY: no memory is passed.
    let _ = unsafe { imports::proxy_set_effective_context(context) };
}

/// Sends a GET of `path` to a cluster; the answer comes to the effective context. Returns the number of the call.
pub(crate) fn get(cluster: &str, path: &str, timeout_millis: u32) -> Result<u32> {
    call(cluster, &[(":method", "GET"), (":path", path), (":authority", cluster)], &[], timeout_millis)
}

/// Sends a POST of JSON to a cluster, otherwise like [`get`].
pub(crate) fn post(cluster: &str, authority: &str, path: &str, json: &[u8], timeout_millis: u32) -> Result<u32> {
    let headers =
        [(":method", "POST"), (":path", path), (":authority", authority), ("content-type", "application/json")];
    call(cluster, &headers, json, timeout_millis)
}

fn call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout_millis: u32) -> Result<u32> {
    let headers = pairs(headers);
    let mut call = 0;
    // SAFETY: pointers and lengths are of live values, which the host copies; there are no trailers; the host writes
    // four bytes to a live local.
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

/// Pairs of texts in the ABI's encoding: how many, the lengths of each, then each followed by a NUL.
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

/// Calls one of Envoy's foreign functions. Returns the number of bytes that it answers with; these are not returned,
/// which spares Envoy the call for memory to put them in.
pub(crate) fn foreign_length(name: &str, args: &[u8]) -> Result<usize> {
    let mut len = 0_usize;
    // SAFETY: pointers and lengths are of live slices; the host writes no bytes where the pointer for them is null, and
    // the length to a live local.
    check(unsafe {
        imports::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            args.as_ptr(),
            args.len(),
            null_mut(),
            &raw mut len,
        )
    })?;
    Ok(len)
}

/// Calls one of Envoy's foreign functions.
pub(crate) fn foreign(name: &str, args: &[u8]) -> Result<Vec<u8>> {
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
            [LogLevel::Info, LogLevel::Warn, LogLevel::Error].map(|n| n as u32),
            [types::LogLevel::Info, types::LogLevel::Warn, types::LogLevel::Error].map(|n| n as u32)
        );
        assert_eq!(MetricKind::Counter as u32, types::MetricType::Counter as u32);
        assert_eq!(MetricKind::Gauge as u32, types::MetricType::Gauge as u32);
        assert_eq!(HeaderMap::Response as u32, types::MapType::HttpResponseHeaders as u32);
        assert_eq!(HeaderMap::CallResponse as u32, types::MapType::HttpCallResponseHeaders as u32);
        assert_eq!(Buffer::CallResponseBody as u32, types::BufferType::HttpCallResponseBody as u32);
        assert_eq!(Buffer::PluginConfiguration as u32, types::BufferType::PluginConfiguration as u32);
    }
}
