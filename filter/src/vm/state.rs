//! The state of one VM, and the two operations that every callback performs on it: changing what is known about a
//! cluster, and reporting what follows.

use super::answered::Answered;
use super::home::Home;
use super::known::{Cluster, ClusterIndex, Known};
use super::notice::Notices;
use super::pending::{PendingDelivery, PendingQuestion, PendingRequest};
use super::roots::{Configuration, Roots};
use super::tick::Heartbeat;
use super::twins::Twins;
use crate::host;
use crate::host::expression::Expression;
use crate::output::reporter::Reporter;
use crate::shared::{question, successes};
use filter_core::cluster::{ClusterState, EvaluationContext, settings};
use filter_core::config::{Attempts, Config, OutlierDetection};
use filter_core::endpoint::rule::Rule;
use filter_core::event::Event;
use filter_core::locality::Locality;
use filter_core::time::Millis;
use fnv::FnvHashMap;
use std::rc::Rc;

/// How old a cluster's rule may become before Envoy is asked for it again, in milliseconds: a mesh may change it at any
/// time, and to read that of one cluster, where it has its endpoints with it, takes Envoy's main thread more than one.
const OLDEST_RULE_PER_CLUSTER_MS: Millis = 300;
const OLDEST_RULE_MS: Millis = 5_000;
const OLDEST_RULE_OF_MANY_MS: Millis = 300_000;

/// The same before Envoy has listed its clusters.
const OLDEST_UNLISTED_RULE_MS: Millis = 60_000;

/// The time of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Millis,
    /// Whether there is a witness to wait for.
    pub(crate) has_witness: bool,
}

/// The state of one VM.
#[derive(Debug, Default)]
pub(crate) struct Vm {
    /// What holds for the proxy as a whole: the configuration that was read last, with the witness and the receiver of
    /// notifications of another one in force if it has none.
    pub(crate) config: Config,
    /// The configuration of the current callback's root context.
    pub(crate) current: Rc<Configuration>,
    /// The root contexts and their configurations.
    pub(crate) roots: Roots,
    /// Recognises requests that pass the filter twice.
    pub(crate) twins: Twins,
    /// The notices that the next heartbeat logs.
    pub(crate) notices: Notices,
    /// The proxy's own locality.
    pub(crate) home: Home,
    /// The clusters and endpoints that this VM has seen.
    pub(crate) known: Known,
    /// Writes events and metrics.
    pub(crate) reporter: Reporter,
    /// Recognises healthy requests.
    pub(crate) healthy_request: Expression,
    /// Recognises healthy attempts in the upstream log.
    pub(crate) healthy_attempt: Expression,
    /// Tells the root context of a request.
    pub(crate) root_of_request: Expression,
    /// Requests evaluated when their response headers passed, by context, until they are logged.
    pub(crate) requests: FnvHashMap<u32, PendingRequest>,
    /// Answers evaluated when their headers passed, until the upstream log shows that they are over.
    pub(crate) answered: Answered,
    /// The root context whose ticks drive the VM.
    pub(crate) heartbeat: Heartbeat,
    /// The question to Envoy that this VM has asked and that is not answered yet.
    pub(crate) question: Option<PendingQuestion>,
    /// Whether lists of endpoints may be long, so that an answer takes its time.
    pub(crate) lists_are_long: bool,
    /// The number of clusters that Envoy listed last; 0 if it has not yet.
    pub(crate) listed_clusters: u64,
    /// Tells the proxy apart from the others of a fleet.
    pub(crate) node_hash: u32,
    /// Whether this VM has seen a request; Envoy's main thread has a VM too, which never does.
    has_traffic: bool,
    /// Whether the router's upstream log shows attempts that succeeded, as far as is known.
    log_shows_successes: bool,
    /// Whether anything was open in the proxy when last looked at.
    pub(crate) was_open: bool,
    /// Whether Envoy did not answer when last asked, so that nothing waits for it.
    pub(crate) is_witness_silent: bool,
    /// The notifications that this VM has sent to the receiver of `notify` and that are not answered yet.
    pub(crate) delivery: Option<PendingDelivery>,
}

impl Vm {
    /// Makes the configuration of the callback's context the current one: that of the context if it is a root, else
    /// that of the request's root.
    pub(crate) fn enter(&mut self, context: u32) {
        self.has_traffic = true;
        if !self.roots.has_several() {
            if self.current.number != self.roots.newest().number {
                self.current = Rc::clone(self.roots.newest());
            }
            return;
        }
        let of_request = || self.roots.configuration(self.root_of_request.number()?);
        let found = self.roots.configuration(context).or_else(of_request);
        self.current = Rc::clone(found.unwrap_or(self.roots.newest()));
        self.current.note_request();
    }

    /// Takes over what holds for the proxy as a whole from the configurations in force at `now`.
    pub(crate) fn adopt_configurations(&mut self, now: Millis) {
        let living = self.roots.living(now);
        let mut config = self.roots.newest().config.clone();
        for other in &living {
            config.witness = config.witness.or_else(|| other.config.witness.clone());
            config.notify = config.notify.or_else(|| other.config.notify.clone());
        }
        self.known.configure(&config, &living);
        self.reporter.configure(&config);
        self.config = config;
    }

    /// Whether there is a witness, and it answers, so that its lists should be waited for.
    pub(crate) fn has_witness(&mut self) -> bool {
        if self.config.witness.is_none() {
            return false;
        }
        if self.is_witness_silent {
            // Another worker may have got an answer since.
            self.is_witness_silent = question::read().is_some_and(|question| question.is_silent());
        }
        !self.is_witness_silent
    }

