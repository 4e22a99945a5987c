//! Attributes of the current exchange and of the proxy, with Envoy's names and encoding: numbers are eight bytes,
//! little-endian (Envoy's documentation, "Attributes").

use super::calls::{self, HeaderMap};
use filter_core::endpoint::response_flags::ResponseFlags;
use filter_core::locality::Locality;
use filter_core::text::lossy;
use filter_core::time::{Micros, Millis};
use fnv::FnvBuildHasher;
use std::hash::BuildHasher;

/// The maximum length of an attribute's text, in bytes; longer ones are cut.
const MAX_TEXT_BYTES: usize = 512;

/// The current request's cluster as bytes; empty if none was chosen.
pub(crate) fn cluster_name() -> Vec<u8> {
    calls::property(b"xds\0cluster_name").unwrap_or_default()
}

/// The last attempt's endpoint as bytes; empty if none was chosen.
pub(crate) fn endpoint() -> Vec<u8> {
    calls::property(b"upstream\0address").unwrap_or_default()
}

/// The id of the connection that the last attempt went through; `None` if it had none.
pub(crate) fn upstream_connection() -> Option<u64> {
    let local = calls::property(b"upstream\0local_address").ok().filter(|address| !address.is_empty())?;
    Some(FnvBuildHasher::default().hash_one((endpoint(), local)))
}

/// What tells the last attempt of the current request, or the attempt that is logged, from those of other requests: its
/// endpoint, its connection if it had one, which several may share, and its request's id; `None` if that has none.
pub(crate) fn attempt_id() -> Option<u64> {
    let request = calls::property(b"request\0id").ok().filter(|id| !id.is_empty())?;
    let local = calls::property(b"upstream\0local_address").unwrap_or_default();
    Some(FnvBuildHasher::default().hash_one((endpoint(), local, request)))
}

/// How many attempts the request took; 0 in the router's upstream log.
pub(crate) fn attempt_count() -> u64 {
    number(b"upstream\0request_attempt_count").unwrap_or(0)
}

/// The endpoint's locality; unknown before Envoy 1.34.
pub(crate) fn endpoint_locality() -> Locality {
    calls::property(b"upstream\0locality").map_or_else(|_| Locality::default(), |bytes| Locality::from_proto(&bytes))
}

/// Envoy's count of the cluster's endpoints, from Envoy 1.36.
pub(crate) fn endpoint_count() -> Option<u32> {
    number(b"upstream\0num_endpoints").and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)
}

/// The flags of the current request.
pub(crate) fn flags() -> ResponseFlags {
    ResponseFlags(number(b"response\0flags").unwrap_or(0))
}

/// What tells the current request from all others that this worker handles: the nanosecond at which it started, and the
/// number of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(u64, u64);

/// The current request's identity; `None` if Envoy does not provide it.
pub(crate) fn stream_id() -> Option<StreamId> {
    Some(StreamId(number(b"request\0time")?, number(b"connection\0id")?))
}

/// When the current request started.
pub(crate) fn started_at() -> Option<Millis> {
    number(b"request\0time").map(|nanoseconds| nanoseconds / 1_000_000)
}

/// When the current request's only attempt, or the current attempt in the upstream log, was connected; `None` if it was
/// not, or if the request was retried and the time is not known.
pub(crate) fn connected_at() -> Option<Micros> {
    if number(b"upstream\0request_attempt_count").is_some_and(|attempts| attempts > 1) {
        return None;
    }
    let (started, waited) = (number(b"request\0time")?, number(b"upstream\0cx_pool_ready_duration")?);
    Some(started.saturating_add(waited) / 1_000)
}

/// When the current request, or attempt in the upstream log, was over; known once it is logged.
pub(crate) fn ended_at() -> Option<Micros> {
    let (started, took) = (number(b"request\0time")?, number(b"request\0duration")?);
    Some(started.saturating_add(took) / 1_000)
}

/// The endpoint's workload as `name.namespace`, from the metadata that Istio attaches to each endpoint.
pub(crate) fn workload() -> Option<String> {
    let text = text(b"xds\0upstream_host_metadata\0filter_metadata\0istio\0workload");
    let mut parts = text.split(';');
    let (name, namespace) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !namespace.is_empty()).then(|| format!("{name}.{namespace}"))
}

/// The proxy's own locality.
pub(crate) fn home_locality() -> Locality {
    Locality::from_parts(
        &text(b"xds\0node\0locality\0region"),
        &text(b"xds\0node\0locality\0zone"),
        &text(b"xds\0node\0locality\0sub_zone"),
    )
}

/// A label in the node's metadata, as Istio puts the labels of the pod there; empty if there is none.
pub(crate) fn label(name: &str) -> String {
    text(format!("xds\0node\0metadata\0LABELS\0{name}").as_bytes())
}

/// The id by which the control plane knows the proxy.
pub(crate) fn node_id() -> String {
    text(b"xds\0node\0id")
}

/// The status in the response headers of a gRPC call, which is where a server that fails at once puts it; `None` if it
/// is absent or the call is not gRPC.
pub(crate) fn trailers_only_grpc_status() -> Option<u32> {
    let status = calls::header(HeaderMap::Response, "grpc-status").ok().filter(|status| !status.is_empty())?;
    // Envoy decides by the request's content type. In this callback only the response's can be read; it is the same.
    let content_type = calls::header(HeaderMap::Response, "content-type").ok()?;
    if !content_type.starts_with(b"application/grpc") {
        return None;
    }
    // A status that is not a number is Unknown (2), as in Envoy.
    Some(std::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(2))
}

/// Whether a response that consists of headers only is a gRPC error.
pub(crate) fn has_grpc_error() -> bool {
    trailers_only_grpc_status().is_some_and(|status| status != 0)
}

/// A numeric attribute; `None` if it is absent.
pub(super) fn number(path: &[u8]) -> Option<u64> {
    let bytes = calls::property(path).ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// A text attribute, cut to [`MAX_TEXT_BYTES`]; empty if it is absent.
pub(super) fn text(path: &[u8]) -> String {
    let mut bytes = calls::property(path).unwrap_or_default();
    bytes.truncate(MAX_TEXT_BYTES);
    lossy(&bytes).into_owned()
}
