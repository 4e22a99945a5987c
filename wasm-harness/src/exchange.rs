//! One request and what became of it, as Envoy's stream info and header maps show it to a filter.
//!
//! Constructors are the endings an HTTP filter has to tell apart (see the table in each doc comment); anything else is
//! made from the nearest one with the modifiers. What they state was observed on Envoy 1.36 to 1.40: which attribute
//! exists when, which flag and which details go together. Nothing is sent anywhere: `Harness` plays it to the module.

use crate::flags::Flags;
use crate::properties::Phase;
use crate::stream_info::{Connection, Data};
use crate::upstream::Upstream;
use crate::value::Value;
use std::sync::Arc;
use std::time::Duration;

/// One request, its answer, and the attributes Envoy serves about it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exchange(pub(crate) Arc<Data>);

impl Exchange {
    /// 200 from the endpoint, with a short body.
    pub fn ok(to: &Upstream) -> Self {
        Exchange::status(to, 200)
    }

    /// Any status from the endpoint: flags 0, details `via_upstream`.
    pub fn status(to: &Upstream, code: u16) -> Self {
        let mut exchange = Exchange::to(to, Connection::Ready);
        exchange.answer(code, "via_upstream");
        exchange.data().upstream_answered = true;
        exchange.state(Phase::Log, "response.backend_latency", Duration::from_millis(2));
        // An HTTP/1 upstream's end of stream comes by itself, as an empty last chunk.
        exchange.response_body(&[b"hello", b""])
    }

    /// Nobody listens there: 503, `UF`, the transport's reason, no local address.
    pub fn connect_refused(to: &Upstream) -> Self {
        let reason = "delayed connect error: Connection refused";
        let mut exchange = Exchange::to(to, Connection::Failed);
        exchange.state(Phase::ResponseHeaders, "upstream.transport_failure_reason", reason);
        let details = format!("remote_connection_failure|{}", reason.replace(' ', "_"));
        exchange.reset_before_headers(503, Flags::UF, &details)
    }

    /// The connection was not up in time: 503, `UF`, no local address.
    pub fn connect_timeout(to: &Upstream) -> Self {
        let exchange = Exchange::to(to, Connection::Failed);
        exchange.reset_before_headers(503, Flags::UF, "connection_timeout")
    }

    /// The endpoint closed the connection before it answered: 503, `UC`.
    pub fn closed_before_headers(to: &Upstream) -> Self {
        let exchange = Exchange::to(to, Connection::Ready);
        exchange.reset_before_headers(503, Flags::UC, "connection_termination")
    }

    /// The endpoint reset the stream before it answered: 503, `UR`.
    pub fn refused_stream(to: &Upstream) -> Self {
        let exchange = Exchange::to(to, Connection::Ready);
        exchange.reset_before_headers(503, Flags::UR, "remote_reset")
    }

    /// The route's timeout ran out after the connection was ready: 504, `UT`, `response_timeout`.
    pub fn timeout(to: &Upstream) -> Self {
        Exchange::to(to, Connection::Ready).timed_out("response_timeout", 0)
    }

    /// The same before there was a connection: no local address and no pool duration. Envoy charges nobody for it.
    pub fn timeout_before_connect(to: &Upstream) -> Self {
        Exchange::to(to, Connection::None).timed_out("response_timeout", 0)
    }

    /// The timeout of one try ran out: 504, `UT`, `upstream_per_try_timeout`.
    pub fn per_try_timeout(to: &Upstream) -> Self {
        Exchange::to(to, Connection::Ready).timed_out("upstream_per_try_timeout", Flags::UT)
    }

    /// The endpoint answered with `code` and cut its HTTP/1 body short. Flag `UPE` and the details come with the log.
    pub fn reset_after_headers(to: &Upstream, code: u16) -> Self {
        let mut exchange = Exchange::status(to, code).remove("response.backend_latency");
        exchange.data().attempt_flags = Flags::UPE;
        exchange.cut(Flags::UPE, "upstream_reset_after_response_started{protocol_error}")
    }

    /// The client went away before any answer: no response headers, no code; `DC` and the details come with the log.
    pub fn client_cancel(to: &Upstream) -> Self {
        let mut exchange = Exchange::to(to, Connection::Ready);
        exchange.data().late = Flags::DC;
        exchange.state(Phase::Log, "response.flags", Flags::DC);
        exchange.state(Phase::Log, "response.code_details", "downstream_remote_disconnect");
        exchange
    }

