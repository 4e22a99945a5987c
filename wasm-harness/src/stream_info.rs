//! The contents of Envoy's stream info and header maps for each kind of ending, with the phase from which they hold.
//!
//! The constructors of `Exchange` name the endings; this file builds their parts.

use crate::abi::text_pairs;
use crate::exchange_data::{Connection, ExchangeData, Response};
use crate::flags::Flags;
use crate::properties::{Facts, Path, Phase};
use crate::upstream::Upstream;
use crate::value::Value;
use std::time::Duration;

impl ExchangeData {
    /// What is known of every request before it is routed.
    pub(crate) fn received() -> Self {
        let headers = [
            (":authority", "server.default.svc.cluster.local"),
            (":path", "/"),
            (":method", "GET"),
            (":scheme", "http"),
            ("x-request-id", "8f3b1f0e-0000-4000-8000-000000000001"),
        ];
        let mut data = ExchangeData {
            request_headers: text_pairs(&headers),
            request_body: Vec::new(),
            request_trailers: None,
            response: None,
            facts: Facts::default(),
            flags: 0,
            late_flags: 0,
            attempt_flags: 0,
            upstream_answered: false,
        };
        let start = Phase::RequestHeaders;
        data.set(start, "request.protocol", "HTTP/1.1");
        data.set(start, "response.flags", 0i64);
        data.set(start, "upstream.request_attempt_count", 0u64);
        data.set(start, "source.address", "10.0.0.1:40000");
        data.set(start, "source.port", 40000i64);
        data.set(start, "destination.address", "10.96.0.1:80");
        data.set(start, "destination.port", 80i64);
        data.set(start, "connection.mtls", false);
        data.set(start, "connection.id", 1u64);
        data.set(start, "metadata", Value::Message(Vec::new()));
        data.set(start, "xds.listener_metadata", Value::Message(Vec::new()));
        data.set(start, "xds.virtual_host_name", "server.default.svc.cluster.local:80");
        data.set(start, "xds.filter_chain_name", "");
        data.set(start, "xds.listener_direction", 2i64); // OUTBOUND
        data.set(Phase::Log, "request.duration", Duration::from_millis(5));
        data
    }

    /// A route was found, but no endpoint is chosen.
    pub(crate) fn routed(to: &Upstream) -> Self {
        let mut data = ExchangeData::received();
        let start = Phase::RequestHeaders;
        data.set(start, "xds.cluster_name", to.cluster.as_str());
        data.set(start, "xds.route_name", to.route.as_str());
        data.set(start, "upstream.num_endpoints", to.endpoints);
        data
    }

    /// The request was routed, and the load balancer chose the endpoint, which happens after the filters have seen the
    /// headers.
    pub(crate) fn sent_to(to: &Upstream, connection: Connection) -> Self {
        let mut data = ExchangeData::routed(to);
        let chosen = Phase::RequestBody;
        data.set(chosen, "upstream.request_attempt_count", 1u64);
        data.set(chosen, "upstream.address", to.address.as_str());
        data.set(chosen, "upstream.port", to.port());
        data.set(chosen, "upstream.transport_failure_reason", "");
        data.set(chosen, "upstream.locality", Value::Message(to.locality.encode()));
        for (part, name) in to.locality.parts() {
            data.set(chosen, &format!("upstream.locality.{part}"), name);
        }
        data.set(chosen, "xds.upstream_host_metadata", to.metadata());
        data.set(chosen, "xds.upstream_host_locality_metadata", Value::Null);
        if let Some(workload) = &to.workload {
            let path = "xds.upstream_host_metadata.filter_metadata.istio.workload";
            data.set(chosen, path, workload.as_str());
        }
        let answered = Phase::ResponseHeaders;
        if connection == Connection::Ready {
            data.set(answered, "upstream.local_address", "10.0.0.1:50000");
        }
        if connection != Connection::None {
            let ready = Duration::from_micros(300);
            data.set(answered, "upstream.cx_pool_ready_duration", ready);
        }
        data
    }

    /// Envoy answers without trying an endpoint. Without `to`, no route was found either.
    pub(crate) fn no_attempt(to: Option<&Upstream>, code: u16, flags: i64, details: &str) -> Self {
        let mut data = to.map_or_else(ExchangeData::received, ExchangeData::routed);
        data.attempt_flags = flags;
        data.local_reply(code, flags, details);
        data
    }

    /// The attempt was reset before any response header.
    pub(crate) fn reset_before_headers(&mut self, code: u16, flags: i64, reason: &str) {
        self.attempt_flags = flags;
        let details = format!("upstream_reset_before_response_started{{{reason}}}");
        self.local_reply(code, flags, &details);
    }

    /// A timeout ran out before any response header.
    pub(crate) fn timed_out(&mut self, details: &str, attempt_flags: i64) {
        self.attempt_flags = attempt_flags;
        self.local_reply(504, Flags::UT, details);
    }

    /// Envoy answers instead of the endpoint.
    pub(crate) fn local_reply(&mut self, code: u16, flags: i64, details: &str) {
        self.answer(code, details);
        self.flags = flags;
        self.set_flags();
    }

    /// There is a response, from the endpoint or from Envoy.
    pub(crate) fn answer(&mut self, code: u16, details: &str) {
        let status = code.to_string();
        let headers = [(":status", status.as_str()), ("content-type", "text/plain")];
        self.response = Some(Response {
            headers: text_pairs(&headers),
            body: vec![b"hello".to_vec()],
            trailers: None,
            complete: true,
        });
        let answered = Phase::ResponseHeaders;
        self.set(answered, "response.code", i64::from(code));
        self.set(answered, "response.code_details", details);
    }

    /// The response ends in its body: flags and details of the log phase replace those of the headers.
    pub(crate) fn cut_short(&mut self, late_flags: i64, details: &str) {
        self.late_flags = late_flags;
        if let Some(response) = &mut self.response {
            response.complete = false;
            response.body.retain(|chunk| !chunk.is_empty());
        }
        self.set_flags();
        self.set(Phase::Log, "response.code_details", details);
    }

    /// Makes request and response gRPC messages.
    pub(crate) fn mark_grpc(&mut self) {
        let content_type = (b"content-type".to_vec(), b"application/grpc".to_vec());
        self.request_headers.push(content_type.clone());
        if let Some(response) = &mut self.response {
            response.headers.retain(|(name, _)| name != b"content-type");
            response.headers.push(content_type);
        }
    }

    /// The attempt in the router's `upstream_log`: its own flags, no details, attempt count 0, and a code only if the
    /// endpoint itself answered. A route timeout and a client disconnect look the same there: flags 0, no code.
    pub(crate) fn as_attempt(&self) -> ExchangeData {
        let mut attempt = self.clone();
        attempt.remove("response.code_details");
        attempt.remove("xds.virtual_host_name");
        // The protocol is that of the upstream connection: without a connection there is none.
        if attempt.facts.get(Phase::Log, &Path::written("upstream.local_address")).is_none() {
            attempt.remove("request.protocol");
        }
        attempt.set(Phase::RequestHeaders, "upstream.request_attempt_count", 0u64);
        attempt.set(Phase::RequestHeaders, "response.flags", self.attempt_flags);
        if !self.upstream_answered {
            attempt.remove("response.code");
            attempt.response = None;
        }
        attempt
    }
}
