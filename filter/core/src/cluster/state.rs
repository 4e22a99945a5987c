//! The value that the workers of a proxy share for one cluster, and the one way to change it: evidence about an
//! endpoint goes in, and the transitions that follow become events.

use super::ejection_counts::EjectionCounts;
use super::endpoint::{Endpoint, count};
use super::endpoints::Endpoints;
use super::input::EvaluationContext;
use super::known_rule::{KnownRule, Origin};
use super::localities::Localities;
use crate::encoded;
use crate::encoding::{Encoded, decode};
use crate::endpoint::evidence::{ClusterView, Evidence, RotationContext, Transition};
use crate::endpoint::reason::{Basis, BlockedReason, EjectReason};
use crate::endpoint::streak::StreakKind;
use crate::event::{Event, EventKind, LastAttempt};
use crate::failover::{Active, Phase, Usual};
use crate::locality::Locality;
use crate::metric::{Level, Metric};
use crate::time::{Millis, seconds_between};

/// The version of the encoding: the first byte of the encoded value, and part of the keys of shared data. A value with
/// another version decodes as the default, in which nothing is known.
pub const ENCODING: u8 = 23;

/// For how long Envoy's counts of a cluster's hosts are fresh, in milliseconds: where traffic can fail over, they are
/// read each second.
const HOST_COUNTS_FRESH_MS: Millis = 5_000;

/// For how long, in milliseconds, a past state may still be visible at one of Envoy's workers or may have influenced a
/// decision of its main thread.
const RECENT_MS: Millis = 2_000;

/// What the workers of a proxy know about one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    pub(super) endpoints: Endpoints,
    pub(super) localities: Localities,
    /// Envoy's count of endpoints, if known.
    pub(super) total: Option<u32>,
    /// When Envoy last listed its hosts; 0 if never.
    pub(super) listed_at: Millis,
    /// When Envoy was asked for that list.
    pub(super) listed_asked: Millis,
    /// Whether traffic has shown something newer than Envoy's last list since it was asked for.
    pub(super) admin_view_stale: bool,
    pub(super) counts: EjectionCounts,
    pub(super) known_rule: KnownRule,
    /// Whether only priorities tell home from away: the nearest localities are equally near.
    pub(super) ranks_by_priority: bool,
    /// When attempts were last counted, and errors among them; 0 if never.
    pub(super) counted: (Millis, Millis),
    /// When Envoy's counts last showed attempts that nothing else shows, as mirrored ones; 0 if never.
    pub(super) unseen_at: Millis,
    /// When Envoy's counts of its hosts were last taken in; 0 if never. While they are fresh, they alone say where its
    /// traffic goes: they contain attempts that the filter does not see.
    pub(super) host_counts_at: Millis,
    /// Hosts that Envoy last listed as unhealthy though not ejected, by the hashes of their addresses.
    pub(super) unhealthy: Vec<u32>,
    /// Hosts that Envoy lists in several places, maybe in several localities, by the hashes of their addresses.
    pub(super) repeated: Vec<u32>,
    /// When so few endpoints were last in rotation that Envoy may have chosen ejected ones; 0 if never.
    panicked_at: Millis,
    /// The largest number of endpoints that were recently ejected at the same time, and when.
    recent_max_ejected: (u32, Millis),
    /// Whether an ejection was seen to end before its time.
    pub(super) ends_early: bool,
    pub(super) failover: Option<Active>,
    /// What was known of where the proxy is when the failover began; it holds until its end, for all workers.
    pub(super) failover_home: Option<Locality>,
    /// Since when no healthy endpoint has been left.
    pub(super) empty_since: Option<Millis>,
    /// When it was told last that endpoints answer again; 0 if never.
    pub(super) recovered_at: Millis,
    /// Whether home is calm or in trouble.
    pub(super) phase: Phase,
    /// What goes away from home in calm times.
    pub(super) usual: Usual,
    /// Whether nothing at home is in rotation, and something is elsewhere.
    pub(super) is_home_lost: bool,
}

encoded!(struct ClusterState {
    endpoints, localities, total, listed_at, listed_asked, admin_view_stale, counts, known_rule, ranks_by_priority,
    counted, unseen_at, host_counts_at, unhealthy, repeated, panicked_at, recent_max_ejected, ends_early, failover,
    failover_home, empty_since, recovered_at, phase, usual, is_home_lost,
});

