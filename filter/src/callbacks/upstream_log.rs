//! Every attempt, one by one, as the router's upstream log shows them (`attempts: upstreamLog`).
//!
//! The same module stands twice in Envoy then: in the upstream log, where each attempt is logged through the root
//! context with its own endpoint and flags, and as HTTP filter in the same VM. The log judges attempts; the filter only
//! adds what the log cannot show: requests that reached no endpoint, how many were retried, and whether an attempt that
//! ended without an answer and without a reason was ended by the route's time-out, which Envoy charges, or by the client.
//!
//! An attempt is logged when it is over, but Envoy charges an answer when its headers come. So while anything is open in
//! the proxy, the filter judges the answer that goes on to the client when its headers pass, and notes by connection
//! that this is done. An attempt whose answer goes no further is logged at once.

use crate::host::exchange::{self as request, Whole};
use crate::vm::Plugin;
use filter_core::outcome::{Charges, Outcome};
use rustc_hash::FxHashMap;

/// Answers that are noted; beyond it they are judged when logged.
const MAX_ANSWERED: u32 = 65_536;

/// Answers under way that were judged by their headers, by the connection that they come through.
#[derive(Debug, Default)]
pub struct Answered {
    /// How many through each; HTTP/2 has several at a time, which need not be told apart.
    through: FxHashMap<u64, u32>,
    all: u32,
    /// The connection of the attempt that ended last by its own time-out.
    timed_out: Option<u64>,
}

impl Answered {
    fn note(&mut self, connection: u64) {
        self.all = self.all.saturating_add(1);
        let count = self.through.entry(connection).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether the answer that ended was noted; it is not any more.
    fn take(&mut self) -> bool {
        if self.all == 0 {
            return false;
        }
        let Some(connection) = request::upstream_connection() else { return false };
        let Some(count) = self.through.get_mut(&connection) else { return false };
        self.all = self.all.saturating_sub(1);
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.through.remove(&connection);
        }
        true
    }
}

impl Plugin {
    /// Response headers pass that are the last attempt's, or a local answer's.
    pub(crate) fn attempt_answered(&mut self, headers_only: bool) {
        // An answer of headers alone is logged before they pass.
        if headers_only || self.answered.all >= MAX_ANSWERED {
            return;
        }
        let Some(cluster) = self.known.cluster(&request::cluster(), &self.config) else { return };
        let endpoint = request::endpoint();
        let Some(connection) = request::upstream_connection().filter(|_| !endpoint.is_empty()) else { return };
        let (charges, whole) = match self.healthy_answer(headers_only) {
            Some(charges) => (charges, None),
            None => {
                let whole = Whole::read(headers_only);
                // Any other answer is Envoy's own, and the attempt that led to it is logged already.
                let Some(charges) = whole.upstream_answer() else { return };
                (charges, Some(whole))
            }
        };
        let is_error = charges.outcome().is_error();
        let Some(place) = self.place(cluster, &endpoint, is_error) else { return };
        self.answered.note(connection);
        match whole.filter(|_| is_error) {
            Some(whole) => self.error(cluster, &endpoint, place, charges, whole.last(), false),
            None => self.success(cluster, &endpoint, place, charges, false),
        }
    }

    /// What is charged for an answer if it is surely a good one.
    fn healthy_answer(&self, headers_only: bool) -> Option<Charges> {
        let grpc_error = headers_only && request::trailers_only_grpc_status().is_some_and(|status| status != 0);
        (!grpc_error && self.healthy_attempt.holds()).then(|| Charges::answered(200))
    }

    /// The upstream log shows an attempt.
    pub(crate) fn attempt_over(&mut self) {
        let Some(cluster) = self.known.cluster(&request::cluster(), &self.config) else { return };
        let endpoint = request::endpoint();
        if endpoint.is_empty() {
            return;
        }
        let (charges, whole) = match self.healthy_answer(true) {
            Some(charges) => (charges, None),
            None => {
                let whole = Whole::read(true);
                (whole.charges_in_upstream_log(), Some(whole))
            }
        };
        if whole.as_ref().is_some_and(Whole::timed_out) {
            self.answered.timed_out = request::upstream_connection();
        }
        let untold = whole.as_ref().is_some_and(Whole::ended_untold);
        let outcome = charges.outcome();
        // What is left to charge is that the answer broke off.
        let charges =
            if self.answered.take() { Charges { connected: false, status: None, ..charges } } else { charges };
        let Some(place) = self.place(cluster, &endpoint, outcome.is_error()) else { return };
        if !untold {
            self.known.count(cluster, place, outcome, false);
        }
        let went_well = charges.outcome() == Outcome::Success || charges.connected;
        match whole {
            Some(whole) if charges.outcome().is_error() => {
                self.error(cluster, &endpoint, place, charges, whole.last(), true);
            }
            _ if went_well && self.reporter.metrics.anything_open() => {
                self.success(cluster, &endpoint, place, charges, true);
            }
            _ => {}
        }
    }

    /// The request to which the attempts belonged is over.
    pub(crate) fn request_over(&mut self) {
        if self.healthy_request.holds() {
            return;
        }
        let Some(cluster) = self.known.cluster(&request::cluster(), &self.config) else { return };
        let endpoint = request::endpoint();
        let whole = Whole::read(false);
        if endpoint.is_empty() {
            if whole.no_healthy_upstream() {
                self.no_healthy_upstream(cluster);
            }
            return;
        }
        self.known.count_retried(cluster, whole.attempts > 1);
        // That it had its connection, or that its own time-out ended it (when tries overlap), the log has shown.
        let charges = Charges { connected: false, ..whole.attempt(true).charges() };
        let timed_out = self.answered.timed_out.take();
        if !whole.ended_from_without() || charges.status.is_some() {
            return;
        }
        let ended_by_itself = timed_out.is_some() && timed_out == request::upstream_connection();
        if whole.is_route_timeout() && ended_by_itself {
            return;
        }
        let Some(place) = self.place(cluster, &endpoint, true) else { return };
        self.known.count(cluster, place, charges.outcome(), false);
        if charges.failure.is_some() {
            self.error(cluster, &endpoint, place, charges, whole.last(), true);
        }
    }
}
