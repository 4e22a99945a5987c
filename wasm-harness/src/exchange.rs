//! One request and its ending, as Envoy's stream info and header maps show them to a filter.
//!
//! The constructors are the endings that an HTTP filter must distinguish; their doc comments give code, flags and
//! details. Any other ending is made from a similar one with the modifiers. Which attribute exists when, and which flag
//! goes with which details, was observed on Envoy 1.36 to 1.40. Nothing is sent; `Harness` plays the exchange to the
//! module.

use crate::exchange_data::{Connection, ExchangeData};
use crate::flags::Flags;
use crate::properties::Phase;
use crate::upstream::Upstream;
use crate::value::Value;
use std::sync::Arc;
use std::time::Duration;

/// One request, its answer, and the attributes that Envoy provides about it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<ExchangeData>);

impl Exchange {
    /// 200 from the endpoint, with a short body.
    pub fn ok(to: &Upstream) -> Self {
        Exchange::status(to, 200)
    }

    /// Any status from the endpoint: flags 0, details `via_upstream`.
    pub fn status(to: &Upstream, code: u16) -> Self {
        let mut data = ExchangeData::sent_to(to, Connection::Ready);
        data.answer(code, "via_upstream");
        data.upstream_answered = true;
        data.set(Phase::Log, "response.backend_latency", Duration::from_millis(2));
        // The end of an HTTP/1 upstream's stream arrives separately, as an empty last chunk.
        Exchange::new(data).response_body(&[b"hello", b""])
    }

    /// The endpoint's port is closed: 503, `UF`, the transport's reason, no local address.
    pub fn connect_refused(to: &Upstream) -> Self {
        let reason = "delayed connect error: Connection refused";
        let mut data = ExchangeData::sent_to(to, Connection::Failed);
        data.set(Phase::ResponseHeaders, "upstream.transport_failure_reason", reason);
        let details = format!("remote_connection_failure|{}", reason.replace(' ', "_"));
        data.reset_before_headers(503, Flags::UF, &details);
        Exchange::new(data)
    }

    /// The connection was not established in time: 503, `UF`, no local address.
    pub fn connect_timeout(to: &Upstream) -> Self {
        Exchange::reset_before_headers(to, Connection::Failed, Flags::UF, "connection_timeout")
    }

    /// The endpoint closed the connection before it answered: 503, `UC`.
    pub fn closed_before_headers(to: &Upstream) -> Self {
        Exchange::reset_before_headers(to, Connection::Ready, Flags::UC, "connection_termination")
    }

    /// The endpoint reset the stream before it answered: 503, `UR`.
    pub fn refused_stream(to: &Upstream) -> Self {
        Exchange::reset_before_headers(to, Connection::Ready, Flags::UR, "remote_reset")
    }

    fn reset_before_headers(to: &Upstream, connection: Connection, flags: i64, reason: &str) -> Self {
        let mut data = ExchangeData::sent_to(to, connection);
        data.reset_before_headers(503, flags, reason);
        Exchange::new(data)
    }

    /// The route's timeout ran out after the connection was ready: 504, `UT`, `response_timeout`.
    pub fn timeout(to: &Upstream) -> Self {
        Exchange::timed_out(to, Connection::Ready, "response_timeout", 0)
    }

    /// The route's timeout ran out before there was a connection: no local address and no pool duration. Envoy charges
    /// it to no endpoint.
    pub fn timeout_before_connect(to: &Upstream) -> Self {
        Exchange::timed_out(to, Connection::None, "response_timeout", 0)
    }

    /// The timeout of one try ran out: 504, `UT`, `upstream_per_try_timeout`.
    pub fn per_try_timeout(to: &Upstream) -> Self {
        Exchange::timed_out(to, Connection::Ready, "upstream_per_try_timeout", Flags::UT)
    }

    fn timed_out(to: &Upstream, connection: Connection, details: &str, attempt_flags: i64) -> Self {
        let mut data = ExchangeData::sent_to(to, connection);
        data.timed_out(details, attempt_flags);
        Exchange::new(data)
    }

    /// The endpoint answered with `code` and cut its HTTP/1 body short. Flag `UPE` and the details appear in the log
    /// phase.
    pub fn reset_after_headers(to: &Upstream, code: u16) -> Self {
        let mut exchange = Exchange::status(to, code).remove("response.backend_latency");
        let data = exchange.data_mut();
        data.attempt_flags = Flags::UPE;
        data.cut_short(Flags::UPE, "upstream_reset_after_response_started{protocol_error}");
        exchange
    }

    /// The client disconnected before any answer: no response headers, no code. `DC` and the details appear in the log
    /// phase.
    pub fn client_cancel(to: &Upstream) -> Self {
        let mut data = ExchangeData::sent_to(to, Connection::Ready);
        data.late_flags = Flags::DC;
        data.set(Phase::Log, "response.flags", Flags::DC);
        data.set(Phase::Log, "response.code_details", "downstream_remote_disconnect");
        Exchange::new(data)
    }

