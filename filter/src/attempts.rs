//! Every attempt, one by one, as the router's upstream log shows them (`attempts: upstreamLog`).
//!
//! The same module stands twice in Envoy then: in the upstream log, where each attempt is logged through the root
//! context with its own endpoint and flags, and as HTTP filter in the same VM. The log judges attempts; the filter only
//! adds what the log cannot show: requests that reached no endpoint, how many were retried, and whether an attempt that
//! ended without an answer and without a reason was ended by the route's time-out, which Envoy charges, or by the client.
//!
//! An attempt is logged when it is over; one that was answered is judged then, although Envoy charged it when the
//! answer's headers came.

use crate::plugin::Plugin;
use crate::request::{self, Whole};
use filter_core::outcome::{Charges, Outcome};

impl Plugin {
    /// The upstream log shows an attempt.
    pub(crate) fn attempt_over(&mut self) {
        let Some(cluster) = self.known.cluster(&request::cluster(), &self.config) else { return };
        let endpoint = request::endpoint();
        if endpoint.is_empty() {
            return;
        }
        let grpc_status = request::trailers_only_grpc_status();
        let (charges, whole) = if grpc_status.is_none_or(|status| status == 0) && self.healthy_attempt.holds() {
            (Charges::answered(200), None)
        } else {
            let whole = Whole::read(grpc_status.is_some());
            let Some(charges) = whole.charges_in_upstream_log() else { return };
            (charges, Some(whole))
        };
        let outcome = charges.outcome();
        let Some(place) = self.place(cluster, &endpoint, outcome.is_error()) else { return };
        self.known.count(cluster, place, outcome, false);
        match whole {
            Some(whole) if outcome.is_error() => self.error(cluster, &endpoint, place, charges, whole.last()),
            _ if outcome == Outcome::Success && self.reporter.metrics.anything_open() => {
                self.success(cluster, &endpoint, place, charges);
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
        let attempt = whole.attempt(true);
        let charges = attempt.charges();
        if whole.is_route_timeout() && charges.failure.is_some() {
            let Some(place) = self.place(cluster, &endpoint, true) else { return };
            self.known.count(cluster, place, charges.outcome(), false);
            self.error(cluster, &endpoint, place, charges, whole.last());
        }
    }
}
