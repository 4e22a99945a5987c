//! Reading an exchange from the host: cheaply when all is well, whole when not.
//!
//! A healthy request is told by one expression that Envoy evaluates for us; whatever it does not call healthy is read
//! attribute by attribute. Names and wire forms of the attributes: Envoy's documentation of attributes; numbers are
//! eight bytes little-endian.

use crate::host::{self, RESPONSE_HEADERS};
use filter_core::event::LastAttempt;
use filter_core::locality::Locality;
use filter_core::outcome::{Attempt, Charges, Flags, http_status_of_grpc};
use filter_core::time::{Micros, Millis};
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// A request whose only attempt went well. `request_attempt_count` exists from Envoy 1.33.
pub const HEALTHY_REQUEST: &str = "response.code < 500 && response.flags == 0 && upstream.request_attempt_count == 1u";

/// An attempt that went well, as the upstream log shows it, which does not count attempts.
pub const HEALTHY_ATTEMPT: &str = "response.code < 500 && response.flags == 0";

/// The longest text that is kept of any attribute, in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// An expression that Envoy evaluates for us.
///
/// Envoy keeps expressions by root context and numbers them from 0, and a request's root is not known here. So each
/// root has it compiled once, while it is configured, and it has the same number everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expression {
    token: Option<[u8; 4]>,
    differs: bool,
}

impl Expression {
    /// Has Envoy compile the expression for the root that is being configured. Where it cannot (an Envoy built without
    /// CEL), it never holds, and every request is read whole.
    pub fn compile(&mut self, text: &str) {
        let token = host::foreign("expr_create", text.as_bytes()).ok().and_then(|token| token.try_into().ok());
        self.differs |= self.token.is_some() && self.token != token;
        self.token = token;
    }

    /// Whether it surely holds for the current request or attempt.
    pub fn holds(&self) -> bool {
        let Some(token) = self.token.filter(|_| !self.differs) else { return false };
        host::foreign("expr_evaluate", &token).is_ok_and(|answer| answer == [1])
    }
}

/// The current request's cluster as bytes, empty when none was chosen.
pub fn cluster() -> Vec<u8> {
    host::property(b"xds\0cluster_name").unwrap_or_default()
}

/// The last attempt's endpoint as bytes, empty when none was chosen.
pub fn endpoint() -> Vec<u8> {
    host::property(b"upstream\0address").unwrap_or_default()
}

/// The connection that the last attempt went through, as a number; `None` when it had none.
pub fn upstream_connection() -> Option<u64> {
    let local = host::property(b"upstream\0local_address").ok().filter(|address| !address.is_empty())?;
    Some(FxBuildHasher.hash_one((endpoint(), local)))
}

/// The endpoint's locality; unknown before Envoy 1.34.
pub fn locality() -> Locality {
    host::property(b"upstream\0locality").map_or_else(|_| Locality::default(), |bytes| Locality::from_proto(&bytes))
}

/// Envoy's count of the cluster's endpoints, from Envoy 1.36.
pub fn endpoint_count() -> Option<u32> {
    number(b"upstream\0num_endpoints").and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)
}

/// The flags of the current request.
pub fn flags() -> Flags {
    Flags(number(b"response\0flags").unwrap_or(0))
}

/// When the current request was started.
pub fn started() -> Option<Millis> {
    number(b"request\0time").map(|nanoseconds| nanoseconds / 1_000_000)
}

/// When the current request's only attempt, or the current attempt in the upstream log, had its connection; `None` when
/// it had none or when that cannot be told, because the request was retried.
pub fn connected() -> Option<Micros> {
    if number(b"upstream\0request_attempt_count").is_some_and(|attempts| attempts > 1) {
        return None;
    }
    let (started, waited) = (number(b"request\0time")?, number(b"upstream\0cx_pool_ready_duration")?);
    Some(started.saturating_add(waited) / 1_000)
}

/// When the current request, or attempt in the upstream log, was over, once it is logged.
pub fn ended() -> Option<Micros> {
    let (started, took) = (number(b"request\0time")?, number(b"request\0duration")?);
    Some(started.saturating_add(took) / 1_000)
}

/// The endpoint's workload as `name.namespace`, from the metadata that Istio gives each endpoint.
pub fn workload() -> Option<String> {
    let text = text(b"xds\0upstream_host_metadata\0filter_metadata\0istio\0workload");
    let mut parts = text.split(';');
    let (name, namespace) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !namespace.is_empty()).then(|| format!("{name}.{namespace}"))
}

/// The proxy's own locality.
pub fn home() -> Locality {
    let part = |path: &[u8]| text(path);
    Locality::from_parts(
        &part(b"xds\0node\0locality\0region"),
        &part(b"xds\0node\0locality\0zone"),
        &part(b"xds\0node\0locality\0sub_zone"),
    )
}

/// The proxy's own node id.
pub fn node() -> String {
    text(b"xds\0node\0id")
}

