//! What Envoy's stream info and header maps say for each kind of ending, and from which phase on.
//!
//! The inside of `Exchange`: its constructors name the endings, here they are put together.

use crate::abi::Pairs;
use crate::exchange::Exchange;
use crate::flags::Flags;
use crate::properties::{Facts, Path, Phase};
use crate::upstream::Upstream;
use crate::value::Value;
use std::sync::Arc;
use std::time::Duration;

/// What the client gets to see.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Pairs>,
    /// Whether the end of the stream was reached; not so after a reset.
    pub(crate) complete: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) request_headers: Pairs,
    pub(crate) request_body: Vec<Vec<u8>>,
    pub(crate) request_trailers: Option<Pairs>,
    pub(crate) response: Option<Response>,
    pub(crate) facts: Facts,
    pub(crate) flags: i64,
    pub(crate) late: i64,
    pub(crate) attempt_flags: i64,
    pub(crate) upstream_answered: bool,
}

/// How the request reached an endpoint.
pub(crate) enum Connection {
    None,
    Failed,
    Ready,
}

/// Header pairs from text.
pub(crate) fn pairs(headers: &[(&str, &str)]) -> Pairs {
    let bytes = |text: &str| text.as_bytes().to_vec();
    headers.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

impl Exchange {
    /// As the router's `upstream_log` shows this try: its own flags, no details, attempt count 0, and a code only if
    /// the endpoint itself answered. A route timeout and a client that left look alike there: flags 0, no code.
    pub(crate) fn as_attempt(&self) -> Exchange {
        let mut attempt = self.clone().remove("response.code_details").remove("xds.virtual_host_name");
        // The protocol is that of the upstream connection: there is none if it never came about.
        if attempt.0.facts.get(Phase::Log, &Path::written("upstream.local_address")).is_none() {
            attempt = attempt.remove("request.protocol");
        }
        attempt.state(Phase::RequestHeaders, "upstream.request_attempt_count", 0u64);
        attempt.state(Phase::RequestHeaders, "response.flags", self.0.attempt_flags);
        if !self.0.upstream_answered {
            attempt = attempt.remove("response.code");
            attempt.data().response = None;
        }
        attempt
    }

    pub(crate) fn state(&mut self, from: Phase, path: &str, value: impl Into<Value>) {
        self.data().facts.state(from, path, Some(value.into()));
    }

    pub(crate) fn state_flags(&mut self) {
        let (flags, late) = (self.0.flags, self.0.late);
        self.state(Phase::ResponseHeaders, "response.flags", flags);
        self.state(Phase::Log, "response.flags", flags | late);
    }

    /// What is known of every request before it is routed.
    pub(crate) fn received() -> Self {
        let headers = [
            (":authority", "server.default.svc.cluster.local"),
            (":path", "/"),
            (":method", "GET"),
            (":scheme", "http"),
            ("x-request-id", "8f3b1f0e-0000-4000-8000-000000000001"),
        ];
        let mut exchange = Exchange(Arc::new(Data {
            request_headers: pairs(&headers),
            request_body: Vec::new(),
            request_trailers: None,
            response: None,
            facts: Facts::default(),
            flags: 0,
            late: 0,
            attempt_flags: 0,
            upstream_answered: false,
        }));
        let start = Phase::RequestHeaders;
        exchange.state(start, "request.protocol", "HTTP/1.1");
        exchange.state(start, "response.flags", 0i64);
        exchange.state(start, "upstream.request_attempt_count", 0u64);
        exchange.state(start, "source.address", "10.0.0.1:40000");
        exchange.state(start, "source.port", 40000i64);
        exchange.state(start, "destination.address", "10.96.0.1:80");
        exchange.state(start, "destination.port", 80i64);
        exchange.state(start, "connection.mtls", false);
        exchange.state(start, "connection.id", 1u64);
        exchange.state(start, "metadata", Value::Message(Vec::new()));
        exchange.state(start, "xds.listener_metadata", Value::Message(Vec::new()));
        exchange.state(start, "xds.virtual_host_name", "server.default.svc.cluster.local:80");
        exchange.state(start, "xds.filter_chain_name", "");
        exchange.state(start, "xds.listener_direction", 2i64); // OUTBOUND
        exchange.state(Phase::Log, "request.duration", Duration::from_millis(5));
        exchange
    }

    pub(crate) fn routed(to: &Upstream) -> Self {
        let mut exchange = Exchange::received();
        let start = Phase::RequestHeaders;
        exchange.state(start, "xds.cluster_name", to.cluster.as_str());
        exchange.state(start, "xds.route_name", to.route.as_str());
        exchange.state(start, "upstream.num_endpoints", to.endpoints);
        exchange
    }

    /// Routed, and the load balancer chose the endpoint, which happens after the filters have seen the headers.
    pub(crate) fn to(to: &Upstream, connection: Connection) -> Self {
        let mut exchange = Exchange::routed(to);
        let chosen = Phase::RequestBody;
        exchange.state(chosen, "upstream.request_attempt_count", 1u64);
        exchange.state(chosen, "upstream.address", to.address.as_str());
        exchange.state(chosen, "upstream.port", to.port());
        exchange.state(chosen, "upstream.transport_failure_reason", "");
        exchange.state(chosen, "upstream.locality", Value::Message(to.locality.encode()));
        for (part, name) in to.locality.parts() {
            exchange.state(chosen, &format!("upstream.locality.{part}"), name);
        }
        exchange.state(chosen, "xds.upstream_host_metadata", to.metadata());
        exchange.state(chosen, "xds.upstream_host_locality_metadata", Value::Null);
        if let Some(workload) = &to.workload {
            let path = "xds.upstream_host_metadata.filter_metadata.istio.workload";
            exchange.state(chosen, path, workload.as_str());
        }
        let answered = Phase::ResponseHeaders;
        if let Connection::Ready = connection {
            exchange.state(answered, "upstream.local_address", "10.0.0.1:50000");
        }
        if let Connection::Ready | Connection::Failed = connection {
            let ready = Duration::from_micros(300);
            exchange.state(answered, "upstream.cx_pool_ready_duration", ready);
        }
        exchange
    }

    pub(crate) fn unrouted(to: Option<&Upstream>, code: u16, flags: i64, details: &str) -> Self {
        let mut exchange = to.map_or_else(Exchange::received, Exchange::routed);
        exchange.data().attempt_flags = flags;
        exchange.local_reply(code, flags, details)
    }

    pub(crate) fn reset_before_headers(mut self, code: u16, flags: i64, reason: &str) -> Self {
        self.data().attempt_flags = flags;
        let details = format!("upstream_reset_before_response_started{{{reason}}}");
        self.local_reply(code, flags, &details)
    }

    pub(crate) fn timed_out(mut self, details: &str, attempt_flags: i64) -> Self {
        self.data().attempt_flags = attempt_flags;
        self.local_reply(504, Flags::UT, details)
    }

    pub(crate) fn local_reply(mut self, code: u16, flags: i64, details: &str) -> Self {
        self.answer(code, details);
        self.data().flags = flags;
        self.state_flags();
        self
    }

    pub(crate) fn answer(&mut self, code: u16, details: &str) {
        let status = code.to_string();
        let headers = [(":status", status.as_str()), ("content-type", "text/plain")];
        self.data().response =
            Some(Response { headers: pairs(&headers), body: vec![b"hello".to_vec()], trailers: None, complete: true });
        let answered = Phase::ResponseHeaders;
        self.state(answered, "response.code", i64::from(code));
        self.state(answered, "response.code_details", details);
    }

    /// Ends in the body: what the log then says replaces what the headers said.
    pub(crate) fn cut(mut self, late: i64, details: &str) -> Self {
        self.data().late = late;
        if let Some(response) = &mut self.data().response {
            response.complete = false;
            response.body.retain(|chunk| !chunk.is_empty());
        }
        self.state_flags();
        self.state(Phase::Log, "response.code_details", details);
        self
    }

    pub(crate) fn mark_grpc(&mut self) {
        let kind = (b"content-type".to_vec(), b"application/grpc".to_vec());
        let data = self.data();
        data.request_headers.push(kind.clone());
        if let Some(response) = &mut data.response {
            response.headers.retain(|(name, _)| name != b"content-type");
            response.headers.push(kind);
        }
    }
}
