//! Every attempt, one by one, as the router's upstream log shows them (`attempts: upstreamLog`).
//!
//! In this mode the same module runs twice in Envoy: in the upstream log, where each attempt is logged through the root
//! context with its own endpoint and flags, and as an HTTP filter in the same VM. The log evaluates attempts. The
//! filter adds only what the log cannot show: requests that reached no endpoint, how many requests were retried, and
//! whether an attempt that ended without an answer and without a reason was ended by the route's timeout, which Envoy
//! charges, or by the client.
//!
//! An attempt is logged when it is over, but Envoy charges an answer when its headers arrive. So while anything is open
//! in the proxy, the filter evaluates the answer that goes on to the client when its headers pass, and remembers by
//! connection that it did. An attempt whose answer is not passed on is logged at once.
//!
//! Behind Envoy's own filter for failures (`attempts: failed`) the module stands in two logs and is no HTTP filter:
//! that of the router shows attempts that failed, that of the connection manager requests with any response flag.

use crate::host::exchange;
use crate::host::request_attributes::{RequestAttributes, Response};
use crate::vm::charging::{self, ChargedAttempt, SeenAt};
use crate::vm::known::LocalityRead;
use crate::vm::state::Vm;
use crate::vm::twins::Passing;
use filter_core::endpoint::outcome::{DetectorInput, Outcome};

/// Response headers pass: those of the last attempt, or of a local answer.
pub(crate) fn on_response_headers(vm: &mut Vm, response: Response) {
    // An answer that consists of headers only is logged before they pass.
    if !vm.is_anything_open() || response == Response::HeadersOnly || vm.answered.is_full() {
        return;
    }
    if vm.twins.is_repeated(Passing::Headers, &vm.reporter) {
        return;
    }
    let Some(cluster) = vm.known.cluster(&exchange::cluster_name(), &vm.current) else { return };
    let endpoint = exchange::endpoint();
    let Some(connection) = exchange::upstream_connection().filter(|_| !endpoint.is_empty()) else { return };
    let cluster = vm.known.owner(cluster, &endpoint);
    let (input, attributes) = match healthy_answer(vm, response) {
        Some(input) => (input, None),
        None => {
            let attributes = RequestAttributes::read(response);
            // Any other answer is Envoy's own, and the attempt that led to it has already been logged.
            let Some(input) = attributes.answer_input() else { return };
            (input, Some(attributes))
        }
    };
    let outcome = input.outcome();
    let Some(locality) = charging::locality_of(vm, cluster, &endpoint, LocalityRead::for_outcome(outcome)) else {
        return;
    };
    vm.answered.insert(connection);
    let attempt = ChargedAttempt { cluster, endpoint: &endpoint, locality, input, seen_at: SeenAt::Headers };
    match attributes.filter(|_| outcome.is_error()) {
        Some(attributes) => charging::error(vm, attempt, attributes.last_attempt()),
        None => {
            charging::success(vm, attempt);
        }
    }
}

/// The upstream log shows an attempt that is over.
pub(crate) fn on_attempt_log(vm: &mut Vm) {
    let Some(cluster) = vm.known.cluster(&exchange::cluster_name(), &vm.current) else { return };
    let endpoint = exchange::endpoint();
    if endpoint.is_empty() {
        return;
    }
    vm.tick_for_new_clusters();
    let cluster = vm.known.owner(cluster, &endpoint);
    // The log does not show whether a body came; a gRPC status in the headers is the answer.
    let response = Response::HeadersOnly;
    let (input, attributes) = match healthy_answer(vm, response) {
        Some(input) => {
            vm.note_logged_success();
            (input, None)
        }
        None => {
            let attributes = RequestAttributes::read(response);
            (attributes.input_in_upstream_log(), Some(attributes))
        }
    };
    let has_unknown_end = attributes.as_ref().is_some_and(RequestAttributes::has_unknown_end);
    let outcome = input.outcome();
    if attributes.is_some() && outcome.is_error() && !has_unknown_end {
        vm.answered.note_failed(exchange::attempt_id());
    }
    let input = match vm.answered.remove(exchange::upstream_connection) {
        // Only that the answer broke off remains to be charged.
        true => DetectorInput { connected: false, status: None, ..input },
        false => input,
    };
    let Some(locality) = charging::locality_of(vm, cluster, &endpoint, LocalityRead::for_outcome(outcome)) else {
        return;
    };
    let went_well = input.outcome() == Outcome::Success || input.connected;
    let attempt = ChargedAttempt { cluster, endpoint: &endpoint, locality, input, seen_at: SeenAt::Log };
    let locality = match attributes {
        Some(attributes) if input.outcome().is_error() => {
            charging::error(vm, attempt, attributes.last_attempt());
            locality
        }
        _ if went_well && vm.is_anything_open() => charging::success(vm, attempt),
        _ => locality,
    };
    if !has_unknown_end {
        vm.known.count_attempt(cluster, locality, outcome);
    }
}

/// A log behind Envoy's own filter shows an attempt that failed, or a request in the connection manager's log that
/// failed or reached no endpoint (`attempts: failed`).
pub(crate) fn on_failure_log(vm: &mut Vm) {
    // Only the connection manager's log counts attempts.
    match exchange::endpoint().is_empty() || exchange::attempt_count() > 0 {
        true => on_request_log(vm),
        false => on_attempt_log(vm),
    }
}

/// The request that the attempts belonged to is over.
pub(crate) fn on_request_log(vm: &mut Vm) {
    if vm.healthy_request.is_empty() || vm.twins.is_repeated(Passing::Log, &vm.reporter) {
        return;
    }
    let Some(cluster) = vm.known.cluster(&exchange::cluster_name(), &vm.current) else { return };
    let endpoint = exchange::endpoint();
    let attributes = RequestAttributes::read(Response::Streamed);
    if endpoint.is_empty() {
        if attributes.found_no_healthy_upstream() {
            charging::no_healthy_upstream(vm, cluster);
        }
        return;
    }
    let cluster = vm.known.owner(cluster, &endpoint);
    if attributes.is_retried() {
        vm.known.count_retried_request(cluster);
    }
    // The log has already shown the connection. The route's timeout may come while the request waits for its next try,
    // or tries overlap: an attempt that the log has shown to fail is not charged again.
    let input = DetectorInput { connected: false, ..attributes.detector_input() };
    let ended_by_itself = vm.answered.take_failed(exchange::attempt_id);
    if !attributes.ended_unseen_by_upstream_log() || input.status.is_some() {
        return;
    }
    if attributes.is_route_timeout() && ended_by_itself {
        return;
    }
    let Some(locality) = charging::locality_of(vm, cluster, &endpoint, LocalityRead::Fresh) else { return };
    vm.known.count_attempt(cluster, locality, input.outcome());
    if input.failure.is_some() {
        let attempt = ChargedAttempt { cluster, endpoint: &endpoint, locality, input, seen_at: SeenAt::Log };
        charging::error(vm, attempt, attributes.last_attempt());
    }
}

/// What is charged for an answer if it is certainly a success.
fn healthy_answer(vm: &Vm, response: Response) -> Option<DetectorInput> {
    let is_grpc_error = response == Response::HeadersOnly && exchange::has_grpc_error();
    (!is_grpc_error && vm.healthy_attempt.is_empty()).then(|| DetectorInput::answered(200))
}