/// A finished request, read whole.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    pool_ready: bool,
    status: Option<u16>,
    grpc_status: Option<u32>,
    flags: Flags,
    details: String,
    transport_failure: String,
    /// How many attempts the request took; 0 when it never got to one, or not known.
    pub attempts: u64,
}

impl Whole {
    /// Reads the current request. `headers_only` says that the response ended with its headers, as a gRPC error does
    /// that the server gives at once.
    pub fn read(headers_only: bool) -> Self {
        let status = number(b"response\0code").and_then(|code| u16::try_from(code).ok()).filter(|code| *code > 0);
        Self {
            pool_ready: host::property(b"upstream\0local_address").is_ok_and(|address| !address.is_empty()),
            status,
            grpc_status: if headers_only { trailers_only_grpc_status() } else { None },
            flags: flags(),
            details: text(b"response\0code_details"),
            transport_failure: text(b"upstream\0transport_failure_reason"),
            attempts: number(b"upstream\0request_attempt_count").unwrap_or(0),
        }
    }

    /// The last attempt as the rules of charging want it.
    pub fn attempt(&self, has_endpoint: bool) -> Attempt<'_> {
        Attempt {
            has_endpoint,
            pool_ready: self.pool_ready,
            status: self.status,
            grpc_status: self.grpc_status,
            flags: self.flags,
            details: &self.details,
        }
    }

    /// What Envoy charges for this attempt, seen by the upstream log, as far as that can be told there.
    pub fn charges_in_upstream_log(&self) -> Charges {
        let connected = self.pool_ready;
        let none = Charges { connected, status: None, failure: None };
        let status = self.grpc_status.map(http_status_of_grpc).or(self.status);
        if self.flags.any_of(Flags::UO) {
            none
        } else if self.timed_out() {
            // A time-out while the connection was still awaited is charged to nobody.
            Charges { failure: connected.then_some(504), status, ..none }
        } else if self.flags.any_of(Flags::RESETS) {
            Charges { connected: connected || status.is_some(), status, failure: Some(503) }
        } else {
            status.map_or(none, Charges::answered)
        }
    }

    /// Whether the upstream log does not tell how the attempt ended: the route's time-out and a client that left look the
    /// same there.
    pub fn ended_untold(&self) -> bool {
        let told = self.flags.any_of(Flags::UO) || self.flags.any_of(Flags::RESETS) || self.timed_out();
        !told && self.status.is_none()
    }

    /// Whether, by the upstream log, a try's own time-out ended it.
    pub fn timed_out(&self) -> bool {
        self.flags.any_of(Flags::UT) || self.flags.any_of(Flags::SI)
    }

    /// What Envoy charges for the answer whose headers pass; `None` when no endpoint gave it.
    pub fn upstream_answer(&self) -> Option<Charges> {
        let status = self.grpc_status.map(http_status_of_grpc).or(self.status)?;
        (self.details == "via_upstream").then(|| Charges::answered(status))
    }

    /// Whether the route's time-out ended the request while an answer was awaited, which Envoy charges.
    pub fn is_route_timeout(&self) -> bool {
        matches!(self.details.as_str(), "response_timeout" | "upstream_response_timeout")
    }

    /// Whether the request ended for what the upstream log does not tell.
    pub fn ended_from_without(&self) -> bool {
        const ENDS: [&str; 3] =
            ["downstream_remote_disconnect", "upstream_max_stream_duration", "max_duration_timeout"];
        self.is_route_timeout() || ENDS.iter().any(|end| self.details.starts_with(end))
    }

    /// Whether Envoy found no healthy endpoint.
    pub fn no_healthy_upstream(&self) -> bool {
        self.flags.any_of(Flags::UH)
    }

    /// The last attempt as events show it.
    pub fn last(&self) -> LastAttempt {
        LastAttempt {
            code: self.status,
            flags: self.flags.names(),
            details: self.details.clone(),
            transport_failure: self.transport_failure.clone(),
        }
    }
}

/// The status in the response headers of a gRPC call, where a server that fails at once puts it; `None` when it is not
/// there or it is no gRPC call.
pub fn trailers_only_grpc_status() -> Option<u32> {
    let status = host::header(RESPONSE_HEADERS, "grpc-status").ok().filter(|status| !status.is_empty())?;
    // Envoy judges by the request's type; in this callback only the response's can be read, and it is the same.
    let content_type = host::header(RESPONSE_HEADERS, "content-type").ok()?;
    if !content_type.starts_with(b"application/grpc") {
        return None;
    }
    // A status that is no number is Unknown, as for Envoy.
    Some(std::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(2))
}

fn number(path: &[u8]) -> Option<u64> {
    let bytes = host::property(path).ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn text(path: &[u8]) -> String {
    let mut bytes = host::property(path).unwrap_or_default();
    bytes.truncate(MAX_TEXT_BYTES);
    String::from_utf8_lossy(&bytes).into_owned()
}
