//! Requests, as the HTTP filter sees them (`attempts: final`): only the last attempt of each.
//!
//! Envoy charges an attempt when its response headers arrive. So an attempt is evaluated at that time while anything is
//! open in the proxy (a streak, an ejection, a failover), and always if the response consists of headers only. While
//! nothing is open, a success changes nothing, and evaluation waits until the request is logged: the one crossing into
//! the VM then costs one read of a number. Counting always waits for the log, because an answer can still break off.
//! There a healthy request costs the one call that tells it is healthy, unless it belongs to the sample that is read
//! whole.

use crate::host::exchange;
use crate::host::request_attributes::{RequestAttributes, Response};
use crate::vm::asking;
use crate::vm::charging::{self, ChargedAttempt, SeenAt};
use crate::vm::known::{ClusterIndex, LocalityIndex, LocalityRead};
use crate::vm::pending::PendingRequest;
use crate::vm::state::Vm;
use crate::vm::twins::Passing;
use filter_core::endpoint::outcome::{DetectorInput, Outcome};
use filter_core::endpoint::response_flags::ResponseFlags;
use std::rc::Rc;

/// The maximum number of requests that are remembered between their response headers and their log; further ones are
/// evaluated when logged.
const MAX_PENDING: usize = 65_536;

/// Whether a success can change anything: only while anything is open in the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successes {
    Matter,
    ChangeNothing,
}

/// Response headers pass.
pub(crate) fn on_response_headers(vm: &mut Vm, context: u32, response: Response) {
    let successes = match vm.is_anything_open() {
        true => Successes::Matter,
        false => Successes::ChangeNothing,
    };
    let is_evaluated_now = successes == Successes::Matter || response == Response::HeadersOnly;
    if is_evaluated_now && vm.requests.len() < MAX_PENDING {
        let pending = match vm.twins.is_repeated(Passing::Headers, &vm.reporter) {
            true => PendingRequest::REPEATED,
            false if successes == Successes::ChangeNothing && is_healthy(vm, response) => PendingRequest::HEALTHY,
            false => evaluate(vm, SeenAt::Headers, response, successes),
        };
        vm.requests.insert(context, pending);
    }
}

/// Whether the current request is certainly healthy.
fn is_healthy(vm: &Vm, response: Response) -> bool {
    let is_grpc_error = response == Response::HeadersOnly && exchange::has_grpc_error();
    !is_grpc_error && vm.healthy_request.is_empty()
}

/// A request is over.
pub(crate) fn on_log(vm: &mut Vm, context: u32) {
    let pending = vm.requests.remove(&context);
    if pending.is_some_and(|request| request.is_repeated) {
        return;
    }
    // One context may have been evaluated when the headers passed and the other not, because the first closed what was
    // open.
    let is_compared = pending.is_none() || vm.twins.is_doubled();
    if is_compared && vm.twins.is_repeated(Passing::Log, &vm.reporter) {
        return;
    }
    let request = match pending {
        Some(request) if request.is_healthy => return count_healthy(vm),
        Some(request) => evaluate_end(vm, request),
        None if is_healthy(vm, Response::Streamed) => return count_healthy(vm),
        None => evaluate(vm, SeenAt::Log, Response::Streamed, Successes::ChangeNothing),
    };
    let Some((cluster, locality)) = request.went_to else { return };
    if request.is_retried {
        vm.known.count_retried_request(cluster);
    }
    vm.known.count_attempt(cluster, locality, request.outcome);
}

/// Counts the current request, which is healthy, if it belongs to the sample.
fn count_healthy(vm: &mut Vm) {
    let configuration = Rc::clone(&vm.current);
    let mut sampling = configuration.sampling.get();
    if sampling.takes(configuration.config.traffic.sample) {
        let went_to = healthy_destination(vm, LocalityRead::Sampled(sampling.stands_for()));
        let stands_for = sampling.count_for(went_to);
        if let Some((cluster, locality)) = went_to {
            vm.known.count_attempts(cluster, locality, Outcome::Success, stands_for);
        }
    }
    configuration.sampling.set(sampling);
}

/// The cluster and the locality to which the current request went; `None` if it is not watched.
fn healthy_destination(vm: &mut Vm, which: LocalityRead) -> Option<(ClusterIndex, LocalityIndex)> {
    let (cluster, endpoint) = destination(vm).filter(|(_, endpoint)| !endpoint.is_empty())?;
    Some((cluster, charging::locality_of(vm, cluster, &endpoint, which)?))
}