    /// The client disconnected in the middle of a 200.
    pub fn client_cancel_after_headers(to: &Upstream) -> Self {
        let mut exchange = Exchange::ok(to);
        exchange.data_mut().cut_short(Flags::DC, "downstream_remote_disconnect");
        exchange
    }

    /// The cluster has no endpoint to choose: 503, `UH`, no address. Cluster, route and endpoint count are those of
    /// `to`.
    pub fn no_healthy_upstream(to: &Upstream) -> Self {
        let data = ExchangeData::no_attempt(Some(to), 503, Flags::UH, "no_healthy_upstream");
        Exchange::new(data).attempts(1)
    }

    /// A circuit breaker is open: 503, `UO`, no address.
    pub fn overflow(to: &Upstream) -> Self {
        let details = "upstream_reset_before_response_started{overflow}";
        Exchange::new(ExchangeData::no_attempt(Some(to), 503, Flags::UO, details)).attempts(1)
    }

    /// No route matches: 404, `NR`, no cluster, no body.
    pub fn no_route() -> Self {
        Exchange::new(ExchangeData::no_attempt(None, 404, Flags::NR, "route_not_found")).response_body(&[])
    }

    /// The route answers by itself: no cluster, flags 0, no body.
    pub fn direct_response(code: u16) -> Self {
        let exchange = Exchange::new(ExchangeData::no_attempt(None, code, 0, "direct_response")).response_body(&[]);
        exchange.set("xds.route_name", "default")
    }

    /// Sets `upstream.request_attempt_count`: 2 for a request that was retried once. The endpoint is that of the last
    /// try.
    pub fn attempts(self, count: u64) -> Self {
        self.set_from(Phase::ResponseHeaders, "upstream.request_attempt_count", count)
    }

    /// Adds `URX`: retries were made and used up.
    pub fn retries_exhausted(mut self) -> Self {
        let data = self.data_mut();
        data.flags |= Flags::URX;
        data.set_flags();
        self
    }

    /// Duration of the whole request (`request.duration`, from the log phase on).
    pub fn duration(self, time: Duration) -> Self {
        self.set_from(Phase::Log, "request.duration", time)
    }

    /// Makes this a gRPC call: the HTTP status stays, and `grpc-status` comes in the trailers.
    pub fn grpc(mut self, status: u32) -> Self {
        self.data_mut().mark_grpc();
        self.response_trailer("grpc-status", status.to_string())
    }

    /// Makes this a gRPC answer that consists of headers only, including `grpc-status`.
    pub fn grpc_headers_only(mut self, status: u32) -> Self {
        self.data_mut().mark_grpc();
        if let Some(response) = &mut self.data_mut().response {
            response.body.clear();
        }
        self.response_header("grpc-status", status.to_string())
    }

    /// Adds a request header; a second one of the same name comes after the first.
    pub fn request_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.data_mut().request_headers.push((name.into(), value.into()));
        self
    }

    /// Adds a response header, if there is a response.
    pub fn response_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if let Some(response) = &mut self.data_mut().response {
            response.headers.push((name.into(), value.into()));
        }
        self
    }

    /// Adds a response trailer, if there is a response.
    pub fn response_trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if let Some(response) = &mut self.data_mut().response {
            let trailers = response.trailers.get_or_insert_default();
            trailers.push((name.into(), value.into()));
        }
        self
    }

    /// Sets the body chunks of the request; by default there are none.
    pub fn request_body(mut self, chunks: &[&[u8]]) -> Self {
        self.data_mut().request_body = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        self
    }

    /// Adds a request trailer.
    pub fn request_trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let trailers = self.data_mut().request_trailers.get_or_insert_default();
        trailers.push((name.into(), value.into()));
        self
    }

    /// Sets the body chunks of the response. By default there is a short one, and then an empty last one if an endpoint
    /// answered. Without any, the headers end the stream.
    pub fn response_body(mut self, chunks: &[&[u8]]) -> Self {
        if let Some(response) = &mut self.data_mut().response {
            response.body = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        }
        self
    }

    /// Gives an attribute a value in every phase. The path is written with dots.
    pub fn set(self, path: &str, value: impl Into<Value>) -> Self {
        self.set_from(Phase::RequestHeaders, path, value)
    }

    /// Gives an attribute a value from a phase on.
    pub fn set_from(mut self, from: Phase, path: &str, value: impl Into<Value>) -> Self {
        self.data_mut().set(from, path, value);
        self
    }

    /// Removes an attribute in every phase: a read returns NotFound.
    pub fn remove(mut self, path: &str) -> Self {
        self.data_mut().remove(path);
        self
    }

    pub(crate) fn new(data: ExchangeData) -> Self {
        Exchange(Arc::new(data))
    }

    pub(crate) fn data(&self) -> &ExchangeData {
        &self.0
    }

    pub(crate) fn data_mut(&mut self) -> &mut ExchangeData {
        Arc::make_mut(&mut self.0)
    }
}