    /// The present moment; `None` if the host does not provide the time.
    pub(crate) fn moment(&mut self) -> Option<Moment> {
        let has_witness = self.has_witness();
        let now = host::now().ok()?;
        Some(Moment { now, has_witness })
    }

    /// Changes the shared state of a cluster by the rules in force, and its gauges with it. `change` may run several
    /// times, each time on the latest state. Returns the result of the run that was written back; `None` if none was,
    /// or if the cluster is ignored.
    pub(crate) fn change_cluster<R>(
        &mut self,
        cluster: ClusterIndex,
        moment: Moment,
        mut change: impl FnMut(&mut ClusterState, &EvaluationContext<'_>) -> R,
    ) -> Option<R> {
        let mut result = None;
        let is_written =
            self.apply_change(cluster, moment, &mut |state, context| result = Some(change(state, context)));
        result.filter(|_| is_written)
    }

    /// Changes the state of a cluster; true if the last run was written back. It is the same code for all changes.
    #[inline(never)]
    fn apply_change(
        &mut self,
        cluster: ClusterIndex,
        moment: Moment,
        change: &mut dyn FnMut(&mut ClusterState, &EvaluationContext<'_>),
    ) -> bool {
        let sees_successes = !self.sees_failures_only_of(cluster);
        let Some(known) = self.known.get(cluster) else { return false };
        let Some(configured) = known.rule() else { return false };
        self.reporter.change_cluster(&known.name, &mut |state| {
            let (outlier, rule) = settings(state, configured);
            let home = state.home_in(&self.home.locality);
            let context = evaluation_context(known, (&outlier, &rule), (&home, &self.home.locality), moment);
            change(state, &EvaluationContext { sees_successes, ..context });
        })
    }

    /// How old a cluster's rule may become before Envoy is asked for it again.
    pub(crate) fn oldest_rule(&self) -> Millis {
        match self.listed_clusters {
            0 => OLDEST_UNLISTED_RULE_MS,
            clusters => {
                clusters.saturating_mul(OLDEST_RULE_PER_CLUSTER_MS).clamp(OLDEST_RULE_MS, OLDEST_RULE_OF_MANY_MS)
            }
        }
    }

    /// Whether anything is open in the proxy. Costs one cheap host call. When something opens, endpoints may lie
    /// elsewhere than when last looked at, and from now on it matters where they are.
    pub(crate) fn is_anything_open(&mut self) -> bool {
        let is_open = self.reporter.open_findings.any();
        if is_open && !self.was_open {
            self.known.doubt_localities();
        }
        self.was_open = is_open;
        is_open
    }

    /// The cluster that an answer of Envoy is about, if it is watched. Its requests go on to be evaluated by the
    /// configuration that they have; one that is new follows the newest configuration that watches it.
    pub(crate) fn cluster_of_answer(&mut self, name: &str, now: Millis) -> Option<ClusterIndex> {
        if let Some(index) = self.known.index(name) {
            return self.known.is_watched(index).then_some(index);
        }
        let watches = |configuration: &Rc<Configuration>| configuration.config.rules_for(name).is_some();
        let configuration = self.roots.living(now).into_iter().find(watches)?;
        self.known.cluster(name.as_bytes(), &configuration)
    }

    /// Notes that the router's upstream log shows an attempt that succeeded.
    pub(crate) fn note_logged_success(&mut self) {
        if !self.log_shows_successes {
            self.log_shows_successes = true;
            successes::note();
        }
    }

    /// Whether by this configuration only attempts that failed are seen. An upstream log that has not shown any other
    /// may be behind Envoy's own filter for failures.
    fn sees_failures_only(&self, config: &Config) -> bool {
        match config.attempts {
            Attempts::Final => false,
            Attempts::UpstreamLog => self.config.witness.is_some() && !self.log_shows_successes,
            Attempts::Failed => true,
        }
    }

    /// Whether of a cluster's attempts only those that failed are seen.
    pub(crate) fn sees_failures_only_of(&mut self, cluster: ClusterIndex) -> bool {
        self.log_shows_successes = self.log_shows_successes || successes::are_seen();
        self.known.get(cluster).is_some_and(|known| self.sees_failures_only(&known.configuration.config))
    }

    /// Whether this VM asks Envoy. That of Envoy's main thread leaves it to the workers, because to read an answer
    /// takes longer than to write it; only where requests that succeed are not seen, it cannot be told from a
    /// worker's.
    pub(crate) fn may_ask(&self) -> bool {
        self.has_traffic || self.needs_sweeps()
    }

    /// Whether only Envoy's lists show which clusters have traffic.
    pub(crate) fn needs_sweeps(&self) -> bool {
        self.sees_failures_only(&self.current.config) || self.sees_failures_only(&self.config)
    }

    /// Has the rules of clusters that were just met read within milliseconds.
    pub(crate) fn tick_for_new_clusters(&mut self) {
        if self.known.has_new() && self.config.witness.is_some() {
            self.heartbeat.shorten_tick(Some(0));
        }
    }

    /// Reports events in their order, and has their notifications sent within milliseconds.
    pub(crate) fn report(&mut self, events: &[Event]) {
        if self.reporter.report(events, &self.config, self.node_hash) {
            self.heartbeat.shorten_tick(Some(0));
        }
    }
}

/// The rules by which an observation of a cluster is evaluated.
fn evaluation_context<'a>(
    known: &'a Cluster,
    (outlier, rule): (&'a OutlierDetection, &'a Rule),
    (home, proxy_home): (&'a Locality, &'a Locality),
    moment: Moment,
) -> EvaluationContext<'a> {
    EvaluationContext {
        cluster: &known.name,
        outlier,
        rule,
        failover: &known.configuration.config.failover,
        home,
        proxy_home,
        now: moment.now,
        has_witness: moment.has_witness,
        sees_successes: true,
    }
}