impl ClusterState {
    /// Decodes what [`ClusterState::encode`] wrote; anything else gives the default, in which nothing is known.
    pub fn decode(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((&ENCODING, rest)) => decode(rest).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// Encodes the value as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1_024);
        bytes.push(ENCODING);
        self.write(&mut bytes);
        bytes
    }

    /// Findings that are still open: endpoints failing or ejected, nothing in rotation at home, a failover, no healthy
    /// endpoint left. While a proxy has any, its workers evaluate every request at once.
    pub fn open_findings(&self) -> u32 {
        let troubled = self.endpoints.troubled();
        let others = [self.is_away(), self.empty_since.is_some()];
        troubled.saturating_add(count(others.iter().filter(|open| **open)))
    }

    /// Whether a failover could not be told, because the proxy's own locality `home` is unknown and no priorities tell
    /// near localities from far ones.
    pub fn failover_is_blind(&self, home: &Locality) -> bool {
        self.localities.are_alike(home)
    }

    /// Whether attempts were counted within the last minute.
    pub fn is_counted(&self, now: Millis) -> bool {
        let (attempts, _) = self.counted;
        attempts > 0 && now.abs_diff(attempts) < 60_000
    }

    /// Whether Envoy's counts of its hosts say where its traffic goes.
    pub(super) fn has_host_counts(&self, now: Millis) -> bool {
        self.host_counts_at > 0 && now.abs_diff(self.host_counts_at) < HOST_COUNTS_FRESH_MS
    }

    /// Notes that Envoy's counts of its hosts since `since` were taken in at `now`. Where they come too seldom, the
    /// filter's own sums decide.
    pub(super) fn note_host_counts(&mut self, since: Millis, now: Millis) {
        let is_regular = since > 0 && now.abs_diff(since) < HOST_COUNTS_FRESH_MS;
        self.host_counts_at = if is_regular { now } else { 0 };
    }

    /// The proxy's own locality `home` as far as it tells home from away in this cluster: unknown if only priorities
    /// do.
    pub fn home_in(&self, home: &Locality) -> Locality {
        match &self.failover_home {
            Some(home) => home.clone(),
            None if self.ranks_by_priority => Locality::default(),
            None => home.clone(),
        }
    }

    /// Where Envoy has the cluster from; `None` if Envoy has not told.
    pub fn origin(&self) -> Option<Origin> {
        self.known_rule.origin()
    }

    /// The clusters whose hosts are those of this cluster, if it is an aggregate one.
    pub fn members(&self) -> &[String] {
        self.known_rule.members()
    }

    /// Whether Envoy should be asked for the cluster's rule at `now`, if it may become `oldest` milliseconds old.
    pub fn wants_rule(&self, oldest: Millis, now: Millis) -> bool {
        self.known_rule.is_wanted(oldest, now)
    }

    /// Whether the start time and the exact destination of attempts at this endpoint matter: an attempt that was
    /// already in progress shows neither a return nor a recovery.
    pub fn needs_details(&self, endpoint: &str) -> bool {
        self.empty_since.is_some() || self.endpoints.is_ejected(endpoint)
    }

    /// Whether it matters where every single attempt goes.
    pub fn is_away(&self) -> bool {
        self.failover.is_some() || self.is_home_lost
    }

    /// Whether an attempt at a locality is news to the proxy in `home`: by Envoy's priorities nothing goes there, and
    /// nothing is known that could have changed that.
    pub fn is_news(&self, at: &Locality, home: &Locality) -> bool {
        let Usual::Nothing(tier) = self.usual else { return false };
        !self.is_away() && self.localities.tier_of(at, home).is_none_or(|at| at > tier)
    }

    /// The values of the cluster's gauges that are not 0.
    pub fn levels(&self, cluster: &str) -> Vec<Level> {
        let mut levels = Vec::new();
        for locality in self.localities.iter().map(|stats| &stats.locality) {
            let value = u64::from(self.endpoints.ejected_at(locality));
            if value > 0 {
                let values = vec![cluster.to_owned(), locality.as_str().to_owned()];
                levels.push(Level { metric: Metric::EjectedEndpoints, values, value });
            }
        }
        if let Some((from, to)) = self.failover.as_ref().map(Active::route) {
            let values = vec![cluster.to_owned(), from.as_str().to_owned(), to.as_str().to_owned()];
            levels.push(Level { metric: Metric::FailoverActive, values, value: 1 });
        }
        levels
    }