/// The cluster and the endpoint to which the current request's last attempt went; `None` if it is not watched. The
/// endpoint is empty if there was none.
fn destination(vm: &mut Vm) -> Option<(ClusterIndex, Vec<u8>)> {
    let cluster = vm.known.cluster(&exchange::cluster_name(), &vm.current)?;
    vm.tick_for_new_clusters();
    let endpoint = exchange::endpoint();
    Some((if endpoint.is_empty() { cluster } else { vm.known.owner(cluster, &endpoint) }, endpoint))
}

/// Evaluates the current request's last attempt.
fn evaluate(vm: &mut Vm, seen_at: SeenAt, response: Response, successes: Successes) -> PendingRequest {
    let Some((cluster, endpoint)) = destination(vm) else { return PendingRequest::NOWHERE };
    if endpoint.is_empty() {
        if RequestAttributes::read(Response::Streamed).found_no_healthy_upstream() {
            charging::no_healthy_upstream(vm, cluster);
        }
        return PendingRequest::NOWHERE;
    }
    let is_complete = response == Response::HeadersOnly;
    if is_healthy(vm, response) {
        let Some(locality) = charging::locality_of(vm, cluster, &endpoint, LocalityRead::Cached) else {
            return PendingRequest::NOWHERE;
        };
        let input = DetectorInput::answered(200);
        let attempt = ChargedAttempt { cluster, endpoint: &endpoint, locality, input, seen_at };
        let locality = if successes == Successes::Matter { charging::success(vm, attempt) } else { locality };
        let went_to = Some((cluster, locality));
        return PendingRequest {
            went_to,
            outcome: Outcome::Success,
            is_retried: false,
            is_complete,
            is_healthy: false,
            is_repeated: false,
        };
    }
    let attributes = RequestAttributes::read(response);
    let input = attributes.detector_input();
    let outcome = input.outcome();
    let Some(locality) = charging::locality_of(vm, cluster, &endpoint, LocalityRead::for_outcome(outcome)) else {
        return PendingRequest::NOWHERE;
    };
    let attempt = ChargedAttempt { cluster, endpoint: &endpoint, locality, input, seen_at };
    let locality = match outcome {
        Outcome::Success if successes == Successes::Matter => charging::success(vm, attempt),
        // The fact that it was connected may matter.
        Outcome::NotCharged if input.connected && vm.is_anything_open() => charging::success(vm, attempt),
        Outcome::Success | Outcome::NotCharged => locality,
        _ => {
            charging::error(vm, attempt, attributes.last_attempt());
            locality
        }
    };
    let is_retried = attributes.is_retried();
    if is_retried {
        suspect_hidden_attempts(vm, cluster);
    }
    PendingRequest {
        went_to: Some((cluster, locality)),
        outcome,
        is_retried,
        is_complete,
        is_healthy: false,
        is_repeated: false,
    }
}

/// Earlier attempts of the request failed that the filter does not see; Envoy may have ejected endpoints for them.
fn suspect_hidden_attempts(vm: &mut Vm, cluster: ClusterIndex) {
    if vm.config.witness.is_some()
        && let Ok(now) = crate::host::now()
    {
        asking::suspect(vm, cluster, now);
    }
}

/// Checks whether an answer that was evaluated by its headers broke off later, which Envoy charges as well.
fn evaluate_end(vm: &mut Vm, request: PendingRequest) -> PendingRequest {
    let is_answered = matches!(request.outcome, Outcome::Success | Outcome::Http5xx | Outcome::GatewayError);
    let Some((cluster, locality)) = request.went_to.filter(|_| is_answered && !request.is_complete) else {
        return request;
    };
    if !exchange::flags().any_of(ResponseFlags::RESETS_AND_TIMEOUTS) {
        return request;
    }
    let attributes = RequestAttributes::read(Response::Streamed);
    let failure = attributes.detector_input().failure;
    if failure.is_none() {
        return request;
    }
    let endpoint = exchange::endpoint();
    let input = DetectorInput { connected: false, status: None, failure };
    let broke_off = ChargedAttempt { cluster, endpoint: &endpoint, locality, input, seen_at: SeenAt::Log };
    charging::error(vm, broke_off, attributes.last_attempt());
    PendingRequest { outcome: Outcome::LocalOrigin, ..request }
}