    /// The client went away in the middle of a 200.
    pub fn client_cancel_after_headers(to: &Upstream) -> Self {
        Exchange::ok(to).cut(Flags::DC, "downstream_remote_disconnect")
    }

    /// The cluster has no endpoint to choose: 503, `UH`, no address. `to` lends its cluster, route and endpoint count.
    pub fn no_healthy_upstream(to: &Upstream) -> Self {
        Exchange::unrouted(Some(to), 503, Flags::UH, "no_healthy_upstream").attempts(1)
    }

    /// A circuit breaker is open: 503, `UO`, no address.
    pub fn overflow(to: &Upstream) -> Self {
        let details = "upstream_reset_before_response_started{overflow}";
        Exchange::unrouted(Some(to), 503, Flags::UO, details).attempts(1)
    }

    /// No route matches: 404, `NR`, no cluster, no body.
    pub fn no_route() -> Self {
        Exchange::unrouted(None, 404, Flags::NR, "route_not_found").response_body(&[])
    }

    /// The route answers by itself: no cluster, flags 0, no body.
    pub fn direct_response(code: u16) -> Self {
        let exchange = Exchange::unrouted(None, code, 0, "direct_response").response_body(&[]);
        exchange.set("xds.route_name", "default")
    }

    /// `upstream.request_attempt_count`: 2 for a request that was retried once. The endpoint is that of the last try.
    pub fn attempts(self, count: u64) -> Self {
        self.set_from(Phase::ResponseHeaders, "upstream.request_attempt_count", count)
    }

    /// Adds `URX`: retries were made and used up.
    pub fn retries_exhausted(mut self) -> Self {
        self.data().flags |= Flags::URX;
        self.state_flags();
        self
    }

    /// How long the request took (`request.duration`, from the log phase on).
    pub fn duration(self, time: Duration) -> Self {
        self.set_from(Phase::Log, "request.duration", time)
    }

    /// A gRPC call: the HTTP status stays, `grpc-status` comes in the trailers.
    pub fn grpc(mut self, status: u32) -> Self {
        self.mark_grpc();
        self.response_trailer("grpc-status", status.to_string())
    }

    /// A gRPC answer of headers alone, with `grpc-status` among them.
    pub fn grpc_headers_only(mut self, status: u32) -> Self {
        self.mark_grpc();
        if let Some(response) = &mut self.data().response {
            response.body.clear();
        }
        self.response_header("grpc-status", status.to_string())
    }

    /// Adds a request header; a second one of the same name stands behind the first.
    pub fn request_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.data().request_headers.push((name.into(), value.into()));
        self
    }

    /// Adds a response header, if there is a response.
    pub fn response_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if let Some(response) = &mut self.data().response {
            response.headers.push((name.into(), value.into()));
        }
        self
    }

    /// Adds a response trailer, if there is a response.
    pub fn response_trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if let Some(response) = &mut self.data().response {
            let trailers = response.trailers.get_or_insert_default();
            trailers.push((name.into(), value.into()));
        }
        self
    }

    /// Body chunks of the request; none at first.
    pub fn request_body(mut self, chunks: &[&[u8]]) -> Self {
        self.data().request_body = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        self
    }

    /// Adds a request trailer.
    pub fn request_trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let trailers = self.data().request_trailers.get_or_insert_default();
        trailers.push((name.into(), value.into()));
        self
    }

    /// Body chunks of the response: at first a short one, and an empty last one if an endpoint answered. Without any, the
    /// headers end the stream.
    pub fn response_body(mut self, chunks: &[&[u8]]) -> Self {
        if let Some(response) = &mut self.data().response {
            response.body = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        }
        self
    }

    /// Gives an attribute a value in every phase, whatever it was. The path is written with dots.
    pub fn set(self, path: &str, value: impl Into<Value>) -> Self {
        self.set_from(Phase::RequestHeaders, path, value)
    }

    /// Gives an attribute a value from a phase on.
    pub fn set_from(mut self, from: Phase, path: &str, value: impl Into<Value>) -> Self {
        self.state(from, path, value);
        self
    }

    /// Takes an attribute away in every phase: reading it is NotFound.
    pub fn remove(mut self, path: &str) -> Self {
        self.data().facts.state(Phase::RequestHeaders, path, None);
        self
    }

    pub(crate) fn read(&self) -> &Data {
        &self.0
    }

    pub(crate) fn data(&mut self) -> &mut Data {
        Arc::make_mut(&mut self.0)
    }
}
