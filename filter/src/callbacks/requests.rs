//! What a finished request leads to.
//!
//! Envoy charges an attempt when its response headers come, so that is when it is judged here while anything is open
//! in the proxy (a streak, an ejection, a failover), and whenever headers are all there is. While nothing is open, a
//! success changes nothing, and judging waits until the request is logged: one crossing into the VM then costs one
//! number read. Counting waits for the log in any case, because an answer can still break off.
//!
//! Where the upstream log shows every attempt, [`crate::callbacks::upstream_log`] takes this one's place.
//!
//! Not here: what an observation means (`filter-core`) and how it is shared ([`crate::shared`]).

use crate::host::exchange::{self as request, Whole};
use crate::vm::Plugin;
use crate::{host, shared};
use filter_core::cluster::Observed;
use filter_core::config::Attempts;
use filter_core::detector::Moments;
use filter_core::event::LastAttempt;
use filter_core::outcome::{Charges, Flags, Outcome};
use filter_core::time::Millis;

/// Requests between their response headers and their log that are remembered; beyond it they are judged when logged.
const MAX_PENDING: usize = 65_536;

/// A request that was judged and is to be counted when it is logged.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// The cluster and the place that its last attempt went to; `None` when it went nowhere that is watched.
    went: Option<(usize, usize)>,
    outcome: Outcome,
    retried: bool,
    /// The response was headers alone: nothing can break off.
    complete: bool,
}

impl Pending {
    const NOWHERE: Self = Self { went: None, outcome: Outcome::NotCharged, retried: false, complete: true };
}

impl Plugin {
    /// Response headers pass.
    pub fn response_headers(&mut self, context: u32, headers_only: bool) {
        let open = self.reporter.metrics.anything_open();
        if self.config.attempts == Attempts::UpstreamLog {
            if open {
                self.attempt_answered(headers_only);
            }
            return;
        }
        if (open || headers_only) && self.pending.len() < MAX_PENDING {
            let pending = self.judge(open, headers_only, false);
            self.pending.insert(context, pending);
        }
    }

    /// A request is over or, in the name of a root context, an attempt is.
    pub fn log(&mut self, context: u32) {
        match (self.is_root(context), self.config.attempts) {
            (true, Attempts::UpstreamLog) => return self.attempt_over(),
            (false, Attempts::UpstreamLog) => return self.request_over(),
            (true, Attempts::Final) => return,
            (false, Attempts::Final) => {}
        }
        let pending = match self.pending.remove(&context) {
            Some(pending) => self.late(pending),
            None => self.judge(false, false, true),
        };
        if let Some((cluster, place)) = pending.went {
            self.known.count(cluster, place, pending.outcome, pending.retried);
        }
    }

    /// Judges the current request's last attempt. `open` says that a success matters, `late` that its answer may have come
    /// long ago.
    fn judge(&mut self, open: bool, headers_only: bool, late: bool) -> Pending {
        let Some(cluster) = self.known.cluster(&request::cluster(), &self.config) else { return Pending::NOWHERE };
        let endpoint = request::endpoint();
        if endpoint.is_empty() {
            if Whole::read(false).no_healthy_upstream() {
                self.no_healthy_upstream(cluster);
            }
            return Pending::NOWHERE;
        }
        let grpc_error = headers_only && request::trailers_only_grpc_status().is_some_and(|status| status != 0);
        let complete = headers_only;
        if !grpc_error && self.healthy_request.holds() {
            let Some(place) = self.place(cluster, &endpoint, false) else { return Pending::NOWHERE };
            if open {
                self.success(cluster, &endpoint, place, Charges::answered(200), false);
            }
            return Pending { went: Some((cluster, place)), outcome: Outcome::Success, retried: false, complete };
        }
        let whole = Whole::read(headers_only);
        let charges = whole.attempt(true).charges();
        let outcome = charges.outcome();
        let Some(place) = self.place(cluster, &endpoint, outcome.is_error()) else { return Pending::NOWHERE };
        match outcome {
            Outcome::Success if open => self.success(cluster, &endpoint, place, charges, false),
            // That it had its connection may matter.
            Outcome::NotCharged if charges.connected && self.reporter.metrics.anything_open() => {
                self.success(cluster, &endpoint, place, charges, late);
            }
            Outcome::Success | Outcome::NotCharged => {}
            _ => self.error(cluster, &endpoint, place, charges, whole.last(), late),
        }
        let retried = whole.attempts > 1;
        if retried {
            self.hidden_attempts(cluster);
        }
        Pending { went: Some((cluster, place)), outcome, retried, complete }
    }

    /// Attempts failed that are not shown here: Envoy may have ejected for them.
    fn hidden_attempts(&mut self, cluster: usize) {
        if self.config.witness.is_some()
            && let Ok(now) = host::now_nanoseconds()
        {
            self.suspect(cluster, now / 1_000_000);
        }
    }