    /// Applies evidence about an endpoint, and reports what follows from it.
    pub(super) fn apply(
        &mut self,
        index: usize,
        evidence: &Evidence,
        context: &EvaluationContext<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(endpoint) = self.endpoints.get(index) else { return };
        let (rotation, transitions) = endpoint.rotation.apply(evidence, &self.rotation_context(endpoint, context));
        if let Some(endpoint) = self.endpoints.get_mut(index) {
            endpoint.rotation = rotation;
        }
        for transition in transitions {
            self.on_transition(index, transition, context, events);
        }
    }

    fn rotation_context<'a>(&'a self, endpoint: &Endpoint, context: &EvaluationContext<'a>) -> RotationContext<'a> {
        RotationContext {
            now: context.now,
            rules: context.outlier,
            rule: context.rule,
            cluster: self,
            has_witness: context.has_witness,
            panic_until: if self.panicked_at > 0 { self.panicked_at.saturating_add(RECENT_MS) } else { 0 },
            has_unconfirmed: endpoint.detector.has_unconfirmed(),
            keeps_counts: self.counts.is_kept(),
            counts_asked: self.counts.last_asked,
            sees_successes: context.sees_successes,
        }
    }

    fn on_returned(&mut self, index: usize, basis: Basis, has_witness: bool, now: Millis) {
        // Without a witness, Envoy is not asked again.
        self.admin_view_stale &= has_witness;
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        endpoint.detector.on_returned();
        endpoint.reported.unconfirmed = None;
        endpoint.seen = now;
        if basis == Basis::Witnessed && endpoint.rotation.returns_early() && !self.ends_early {
            // It was over before its time: in this cluster, any may be.
            self.ends_early = true;
            for index in self.endpoints.all() {
                if let Some(endpoint) = self.endpoints.get_mut(index) {
                    endpoint.rotation.may_end_early();
                }
            }
        }
    }

    fn on_transition(
        &mut self,
        index: usize,
        transition: Transition,
        context: &EvaluationContext<'_>,
        events: &mut Vec<Event>,
    ) {
        let now = context.now;
        if matches!(transition, Transition::Ejected { .. }) {
            // An earlier list that showed it in rotation was from before Envoy's detection.
            if let Some(held) = self.endpoints.get_mut(index).and_then(|endpoint| endpoint.reported.held.as_mut()) {
                held.blocked = None;
            }
            self.release_streak(index, Basis::Witnessed, context, events);
        }
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        match transition {
            Transition::Ejected { reason, basis, ejection } => {
                endpoint.detector.on_ejected();
                endpoint.reported.unconfirmed = None;
                self.counts.record(reason, now);
                self.known_rule.doubt |= reason == EjectReason::Other && !context.rule.by_rate;
                if !context.rule.ejects && !context.rule.by_rate {
                    // By this rule, Envoy ejects nobody.
                    self.known_rule.ask_anew();
                }
                let ejected = self.ejected();
                if ejected >= self.recent_max_ejected(now) {
                    self.recent_max_ejected = (ejected, now);
                }
                let endpoints = self.endpoint_count().max(ejected);
                let kind = EventKind::EndpointEjected { reason, ejection, ejected_endpoints: ejected, endpoints };
                self.report(index, Some(basis), kind, context, events);
            }
            Transition::Returned { basis, since, ejection } => {
                let kind = EventKind::EndpointReturned { ejected_seconds: seconds_between(since, now), ejection };
                self.on_returned(index, basis, context.has_witness, now);
                self.report(index, Some(basis), kind, context, events);
            }
            Transition::Removed { basis, since, ejection } => {
                let kind = EventKind::EndpointRemoved { ejected_seconds: seconds_between(since, now), ejection };
                self.report(index, Some(basis), kind, context, events);
            }
            Transition::Refuted => {
                endpoint.detector.refute(context.outlier);
                endpoint.reported.unconfirmed = None;
            }
            Transition::Blocked(_) if endpoint.reported.blocked || endpoint.reported.is_undetected => {}
            // By a rule that is not Envoy's, a streak means little.
            Transition::Blocked(_) if !context.rule.ejects || self.known_rule.is_unasked() => {}
            // First the rule is read again; the streak will reach its threshold once more.
            Transition::Blocked(BlockedReason::NotEnforced) if context.rule.by_envoy && self.known_rule.is_old(now) => {
                self.known_rule.ask_anew();
            }
            Transition::Blocked(reason) if endpoint.reported.held.is_some() => {
                if let Some(held) = &mut endpoint.reported.held {
                    held.blocked = Some(reason);
                }
            }
            Transition::Blocked(reason) => {
                // Envoy shows that the endpoint is in rotation. That it detected the streak, only its count shows,
                // which was not known when the streak was reported; at zero it refutes it.
                let is_certain = context.sees_successes || endpoint.has_streak(context.outlier);
                if is_certain && self.counts.detected() != Some(0) {
                    self.report_blocked(index, reason, Basis::Inferred, context, events);
                }
            }
            Transition::ViewStale => self.admin_view_stale = true,
        }
    }