    /// Looks whether an answer that was judged by its headers broke off later, which Envoy charges as well.
    fn late(&mut self, pending: Pending) -> Pending {
        let answered = matches!(pending.outcome, Outcome::Success | Outcome::Http5xx | Outcome::GatewayError);
        let Some((cluster, place)) = pending.went.filter(|_| answered && !pending.complete) else { return pending };
        if !request::flags().any_of(Flags::RESETS_AND_TIMEOUTS) {
            return pending;
        }
        let whole = Whole::read(false);
        let failure = whole.attempt(true).charges().failure;
        if failure.is_none() {
            return pending;
        }
        let broke_off = Charges { connected: false, status: None, failure };
        self.error(cluster, &request::endpoint(), place, broke_off, whole.last(), true);
        Pending { outcome: Outcome::LocalOrigin, ..pending }
    }

    pub(crate) fn place(&mut self, cluster: usize, endpoint: &[u8], fresh: bool) -> Option<usize> {
        let config = &self.config;
        let place = self.known.place(cluster, endpoint, fresh, || {
            let locality = request::locality();
            if !locality.is_unknown() {
                return locality;
            }
            let configured = config.locality_of(&String::from_utf8_lossy(endpoint)).unwrap_or("");
            filter_core::locality::Locality::parse(configured)
        });
        if let Some(known) = self.known.get_mut(cluster).filter(|known| known.total_is_old) {
            known.total_is_old = false;
            let total = request::endpoint_count();
            known.members_changed |= total != known.total;
            known.total = total;
        }
        place
    }

    /// An attempt went well, or had its connection at least; `late` says that its answer may have come long ago.
    pub(crate) fn success(&mut self, cluster: usize, endpoint: &[u8], place: usize, charges: Charges, late: bool) {
        let endpoint = String::from_utf8_lossy(endpoint);
        let Some(name) = self.known.get(cluster).map(|known| known.name.as_str()) else { return };
        // Most clusters have nothing open even when another has.
        let Some(state) = shared::cluster(name).filter(|state| state.open_findings() > 0) else { return };
        let more = state.asks_for_more(&endpoint);
        let started = if more { request::started() } else { None };
        let place = if more { self.place(cluster, endpoint.as_bytes(), true).unwrap_or(place) } else { place };
        self.charge(cluster, &endpoint, place, charges, (started, late), LastAttempt::default());
    }

    /// An attempt failed; `late` as for one that went well.
    pub(crate) fn error(
        &mut self,
        cluster: usize,
        endpoint: &[u8],
        place: usize,
        charges: Charges,
        last: LastAttempt,
        late: bool,
    ) {
        if let Some(known) = self.known.get_mut(cluster) {
            known.total = request::endpoint_count();
        }
        let endpoint = String::from_utf8_lossy(endpoint);
        self.charge(cluster, &endpoint, place, charges, (request::started(), late), last);
    }

    fn charge(
        &mut self,
        cluster: usize,
        endpoint: &str,
        place: usize,
        charges: Charges,
        (started, late): (Option<Millis>, bool),
        last: LastAttempt,
    ) {
        let witness = self.has_witness();
        let (Some(known), Ok(now)) = (self.known.get(cluster), host::now_nanoseconds()) else { return };
        let Some(setting) = known.setting(&self.config, &self.home, now / 1_000_000, witness) else { return };
        let Some(locality) = known.locality(place) else { return };
        let workload = request::workload();
        let workload = workload.as_deref();
        let total = known.total;
        // What is logged is over since a moment ago.
        let over = if late { request::ended() } else { None };
        let ended = over.map_or(now / 1_000, |over| over.min(now / 1_000));
        let asks = charges.connected || charges.failure.is_some();
        let connected = if asks { request::connected() } else { None };
        // An answer that was not seen when it came resets only what failed before it can have come.
        let since = connected.or(started.map(|started| started.saturating_mul(1_000)));
        let answered = since.filter(|_| late).unwrap_or(ended);
        let moments = Moments { connected: connected.unwrap_or(ended), answered, ended };
        let seen = Observed { endpoint, locality, workload, charges, moments, started, last, total };
        let changed = shared::change_cluster(&known.name, &mut self.reporter.metrics, |state| {
            (state.attempt(&seen, &setting), state.ask_again_in(setting.now) == Some(0))
        });
        let (events, ask) = changed.unwrap_or_default();
        self.report(&events);
        self.hurry(None);
        if ask {
            self.suspect(cluster, now / 1_000_000);
        }
    }

    pub(crate) fn no_healthy_upstream(&mut self, cluster: usize) {
        let witness = self.has_witness();
        let (Some(known), Ok(now)) = (self.known.get(cluster), host::now_nanoseconds()) else { return };
        let Some(setting) = known.setting(&self.config, &self.home, now / 1_000_000, witness) else { return };
        let total = request::endpoint_count();
        let metrics = &mut self.reporter.metrics;
        let events = shared::change_cluster(&known.name, metrics, |state| state.no_healthy_upstream(total, &setting));
        self.report(&events.unwrap_or_default());
    }
}