    fn report_blocked(
        &mut self,
        index: usize,
        reason: BlockedReason,
        basis: Basis,
        context: &EvaluationContext<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        endpoint.reported.blocked = true;
        self.known_rule.doubt |= reason == BlockedReason::NotEnforced;
        let (max_ejection_percent, endpoints) = (context.outlier.max_ejection_percent, self.endpoint_count());
        let kind = EventKind::EjectionBlocked { reason, max_ejection_percent, endpoints };
        self.report(index, Some(basis), kind, context, events);
    }

    /// Reports a streak of this kind and threshold.
    pub(super) fn report_streak(
        &self,
        index: usize,
        (kind, threshold): (StreakKind, u32),
        last: LastAttempt,
        context: &EvaluationContext<'_>,
        events: &mut Vec<Event>,
    ) {
        let ejects = context.rule.ejects;
        let kind = EventKind::ErrorStreak { kind, streak: threshold, threshold, ejects, last };
        self.report(index, None, kind, context, events);
    }

    /// Reports the streak that was held back, if there is one, and that Envoy kept the endpoint in rotation, if it did.
    /// `basis` is how it is known that Envoy detected the streak.
    pub(super) fn release_streak(
        &mut self,
        index: usize,
        basis: Basis,
        context: &EvaluationContext<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(held) = self.endpoints.get_mut(index).and_then(|endpoint| endpoint.reported.held.take()) else {
            return;
        };
        self.report_streak(index, (held.kind, held.threshold), held.last, context, events);
        if let Some(reason) = held.blocked {
            self.report_blocked(index, reason, basis, context, events);
        }
    }

    /// Reports that the cluster, which had no healthy endpoint left, answers again.
    pub(super) fn recover(&mut self, context: &EvaluationContext<'_>, events: &mut Vec<Event>) {
        let Some(since) = self.empty_since.take() else { return };
        self.recovered_at = context.now;
        let seconds = seconds_between(since, context.now);
        events.push(Event::of_cluster(context.now, context.cluster, EventKind::UpstreamRecovered { seconds }));
    }

    /// Reports an event of an endpoint.
    pub(super) fn report(
        &self,
        index: usize,
        basis: Option<Basis>,
        kind: EventKind,
        context: &EvaluationContext<'_>,
        events: &mut Vec<Event>,
    ) {
        if let Some(endpoint) = self.endpoints.get(index) {
            events.push(Event {
                endpoint: Some(endpoint.address.clone()),
                locality: Some(endpoint.locality.clone()),
                workload: endpoint.workload.clone(),
                basis,
                ..Event::of_cluster(context.now, context.cluster, kind)
            });
        }
    }

    /// Envoy's count of endpoints if known, otherwise the filter's own.
    pub(super) fn endpoint_count(&self) -> u32 {
        self.total.unwrap_or_else(|| self.localities.endpoint_count(&self.endpoints))
    }

    /// Notes whether Envoy may currently choose ejected endpoints.
    pub(super) fn note_panic(&mut self, context: &EvaluationContext<'_>) {
        let min_health_percent = context.outlier.min_health_percent;
        if min_health_percent > 0 && self.localities.may_panic(&self.endpoints, context.home, min_health_percent) {
            self.panicked_at = context.now;
        }
    }
}

impl ClusterView for ClusterState {
    fn ejected(&self) -> u32 {
        self.endpoints.ejected()
    }

    fn endpoints(&self) -> u32 {
        self.endpoint_count()
    }

    fn recent_max_ejected(&self, now: Millis) -> u32 {
        let (most, at) = self.recent_max_ejected;
        self.endpoints.ejected().max(if now.saturating_sub(at) < RECENT_MS { most } else { 0 })
    }

    fn ends_early(&self) -> bool {
        self.ends_early
    }
}
